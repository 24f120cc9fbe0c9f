//! What a media file is, as ffprobe tells it.

use std::path::Path;

use flow_core::error::{ErrorKind, StageError};
use flow_core::stage::Context;
use serde::Deserialize;

use super::{run, tool, unreadable_answer};
use crate::process::Spawner;

/// The streams and the length of a media file.
#[derive(Debug, Deserialize)]
pub(in crate::media) struct Probe {
    #[serde(default)]
    streams: Vec<Stream>,
    #[serde(default)]
    format: Format,
}

#[derive(Debug, Default, Deserialize)]
struct Format {
    duration: Option<String>,
}

/// One stream; numbers that are text here are text in ffprobe's answer.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Stream {
    codec_type: Option<String>,
    pub(super) codec_name: Option<String>,
    pub(super) width: Option<u32>,
    pub(super) height: Option<u32>,
    pub(super) pix_fmt: Option<String>,
    pub(super) sample_aspect_ratio: Option<String>,
    pub(super) nb_read_packets: Option<String>,
    pub(super) sample_rate: Option<String>,
    pub(super) channels: Option<u32>,
    duration: Option<String>,
}

impl Probe {
    /// Asks ffprobe. The operation is for errors: `verify the reel`.
    pub(in crate::media) async fn of(
        spawner: &Spawner,
        context: &dyn Context,
        file: &Path,
        operation: &str,
    ) -> Result<Self, StageError> {
        let command = tool(context, "ffprobe", operation)
            .args(["-v", "error", "-print_format", "json", "-show_error", "-show_format"])
            .args(["-show_streams", "-count_packets"])
            .arg(file)
            .keep_stdout();
        let mut command = command;
        // What it says is for the engine; its complaints are in the error.
        command.quiet = true;
        let finished = run(spawner, context, command).await?;
        let bytes = finished
            .stdout
            .bytes()
            .map_err(|e| StageError::from_io(operation, &e).kind(ErrorKind::Ffmpeg))?;
        serde_json::from_slice(&bytes).map_err(|e| unreadable_answer(operation, "ffprobe").cause(e))
    }

    /// Length of the file in seconds; 0 where it is not told.
    pub(in crate::media) fn seconds(&self) -> f64 {
        seconds(self.format.duration.as_deref())
    }

    /// Length of the pictures in seconds: of their stream, else of the file.
    pub(in crate::media) fn picture_seconds(&self) -> f64 {
        let own = self.stream("video").map_or(0.0, |stream| seconds(stream.duration.as_deref()));
        if own > 0.0 { own } else { self.seconds() }
    }

    /// Width and height of the pictures; `None` where there are none, or none of any size.
    pub(in crate::media) fn size(&self) -> Option<(u32, u32)> {
        let video = self.stream("video")?;
        let (width, height) = (video.width?, video.height?);
        (width > 0 && height > 0).then_some((width, height))
    }

    /// Channels of the sound; `None` where there is none.
    pub(in crate::media) fn channels(&self) -> Option<u32> {
        self.stream("audio")?.channels.filter(|channels| *channels > 0)
    }

    /// The first stream of a kind.
    pub(super) fn stream(&self, kind: &str) -> Option<&Stream> {
        self.streams.iter().find(|stream| stream.codec_type.as_deref() == Some(kind))
    }
}

fn seconds(text: Option<&str>) -> f64 {
    let seconds: Option<f64> = text.and_then(|text| text.parse().ok());
    seconds.filter(|seconds| seconds.is_finite()).unwrap_or(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_picture_of_no_width_and_a_length_that_is_not_told_are_nothing() {
        let probe: Probe = serde_json::from_str(
            r#"{"streams":[{"codec_type":"video","width":0,"height":0,"duration":"N/A"}],"format":{}}"#,
        )
        .expect("an answer");
        assert_eq!((probe.size(), probe.channels()), (None, None));
        assert_eq!(probe.picture_seconds(), 0.0);
    }
}
