//! Words over pictures as an ASS document (Advanced `SubStation` Alpha), which libass draws.

use std::fmt::Write as _;

use super::filter::CAPTION_STRIP;
use super::frame::Frame;

/// Width of the canvas that positions are in; libass scales it to the frame.
const CANVAS: u32 = 1080;
/// Size of a caption's letters on the canvas.
const CAPTION_PX: u32 = 96;
/// Size of a title's letters on the canvas.
const TITLE_PX: u32 = 84;
/// Free canvas to the left and right of a title.
const TITLE_MARGIN: u32 = 90;
/// The colour of the word that is heard, as ASS writes it: blue, green, red.
const SPOKEN: &str = "&H3EFFC8&";

/// Where a line stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::media) enum Place {
    /// In the middle of the strip below the picture.
    Strip,
    /// In the upper part, on a ground of its own.
    Top,
}

/// Words that are shown together for some time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::media) struct Line {
    /// When they appear.
    pub(in crate::media) start_ms: u64,
    /// When they go.
    pub(in crate::media) end_ms: u64,
    /// The words.
    pub(in crate::media) words: Vec<String>,
    /// The one of them that is heard.
    pub(in crate::media) spoken: Option<usize>,
    /// Where they stand.
    pub(in crate::media) place: Place,
}

/// The document for a frame, in a family of fonts.
pub(in crate::media) fn document(frame: Frame, family: &str, lines: &[Line]) -> String {
    let height = (CANVAS * frame.height).div_ceil(frame.width.max(1));
    let strip = height - height * CAPTION_STRIP / 2000;
    let top = height * 12 / 100;
    let mut text = format!(
        "[Script Info]\nScriptType: v4.00+\nPlayResX: {CANVAS}\nPlayResY: {height}\nWrapStyle: 0\n\
         ScaledBorderAndShadow: yes\n\n[V4+ Styles]\n\
         Format: Name, Fontname, Fontsize, PrimaryColour, SecondaryColour, OutlineColour, \
         BackColour, Bold, Italic, Underline, StrikeOut, ScaleX, ScaleY, Spacing, Angle, \
         BorderStyle, Outline, Shadow, Alignment, MarginL, MarginR, MarginV, Encoding\n\
         Style: Strip,{family},{CAPTION_PX},&H00FFFFFF,&H00FFFFFF,&H00140C09,&H00140C09,\
         0,0,0,0,100,100,1,0,1,5,0,5,30,30,0,1\n\
         Style: Top,{family},{TITLE_PX},&H00FFFFFF,&H00FFFFFF,&H20140C09,&H20140C09,\
         0,0,0,0,100,100,1,0,3,22,0,8,{TITLE_MARGIN},{TITLE_MARGIN},{top},1\n\n\
         [Events]\nFormat: Layer, Start, End, Style, Name, MarginL, MarginR, MarginV, Effect, Text\n"
    );
    for line in lines {
        let (style, position) = match line.place {
            Place::Strip => ("Strip", format!("{{\\pos({},{strip})}}", CANVAS / 2)),
            Place::Top => ("Top", String::new()),
        };
        let (start, end) = (clock(line.start_ms), clock(line.end_ms));
        let words = words(line);
        // Writing to a string cannot fail.
        writeln!(text, "Dialogue: 0,{start},{end},{style},,0,0,0,,{position}{words}")
            .unwrap_or_default();
    }
    text
}

fn words(line: &Line) -> String {
    let word = |(at, word): (usize, &String)| {
        if line.spoken == Some(at) {
            format!("{{\\1c{SPOKEN}}}{}{{\\1c&HFFFFFF&}}", escaped(word))
        } else {
            escaped(word)
        }
    };
    line.words.iter().enumerate().map(word).collect::<Vec<_>>().join(" ")
}

/// A time as ASS writes it, in hundredths of a second.
fn clock(ms: u64) -> String {
    let hundredths = (ms + 5) / 10;
    let (seconds, rest) = (hundredths / 100, hundredths % 100);
    format!("{}:{:02}:{:02}.{rest:02}", seconds / 3600, seconds / 60 % 60, seconds % 60)
}

/// Text in which nothing is a command: braces and backslashes would begin one.
fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '{' => safe.push_str("\\{"),
            '}' => safe.push_str("\\}"),
            // A joiner of no width: the letter after it makes no command any more.
            '\\' => safe.push_str("\\\u{2060}"),
            '\n' => safe.push_str("\\N"),
            c if c.is_control() => safe.push(' '),
            c => safe.push(c),
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(words: &[&str], spoken: Option<usize>, place: Place) -> Line {
        let words = words.iter().map(|&w| w.to_owned()).collect();
        Line { start_ms: 1_234, end_ms: 65_996, words, spoken, place }
    }

    #[test]
    fn what_means_something_to_the_format_is_shown_as_it_is() {
        let line = line(&["60%", "{b}", "a\\Nb", "c\nd"], Some(0), Place::Strip);
        let text = document(Frame::REEL, "Barlow", &[line]);
        let last = text.lines().last().expect("a line");
        assert_eq!(
            last,
            "Dialogue: 0,0:00:01.23,0:01:06.00,Strip,,0,0,0,,{\\pos(540,1800)}\
             {\\1c&H3EFFC8&}60%{\\1c&HFFFFFF&} \\{b\\} a\\\u{2060}Nb c\\Nd"
        );
    }

    #[test]
    fn the_canvas_has_the_shape_of_the_frame() {
        let frame = Frame { width: 1920, height: 1080 };
        let text = document(frame, "Barlow", &[line(&["a"], None, Place::Top)]);
        assert!(text.contains("PlayResX: 1080\nPlayResY: 608\n"), "{text}");
    }
}
