//! The filter graph of a reel.

use std::fmt::Write as _;
use std::str::FromStr;

use super::frame::{Fit, Frame, place};
use super::timeline::{FPS, Timeline, seconds};

/// Part of the frame that captions have for themselves, in thousandths of its height: words that
/// are drawn on a picture are never covered.
pub(super) const CAPTION_STRIP: u32 = 125;

/// How pictures move.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::media) enum Motion {
    /// A slow zoom.
    Lively,
    /// Still pictures: less to compute, and less that can go wrong.
    Safe,
}

/// What joins pictures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::media) enum Transition {
    /// Slides and fades in turn.
    Mix,
    /// One picture fades into the next.
    Fade,
    /// The next picture pushes the last one away.
    Slide,
    /// A cut.
    None,
}

impl Transition {
    /// The names of ffmpeg for it, in turn.
    fn names(self) -> &'static [&'static str] {
        match self {
            Self::Mix => &["slideleft", "fade", "slideup"],
            Self::Fade => &["fade"],
            Self::Slide => &["slideleft"],
            Self::None => &[],
        }
    }
}

impl FromStr for Transition {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "mix" => Ok(Self::Mix),
            "fade" => Ok(Self::Fade),
            "slide" => Ok(Self::Slide),
            "none" => Ok(Self::None),
            _ => Err(format!("{text:?} is none of `mix`, `fade`, `slide` and `none`")),
        }
    }
}

/// How a reel looks.
#[derive(Debug, Clone)]
pub(in crate::media) struct Look {
    /// Its frame.
    pub(in crate::media) frame: Frame,
    /// What is around pictures of another shape.
    pub(in crate::media) fit: Fit,
    /// How pictures move.
    pub(in crate::media) motion: Motion,
    /// What joins them.
    pub(in crate::media) transition: Transition,
    /// Whether captions are burned in; see [`burn`].
    pub(in crate::media) captions: bool,
}

/// The file with captions and the folder of fonts, in the encoder's working folder: a path could
/// hold characters that mean something in a filter graph.
pub(in crate::media) const CAPTIONS: &str = "captions.ass";
/// See [`CAPTIONS`].
pub(in crate::media) const FONTS: &str = "fonts";

/// The filter that draws [`CAPTIONS`] on what comes before it.
pub(super) fn burn() -> String {
    format!("subtitles=filename={CAPTIONS}:fontsdir={FONTS}")
}

/// The graph for pictures on inputs 0, 1, … and, if there is sound, a track on the input after
/// them, which goes through `sound` first. Its outputs are `[v]` and `[a]`.
pub(in crate::media) fn reel_filter(
    timeline: &Timeline,
    look: &Look,
    sound: Option<&str>,
) -> String {
    let mut graph = String::new();
    for (at, frames) in timeline.pictures.iter().enumerate() {
        write_picture(&mut graph, at, *frames, look);
    }
    write_joints(&mut graph, timeline, look);
    if let Some(filters) = sound {
        let (input, end) = (timeline.pictures.len(), timeline.seconds());
        append(&mut graph, format_args!(";[{input}:a]{filters},apad,atrim=0:{end:.6}[a]"));
    }
    graph
}

/// One picture on the frame, for as many frames.
fn write_picture(graph: &mut String, at: usize, frames: u64, look: &Look) {
    let before = if at == 0 { "" } else { ";" };
    let frame = look.frame;
    let room = if look.captions { frame.above(CAPTION_STRIP) } else { frame };
    let placed = place(&format!("{at}:v"), &format!("p{at}"), frame, room, look.fit);
    append(graph, format_args!("{before}{placed},"));
    match look.motion {
        // The picture is doubled first: the zoom moves by whole pixels, and half of one shows less.
        Motion::Lively => append(
            graph,
            format_args!(
                "scale={}:{}:flags=bilinear,zoompan=z='min(1+0.0005*on,1.06)':\
                 x='iw/2-(iw/zoom/2)':y='ih/2-(ih/zoom/2)':d={frames}:s={frame}:fps={FPS},",
                frame.width * 2,
                frame.height * 2
            ),
        ),
        // One frame alone has no length by which `fps` could count it, and behind a blurred ground it
        // would be dropped: it is repeated first, for longer than is needed.
        Motion::Safe => append(
            graph,
            format_args!(
                "tpad=stop_mode=clone:stop_duration={:.6},fps={FPS},trim=end_frame={frames},",
                seconds(frames) + 1.0
            ),
        ),
    }
    append(graph, format_args!("format=yuv420p[v{at}]"));
}

