//! Sounds of sections joined to one, with the times at which sections and words are heard.

use std::path::Path;

use hound::{SampleFormat, WavReader, WavSpec, WavWriter};

use super::say::weights;
use crate::contract::{ScriptSection, SegmentTiming, TimingData, WordTiming};

/// Silence after a section that another follows.
const PAUSE_MS: u64 = 220;
/// Silence at the end.
const TAIL_MS: u64 = 420;
/// Samples as loud as this or less are silence.
const SILENCE: i16 = 64;

/// A narration while it is put together.
#[derive(Debug, Default)]
pub(in crate::media) struct Track {
    samples: Vec<i16>,
    rate: u32,
    /// Where each section's words and its pause end, in samples.
    ends: Vec<(usize, usize)>,
}

impl Track {
    /// Adds the sound of a section. Returns whether there is anything to hear in it.
    ///
    /// # Errors
    /// When the file is no mono 16-bit WAV of the rate of those before.
    pub(in crate::media) fn add(&mut self, file: &Path) -> Result<bool, hound::Error> {
        let mut reader = WavReader::open(file)?;
        let spec = reader.spec();
        let known = spec.channels == 1 && spec.bits_per_sample == 16;
        let alike = self.rate == 0 || self.rate == spec.sample_rate;
        if !known || !alike || spec.sample_format != SampleFormat::Int {
            return Err(hound::Error::Unsupported);
        }
        self.rate = spec.sample_rate;
        let sound = reader.samples::<i16>().collect::<Result<Vec<i16>, _>>()?;
        let audible = sound.iter().any(|sample| sample.unsigned_abs() > SILENCE.unsigned_abs());
        self.pause(PAUSE_MS);
        self.samples.extend(sound);
        self.ends.push((self.samples.len(), self.samples.len()));
        Ok(audible)
    }

    /// Lets the section before, if there is one, end in silence.
    fn pause(&mut self, ms: u64) {
        let Some((_, end)) = self.ends.last_mut() else { return };
        let samples = usize::try_from(ms * u64::from(self.rate) / 1000).unwrap_or_default();
        self.samples.resize(self.samples.len() + samples, 0);
        *end = self.samples.len();
    }

    /// Writes the whole narration.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub(in crate::media) fn write(&mut self, file: &Path) -> Result<(), hound::Error> {
        self.pause(TAIL_MS);
        let spec = WavSpec {
            channels: 1,
            sample_rate: self.rate,
            bits_per_sample: 16,
            sample_format: SampleFormat::Int,
        };
        let mut writer = WavWriter::create(file, spec)?;
        for sample in &self.samples {
            writer.write_sample(*sample)?;
        }
        writer.finalize()
    }

    /// The ends of each section's words and of the section, in milliseconds.
    pub(in crate::media) fn ends_ms(&self) -> Vec<(u64, u64)> {
        let ms = |samples: usize| samples as u64 * 1000 / u64::from(self.rate.max(1));
        self.ends.iter().map(|(words, end)| (ms(*words), ms(*end))).collect()
    }
}

/// How long a sound is; `None` if there is nothing to hear in it.
///
/// # Errors
/// When the file is no mono 16-bit WAV.
pub(in crate::media) fn length_ms(file: &Path) -> Result<Option<u64>, hound::Error> {
    let mut track = Track::default();
    let audible = track.add(file)?;
    Ok(track.ends_ms().last().filter(|_| audible).map(|(words, _)| *words))
}

/// When sections and words are heard. Sections are exact; so are the words of a section where the
/// voice told their times, and else they share its time by their spoken length. `duration_ms` is
/// that of the finished file, and becomes the last end.
pub(in crate::media) fn timing(
    sections: &[ScriptSection],
    told: &[Option<Vec<WordTiming>>],
    ends_ms: &[(u64, u64)],
    duration_ms: u64,
) -> TimingData {
    let mut start_ms = 0;
    let mut segments = Vec::with_capacity(sections.len());
    for (at, (section, (words_end, end))) in sections.iter().zip(ends_ms).enumerate() {
        let end_ms = if at + 1 == ends_ms.len() { duration_ms } else { *end };
        let words_end = (*words_end).min(end_ms);
        let (words, source) = match told.get(at).and_then(Option::as_ref) {
            Some(told) => (later(told, start_ms, words_end), "exact"),
            None => (word_timing(&section.text, start_ms, words_end), "estimated"),
        };
        segments.push(SegmentTiming {
            section_id: section.section_id.clone(),
            start_ms,
            end_ms,
            words,
            timing_source: source.into(),
        });
        start_ms = end_ms;
    }
    TimingData { schema_version: 1, duration_ms, segments }
}

