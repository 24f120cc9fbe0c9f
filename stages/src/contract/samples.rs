//! A good value of every record, for tests.

use serde_json::{Value, json};

/// A digest that no file has.
const DIGEST: &str = "00000000000000000000000000000000000000000000000000000000000000ff";

fn file(name: &str, media_type: &str) -> Value {
    json!({"$file": DIGEST, "name": name, "size": 9, "media_type": media_type})
}

/// The matchup that users of the old pipeline know.
pub(super) fn matchup() -> Value {
    json!({
        "matchup_id": "nfl_2025_w18_buf_mia",
        "sport": "nfl",
        "away_team": "Buffalo Bills",
        "home_team": "Miami Dolphins",
        "game_time": "2025-01-05T13:00:00",
        "props": [prop()]
    })
}

pub(super) fn prop() -> Value {
    json!({
        "player_name": "Josh Allen", "team": "BUF", "stat_type": "passing_yards",
        "line": 275.5, "over_odds": -110, "under_odds": -110
    })
}

pub(super) fn team() -> Value {
    json!({"name": "Buffalo Bills", "abbreviation": "BUF", "city": "Buffalo",
           "conference": "AFC", "division": "East", "primary_color": "#00338D"})
}

pub(super) fn slate() -> Value {
    json!({"date": "2025-01-05", "timezone": "America/New_York", "matchups": [matchup()],
           "skipped": [{"id": "nfl_2025_w18_ne_nyj", "reason": "no props"}]})
}

pub(super) fn calendar() -> Value {
    json!({"date": "2025-01-05", "timezone": "America/New_York", "sport": "nfl", "season": 2024,
           "phase": "regular", "week": 18, "preset_id": "narrated", "layers": ["L1", "L4"],
           "max_matchups": 3})
}

pub(super) fn segment() -> Value {
    json!({"segment_id": "narrated-a", "title": "Bills at Dolphins", "kind": "matchup",
           "weekday": "sunday", "matchup_ids": ["nfl_2025_w18_buf_mia"],
           "target_duration_ms": 20_000, "slides": 4})
}

pub(super) fn script() -> Value {
    json!({"language": "en-US", "sections": [section("s1"), section("s2")], "target_words": 8})
}

fn section(id: &str) -> Value {
    json!({"section_id": id, "role": "body", "text": "Four words are here.",
           "slide": {"title": "A title", "bullets": ["A bullet"]}})
}

pub(super) fn idea() -> Value {
    json!({
        "idea_id": "0123abcd", "matchup_id": "nfl_2025_w18_buf_mia", "headline": "One line",
        "angle": "market lean",
        "pick": {"player_name": "Josh Allen", "stat_type": "passing_yards", "line": 275.5,
                 "side": "over"},
        "script": script(), "caption": "A caption", "hashtags": ["#NFL"],
        "provider": "templates", "status": "draft", "disclaimer": "21+ only.",
        "matchup": matchup()
    })
}

pub(super) fn audio() -> Value {
    json!({"path": file("narration.wav", "audio/wav"), "codec": "pcm_s16le",
           "sample_rate_hz": 48_000, "channels": 2, "duration_ms": 3_000,
           "loudness_lufs": -14.0, "provider": "espeak-ng", "voice": "en-us", "cached": false})
}

pub(super) fn timing() -> Value {
    json!({"duration_ms": 3_000, "segments": [
        {"section_id": "s1", "start_ms": 0, "end_ms": 1_000, "timing_source": "estimated",
         "words": [{"text": "Hello", "start_ms": 0, "end_ms": 800}]},
        {"section_id": "s2", "start_ms": 1_000, "end_ms": 3_000, "timing_source": "estimated"}
    ]})
}

pub(super) fn asset() -> Value {
    json!({"asset_id": "a", "section_id": "s1", "kind": "image",
           "path": file("slide-01.png", "image/png"), "mime": "image/png", "width_px": 1080,
           "height_px": 1920, "bytes": 9, "provider": "local",
           "check": {"by": "measures", "passed": true, "score": 1.0, "issues": []}})
}

pub(super) fn package() -> Value {
    let mut second = asset();
    second["section_id"] = json!("s2");
    json!({"idea_id": "0123abcd", "aspect": "9:16", "assets": [asset(), second],
           "audio": audio(), "timing": timing()})
}

pub(super) fn output() -> Value {
    json!({"path": file("reel.mp4", "video/mp4"), "container": "mp4", "width_px": 1080,
           "height_px": 1920, "fps": 30, "video_codec": "h264", "audio_codec": "aac",
           "duration_ms": 3_000, "bytes": 9, "loudness_lufs": -14.0, "faststart": true})
}

pub(super) fn assembly() -> Value {
    json!({"idea_id": "0123abcd", "outputs": [output()], "slides": [asset()],
           "ffmpeg_version": "5.1.9", "argv": ["ffmpeg"], "warnings": [], "encode_ms": 7})
}

pub(super) fn request() -> Value {
    json!({"target": "outbox", "account": null, "file": file("reel.mp4", "video/mp4"),
           "title": "One line", "caption": "A caption", "privacy": "private"})
}

pub(super) fn receipt() -> Value {
    json!({"target": "outbox", "idea_id": "0123abcd", "path": "outbox/reel.mp4",
           "sha256": DIGEST, "bytes": 9, "status": "published", "attempts": 1})
}
