//! What becomes of an attempt that the store refuses.

use pump_core::plugin::SinkErrorKind;
use pump_testing::{HttpReaction, HttpServer};

use super::*;

fn refusal(code: &str) -> String {
    format!("<?xml version=\"1.0\"?><Error><Code>{code}</Code><Message>told to</Message></Error>")
}

async fn failed(sink: &S3Sink) -> SinkError {
    let error = deliver(sink, &five()).await.expect_err("it fails");
    assert!(!error.to_string().contains(WRITER_SECRET), "{error}");
    error
}

#[tokio::test]
async fn a_store_that_lets_nobody_in_is_unavailable_and_says_why() {
    let server = store(&[]);
    server.create_bucket("closed", "", &[]);
    let sound = || config(&server.url());
    let wrong = [
        (S3Config { access_key_id: Some("nobody".into()), ..sound() }, "InvalidAccessKeyId"),
        (S3Config { secret_access_key: Some(Secret::new("wrong")), ..sound() }, "SignatureDoesNotMatch"),
        (S3Config { bucket: "missing".into(), ..sound() }, "the bucket is not there"),
        (S3Config { bucket: "closed".into(), ..sound() }, "may not write there"),
        (S3Config { prefix: "other/".into(), ..sound() }, "may not write there"),
    ];
    for (config, said) in wrong {
        let prefix = config.prefix.clone();
        let sink = open(config).await;
        let batch = pump_core::testing::late_batch(&[r#"{"n":0}"#], &prefix);
        for error in [
            sink.deliver(&batch, Deadline::after(MINUTE)).await.map(drop).expect_err(said),
            sink.probe().await.expect_err(said),
        ] {
            assert_eq!(error.kind(), SinkErrorKind::Unavailable, "{error}");
            let text = error.to_string();
            assert!(text.contains(said) && !text.contains(WRITER_SECRET), "{text}");
        }
    }
    // Rights that come make it available without a restart.
    let sink = open(S3Config { bucket: "closed".into(), ..sound() }).await;
    assert!(sink.probe().await.is_err());
    server.allow("closed", "tyk/", &RIGHTS);
    sink.probe().await.expect("it may write now");
}

#[tokio::test]
async fn a_bucket_without_object_lock_refuses_a_lock_and_nothing_is_given_up() {
    let answer = refusal("InvalidRequest");
    let server = HttpServer::start(move |_| HttpReaction::reply(400, answer.clone()));
    let sink = open(config(&server.url())).await;
    let error = failed(&sink).await;
    assert_eq!(error.kind(), SinkErrorKind::Unavailable, "{error}");
}

#[tokio::test]
async fn each_refusal_means_what_it_says() {
    use SinkErrorKind::{Retry, TooLarge, Unavailable};
    for (status, code, kind, said) in [
        (503, "SlowDown", Retry, "SlowDown"),
        (500, "InternalError", Retry, "told to"),
        (409, "ConditionalRequestConflict", Retry, "for now"),
        (400, "RequestTimeout", Retry, "for now"),
        (400, "BadDigest", Retry, "for now"),
        (404, "NoSuchUpload", Retry, "for now"),
        (403, "RequestTimeTooSkewed", Unavailable, "the clock of this machine is wrong"),
        (400, "ExpiredToken", Unavailable, "credentials are refused"),
        (403, "AccessDenied", Unavailable, "may not write there"),
        (301, "PermanentRedirect", Unavailable, "check `region`"),
        (400, "AuthorizationHeaderMalformed", Unavailable, "check `region`"),
        (404, "NoSuchBucket", Unavailable, "check `bucket`"),
        (400, "KMS.DisabledException", Unavailable, "the key of `encryption`"),
        (400, "InvalidStorageClass", Unavailable, "settings"),
        (501, "NotImplemented", Unavailable, "cannot do"),
        (400, "EntityTooLarge", TooLarge, "this size"),
    ] {
        let answer = refusal(code);
        let server = HttpServer::start(move |_| {
            HttpReaction::Reply(status, vec![("retry-after", "7".to_owned())], answer.clone().into_bytes())
        });
        let sink = open(config(&server.url())).await;
        let error = failed(&sink).await;
        assert_eq!(error.kind(), kind, "{code}: {error}");
        assert_eq!(error.wait(), Some(Duration::from_secs(7)), "{code}");
        assert!(error.to_string().contains(said), "{error}");
        assert_eq!(server.requests().len(), 1, "the client tries once");
    }
}

#[tokio::test]
async fn what_is_no_answer_of_a_store_is_tried_again() {
    for reaction in [
        HttpReaction::reply(502, "<html>bad gateway</html>"),
        HttpReaction::reply(503, ""),
        HttpReaction::Raw(b"HTTP/1.1 2".to_vec()),
        HttpReaction::Silence(Duration::ZERO),
    ] {
        let (told, name) = (reaction.clone(), format!("{reaction:?}"));
        let server = HttpServer::start(move |_| told.clone());
        let error = failed(&open(config(&server.url())).await).await;
        assert_eq!(error.kind(), SinkErrorKind::Retry, "{name}: {error}");
    }
    let nobody = pump_testing::free_address();
    let error = failed(&open(config(&format!("http://{nobody}"))).await).await;
    assert_eq!(error.kind(), SinkErrorKind::Retry, "{error}");
    assert!(error.to_string().contains("cannot be reached"), "{error}");
}

#[tokio::test]
async fn an_end_of_parts_that_fails_within_a_success_is_a_failure() {
    let failure = refusal("InternalError");
    let server =
        HttpServer::start(move |request| match (&*request.method, request.path.contains("uploads")) {
            ("POST", true) => HttpReaction::reply(
                200,
                "<InitiateMultipartUploadResult><UploadId>u1</UploadId></InitiateMultipartUploadResult>",
            ),
            // Stores begin with a success while they still work, and say at the end what came of it.
            ("POST", false) => HttpReaction::reply(200, failure.clone()),
            ("PUT", _) => HttpReaction::Reply(200, vec![("etag", "\"e\"".to_owned())], Vec::new()),
            _ => HttpReaction::reply(204, ""),
        });
    let sink = open(S3Config { compression: Compression::None, ..config(&server.url()) }).await;
    let error = deliver(&sink, &noisy(10, 9 << 20)).await.expect_err("it fails");
    assert_eq!(error.kind(), SinkErrorKind::Retry, "{error}");
    sink.close().await.expect("closed");
    let last = server.requests().pop().expect("there are some");
    assert_eq!((&*last.method, last.path.contains("uploadId=u1")), ("DELETE", true), "{}", last.path);
}

#[tokio::test]
async fn a_name_that_nobody_knows_is_unavailable() {
    let error = failed(&open(config("http://s3.name-that-is-not-there.invalid")).await).await;
    assert_eq!(error.kind(), SinkErrorKind::Unavailable, "{error}");
    assert!(error.to_string().contains("check `endpoint`"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_whose_attempt_is_dropped_while_it_begins_is_given_up() {
    let server = HttpServer::start(|request| match &*request.method {
        "POST" => {
            std::thread::sleep(Duration::from_millis(300));
            HttpReaction::reply(
                200,
                "<InitiateMultipartUploadResult><UploadId>late</UploadId></InitiateMultipartUploadResult>",
            )
        }
        _ => HttpReaction::reply(204, ""),
    });
    let sink = open(S3Config { compression: Compression::None, ..config(&server.url()) }).await;
    let batch = noisy(10, 9 << 20);
    let begun = async {
        while server.requests().is_empty() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::select! {
        biased;
        () = begun => {}
        answers = deliver(&sink, &batch) => panic!("too soon: {answers:?}"),
    }
    sink.close().await.expect("closed");
    let asked: Vec<_> = server.requests().into_iter().map(|request| (request.method, request.path)).collect();
    assert_eq!(asked.len(), 2, "{asked:?}");
    assert!(asked[1].0 == "DELETE" && asked[1].1.contains("uploadId=late"), "{asked:?}");
}
