//! A piece on a channel of YouTube.

use super::*;

publishes_once!(YOUTUBE, 9_000_000, YouTube::default());

#[test]
fn a_video_goes_up_in_pieces_with_the_words_of_the_idea() {
    let api = YouTube { short: 2, token_uses: 2, ..YouTube::default() };
    let (server, place) = (Server::start(api.clone()), place(&YOUTUBE, 9_000_000));
    run(&place, &YOUTUBE, &server).exits(0);
    let receipt = receipt(&place);
    assert_eq!(receipt["url"], "https://www.youtube.com/watch?v=video-1");
    assert_eq!((&receipt["remote_id"], &receipt["attempts"]), (&json!("video-1"), &json!(1)));
    assert_eq!(api.posts(), ["Bills at Dolphins"]);
    let begun = server.asked("POST", "/upload").remove(0).json();
    assert_eq!(begun["status"]["privacyStatus"], "private");
    assert_eq!(begun["snippet"]["description"], "Bills at Dolphins: over 262.5");
    assert!(server.asked("POST", "/token").len() > 1, "tokens that are used up are made anew");
    let sizes: Vec<usize> =
        server.asked("PUT", "/upload").iter().map(|asked| asked.body.len()).collect();
    assert!(sizes.iter().all(|size| *size <= 8 << 20), "{sizes:?}");
}

#[test]
fn a_session_that_is_gone_after_its_video_is_there_is_found_on_the_channel() {
    let api = YouTube { forgetful: true, ..YouTube::default() };
    let (server, place) = (Server::start(api.clone()), place(&YOUTUBE, SMALL));
    // Token, session, and the piece, whose answer is lost.
    server.order([None, None, Some(Trouble::Lost)]);
    run(&place, &YOUTUBE, &server).exits(0);
    assert_eq!((api.posts().len(), api.sessions()), (1, 1));
    assert_eq!(receipt(&place)["status"], "unchanged");
}

#[test]
fn a_session_that_is_gone_before_its_video_is_there_is_begun_anew() {
    let api = YouTube { vanishing: 1, ..YouTube::default() };
    let (server, place) = (Server::start(api.clone()), place(&YOUTUBE, 9_000_000));
    run(&place, &YOUTUBE, &server).exits(0);
    assert_eq!((api.posts().len(), api.sessions()), (1, 2));
    let api = YouTube { vanishing: 9, ..YouTube::default() };
    let (server, place) = (Server::start(api.clone()), super::place(&YOUTUBE, 9_000_000));
    run(&place, &YOUTUBE, &server).exits(1);
    told(&place, &YOUTUBE, "http_5xx");
    assert_eq!(api.sessions(), 2);
}

#[test]
fn the_url_of_a_session_is_a_secret() {
    let api = YouTube { vanishing: 9, ..YouTube::default() };
    let (server, place) = (Server::start(api), place(&YOUTUBE, 9_000_000));
    let done = run(&place, &YOUTUBE, &server).exits(1);
    assert!(!format!("{}{}", done.stdout, done.stderr).contains("upload_id"));
    let shown = place.flow(&["logs", "one"]);
    assert!(!format!("{}{}", shown.stdout, shown.stderr).contains("upload_id"));
    let mut private = 0;
    for entry in walk(&place.path(".flow")) {
        let bytes = std::fs::read(&entry).unwrap_or_default();
        let name = entry.file_name().unwrap().to_string_lossy().into_owned();
        if name.starts_with("private.") {
            private += 1;
            continue;
        }
        let holds = |text: &[u8]| bytes.windows(text.len()).any(|window| window == text);
        assert!(!holds(b"upload_id=session"), "{}", entry.display());
        assert!(!holds(b"test-access-"), "{}", entry.display());
        assert!(!holds(b"test-key"), "{}", entry.display());
    }
    assert_eq!(private, 1, "the session is kept in one private file");
}

fn walk(folder: &std::path::Path) -> Vec<std::path::PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        match entry.path() {
            path if path.is_dir() => files.extend(walk(&path)),
            path => files.push(path),
        }
    }
    files
}

#[test]
fn refusals_say_what_to_do() {
    let server = Server::start(YouTube::default());
    for (title, class) in [("quota", "quota_exhausted"), ("limit", "quota_exhausted")] {
        let place = place(&YOUTUBE, SMALL);
        let title = format!("title={title}");
        run_with(&place, &YOUTUBE, &server, &json!({}), &[&title]).exits(1);
        assert_eq!(told(&place, &YOUTUBE, class)["request_id"], "yt-req-1");
    }
    let place_1 = place(&YOUTUBE, SMALL);
    run_as(&place_1, &YOUTUBE, &server, "one", Some("wrong-key")).exits(1);
    assert!(told(&place_1, &YOUTUBE, "auth")["hint"].as_str().unwrap().contains("refresh token"));
    let place_2 = place(&YOUTUBE, SMALL);
    run_as(&place_2, &YOUTUBE, &server, "one", None).exits(1);
    assert!(
        told(&place_2, &YOUTUBE, "auth")["hint"]
            .as_str()
            .unwrap()
            .contains("YOUTUBE_REFRESH_TOKEN")
    );
}
