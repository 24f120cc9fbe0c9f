//! Every rule of every record, broken once: where the fault is, what was expected, what was found.

use flow_core::schema::Severity::{Error, Warning};
use flow_core::schema::{Severity, validate};
use serde_json::{Value, json};

use super::samples as good;
use super::*;

/// Where and with what a good value is spoilt; place, expectation and finding of the one fault.
type Case = (&'static str, Value, Severity, &'static str, &'static str, &'static str);

fn assert_told<T: Contract>(good: &Value, cases: &[Case]) {
    assert_eq!(validate(&ty::<T>(), good), [], "the good {}", T::NAME);
    for (place, new, severity, pointer, expected, found) in cases {
        let mut value = good.clone();
        *value.pointer_mut(place).unwrap_or_else(|| panic!("{} has no {place}", T::NAME)) =
            new.clone();
        let faults = validate(&ty::<T>(), &value);
        let told: Vec<_> = faults
            .iter()
            .map(|f| (f.severity, f.pointer.as_str(), f.expected.as_str(), f.found.as_str()))
            .collect();
        assert_eq!(told, [(*severity, *pointer, *expected, *found)], "{}{place}", T::NAME);
    }
}

#[test]
fn props_and_teams_tell_their_faults() {
    assert_told::<PropData>(
        &good::prop(),
        &[
            (
                "/player_name",
                json!(" "),
                Error,
                "/player_name",
                "text that is not blank",
                "the string \" \"",
            ),
            (
                "/team",
                json!("Bills"),
                Warning,
                "/team",
                "2 to 4 capital letters",
                "the string \"Bills\"",
            ),
            (
                "/stat_type",
                json!("Passing Yards"),
                Warning,
                "/stat_type",
                "a statistic in lower case with underscores, such as passing_yards",
                "the string \"Passing Yards\"",
            ),
            ("/line", json!(0), Error, "/line", "a line greater than 0", "the number 0"),
            ("/line", json!(-3.5), Error, "/line", "a line greater than 0", "the number -3.5"),
            ("/line", json!("275.5"), Error, "/line", "a number", "the string \"275.5\""),
            ("/line", json!(null), Error, "/line", "a number", "null"),
            (
                "/over_odds",
                json!(-99),
                Warning,
                "/over_odds",
                "American odds: at most -100 or at least 100",
                "the number -99",
            ),
            ("/under_odds", json!(1.5), Error, "/under_odds", "an integer", "the number 1.5"),
        ],
    );
    assert_told::<TeamData>(
        &good::team(),
        &[
            ("/name", json!(""), Error, "/name", "text that is not blank", "the string \"\""),
            (
                "/abbreviation",
                json!("buf"),
                Warning,
                "/abbreviation",
                "2 to 4 capital letters",
                "the string \"buf\"",
            ),
            (
                "/primary_color",
                json!("blue"),
                Warning,
                "/primary_color",
                "a colour such as #00338D",
                "the string \"blue\"",
            ),
        ],
    );
}

#[test]
fn matchups_and_slates_tell_their_faults() {
    assert_told::<NormalizedMatchup>(
        &good::matchup(),
        &[
            ("/props", json!([]), Error, "/props", "at least one prop", "a list of 0"),
            (
                "/sport",
                json!("cricket"),
                Error,
                "/sport",
                "a known sport: nfl, nba, mlb, nhl, ncaaf or ncaab",
                "the string \"cricket\"",
            ),
            (
                "/sport",
                json!("NFL"),
                Warning,
                "/sport",
                "the sport in lower case",
                "the string \"NFL\"",
            ),
            (
                "/game_time",
                json!("Sunday"),
                Error,
                "/game_time",
                "a date and time such as 2025-01-05T13:00:00 or with an offset",
                "the string \"Sunday\"",
            ),
            (
                "/matchup_id",
                json!("bills at miami"),
                Warning,
                "/matchup_id",
                "an id such as nfl_2025_w18_buf_mia",
                "the string \"bills at miami\"",
            ),
            (
                "/home_team",
                json!("Buffalo Bills"),
                Warning,
                "/home_team",
                "another team than away_team",
                "the same",
            ),
            (
                "/props/0/line",
                json!(-1),
                Error,
                "/props/0/line",
                "a line greater than 0",
                "the number -1",
            ),
        ],
    );
    assert_told::<Slate>(
        &good::slate(),
        &[
            (
                "/date",
                json!("5 January"),
                Error,
                "/date",
                "a date such as 2025-01-05",
                "the string \"5 January\"",
            ),
            (
                "/matchups",
                json!([good::matchup(), good::matchup()]),
                Warning,
                "/matchups/1/matchup_id",
                "an id that no other matchup has",
                "a repeated id",
            ),
            (
                "/matchups/0/props",
                json!([]),
                Error,
                "/matchups/0/props",
                "at least one prop",
                "a list of 0",
            ),
            ("/skipped/0/reason", json!(7), Error, "/skipped/0/reason", "a string", "the number 7"),
        ],
    );
}

