//! The sink against a server that does as it is told.

mod answers;
mod behaviour;
mod plan;
mod singles;
mod tls;

use std::collections::BTreeMap;
use std::io::Read;

use pump_core::config::{AuthConfig, BasicAuth, HttpCompression, Secret};
use pump_core::plugin::SinkErrorKind;
use pump_core::testing::batch;
use pump_testing::{HttpReaction, HttpRequest, HttpServer};
use serde_json::{Value, json};

use super::*;

const MINUTE: Duration = Duration::from_secs(60);
const SIGNING: &str = "a-secret-for-signing";

/// Settings for this address, all else as by default.
fn config(url: &str) -> WebhookConfig {
    WebhookConfig {
        url: Secret::new(url),
        allow_plain_http: true,
        headers: BTreeMap::new(),
        encoding: WebhookEncoding::Json,
        body: None,
        record: None,
        signature: None,
        auth: None,
        tls: TlsConfig::default(),
        compression: HttpCompression::None,
    }
}

fn single(url: &str) -> WebhookConfig {
    WebhookConfig { encoding: WebhookEncoding::Single, ..config(url) }
}

async fn open(config: WebhookConfig) -> WebhookSink {
    let context = SinkContext { name: "test".into(), format: None, timeout: Duration::from_secs(30) };
    WebhookSink::open(config, context).await.expect("it opens")
}

