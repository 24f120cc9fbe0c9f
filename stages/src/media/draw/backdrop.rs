//! A picture behind the words: cropped to the slide, and dimmed until the words stand out.

use image::imageops::{self, FilterType};
use image::{Rgb, RgbImage};

use super::canvas::{HEIGHT, WIDTH};
use super::colour::{Colour, luminance};
use super::{MARGIN_BOTTOM, MARGIN_TOP};

/// How much light a dimmed picture has at most where words may stand: white on it, and each colour of
/// quiet text, has enough contrast.
const LIGHT: f32 = 0.085;
/// How many times more it has in the margins, where nothing is to be read.
const MARGIN_LIGHT: f32 = 3.5;
/// Over how many pixels one passes into the other.
const PASSAGE: f32 = 150.0;

/// A picture of the size of a slide.
pub(in crate::media) struct Backdrop {
    image: RgbImage,
    /// Steps by which it is darker than it would have to be.
    step: u8,
}

impl Backdrop {
    /// The middle of a picture of any size, scaled to fill a slide.
    pub(in crate::media) fn of(picture: &RgbImage) -> Self {
        let (width, height) = picture.dimensions();
        let wide = (u64::from(height) * u64::from(WIDTH) / u64::from(HEIGHT)).max(1);
        let high = (u64::from(width) * u64::from(HEIGHT) / u64::from(WIDTH)).max(1);
        let shorter =
            |side: u32, most: u64| u32::try_from(most).map_or(side, |most| side.min(most));
        let (kept_width, kept_height) = (shorter(width, wide), shorter(height, high));
        let (left, top) = ((width - kept_width) / 2, (height - kept_height) / 2);
        let middle = imageops::crop_imm(picture, left, top, kept_width, kept_height).to_image();
        let image = if middle.dimensions() == (WIDTH, HEIGHT) {
            middle
        } else {
            imageops::resize(&middle, WIDTH, HEIGHT, FilterType::CatmullRom)
        };
        Self { image, step: 0 }
    }

    /// Halves its light.
    pub(in crate::media) fn darken(&mut self) {
        self.step += 1;
    }

    /// The colour at a place: what is dark stays as it is, and the brighter it is the more it is
    /// dimmed.
    pub(super) fn at(&self, x: f32, y: f32) -> Colour {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "inside")]
        let Rgb(bytes) = *self.image.get_pixel(x as u32, y as u32);
        let colour = Colour::from_bytes(bytes);
        let most = LIGHT * 0.5_f32.powi(i32::from(self.step)) * margin_light(y);
        let kept = most / (luminance(colour) + most);
        // Light is about the power 2.2 of what is written.
        Colour::NIGHT.mix(colour, kept.powf(1.0 / 2.2))
    }
}

/// How many times more light there may be at this height.
fn margin_light(y: f32) -> f32 {
    #[expect(clippy::cast_precision_loss, reason = "pictures are small")]
    let bottom = HEIGHT as f32 - MARGIN_BOTTOM;
    let outside = (MARGIN_TOP - y).max(y - bottom).max(0.0);
    1.0 + (MARGIN_LIGHT - 1.0) * (outside / PASSAGE).min(1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_middle_of_a_picture_fills_the_slide() {
        for (width, height) in [(1088, 1920), (1024, 1536), (1024, 1024), (1920, 1080), (256, 2048)]
        {
            // A red middle between blue sides.
            let picture = RgbImage::from_fn(width, height, |x, y| {
                let across = (i64::from(x) * 2 - i64::from(width)).unsigned_abs() * 8;
                let down = (i64::from(y) * 2 - i64::from(height)).unsigned_abs() * 8;
                let inside = across < u64::from(width) && down < u64::from(height);
                if inside { Rgb([255, 0, 0]) } else { Rgb([0, 0, 255]) }
            });
            let image = Backdrop::of(&picture).image;
            assert_eq!(image.dimensions(), (WIDTH, HEIGHT));
            assert_eq!(image.get_pixel(540, 960).0, [255, 0, 0], "{width}x{height}");
        }
    }

    #[test]
    fn dark_stays_and_bright_is_dimmed() {
        let at = |byte: u8, y: f32| {
            let backdrop = Backdrop::of(&RgbImage::from_pixel(WIDTH, HEIGHT, Rgb([byte; 3])));
            luminance(backdrop.at(10.0, y))
        };
        assert!(at(255, 900.0) < 0.1 && at(255, 900.0) > at(128, 900.0));
        assert!(at(255, 1900.0) > 2.0 * at(255, 900.0), "nothing is read at the bottom");
        assert!(at(20, 900.0) > 0.7 * luminance(Colour::rgb(20, 20, 20)));
    }
}