fn write_joints(graph: &mut String, timeline: &Timeline, look: &Look) {
    let mut last = "v0".to_owned();
    let names = look.transition.names();
    if names.is_empty() && timeline.pictures.len() > 1 {
        graph.push(';');
        (0..timeline.pictures.len()).for_each(|at| append(graph, format_args!("[v{at}]")));
        append(graph, format_args!("concat=n={}:v=1:a=0[all]", timeline.pictures.len()));
        "all".clone_into(&mut last);
    }
    for ((at, offset), name) in timeline.offsets.iter().enumerate().zip(names.iter().cycle()) {
        let (duration, offset) = (seconds(timeline.transition), seconds(*offset));
        let next = format!("x{at}");
        append(
            graph,
            format_args!(
                ";[{last}][v{}]xfade=transition={name}:duration={duration:.6}:offset={offset:.6}[{next}]",
                at + 1
            ),
        );
        last = next;
    }
    let captions = if look.captions { format!("{},", burn()) } else { String::new() };
    append(graph, format_args!(";[{last}]{captions}format=yuv420p[v]"));
}

fn append(graph: &mut String, text: std::fmt::Arguments<'_>) {
    // Writing to a string cannot fail.
    graph.write_fmt(text).unwrap_or_default();
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: Look = Look {
        frame: Frame::REEL,
        fit: Fit::Pad,
        motion: Motion::Safe,
        transition: Transition::Mix,
        captions: false,
    };

    #[test]
    fn transitions_begin_where_sections_end() {
        let timeline = Timeline::of_ends(&[2000, 4000, 6500]).expect("a timeline");
        let graph = reel_filter(&timeline, &PLAIN, Some("aresample=48000"));
        assert!(
            graph.contains(
                "[v0][v1]xfade=transition=slideleft:duration=0.500000:offset=2.000000[x0]"
            )
        );
        assert!(
            graph.contains("[x0][v2]xfade=transition=fade:duration=0.500000:offset=4.000000[x1]")
        );
        assert!(
            graph.ends_with("[x1]format=yuv420p[v];[3:a]aresample=48000,apad,atrim=0:6.500000[a]")
        );
        assert!(!graph.contains("zoompan") && !graph.contains("subtitles"));
    }

    #[test]
    fn a_lively_picture_gets_its_frames_from_the_zoom() {
        let timeline = Timeline::of_ends(&[2500]).expect("a timeline");
        let look = Look { motion: Motion::Lively, ..PLAIN };
        let graph = reel_filter(&timeline, &look, None);
        assert!(graph.contains(":d=75:s=1080x1920:fps=30"), "{graph}");
        assert!(graph.ends_with("[v0];[v0]format=yuv420p[v]"), "{graph}");
    }

    #[test]
    fn cuts_need_no_overlap() {
        let timeline = Timeline::of_ends(&[1000, 2000]).expect("a timeline").without_overlap();
        let look = Look { transition: Transition::None, ..PLAIN };
        let graph = reel_filter(&timeline, &look, None);
        assert!(graph.ends_with("[v0][v1]concat=n=2:v=1:a=0[all];[all]format=yuv420p[v]"));
        assert_eq!(timeline.pictures, [30, 30]);
    }

    #[test]
    fn captions_are_drawn_last_by_bare_file_names_on_a_strip_of_their_own() {
        let timeline = Timeline::of_ends(&[2500]).expect("a timeline");
        let look = Look { captions: true, ..PLAIN };
        let graph = reel_filter(&timeline, &look, None);
        assert!(graph.contains("scale=1080:1680:"), "{graph}");
        assert!(graph.contains("[v0]subtitles=filename=captions.ass:fontsdir=fonts,"), "{graph}");
    }
}
