//! Rules of single fields that several records share.

use std::borrow::Cow;

use validator::ValidationError;

/// The code of a rule that warns and does not refuse.
pub(super) const ADVICE: &str = "advice";

/// The sports that the pipeline knows, as they are written in records.
pub const SPORTS: [&str; 6] = ["nfl", "nba", "mlb", "nhl", "ncaaf", "ncaab"];

/// What a segment may be about.
pub(super) const SEGMENT_KINDS: [&str; 3] = ["matchup", "slate", "promo"];
/// Parts of a season.
pub(super) const PHASES: [&str; 3] = ["preseason", "regular", "postseason"];
/// Sides of a line.
pub(super) const SIDES: [&str; 2] = ["over", "under"];
/// Parts that a section may play.
pub(super) const ROLES: [&str; 3] = ["hook", "body", "cta"];
/// How far an idea may have come.
pub(super) const IDEA_STATUS: [&str; 2] = ["draft", "approved"];
/// Ways in which the times of words come to be.
pub(super) const TIMING_SOURCES: [&str; 3] = ["exact", "aligned", "estimated"];
/// What an asset may be.
pub(super) const ASSET_KINDS: [&str; 4] = ["image", "clip", "logo", "font"];
/// How a publication may stand.
pub(super) const PUBLISH_STATUS: [&str; 6] =
    ["queued", "uploading", "published", "unchanged", "failed", "unknown"];

/// A fault that is told and does not refuse.
pub(super) fn advice(expected: &'static str) -> ValidationError {
    ValidationError::new(ADVICE).with_message(Cow::Borrowed(expected))
}

/// A fault that refuses.
pub(super) fn refusal(expected: &'static str) -> ValidationError {
    ValidationError::new("refused").with_message(Cow::Borrowed(expected))
}

fn unless(holds: bool, fault: impl FnOnce() -> ValidationError) -> Result<(), ValidationError> {
    if holds { Ok(()) } else { Err(fault()) }
}

/// Text with something other than white space.
pub(super) fn present(text: &str) -> Result<(), ValidationError> {
    unless(!text.trim().is_empty(), || refusal("text that is not blank"))
}

/// A known sport; other spellings of a known one are read, and advised against.
pub(super) fn sport(text: &str) -> Result<(), ValidationError> {
    let lower = text.to_ascii_lowercase();
    unless(SPORTS.contains(&lower.as_str()), || {
        refusal("a known sport: nfl, nba, mlb, nhl, ncaaf or ncaab")
    })?;
    unless(lower == text, || advice("the sport in lower case"))
}

/// A line that a wager can be on.
pub(super) fn positive_line(line: f64) -> Result<(), ValidationError> {
    unless(line > 0.0, || refusal("a line greater than 0"))
}

/// American odds are never between -100 and 100.
pub(super) fn american_odds(odds: i64) -> Result<(), ValidationError> {
    unless(odds.abs() >= 100, || advice("American odds: at most -100 or at least 100"))
}

/// A point in time, or a local one whose zone the slate tells.
pub(super) fn game_time(text: &str) -> Result<(), ValidationError> {
    let known =
        text.parse::<jiff::Timestamp>().is_ok() || text.parse::<jiff::civil::DateTime>().is_ok();
    unless(known, || refusal("a date and time such as 2025-01-05T13:00:00 or with an offset"))
}

/// `{sport}_{season}_{w##|yyyymmdd}_{away}_{home}`.
pub(super) fn matchup_id(text: &str) -> Result<(), ValidationError> {
    const FORM: &str = "an id such as nfl_2025_w18_buf_mia";
    let parts: Vec<&str> = text.split('_').collect();
    let [sport, season, when, away, home] = parts.as_slice() else { return Err(advice(FORM)) };
    let digits =
        |text: &str, len: usize| text.len() == len && text.bytes().all(|b| b.is_ascii_digit());
    let team = |text: &str| !text.is_empty() && text.bytes().all(is_lower_alphanumeric);
    let week = when.strip_prefix('w').is_some_and(|week| digits(week, 2));
    let known = SPORTS.contains(sport)
        && digits(season, 4)
        && (week || digits(when, 8))
        && team(away)
        && team(home);
    unless(known, || advice(FORM))
}