/// Words of a section that begins at `start_ms`, none of them after the end of its sound.
fn later(words: &[WordTiming], start_ms: u64, end_ms: u64) -> Vec<WordTiming> {
    let at = |ms: u64| (start_ms + ms).min(end_ms);
    let word = |word: &WordTiming| WordTiming {
        text: word.text.clone(),
        start_ms: at(word.start_ms),
        end_ms: at(word.end_ms),
    };
    words.iter().map(word).collect()
}

fn word_timing(text: &str, start_ms: u64, end_ms: u64) -> Vec<WordTiming> {
    let weights = weights(text);
    let total: u64 = weights.iter().map(|(_, weight)| weight).sum();
    let span = end_ms.saturating_sub(start_ms);
    let at = |weight: u64| start_ms + span * weight / total.max(1);
    let mut before = 0;
    let mut words = Vec::with_capacity(weights.len());
    for (text, weight) in weights {
        words.push(WordTiming { text, start_ms: at(before), end_ms: at(before + weight) });
        before += weight;
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract::SlideText;

    fn wav(folder: &Path, name: &str, ms: u32, sample: i16) -> std::path::PathBuf {
        let path = folder.join(name);
        let spec = WavSpec {
            channels: 1,
            sample_rate: 22_050,
            bits_per_sample: 16,
            sample_format: SampleFormat::Int,
        };
        let mut writer = WavWriter::create(&path, spec).expect("a file");
        for _ in 0..22_050 * ms / 1000 {
            writer.write_sample(sample).expect("a sample");
        }
        writer.finalize().expect("a file");
        path
    }

    fn section(id: &str, text: &str) -> ScriptSection {
        let slide =
            SlideText { title: id.into(), bullets: Vec::new(), layout: None, visual_prompt: None };
        ScriptSection { section_id: id.into(), role: "body".into(), text: text.into(), slide }
    }

    #[test]
    fn sections_follow_each_other_without_gaps_and_end_with_the_file() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut track = Track::default();
        assert!(track.add(&wav(folder.path(), "a.wav", 1000, 9000)).expect("a sound"));
        assert!(track.add(&wav(folder.path(), "b.wav", 500, 9000)).expect("a sound"));
        track.write(&folder.path().join("all.wav")).expect("a file");
        assert_eq!(track.ends_ms(), [(1000, 1220), (1720, 2140)]);
        let sections = [section("s1", "one two"), section("s2", "three")];
        let timing = timing(&sections, &[], &track.ends_ms(), 2141);
        let spans: Vec<(u64, u64)> =
            timing.segments.iter().map(|s| (s.start_ms, s.end_ms)).collect();
        assert_eq!(spans, [(0, 1220), (1220, 2141)]);
        let words: Vec<(u64, u64)> =
            timing.segments[0].words.iter().map(|w| (w.start_ms, w.end_ms)).collect();
        assert_eq!(words, [(0, 500), (500, 1000)]);
    }

    #[test]
    fn told_times_are_exact_from_the_section_on_and_end_with_its_sound() {
        let word =
            |text: &str, start_ms, end_ms| WordTiming { text: text.into(), start_ms, end_ms };
        let told = [None, Some(vec![word("three", 100, 300), word("four", 300, 9000)])];
        let sections = [section("s1", "one two"), section("s2", "three four")];
        let timing = timing(&sections, &told, &[(1000, 1220), (1720, 2140)], 2140);
        let sources: Vec<&str> = timing.segments.iter().map(|s| &*s.timing_source).collect();
        assert_eq!(sources, ["estimated", "exact"]);
        assert_eq!(timing.segments[1].words, [word("three", 1320, 1520), word("four", 1520, 1720)]);
    }

    #[test]
    fn a_silent_sound_is_not_audible() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut track = Track::default();
        let silence = wav(folder.path(), "a.wav", 300, 0);
        assert!(!track.add(&silence).expect("a sound"));
        assert_eq!(length_ms(&silence).expect("a sound"), None);
        assert_eq!(length_ms(&wav(folder.path(), "b.wav", 300, 900)).expect("a sound"), Some(300));
    }
}
