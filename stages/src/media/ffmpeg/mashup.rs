//! The filter graph that joins clips of any size, rate and sound.

use super::filter::burn;
use super::frame::{Fit, Frame, place};
use super::sound::filters;
use super::timeline::{FPS, seconds};

/// A clip in a mashup.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(in crate::media) struct ClipPlan {
    /// Frames that it gives.
    pub(in crate::media) frames: u64,
    /// Channels of its sound; `None` where it has none.
    pub(in crate::media) channels: Option<u32>,
    /// Change of its level in dB.
    pub(in crate::media) gain_db: Option<f64>,
}

/// The graph for clips on inputs 0, 1, …; its outputs are `[v]` and `[a]`. Every clip becomes a
/// piece of the same frame, rate and sound first: joining pieces that differ fails.
pub(in crate::media) fn mashup_filter(
    clips: &[ClipPlan],
    frame: Frame,
    fit: Fit,
    titles: bool,
) -> String {
    let mut graph: Vec<String> = Vec::new();
    for (at, clip) in clips.iter().enumerate() {
        graph.push(picture(at, clip, frame, fit));
        graph.push(sound(at, clip));
    }
    let pieces: String = (0..clips.len()).map(|at| format!("[v{at}][a{at}]")).collect();
    graph.push(format!("{pieces}concat=n={}:v=1:a=1[all][a]", clips.len()));
    let titles = if titles { format!("{},", burn()) } else { String::new() };
    graph.push(format!("[all]{titles}format=yuv420p[v]"));
    graph.join(";")
}

/// The pictures of a clip, exactly as many as planned: a last one stands if it has fewer.
fn picture(at: usize, clip: &ClipPlan, frame: Frame, fit: Fit) -> String {
    let frames = clip.frames;
    // Pixels that are not square are made so before anything is measured.
    format!(
        "[{at}:v]scale=iw*sar:ih,setsar=1,fps={FPS},setpts=PTS-STARTPTS[c{at}];{},\
         tpad=stop_mode=clone:stop=-1,trim=end_frame={frames},\
         setpts=N/({FPS}*TB),settb=1/{FPS},format=yuv420p[v{at}]",
        place(&format!("c{at}"), &format!("p{at}"), frame, frame, fit)
    )
}

/// The sound of a clip, exactly as long as its pictures; silence where it has none.
fn sound(at: usize, clip: &ClipPlan) -> String {
    let end = seconds(clip.frames);
    match clip.channels {
        None => format!("anullsrc=r=48000:cl=stereo,atrim=0:{end:.6}[a{at}]"),
        Some(channels) => format!(
            "[{at}:a]{},asetpts=PTS-STARTPTS,apad,atrim=0:{end:.6}[a{at}]",
            filters(channels, clip.gain_db)
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_clip_becomes_a_piece_of_the_same_form() {
        let clips = [
            ClipPlan { frames: 30, channels: Some(1), gain_db: Some(3.0) },
            ClipPlan { frames: 45, channels: None, gain_db: None },
        ];
        let graph = mashup_filter(&clips, Frame::REEL, Fit::Pad, true);
        assert!(graph.contains("trim=end_frame=30,"), "{graph}");
        assert!(graph.contains("pan=stereo|c0=c0|c1=c0,volume=3.00dB"), "{graph}");
        assert!(graph.contains("anullsrc=r=48000:cl=stereo,atrim=0:1.500000[a1]"), "{graph}");
        assert!(graph.ends_with(
            "[v0][a0][v1][a1]concat=n=2:v=1:a=1[all][a];\
             [all]subtitles=filename=captions.ass:fontsdir=fonts,format=yuv420p[v]"
        ));
    }
}