#[test]
fn calendars_and_segments_tell_their_faults() {
    assert_told::<CalendarConfig>(
        &good::calendar(),
        &[
            (
                "/season",
                json!(1999),
                Warning,
                "/season",
                "a season of 2000 or later",
                "the number 1999",
            ),
            (
                "/phase",
                json!("summer"),
                Warning,
                "/phase",
                "preseason, regular or postseason",
                "the string \"summer\"",
            ),
            ("/week", json!(23), Warning, "/week", "a week from 1 to 22", "the number 23"),
            (
                "/max_matchups",
                json!(21),
                Warning,
                "/max_matchups",
                "from 1 to 20 matchups",
                "the number 21",
            ),
            ("/layers/1", json!("L9"), Warning, "/layers/1", "a layer from L1 to L7", "L9"),
            (
                "/timezone",
                json!("Mars/Base"),
                Warning,
                "/timezone",
                "a time zone such as America/New_York",
                "Mars/Base",
            ),
            (
                "/sport",
                json!("golf"),
                Error,
                "/sport",
                "a known sport: nfl, nba, mlb, nhl, ncaaf or ncaab",
                "the string \"golf\"",
            ),
        ],
    );
    assert_told::<SegmentData>(
        &good::segment(),
        &[
            (
                "/segment_id",
                json!(""),
                Error,
                "/segment_id",
                "text that is not blank",
                "the string \"\"",
            ),
            (
                "/kind",
                json!("film"),
                Warning,
                "/kind",
                "matchup, slate or promo",
                "the string \"film\"",
            ),
            (
                "/target_duration_ms",
                json!(5_999),
                Warning,
                "/target_duration_ms",
                "from 6 s to 90 s",
                "the number 5999",
            ),
            ("/slides", json!(11), Warning, "/slides", "from 1 to 10 slides", "the number 11"),
            ("/slides", json!(-1), Error, "", "a SegmentData", "a field of another shape"),
        ],
    );
}

#[test]
fn ideas_and_scripts_tell_their_faults() {
    let title = "A title of more than forty characters, alas";
    let bullet = "A bullet of more than thirty chars";
    assert_told::<ScriptStructure>(
        &good::script(),
        &[
            (
                "/sections/0/role",
                json!("joke"),
                Warning,
                "/sections/0/role",
                "hook, body or cta",
                "the string \"joke\"",
            ),
            (
                "/sections/1/section_id",
                json!("s1"),
                Warning,
                "/sections/1/section_id",
                "an id that no other section has",
                "a repeated id",
            ),
            (
                "/sections/0/slide/title",
                json!(title),
                Warning,
                "/sections/0/slide/title",
                "at most 40 characters",
                "the string \"A title of more than forty characters, alas\"",
            ),
            (
                "/sections/0/slide/bullets/0",
                json!(bullet),
                Warning,
                "/sections/0/slide/bullets/0",
                "at most 30 characters",
                "a longer bullet",
            ),
            (
                "/target_words",
                json!(20),
                Warning,
                "/sections",
                "within a quarter of 20 words",
                "8 words",
            ),
            (
                "/target_words",
                json!(6),
                Warning,
                "/sections",
                "within a quarter of 6 words",
                "8 words",
            ),
        ],
    );
    let mut silent = good::script();
    silent["target_words"] = json!(null);
    assert_told::<ScriptStructure>(
        &silent,
        &[
            (
                "/sections/0/text",
                json!(""),
                Warning,
                "/sections/0/text",
                "from 1 to 400 characters",
                "the string \"\"",
            ),
            ("/sections", json!([]), Warning, "/sections", "from 1 to 10 sections", "a list of 0"),
        ],
    );
    let many: Vec<String> = (0..31).map(|n| format!("#tag{n}")).collect();
    assert_told::<IdeaPackage>(
        &good::idea(),
        &[
            (
                "/headline",
                json!("h".repeat(61)),
                Warning,
                "/headline",
                "at most 60 characters",
                "the string \"hhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhh…",
            ),
            ("/hashtags", json!(many), Warning, "/hashtags", "at most 30 hashtags", "a list of 31"),
            (
                "/status",
                json!("posted"),
                Warning,
                "/status",
                "draft or approved",
                "the string \"posted\"",
            ),
            (
                "/pick/line",
                json!(270.5),
                Warning,
                "/pick",
                "a prop of the matchup",
                "a pick on no prop of it",
            ),
            (
                "/pick/side",
                json!("both"),
                Warning,
                "/pick/side",
                "over or under",
                "the string \"both\"",
            ),
            (
                "/matchup_id",
                json!("nfl_2025_w18_ne_nyj"),
                Warning,
                "/matchup/matchup_id",
                "the idea's matchup_id",
                "another",
            ),
            ("/idea_id", json!(""), Error, "/idea_id", "text that is not blank", "the string \"\""),
        ],
    );
}

