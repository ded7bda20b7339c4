//! Objects in a real store, read back by another client.

use pump_core::config::ConfigDuration;
use serde_json::json;

use super::*;

#[tokio::test]
async fn a_batch_is_an_object_and_a_repeat_finds_it_there() {
    let server = store(&[]);
    for (compression, ending) in [
        (Compression::None, ".ndjson"),
        (Compression::Gzip, ".ndjson.gz"),
        (Compression::Zstd, ".ndjson.zst"),
    ] {
        let sink = open(S3Config { compression, ..config(&server.url()) }).await;
        sink.probe().await.expect("it may write");
        let batch = five();
        assert_eq!(deliver(&sink, &batch).await.expect("delivered"), Answers::delivered(5));
        assert_eq!(deliver(&sink, &batch).await.expect("there"), all_duplicates(5));
        let key = format!("tyk/{}{ending}", batch.digest());
        let head = server.client(&["head", "archive", &key]);
        let media_type = key::media_type(Encoding::Ndjson, compression);
        assert_eq!(head["ContentType"], media_type);
        assert!(head["ChecksumCRC32"].is_string(), "the store has checked what it got: {head}");
    }
    assert_eq!(numbers(&server), [0, 1, 2, 3, 4].repeat(3));
}

#[tokio::test]
async fn a_large_object_goes_in_parts_and_is_whole() {
    let server = store(&[]);
    for compression in [Compression::None, Compression::Zstd] {
        let sink = open(S3Config { compression, ..config(&server.url()) }).await;
        let batch = noisy(300, 21 << 20);
        assert_eq!(deliver(&sink, &batch).await.expect("delivered"), Answers::delivered(300));
        assert_eq!(deliver(&sink, &batch).await.expect("there"), all_duplicates(300));
        sink.close().await.expect("closed");
    }
    let objects = server.client(&["objects", "archive"]);
    let tag = |object: &Value| object["tag"].as_str().expect("a tag").to_owned();
    let tags: Vec<_> = objects.as_array().expect("a list").iter().map(tag).collect();
    // So a store marks an object of three parts, and one of two.
    assert!(tags[0].ends_with("-3\"") && tags[1].ends_with("-2\""), "{objects}");
    let expected: Vec<u64> = (0..300).chain(0..300).collect();
    assert_eq!(numbers(&server), expected);
    // The repeat, which found its key taken only at the end, has cleared up.
    assert_eq!(server.client(&["uploads", "archive"]), json!([]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_attempt_that_is_dropped_leaves_no_upload_and_no_object() {
    let server = store(&[]);
    let sink = open(S3Config { compression: Compression::None, ..config(&server.url()) }).await;
    let batch = noisy(300, 40 << 20);
    let attempt = deliver(&sink, &batch);
    // Before the first part is whole, while it is sent, and while the upload begins.
    assert!(tokio::time::timeout(Duration::from_millis(30), attempt).await.is_err());
    sink.close().await.expect("closed");
    assert_eq!(server.client(&["uploads", "archive"]), json!([]));
    assert_eq!(server.client(&["objects", "archive"]), json!([]));
    assert_eq!(deliver(&sink, &batch).await.expect("delivered"), Answers::delivered(300));
}

#[tokio::test]
async fn without_the_right_to_give_up_an_upload_stays_and_records_arrive_all_the_same() {
    let server = S3Server::start();
    server.create_bucket("archive", "tyk/", &["s3:PutObject"]);
    let sink = open(S3Config { compression: Compression::None, ..config(&server.url()) }).await;
    let batch = noisy(30, 9 << 20);
    assert_eq!(deliver(&sink, &batch).await.expect("delivered"), Answers::delivered(30));
    assert_eq!(deliver(&sink, &batch).await.expect("there"), all_duplicates(30));
    sink.close().await.expect("closed");
    assert_eq!(server.client(&["uploads", "archive"]).as_array().map(Vec::len), Some(1));
    assert_eq!(numbers(&server), (0..30).collect::<Vec<_>>());
}

#[tokio::test]
async fn objects_get_what_the_settings_say() {
    let server = store(&["s3:PutObjectRetention", "s3:PutObjectTagging"]);
    let day = Duration::from_secs(86_400);
    let lock = |mode| Some(ObjectLock { mode, retain: ConfigDuration::secs(day.as_secs()) });
    let sizes: [(Batch, &str); 2] = [(five(), "at once"), (noisy(10, 9 << 20), "in parts")];
    for (mode, name) in [(LockMode::Compliance, "COMPLIANCE"), (LockMode::Governance, "GOVERNANCE")] {
        let sink = open(S3Config {
            compression: if mode == LockMode::Compliance { Compression::None } else { Compression::Gzip },
            object_lock: lock(mode),
            storage_class: Some("STANDARD_IA".to_owned()),
            tags: [("team", "api"), ("what", "a b=c")].map(|(k, v)| (k.to_owned(), v.to_owned())).into(),
            ..config(&server.url())
        })
        .await;
        for (batch, size) in &sizes {
            let before = jiff::Timestamp::now();
            assert_eq!(deliver(&sink, batch).await.expect(size), Answers::delivered(batch.len()));
            let key =
                key::key("tyk/", batch.digest(), key::ending(Encoding::Ndjson, sink.config.compression));
            let mut head = server.client(&["head", "archive", &key]);
            assert_eq!(head["ObjectLockMode"], name, "{size}: {head}");
            let until = head["ObjectLockRetainUntilDate"].as_str().expect("a time");
            let until: jiff::Timestamp = until.parse().expect("a time");
            let held = Duration::try_from(until.duration_since(before)).expect("after it");
            assert!(held >= day - Duration::from_secs(1) && held < day + MINUTE, "{held:?}");
            let tags = json!([{ "Key": "team", "Value": "api" }, { "Key": "what", "Value": "a b=c" }]);
            let found = head["Tags"].as_array_mut().expect("a list");
            found.sort_by_key(ToString::to_string);
            assert_eq!(head["Tags"], tags, "{size}");
        }
    }
}

/// The credentials of the pump can add objects and nothing else; what is locked stays.
#[tokio::test]
async fn what_is_locked_can_be_neither_changed_nor_deleted_with_the_pumps_own_credentials() {
    let server = store(&["s3:PutObjectRetention"]);
    for mode in [LockMode::Compliance, LockMode::Governance] {
        let compression = if mode == LockMode::Compliance { Compression::None } else { Compression::Gzip };
        let object_lock = Some(ObjectLock { mode, retain: ConfigDuration::secs(86_400) });
        let sink = open(S3Config { compression, object_lock, ..config(&server.url()) }).await;
        assert_eq!(deliver(&sink, &five()).await.expect("delivered"), Answers::delivered(5));
    }
    let locked = server.client(&["objects", "archive"]);
    assert_eq!(numbers(&server), [0, 1, 2, 3, 4].repeat(2));
    for object in locked.as_array().expect("a list") {
        let [key, version] = ["key", "version"].map(|name| object[name].as_str().expect("text"));
        let attempt = |what| server.client_as_writer(&["attempt", what, "archive", key, version]);
        assert_eq!(attempt("put-new"), "PreconditionFailed");
        for what in [
            "get",
            "list",
            "delete",
            "delete-version",
            "shorten-compliance",
            "shorten-governance",
            "shorten-bypass",
        ] {
            let word = attempt(what);
            assert!(word == "AccessDenied" || word == "InvalidRequest", "{what} {key}: {word}");
        }
        // Who may write may write another version; the one that is locked is still there.
        attempt("put");
    }
    let versions = server.client(&["objects", "archive"]);
    let kept = versions.as_array().expect("a list").iter().filter(|object| object["size"] != 1);
    assert_eq!(kept.count(), 2, "{versions}");
}
