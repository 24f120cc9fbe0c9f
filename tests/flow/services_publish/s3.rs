//! A piece in a bucket.

use super::*;

publishes_once!(S3_BUCKET, SMALL, S3::default());

mod in_parts {
    use super::*;

    fn settings() -> Value {
        json!({"multipart_above": 1_000})
    }

    const BYTES: usize = 40 * 1024 * 1024;

    #[test]
    fn a_large_video_goes_up_in_parts_and_is_whole() {
        let (api, place) = (S3::default(), place(&S3_BUCKET, BYTES));
        let server = Server::start(api.clone());
        server.order([None, None, Some(Trouble::Lost), None, None, Some(Trouble::Status(503))]);
        let done = run_with(&place, &S3_BUCKET, &server, &settings(), &[]).exits(0);
        assert_eq!(retries(&done), 2, "{done}");
        let path = api.posts().remove(0);
        assert_eq!(
            api.object(&path).unwrap().bytes,
            std::fs::read(place.path("reel.mp4")).unwrap()
        );
        assert_eq!((api.posts().len(), api.open_uploads()), (1, 0));
        assert_eq!(receipt(&place)["path"], format!("s3:/{path}"));
    }

    #[test]
    fn one_whose_completion_is_not_heard_of_is_there_once() {
        let (api, place) = (S3::default(), place(&S3_BUCKET, BYTES));
        let server = Server::start(api.clone());
        server.order([None, None, None, None, None, Some(Trouble::Lost)]);
        run_with(&place, &S3_BUCKET, &server, &settings(), &[]).exits(0);
        assert_eq!((api.posts().len(), api.open_uploads()), (1, 0));
    }

    #[test]
    fn parts_that_cannot_be_completed_are_given_up() {
        let (api, place) = (S3 { incomplete: true, ..S3::default() }, place(&S3_BUCKET, BYTES));
        let server = Server::start(api.clone());
        run_with(&place, &S3_BUCKET, &server, &settings(), &[]).exits(1);
        assert_eq!(error(&place)["class"], "http_4xx");
        assert_eq!((api.posts().len(), api.open_uploads()), (0, 0));
    }
}

#[test]
fn an_object_is_put_once_under_a_name_that_its_content_gives() {
    let (api, place) = (S3 { conflicts: 1, ..S3::default() }, place(&S3_BUCKET, SMALL));
    let server = Server::start(api.clone());
    let done = run(&place, &S3_BUCKET, &server).exits(0);
    assert_eq!(retries(&done), 1, "409 is a conflict that passes: {done}");
    let (receipt, path) = (receipt(&place), api.posts().remove(0));
    let digest = receipt["sha256"].as_str().unwrap();
    assert_eq!(path, format!("/reels-bucket/reels/idea-1-{}.mp4", &digest[..16]));
    let object = api.object(&path).unwrap();
    assert_eq!((object.digest.as_str(), object.media_type.as_str()), (digest, "video/mp4"));
    assert_eq!(receipt["status"], "published");
}

#[test]
fn a_server_without_conditions_is_looked_at_first() {
    let (api, place) = (S3 { unconditional: true, ..S3::default() }, place(&S3_BUCKET, SMALL));
    let server = Server::start(api.clone());
    run(&place, &S3_BUCKET, &server).exits(1);
    let error = error(&place);
    assert!(error["hint"].as_str().unwrap().contains("condition = false"), "{error:#}");
    for (run, status) in [("two", "published"), ("three", "unchanged")] {
        let settings = settings(&S3_BUCKET, &server, &json!({"condition": false}));
        run_set(&place, run, Some("test-key"), &settings).exits(0);
        let receipt = place.flow(&["output", run, "publish.receipt"]).exits(0).json();
        assert_eq!(receipt["status"], status);
    }
    assert_eq!(api.posts().len(), 1);
}

#[test]
fn refusals_say_what_to_do() {
    let (api, server) = {
        let api = S3::default();
        (api.clone(), Server::start(api))
    };
    let place_1 = place(&S3_BUCKET, SMALL);
    run_as(&place_1, &S3_BUCKET, &server, "one", Some("wrong-key")).exits(1);
    let error = told(&place_1, &S3_BUCKET, "auth");
    assert_eq!(error["request_id"], "S3REQ1");
    assert!(error["causes"][0].as_str().unwrap().contains("SignatureDoesNotMatch"), "{error:#}");
    let place_2 = place(&Target { account: "no-bucket", ..S3_BUCKET }, SMALL);
    run(&place_2, &S3_BUCKET, &server).exits(1);
    assert!(told(&place_2, &S3_BUCKET, "http_4xx")["hint"].as_str().unwrap().contains("bucket"));
    // Somebody else's object is not overwritten.
    let place_3 = place(&S3_BUCKET, SMALL);
    run(&place_3, &S3_BUCKET, &server).exits(0);
    api.put(&api.posts()[0], "another");
    run_as(&place_3, &S3_BUCKET, &server, "two", Some("test-key")).exits(1);
    assert_eq!(place_3.show("two")["nodes"][0]["error"]["class"], "rejected");
}