fn is_lower_alphanumeric(byte: u8) -> bool {
    byte.is_ascii_lowercase() || byte.is_ascii_digit()
}

/// How a prop is offered.
pub(super) fn market(text: &str) -> Result<(), ValidationError> {
    unless(matches!(text, "over_under" | "milestone"), || advice("over_under or milestone"))
}

/// The canonical spelling of a statistic.
pub(super) fn stat_type(text: &str) -> Result<(), ValidationError> {
    present(text)?;
    unless(text.bytes().all(|b| is_lower_alphanumeric(b) || b == b'_'), || {
        advice("a statistic in lower case with underscores, such as passing_yards")
    })
}

/// Two to four capital letters, or nothing where the team is unknown.
pub(super) fn abbreviation(text: &str) -> Result<(), ValidationError> {
    let form = (2..=4).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_uppercase());
    unless(form || text.is_empty(), || advice("2 to 4 capital letters"))
}

/// A colour such as `#00338D`.
pub(super) fn colour(text: &str) -> Result<(), ValidationError> {
    let form = text
        .strip_prefix('#')
        .is_some_and(|hex| hex.len() == 6 && hex.bytes().all(|b| b.is_ascii_hexdigit()));
    unless(form, || advice("a colour such as #00338D"))
}

/// A calendar day.
pub(super) fn date(text: &str) -> Result<(), ValidationError> {
    unless(text.len() == 10 && text.parse::<jiff::civil::Date>().is_ok(), || {
        refusal("a date such as 2025-01-05")
    })
}

/// One of the words of a segment's kind.
pub(super) fn segment_kind(text: &str) -> Result<(), ValidationError> {
    unless(SEGMENT_KINDS.contains(&text), || advice("matchup, slate or promo"))
}

/// One of the words of a season's phase.
pub(super) fn phase(text: &str) -> Result<(), ValidationError> {
    unless(PHASES.contains(&text), || advice("preseason, regular or postseason"))
}

/// The side of a line.
pub(super) fn side(text: &str) -> Result<(), ValidationError> {
    unless(SIDES.contains(&text), || advice("over or under"))
}

/// The part a section plays.
pub(super) fn role(text: &str) -> Result<(), ValidationError> {
    unless(ROLES.contains(&text), || advice("hook, body or cta"))
}

/// How far an idea has come.
pub(super) fn idea_status(text: &str) -> Result<(), ValidationError> {
    unless(IDEA_STATUS.contains(&text), || advice("draft or approved"))
}

/// How the times of words came to be.
pub(super) fn timing_source(text: &str) -> Result<(), ValidationError> {
    unless(TIMING_SOURCES.contains(&text), || advice("exact, aligned or estimated"))
}

/// What an asset is.
pub(super) fn asset_kind(text: &str) -> Result<(), ValidationError> {
    unless(ASSET_KINDS.contains(&text), || advice("image, clip, logo or font"))
}

/// Players should not need the whole file before they start.
#[expect(clippy::trivially_copy_pass_by_ref, reason = "the derive passes a reference")]
pub(super) fn playable_early(faststart: &bool) -> Result<(), ValidationError> {
    unless(*faststart, || advice("true, so that players can start early"))
}

/// Who may see a publication.
pub(super) fn privacy(text: &str) -> Result<(), ValidationError> {
    unless(matches!(text, "private" | "unlisted" | "public"), || {
        advice("private, unlisted or public")
    })
}

/// How a publication stands.
pub(super) fn publish_status(text: &str) -> Result<(), ValidationError> {
    unless(PUBLISH_STATUS.contains(&text), || {
        advice("queued, uploading, published, unchanged, failed or unknown")
    })
}

/// A SHA-256 digest as `sha256sum` prints it.
pub(super) fn sha256(text: &str) -> Result<(), ValidationError> {
    let form = text.len() == 64 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    unless(form, || advice("64 hex digits in lower case"))
}