#[test]
fn sounds_and_times_tell_their_faults() {
    assert_told::<AudioMetadata>(
        &good::audio(),
        &[
            (
                "/duration_ms",
                json!(0),
                Warning,
                "/duration_ms",
                "a duration greater than 0",
                "the number 0",
            ),
            (
                "/path",
                json!("narration.wav"),
                Error,
                "/path",
                "file<audio/*>",
                "the string \"narration.wav\"",
            ),
            (
                "/path/media_type",
                json!("text/plain"),
                Error,
                "/path",
                "file<audio/*>",
                "a file of type text/plain",
            ),
        ],
    );
    assert_told::<TimingData>(
        &good::timing(),
        &[
            (
                "/segments/1/start_ms",
                json!(1_200),
                Warning,
                "/segments/1/start_ms",
                "1000, where the section before ends",
                "1200",
            ),
            (
                "/segments/1/end_ms",
                json!(2_979),
                Warning,
                "/duration_ms",
                "2979 ± 20, the end of the last section",
                "3000",
            ),
            (
                "/segments/0/words/0/end_ms",
                json!(1_001),
                Warning,
                "/segments/0/words/0",
                "a time from 0 to 1000",
                "from 0 to 1001",
            ),
            (
                "/segments/0/timing_source",
                json!("felt"),
                Warning,
                "/segments/0/timing_source",
                "exact, aligned or estimated",
                "the string \"felt\"",
            ),
        ],
    );
}

#[test]
fn pictures_and_packages_tell_their_faults() {
    assert_told::<AssetMetadata>(
        &good::asset(),
        &[
            (
                "/kind",
                json!("poem"),
                Warning,
                "/kind",
                "image, clip, logo or font",
                "the string \"poem\"",
            ),
            (
                "/height_px",
                json!(255),
                Warning,
                "/height_px",
                "at least 256 pixels",
                "the number 255",
            ),
            ("/bytes", json!(0), Warning, "/bytes", "a file with content", "the number 0"),
            (
                "/check/score",
                json!(1.5),
                Warning,
                "/check/score",
                "a score from 0 to 1",
                "the number 1.5",
            ),
        ],
    );
    assert_told::<MediaPackage>(
        &good::package(),
        &[
            (
                "/assets/1/kind",
                json!("logo"),
                Warning,
                "/assets",
                "a picture or clip for section s2",
                "none",
            ),
            (
                "/idea_id",
                json!(" "),
                Error,
                "/idea_id",
                "text that is not blank",
                "the string \" \"",
            ),
        ],
    );
}

#[test]
fn videos_and_receipts_tell_their_faults() {
    assert_told::<OutputFile>(
        &good::output(),
        &[
            (
                "/faststart",
                json!(false),
                Warning,
                "/faststart",
                "true, so that players can start early",
                "the boolean false",
            ),
            (
                "/path/media_type",
                json!("image/png"),
                Error,
                "/path",
                "file<video/*>",
                "a file of type image/png",
            ),
        ],
    );
    assert_told::<AssemblyResult>(
        &good::assembly(),
        &[("/outputs", json!([]), Warning, "/outputs", "at least one output", "a list of 0")],
    );
    assert_told::<PublishRequest>(
        &good::request(),
        &[
            (
                "/privacy",
                json!("secret"),
                Warning,
                "/privacy",
                "private, unlisted or public",
                "the string \"secret\"",
            ),
            ("/target", json!(""), Error, "/target", "text that is not blank", "the string \"\""),
        ],
    );
    assert_told::<Receipt>(
        &good::receipt(),
        &[
            (
                "/status",
                json!("sent"),
                Warning,
                "/status",
                "queued, uploading, published, unchanged, failed or unknown",
                "the string \"sent\"",
            ),
            (
                "/sha256",
                json!("abc"),
                Warning,
                "/sha256",
                "64 hex digits in lower case",
                "the string \"abc\"",
            ),
        ],
    );
}