/// Five events, `{"n":0}` and so on.
fn five() -> Batch {
    batch(&[r#"{"n":0}"#, r#"{"n":1}"#, r#"{"n":2}"#, r#"{"n":3}"#, r#"{"n":4}"#], "")
}

async fn deliver(sink: &WebhookSink) -> Result<Answers, SinkError> {
    sink.deliver(&five(), Deadline::after(MINUTE)).await
}

/// The ids of the five, as they are written.
async fn ids() -> Vec<String> {
    let batch = five();
    let slice = batch.slices().next().await.expect("in memory").expect("there is one");
    slice.entries().map(|entry| entry.id().to_string()).collect()
}

fn read(body: &[u8]) -> Value {
    serde_json::from_slice(body).unwrap_or_else(|error| panic!("{error}: {}", body.escape_ascii()))
}

#[tokio::test]
async fn a_delivery_is_one_request_that_is_the_same_each_time() {
    let server = HttpServer::start(|_| HttpReaction::reply(204, ""));
    let url = format!("{}/hook?x=1", server.url());
    let sink = open(config(&url)).await;
    for _ in 0..2 {
        assert_eq!(deliver(&sink).await.expect("it is delivered"), Answers::delivered(5));
    }
    let requests = server.requests();
    assert_eq!(requests.len(), 2);
    let HttpRequest { method, path, body, .. } = &requests[0];
    assert_eq!((method.as_str(), path.as_str()), ("POST", "/hook?x=1"));
    assert_eq!(body, br#"[{"n":0},{"n":1},{"n":2},{"n":3},{"n":4}]"#);
    assert_eq!(requests[0].header("content-type"), Some("application/json"));
    assert_eq!(requests[0].header("idempotency-key"), Some(five().digest().to_string().as_str()));
    assert!(requests[0].header("user-agent").is_some_and(|agent| agent.starts_with("pump/")));
    assert_eq!(requests[0].body, requests[1].body);
    assert_eq!(requests[0].header("idempotency-key"), requests[1].header("idempotency-key"));
}

#[tokio::test]
async fn what_is_around_records_is_around_them() {
    let (server, ids) = (HttpServer::start(|_| HttpReaction::reply(200, "ok")), ids().await);
    let record = Some(r#"{"id":"{id}","data":"{record}"}"#.to_owned());
    let body = Some(r#"{"from":"pump","items":"{records}"}"#.to_owned());
    let json = WebhookConfig { body, record: record.clone(), ..config(&server.url()) };
    let ndjson = WebhookConfig { encoding: WebhookEncoding::Ndjson, record, ..config(&server.url()) };
    let plain = WebhookConfig { record: None, ..ndjson.clone() };
    for config in [json, ndjson, plain] {
        deliver(&open(config).await).await.expect("it is delivered");
    }
    let requests = server.requests();
    let items: Vec<Value> = (0..5).map(|n| json!({ "id": ids[n], "data": { "n": n } })).collect();
    assert_eq!(read(&requests[0].body), json!({ "from": "pump", "items": items }));
    assert_eq!(requests[1].header("content-type"), Some("application/x-ndjson"));
    let lines: Vec<Value> = requests[1].body.split_inclusive(|byte| *byte == b'\n').map(read).collect();
    assert_eq!(lines, items);
    assert_eq!(requests[2].body, b"{\"n\":0}\n{\"n\":1}\n{\"n\":2}\n{\"n\":3}\n{\"n\":4}\n");
}

#[tokio::test]
async fn headers_credentials_and_compression_are_as_the_file_says() {
    let server = HttpServer::start(|_| HttpReaction::reply(200, ""));
    let basic = BasicAuth { username: "pump".into(), password: Secret::new("hunter2") };
    for (auth, expected) in [
        (AuthConfig { basic: Some(basic), ..AuthConfig::default() }, "Basic cHVtcDpodW50ZXIy"),
        (AuthConfig { bearer: Some(Secret::new("token")), ..AuthConfig::default() }, "Bearer token"),
    ] {
        let headers = [("X-Api-Key", "key"), ("content-type", "application/cloudevents-batch+json")];
        let headers = headers.map(|(name, value)| (name.to_owned(), Secret::new(value))).into();
        let compression = HttpCompression::Gzip;
        let config = WebhookConfig { auth: Some(auth), headers, compression, ..config(&server.url()) };
        deliver(&open(config).await).await.expect("it is delivered");
        let request = server.requests().pop().expect("there is one");
        assert_eq!(request.header("authorization"), Some(expected));
        assert_eq!(request.header("x-api-key"), Some("key"));
        assert_eq!(request.header("content-type"), Some("application/cloudevents-batch+json"));
        assert_eq!(request.header("content-encoding"), Some("gzip"));
        let mut text = Vec::new();
        flate2::read::GzDecoder::new(&request.body[..]).read_to_end(&mut text).expect("it is gzip");
        assert_eq!(read(&text).as_array().map(Vec::len), Some(5));
    }
}

#[tokio::test]
async fn every_request_is_signed_over_what_is_sent() {
    let server = HttpServer::start(|_| HttpReaction::reply(200, ""));
    let signature = SignatureConfig { secret: Secret::new(SIGNING), header: "X-Signed".to_owned() };
    let compression = HttpCompression::Gzip;
    let sink = open(WebhookConfig { signature: Some(signature), compression, ..config(&server.url()) }).await;
    sink.probe().await.expect("it is there");
    deliver(&sink).await.expect("it is delivered");
    let requests = server.requests();
    assert_eq!((requests[0].method.as_str(), requests[1].method.as_str()), ("HEAD", "POST"));
    for request in requests {
        let header = request.header("x-signed").expect("it is signed");
        let (time, signature) = header.split_once(",v1=").expect("two parts");
        let time = time.strip_prefix("t=").expect("a time").to_owned();
        let signed = [time.as_bytes(), b".", &request.body].concat();
        let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, SIGNING.as_bytes());
        let bytes: Vec<u8> = (0..signature.len())
            .step_by(2)
            .map(|at| u8::from_str_radix(&signature[at..at + 2], 16).expect("digits"))
            .collect();
        ring::hmac::verify(&key, &signed, &bytes).expect("it is ours");
    }
}

/// The page's own code says which signatures are good.
#[test]
fn the_page_shows_how_a_signature_is_checked() {
    let now =
        std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970").as_secs();
    let sign = |secret: &str, seconds: u64| signature::Signer::new(secret).sign_at(seconds, b"[1]");
    let (good, other) = (sign(SIGNING, now), sign("another-secret-of-mine", now));
    let (old, early) = (sign(SIGNING, now - 301), sign(SIGNING, now + 400));
    let moved = good.replace(&format!("t={now}"), &format!("t={}", now + 1));
    let calls: String = [
        (&*good, "[1]", true),
        (&format!("{good},v2=of-another-release"), "[1]", true),
        (&good, "[2]", false),
        (&other, "[1]", false),
        (&old, "[1]", false),
        (&early, "[1]", false),
        (&moved, "[1]", false),
        ("", "[1]", false),
        ("t=,v1=", "[1]", false),
        ("t=x,v1=y,=,t", "[1]", false),
        (&format!("t={},v1=y", "9".repeat(5_000)), "[1]", false),
        (&format!("t={now},v1=\u{e9}"), "[1]", false),
    ]
    .iter()
    .map(|(header, body, is_good)| {
        let expected = if *is_good { "True" } else { "False" };
        format!("assert verify(b{SIGNING:?}, {header:?}, b{body:?}) is {expected}, {header:?}\n")
    })
    .collect();
    let code = format!("{}\n{calls}", pump_testing::WebhookReceiver::documented());
    let ended =
        std::process::Command::new("python3").arg("-c").arg(code).output().expect("python3 is installed");
    assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
}

#[tokio::test]
async fn a_connection_is_used_again() {
    let server = HttpServer::start(|_| HttpReaction::reply(200, vec![b'x'; 1_000]));
    let sink = open(config(&server.url())).await;
    for _ in 0..5 {
        deliver(&sink).await.expect("it is delivered");
    }
    assert_eq!(server.connections(), 1);
}

/// Nothing of what is secret gets into an error, even if the receiver quotes it.
#[tokio::test]
async fn secrets_are_never_shown() {
    let server = HttpServer::start(|request| {
        let headers = format!("{:?} {}", request.headers, request.path);
        HttpReaction::reply(401, format!("who is {headers}? not hunter2 {SIGNING}").into_bytes())
    });
    let url = format!("{}/services/T0123456789ABCDEF?sig=sig-of-url", server.url());
    let headers = [("x-key".to_owned(), Secret::new("key-in-header"))].into();
    let basic = BasicAuth { username: "pump".into(), password: Secret::new("hunter2") };
    let auth = Some(AuthConfig { basic: Some(basic), ..AuthConfig::default() });
    let signature = Some(SignatureConfig { secret: Secret::new(SIGNING), header: "X-S".to_owned() });
    let config = WebhookConfig { headers, auth, signature, ..config(&url) };
    let shown = format!("{config:?}");
    let sink = open(config.clone()).await;
    let refused = deliver(&sink).await.expect_err("refused");
    let probed = sink.probe().await;
    drop(server);
    let lost = deliver(&sink).await.expect_err("nobody is there");
    assert_eq!((refused.kind(), lost.kind()), (SinkErrorKind::Unavailable, SinkErrorKind::Retry));
    assert!(refused.to_string().contains("***"), "{refused}");
    let shown = format!("{shown} {refused} {refused:?} {probed:?} {lost} {lost:?}");
    for secret in ["hunter2", "cHVtcDpodW50ZXIy", SIGNING, "key-in-header", "sig-of-url", "T0123456789ABCDEF"]
    {
        assert!(!shown.contains(secret), "{secret}: {shown}");
    }
}
