//! The frame of a video, and how pictures of any size and shape come into it.

use std::fmt;
use std::str::FromStr;

/// Behind pictures that do not fill the frame.
const GROUND: &str = "0x101418";
/// Two thirds of the light: what is around a picture does not draw the eye.
const DARKER: &str = "lutyuv=y=16+(val-16)*0.65:u=128+(val-128)*0.65:v=128+(val-128)*0.65";
/// Smallest side of a frame; less is no video.
const LEAST: u32 = 64;
/// Largest side that H.264 of level 5 takes.
const MOST: u32 = 4096;

/// Width and height of a video in pixels. Both are even: its colours are stored at half its size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::media) struct Frame {
    /// Pixels from left to right.
    pub(in crate::media) width: u32,
    /// Pixels from top to bottom.
    pub(in crate::media) height: u32,
}

impl Frame {
    /// The vertical frame of phones.
    pub(in crate::media) const REEL: Self = Self { width: 1080, height: 1920 };

    /// The frame's upper part that is left when `share` thousandths of its height are kept free.
    pub(super) fn above(self, share: u32) -> Self {
        Self { height: (self.height - self.height * share / 1000) / 2 * 2, ..self }
    }
}

impl fmt::Display for Frame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}x{}", self.width, self.height)
    }
}

impl FromStr for Frame {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let form = || format!("{text:?} is no size: write it as 1080x1920");
        let (width, height) = text.split_once(['x', '×']).ok_or_else(form)?;
        let side = |side: &str| side.trim().parse::<u32>();
        let (Ok(width), Ok(height)) = (side(width), side(height)) else { return Err(form()) };
        let frame = Self { width, height };
        let sides = [width, height];
        if sides.iter().any(|side| side % 2 != 0) {
            return Err(format!("{frame} has an odd side: H.264 needs even ones"));
        }
        if sides.iter().any(|side| !(LEAST..=MOST).contains(side)) {
            return Err(format!("{frame} has a side that is not from {LEAST} to {MOST} pixels"));
        }
        Ok(frame)
    }
}

/// What is around a picture that has another shape than the frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::media) enum Fit {
    /// A dark ground.
    Pad,
    /// The picture itself, large, soft and darkened.
    Blur,
}

impl FromStr for Fit {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "pad" => Ok(Self::Pad),
            "blur" => Ok(Self::Blur),
            _ => Err(format!("{text:?} is neither `pad` nor `blur`")),
        }
    }
}

/// Filters that bring what is on `input` whole into the upper `room` of a frame and give it the
/// colours of HD video. `name` makes the names of links unique; the result goes on without one.
pub(super) fn place(input: &str, name: &str, frame: Frame, room: Frame, fit: Fit) -> String {
    let Frame { width, height } = frame;
    let inside = format!(
        "scale={}:{}:force_original_aspect_ratio=decrease:out_color_matrix=bt709:out_range=tv",
        room.width, room.height
    );
    let (x, y) = ("(ow-iw)/2", format!("({}-ih)/2", room.height));
    match fit {
        Fit::Pad => format!(
            "[{input}]{inside},format=yuv420p,pad={width}:{height}:{x}:{y}:color={GROUND},setsar=1"
        ),
        Fit::Blur => {
            // What is blurred can be small: it costs a sixteenth, and looks the same.
            let (small_width, small_height) = ((width / 4).max(16), (height / 4).max(16));
            let radius = (small_width.min(small_height) / 16).max(1);
            format!(
                "[{input}]split[{name}b][{name}f];\
                 [{name}b]scale={small_width}:{small_height}:force_original_aspect_ratio=increase:\
                 out_color_matrix=bt709:out_range=tv,format=yuv420p,\
                 crop={small_width}:{small_height},boxblur={radius}:3,\
                 {DARKER},scale={width}:{height}:flags=bilinear,\
                 setsar=1[{name}g];\
                 [{name}f]{inside},format=yuv420p,setsar=1[{name}p];\
                 [{name}g][{name}p]overlay=(W-w)/2:({}-h)/2,setsar=1",
                room.height
            )
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_even_and_within_what_players_take() {
        assert_eq!("1080x1920".parse(), Ok(Frame::REEL));
        assert_eq!("1080 × 1920".parse(), Ok(Frame::REEL));
        for (text, fault) in [
            ("1080", "no size"),
            ("x", "no size"),
            ("-2x4", "no size"),
            ("1081x1920", "odd side"),
            ("1080x1919", "odd side"),
            ("0x0", "not from 64"),
            ("8000x1080", "not from 64"),
        ] {
            let error = text.parse::<Frame>().expect_err(text);
            assert!(error.contains(fault), "{error}");
        }
    }

    #[test]
    fn the_room_above_a_strip_is_even_too() {
        assert_eq!(Frame::REEL.above(125), Frame { width: 1080, height: 1680 });
        assert_eq!(Frame { width: 90, height: 98 }.above(125).height % 2, 0);
        assert_eq!(Frame::REEL.above(0), Frame::REEL);
    }
}
