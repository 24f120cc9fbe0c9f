//! The filter graph of a reel.

use std::fmt::Write as _;

use super::timeline::{FPS, Timeline, seconds};

/// How pictures move.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::media) enum Look {
    /// A slow zoom.
    Lively,
    /// Still pictures: less to compute, and less that can go wrong.
    Safe,
}

/// The transitions, in turn.
const TRANSITIONS: [&str; 3] = ["smoothleft", "fade", "smoothup"];

/// The graph for pictures on inputs 0, 1, … and, if there is sound, a track on the input after
/// them. Its outputs are `[v]` and `[a]`.
pub(in crate::media) fn reel_filter(timeline: &Timeline, look: Look, sound: bool) -> String {
    let mut graph = String::new();
    for (at, frames) in timeline.pictures.iter().enumerate() {
        write_picture(&mut graph, at, *frames, look);
    }
    write_transitions(&mut graph, timeline);
    if sound {
        let (input, end) = (timeline.pictures.len(), timeline.seconds());
        append(&mut graph, format_args!(";[{input}:a]aresample=48000,apad,atrim=0:{end:.6}[a]"));
    }
    graph
}

/// One picture on a frame of 1080×1920, for as many frames.
fn write_picture(graph: &mut String, at: usize, frames: u64, look: Look) {
    let before = if at == 0 { "" } else { ";" };
    append(
        graph,
        format_args!(
            "{before}[{at}:v]scale=1080:1920:force_original_aspect_ratio=decrease,\
             pad=1080:1920:(ow-iw)/2:(oh-ih)/2:color=0x101418,setsar=1,"
        ),
    );
    match look {
        // The picture is doubled first: the zoom moves by whole pixels, and half of one shows less.
        Look::Lively => append(
            graph,
            format_args!(
                "scale=2160:3840:flags=bilinear,zoompan=z='min(1+0.0005*on,1.06)':\
                 x='iw/2-(iw/zoom/2)':y='ih/2-(ih/zoom/2)':d={frames}:s=1080x1920:fps={FPS},"
            ),
        ),
        Look::Safe => {
            let more = frames.saturating_sub(1);
            append(graph, format_args!("fps={FPS},tpad=stop_mode=clone:stop={more},"));
        }
    }
    append(graph, format_args!("setpts=N/({FPS}*TB),settb=1/{FPS},format=yuv420p[v{at}]"));
}

fn write_transitions(graph: &mut String, timeline: &Timeline) {
    let mut last = "v0".to_owned();
    for (at, offset) in timeline.offsets.iter().enumerate() {
        let kind = TRANSITIONS[at % TRANSITIONS.len()];
        let (duration, offset) = (seconds(timeline.transition), seconds(*offset));
        let next = format!("x{at}");
        append(
            graph,
            format_args!(
                ";[{last}][v{}]xfade=transition={kind}:duration={duration:.6}:offset={offset:.6}[{next}]",
                at + 1
            ),
        );
        last = next;
    }
    append(graph, format_args!(";[{last}]format=yuv420p[v]"));
}

fn append(graph: &mut String, text: std::fmt::Arguments<'_>) {
    // Writing to a string cannot fail.
    graph.write_fmt(text).unwrap_or_default();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn transitions_begin_where_sections_end() {
        let timeline = Timeline::of_ends(&[2000, 4000, 6500]).expect("a timeline");
        let graph = reel_filter(&timeline, Look::Safe, true);
        assert!(
            graph.contains(
                "[v0][v1]xfade=transition=smoothleft:duration=0.500000:offset=2.000000[x0]"
            )
        );
        assert!(
            graph.contains("[x0][v2]xfade=transition=fade:duration=0.500000:offset=4.000000[x1]")
        );
        assert!(
            graph.ends_with("[x1]format=yuv420p[v];[3:a]aresample=48000,apad,atrim=0:6.500000[a]")
        );
        assert!(!graph.contains("zoompan"));
    }

    #[test]
    fn a_lively_picture_gets_its_frames_from_the_zoom() {
        let timeline = Timeline::of_ends(&[2500]).expect("a timeline");
        let graph = reel_filter(&timeline, Look::Lively, false);
        assert!(graph.contains(":d=75:s=1080x1920:fps=30"), "{graph}");
        assert!(graph.ends_with("[v0];[v0]format=yuv420p[v]"), "{graph}");
    }
}
