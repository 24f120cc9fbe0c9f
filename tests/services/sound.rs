//! Sounds that servers speak with: a tone, or silence, as WAV and as MP3.

use std::io::Write as _;
use std::process::{Command, Stdio};
use std::sync::OnceLock;

/// Samples of a second.
const RATE: usize = 24_000;
/// Samples of an MP3 frame at 44.1 kHz, in microseconds.
const FRAME_US: u64 = 26_122;
/// The longest MP3, in seconds.
const LONGEST_S: usize = 60;

fn samples(ms: u64, amplitude: f64) -> Vec<i16> {
    let count = ms as usize * RATE / 1000;
    let sample = |n: usize| {
        let turn = n as f64 * 220.0 / RATE as f64 * std::f64::consts::TAU;
        // Louder and softer as syllables are.
        let swell = 0.6 + 0.4 * (turn / 55.0).sin();
        (turn.sin() * swell * amplitude) as i16
    };
    (0..count).map(sample).collect()
}

/// A mono WAV of 16 bit and 24 kHz. It is streamed: its head does not know how long it is.
pub fn wav(ms: u64, is_silent: bool) -> Vec<u8> {
    let amplitude = if is_silent { 0.0 } else { 9000.0 };
    let mut bytes = Vec::new();
    bytes.extend(b"RIFF\xff\xff\xff\xffWAVEfmt \x10\0\0\0\x01\0\x01\0");
    bytes.extend((RATE as u32).to_le_bytes());
    bytes.extend((RATE as u32 * 2).to_le_bytes());
    bytes.extend(b"\x02\0\x10\0data\xff\xff\xff\xff");
    bytes.extend(samples(ms, amplitude).into_iter().flat_map(i16::to_le_bytes));
    bytes
}

/// An MP3 of 44.1 kHz and 128 kbit/s, about as long as is asked for.
pub fn mp3(ms: u64, is_silent: bool) -> Vec<u8> {
    static TONE: OnceLock<Vec<u8>> = OnceLock::new();
    static SILENCE: OnceLock<Vec<u8>> = OnceLock::new();
    let whole = match is_silent {
        true => SILENCE.get_or_init(|| encoded(true)),
        false => TONE.get_or_init(|| encoded(false)),
    };
    let frames = (ms * 1000 / FRAME_US).max(1);
    let mut end = 0;
    for _ in 0..frames {
        let Some(head) = whole.get(end..end + 4) else { break };
        // 144 · 128000 / 44100 bytes, and one more where the head says so.
        end += 417 + usize::from(head[2] >> 1 & 1);
    }
    whole[..end.min(whole.len())].to_vec()
}

/// Encoded by ffmpeg, each frame whole in itself.
fn encoded(is_silent: bool) -> Vec<u8> {
    let mut encoder = Command::new("ffmpeg")
        .args(["-v", "error", "-f", "s16le", "-ar", "24000", "-ac", "1", "-i", "-"])
        .args(["-ar", "44100", "-ac", "1", "-c:a", "libmp3lame", "-b:a", "128k"])
        .args(["-reservoir", "0", "-write_xing", "0", "-id3v2_version", "0", "-f", "mp3", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("ffmpeg");
    let mut input = encoder.stdin.take().expect("a pipe");
    let amplitude = if is_silent { 0.0 } else { 9000.0 };
    let sound = samples(LONGEST_S as u64 * 1000, amplitude);
    let writer = std::thread::spawn(move || {
        let bytes: Vec<u8> = sound.into_iter().flat_map(i16::to_le_bytes).collect();
        input.write_all(&bytes).expect("ffmpeg reads");
    });
    let output = encoder.wait_with_output().expect("ffmpeg ends");
    writer.join().expect("all was written");
    assert!(output.status.success(), "ffmpeg encodes an MP3");
    output.stdout
}
