//! Pictures that services make: real files of the size that was asked for, the same for the same seed,
//! and the ways in which a picture can be none.

use std::io::Cursor;

use image::{ImageFormat, Rgb, RgbImage};

/// What a service sends in the place of a picture.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Picture {
    #[default]
    Png,
    Jpeg,
    /// A PNG that breaks off under its true length.
    CutPng,
    /// A JPEG that breaks off; many decoders do not mind.
    CutJpeg,
    /// One pixel.
    Tiny,
    /// A page of HTML.
    Html,
    /// The beginning of a WebP.
    WebP,
}

impl Picture {
    /// Its bytes.
    pub fn bytes(self, width: u32, height: u32, seed: u64) -> Vec<u8> {
        match self {
            Self::Png => encoded(&scene(width, height, seed), ImageFormat::Png),
            Self::Jpeg => encoded(&scene(width, height, seed), ImageFormat::Jpeg),
            Self::CutPng => half(encoded(&scene(width, height, seed), ImageFormat::Png)),
            Self::CutJpeg => half(encoded(&scene(width, height, seed), ImageFormat::Jpeg)),
            Self::Tiny => encoded(&RgbImage::new(1, 1), ImageFormat::Png),
            Self::Html => b"<!DOCTYPE html><html><body>Please log in</body></html>".to_vec(),
            Self::WebP => {
                b"RIFF\x1a\0\0\0WEBPVP8L\x0d\0\0\0\x2f\0\0\0\x10\x07\x10\x11\x11\x88\x88\xfe\x07\0"
                    .to_vec()
            }
        }
    }

    /// What the service calls it.
    pub fn media_type(self) -> &'static str {
        match self {
            Self::Png | Self::CutPng | Self::Tiny => "image/png",
            Self::Jpeg | Self::CutJpeg => "image/jpeg",
            Self::Html => "text/html",
            Self::WebP => "image/webp",
        }
    }
}

fn encoded(picture: &RgbImage, format: ImageFormat) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    picture.write_to(&mut bytes, format).expect("a picture in memory");
    bytes.into_inner()
}

fn half(mut bytes: Vec<u8>) -> Vec<u8> {
    bytes.truncate(bytes.len() / 2);
    bytes
}

/// A bright scene with hard edges, as no words could be read on: a sky with lamps over a striped lawn.
fn scene(width: u32, height: u32, seed: u64) -> RgbImage {
    let hue = (seed % 97) as f32 / 97.0;
    let horizon = 0.42 + hue * 0.2;
    RgbImage::from_fn(width, height, |x, y| {
        let (u, v) = (x as f32 / width as f32, y as f32 / height as f32);
        let lamp = ((u * 9.0).fract() - 0.5).hypot((v - horizon * 0.4) * 9.0);
        let colour = if v < horizon && lamp < 0.3 {
            [1.0, 1.0, 0.94]
        } else if v < horizon {
            let t = v / horizon;
            [0.25 + 0.6 * t * hue, 0.35 + 0.45 * t, 0.6 + 0.38 * t]
        } else {
            let depth = (v - horizon) / (1.0 - horizon) + 0.15;
            let stripe = ((u - 0.5) / depth * 5.0).rem_euclid(1.0) < 0.5;
            let line = ((u - 0.5) / depth * 2.5 + 0.02).rem_euclid(1.0) < 0.04;
            match (line, stripe) {
                (true, _) => [0.97, 0.97, 0.95],
                (_, true) => [0.20 + 0.1 * hue, 0.62, 0.22],
                _ => [0.12, 0.45, 0.16 + 0.2 * hue],
            }
        };
        Rgb(colour.map(|part: f32| (part.clamp(0.0, 1.0) * 255.0) as u8))
    })
}
