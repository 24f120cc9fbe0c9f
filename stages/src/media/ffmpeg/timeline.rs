//! Frames: how long each picture stands, and where transitions begin.

use flow_core::error::{ErrorClass, ErrorKind, StageError};

/// Frames per second of a reel.
pub(in crate::media) const FPS: u64 = 30;
/// Frames that a transition takes at most: half a second.
const TRANSITION: u64 = 15;

/// The pictures of a reel in frames.
///
/// Every picture but the last stands for its section and the transition after it; a transition
/// begins where its section ends. So the whole is as long as the sections together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::media) struct Timeline {
    /// How many frames each picture gives.
    pub(in crate::media) pictures: Vec<u64>,
    /// The frame at which each transition begins.
    pub(in crate::media) offsets: Vec<u64>,
    /// How many frames a transition takes.
    pub(in crate::media) transition: u64,
    /// Frames of the whole.
    pub(in crate::media) total: u64,
}

impl Timeline {
    /// The timeline of sections that end at these times. Frames are counted from cumulative times,
    /// so that rounding never adds up.
    ///
    /// # Errors
    /// When there is no section, or one is shorter than a frame.
    pub(in crate::media) fn of_ends(ends_ms: &[u64]) -> Result<Self, StageError> {
        let cuts: Vec<u64> = ends_ms.iter().map(|ms| (ms * FPS + 500) / 1000).collect();
        let starts = std::iter::once(0).chain(cuts.iter().copied());
        let sections: Vec<u64> =
            cuts.iter().zip(starts).map(|(end, start)| end.saturating_sub(start)).collect();
        let shortest = sections.iter().copied().min().unwrap_or_default();
        if shortest == 0 {
            return Err(no_time());
        }
        let last = sections.len() - 1;
        let transition = if last == 0 { 0 } else { TRANSITION.min(shortest.div_ceil(2)) };
        let pictures =
            sections.iter().enumerate().map(|(at, n)| n + if at < last { transition } else { 0 });
        Ok(Self {
            pictures: pictures.collect(),
            offsets: cuts[..last].to_vec(),
            transition,
            total: cuts[last],
        })
    }

    /// The same sections with cuts between them: no picture stands longer than its section.
    pub(in crate::media) fn without_overlap(mut self) -> Self {
        let last = self.pictures.len() - 1;
        self.pictures[..last].iter_mut().for_each(|frames| *frames -= self.transition);
        self.transition = 0;
        self
    }

    /// Milliseconds that so many frames take.
    pub(in crate::media) fn ms(frames: u64) -> u64 {
        (frames * 1000 + FPS / 2) / FPS
    }

    /// Length in seconds.
    pub(in crate::media) fn seconds(&self) -> f64 {
        seconds(self.total)
    }
}

/// A number of frames in seconds.
#[expect(clippy::cast_precision_loss, reason = "reels are short")]
pub(super) fn seconds(frames: u64) -> f64 {
    frames as f64 / FPS as f64
}

/// The frames of so many seconds, at least one.
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "videos are short"
)]
pub(in crate::media) fn frames(seconds: f64) -> u64 {
    ((seconds.max(0.0) * FPS as f64).round() as u64).max(1)
}

fn no_time() -> StageError {
    StageError::new(ErrorClass::Validation, "lay out the reel", "a section has no time to be shown")
        .kind(ErrorKind::Ffmpeg)
        .port("timing")
        .hint("make the narration again: every section needs at least a few words")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn three_sections_overlap_only_in_their_transitions() {
        let timeline = Timeline::of_ends(&[2000, 4000, 6500]).expect("a timeline");
        assert_eq!(timeline.pictures, [75, 75, 75]);
        assert_eq!(timeline.offsets, [60, 120]);
        assert_eq!((timeline.transition, timeline.total), (15, 195));
    }

    #[test]
    fn one_section_needs_no_transition() {
        let timeline = Timeline::of_ends(&[2500]).expect("a timeline");
        assert_eq!((timeline.pictures, timeline.offsets), (vec![75], vec![]));
    }

    #[test]
    fn a_section_without_time_is_refused() {
        for ends in [&[][..], &[1000, 1000], &[1000, 900]] {
            let error = Timeline::of_ends(ends).expect_err("it is refused");
            assert_eq!(error.kind, ErrorKind::Ffmpeg);
        }
    }

    proptest! {
        #[test]
        fn the_whole_is_as_long_as_the_sections(lengths in prop::collection::vec(40_u64..9_000, 1..10)) {
            let ends: Vec<u64> = lengths.iter().scan(0, |sum, n| { *sum += n; Some(*sum) }).collect();
            let timeline = Timeline::of_ends(&ends).expect("a timeline");
            let overlaps = timeline.transition * timeline.offsets.len() as u64;
            prop_assert_eq!(timeline.pictures.iter().sum::<u64>() - overlaps, timeline.total);
            let exact = ends[ends.len() - 1] as f64 / 1000.0;
            prop_assert!((timeline.seconds() - exact).abs() <= 0.5 / FPS as f64 + 1e-9);
            // A transition ends before the next one begins.
            let all = timeline.offsets.iter().copied().chain([timeline.total]);
            let gaps: Vec<u64> = all.collect::<Vec<_>>().windows(2).map(|w| w[1] - w[0]).collect();
            prop_assert!(gaps.iter().all(|gap| *gap >= timeline.transition));
        }
    }
}
