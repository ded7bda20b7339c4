//! The sink against a server that does as it is told.

mod behaviour;
mod plan;
mod replies;
mod tls;

use std::io::Read;
use std::time::Duration;

use pump_core::config::{AuthConfig, BasicAuth, Secret};
use pump_core::plugin::{Answers, Batch, Deadline, Format, Sink, SinkContext, SinkError, SinkErrorKind};
use pump_core::testing::batch;
use pump_testing::{HttpReaction, HttpRequest, HttpServer};
use serde_json::Value;

use super::*;

const MINUTE: Duration = Duration::from_secs(60);
const ROOT: &str = r#"{"version":{"distribution":"opensearch","number":"2.19.1"}}"#;

/// Settings for these servers and the index `records`, all else as by default.
fn config(urls: &[String]) -> ElasticsearchConfig {
    ElasticsearchConfig {
        endpoints: urls.iter().map(|url| url.parse().expect("an address")).collect(),
        index: "records".to_owned(),
        op: Op::Create,
        data_stream: false,
        install_template: false,
        extended: false,
        auth: None,
        tls: pump_core::config::TlsConfig::default(),
        compression: HttpCompression::None,
    }
}

/// A server that is OpenSearch 2 and asks `bulk` about everything else.
fn cluster(bulk: impl Fn(&HttpRequest) -> HttpReaction + Send + Sync + 'static) -> HttpServer {
    HttpServer::start(move |request| match (request.method.as_str(), request.path.as_str()) {
        ("GET", "/") => HttpReaction::reply(200, ROOT),
        _ => bulk(request),
    })
}

async fn open(config: ElasticsearchConfig) -> ElasticsearchSink {
    let context =
        SinkContext { name: "test".into(), format: Some(Format::Full), timeout: Duration::from_secs(30) };
    ElasticsearchSink::open(config, context).await.expect("it opens")
}

/// Five events, `{"n":0}` and so on.
fn five() -> Batch {
    batch(&[r#"{"n":0}"#, r#"{"n":1}"#, r#"{"n":2}"#, r#"{"n":3}"#, r#"{"n":4}"#], "records")
}

async fn deliver(sink: &ElasticsearchSink) -> Result<Answers, SinkError> {
    sink.deliver(&five(), Deadline::after(MINUTE)).await
}

/// A reply with these items, each a status and an error or none.
fn items(items: &[(u16, Option<(&str, &str)>)]) -> String {
    let item = |(status, error): &(u16, Option<(&str, &str)>)| match error {
        Some((kind, reason)) => format!(
            "{{\"create\":{{\"status\":{status},\"error\":{{\"type\":{},\"reason\":{}}}}}}}",
            Value::from(*kind),
            Value::from(*reason)
        ),
        None => format!("{{\"create\":{{\"status\":{status}}}}}"),
    };
    format!("{{\"items\":[{}]}}", items.iter().map(item).collect::<Vec<_>>().join(","))
}

fn all_created() -> HttpReaction {
    HttpReaction::reply(200, items(&[(201, None); 5]))
}

#[tokio::test]
async fn a_delivery_is_one_request_with_an_action_and_a_document_for_each_record() {
    for (op, compression) in [
        (Op::Create, HttpCompression::None),
        (Op::Create, HttpCompression::Gzip),
        (Op::Index, HttpCompression::Gzip),
    ] {
        let server = cluster(|_| all_created());
        let sink = open(ElasticsearchConfig { op, compression, ..config(&[server.url()]) }).await;
        for _ in 0..2 {
            assert_eq!(deliver(&sink).await.expect("it is delivered"), Answers::delivered(5));
        }
        let requests = server.requests();
        assert_eq!(requests.len(), 3, "the root page is asked for once");
        let HttpRequest { method, path, body, .. } = &requests[1];
        assert_eq!(method, "POST");
        assert!(path.starts_with("/records/_bulk?filter_path="), "{path}");
        assert_eq!(requests[1].header("content-type"), Some("application/x-ndjson"));
        let text = match compression {
            HttpCompression::None => {
                assert_eq!(requests[1].header("content-encoding"), None);
                String::from_utf8(body.clone()).expect("text")
            }
            HttpCompression::Gzip => {
                assert_eq!(requests[1].header("content-encoding"), Some("gzip"));
                let mut text = String::new();
                flate2::read::GzDecoder::new(&body[..]).read_to_string(&mut text).expect("it is gzip");
                text
            }
        };
        let batch = five();
        let mut slices = batch.slices();
        let slice = slices.next().await.expect("in memory").expect("there is one");
        let name = if op == Op::Create { "create" } else { "index" };
        let expected: String = slice
            .entries()
            .enumerate()
            .map(|(n, entry)| format!("{{\"{name}\":{{\"_id\":\"{}\"}}}}\n{{\"n\":{n}}}\n", entry.id()))
            .collect();
        assert_eq!(text, expected);
        // Sent again, it is the same request.
        assert_eq!(requests[1].body, requests[2].body);
    }
}

#[tokio::test]
async fn an_index_is_in_lower_case_and_in_the_path() {
    let server = cluster(|_| HttpReaction::reply(200, items(&[(201, None)])));
    let sink = open(config(&[format!("{}/behind/a/proxy", server.url())])).await;
    // The root page of this one is not at the root.
    let error = sink.probe().await.expect_err("the server knows nothing there");
    assert!(error.to_string().contains("none") || error.to_string().contains("neither"), "{error}");
    let sink = open(config(&[server.url()])).await;
    let batch = batch(&["{}"], "Tyk-ABC");
    sink.deliver(&batch, Deadline::after(MINUTE)).await.expect("it is delivered");
    let requests = server.requests();
    assert!(requests[0].path.starts_with("/behind/a/proxy"), "{}", requests[0].path);
    assert!(requests[2].path.starts_with("/tyk-abc/_bulk"), "{}", requests[2].path);
}

#[tokio::test]
async fn nodes_take_turns_and_a_dead_one_is_left_out() {
    let servers: Vec<_> = (0..3).map(|_| cluster(|_| all_created())).collect();
    let sink = open(config(&servers.iter().map(HttpServer::url).collect::<Vec<_>>())).await;
    for _ in 0..5 {
        deliver(&sink).await.expect("it is delivered");
    }
    let counts = || servers.iter().map(|server| server.requests().len()).collect::<Vec<_>>();
    assert_eq!(counts(), [2, 2, 2]);
    let mut servers = servers;
    drop(servers.remove(0));
    let error = deliver(&sink).await.expect_err("it is this node's turn");
    assert_eq!(error.kind(), SinkErrorKind::Retry, "{error}");
    assert!(error.to_string().contains("cannot be reached"), "{error}");
    for _ in 0..4 {
        deliver(&sink).await.expect("the others go on");
    }
    let counts: Vec<_> = servers.iter().map(|server| server.requests().len()).collect();
    assert_eq!(counts, [4, 4]);
}

#[tokio::test]
async fn a_node_that_says_nothing_costs_one_attempt() {
    let silent = cluster(|_| HttpReaction::Silence(Duration::from_secs(20)));
    let sound = cluster(|_| all_created());
    let sink = open(config(&[sound.url(), silent.url()])).await;
    sink.probe().await.expect("the first node answers");
    let begin = std::time::Instant::now();
    let (batch, deadline) = (five(), Deadline::after(Duration::from_millis(300)));
    let error = sink.deliver(&batch, deadline).await.expect_err("it is the silent node's turn");
    assert_eq!(error.kind(), SinkErrorKind::Retry, "{error}");
    assert!(error.to_string().starts_with("no answer in time"), "{error}");
    for _ in 0..3 {
        assert_eq!(deliver(&sink).await.expect("the sound node's turn"), Answers::delivered(5));
    }
    assert!(begin.elapsed() < Duration::from_secs(10));
    assert_eq!(silent.requests().len(), 1);
}

#[tokio::test]
async fn an_attempt_that_is_dropped_counts_against_its_node() {
    let silent = cluster(|_| HttpReaction::Silence(Duration::from_secs(20)));
    let sound = cluster(|_| all_created());
    let sink = open(config(&[sound.url(), silent.url()])).await;
    sink.probe().await.expect("the first node answers");
    assert!(tokio::time::timeout(Duration::from_millis(300), deliver(&sink)).await.is_err());
    for _ in 0..3 {
        deliver(&sink).await.expect("the sound node's turn");
    }
    assert_eq!(silent.requests().len(), 1);
}

#[tokio::test]
async fn nothing_is_sent_to_a_server_that_is_not_known() {
    let server = HttpServer::start(|_| HttpReaction::reply(200, r#"{"version":{"number":"6.8.23"}}"#));
    let sink = open(config(&[server.url()])).await;
    for error in [sink.probe().await.expect_err("too old"), deliver(&sink).await.expect_err("too old")] {
        assert_eq!(error.kind(), SinkErrorKind::Unavailable);
        assert!(error.to_string().contains("Elasticsearch 6.8.23 is not supported"), "{error}");
    }
    assert!(server.requests().iter().all(|request| request.method == "GET"));
}

#[tokio::test]
async fn who_may_write_but_not_look_can_write() {
    let server = HttpServer::start(|request| match request.method.as_str() {
        "GET" => HttpReaction::reply(403, r#"{"error":{"type":"security_exception","reason":"no"}}"#),
        _ => all_created(),
    });
    let sink = open(config(&[server.url()])).await;
    sink.probe().await.expect("it is a cluster");
    assert_eq!(deliver(&sink).await.expect("it is delivered"), Answers::delivered(5));
}

#[tokio::test]
async fn credentials_are_sent_and_never_shown() {
    let secret = "hunter2";
    let basic = BasicAuth { username: "pump".into(), password: Secret::new(secret) };
    for (auth, header) in [
        (AuthConfig { basic: Some(basic), ..AuthConfig::default() }, "Basic cHVtcDpodW50ZXIy"),
        (AuthConfig { bearer: Some(Secret::new("hunter2")), ..AuthConfig::default() }, "Bearer hunter2"),
        (
            AuthConfig { api_key: Some(Secret::new("id:hunter2")), ..AuthConfig::default() },
            "ApiKey aWQ6aHVudGVyMg==",
        ),
        (
            AuthConfig { api_key: Some(Secret::new("aWQ6aHVudGVyMg==")), ..AuthConfig::default() },
            "ApiKey aWQ6aHVudGVyMg==",
        ),
    ] {
        let server = HttpServer::start(|_| HttpReaction::reply(401, r#"{"error":"who are you"}"#));
        let config = ElasticsearchConfig { auth: Some(auth), ..config(&[server.url()]) };
        let shown = format!("{config:?}");
        let sink = open(config).await;
        let error = deliver(&sink).await.expect_err("refused");
        assert_eq!(error.kind(), SinkErrorKind::Unavailable);
        let shown = format!("{shown} {error} {error:?} {:?}", server.requests()[0].path);
        assert!(!shown.contains(secret) && !shown.contains("aHVudGVyM"), "{shown}");
        assert!(shown.contains("check `auth`"), "{shown}");
        assert_eq!(server.requests()[0].header("authorization"), Some(header));
    }
}

/// A cluster that keeps templates: those that are there by their paths.
fn with_templates(there: &'static [&'static str], put: u16) -> HttpServer {
    cluster(move |request| match request.method.as_str() {
        "HEAD" => HttpReaction::reply(if there.contains(&request.path.as_str()) { 200 } else { 404 }, ""),
        "PUT" => HttpReaction::reply(put, r#"{"error":{"type":"illegal_argument_exception","reason":"no"}}"#),
        _ => all_created(),
    })
}

#[tokio::test]
async fn an_index_template_is_installed_once_and_one_that_is_there_stays() {
    let template = |server: &HttpServer| ElasticsearchConfig {
        index: "tyk-%Y.%m".to_owned(),
        install_template: true,
        ..config(&[server.url()])
    };
    let server = with_templates(&[], 200);
    let sink = open(template(&server)).await;
    for _ in 0..3 {
        deliver(&sink).await.expect("it is delivered");
    }
    let requests = server.requests();
    let puts: Vec<_> = requests.iter().filter(|request| request.method == "PUT").collect();
    assert_eq!(puts.len(), 1);
    assert_eq!(puts[0].path, "/_index_template/pump-tyk?create=true");
    let body: Value = serde_json::from_slice(&puts[0].body).expect("it is JSON");
    assert_eq!(body["index_patterns"], serde_json::json!(["tyk-*"]));
    assert_eq!(body["template"]["mappings"]["properties"]["ip_address"]["type"], "ip");

    let server = with_templates(&["/_index_template/pump-tyk"], 200);
    deliver(&open(template(&server)).await).await.expect("it is delivered");
    assert!(server.requests().iter().all(|request| request.method != "PUT"));

    let server = with_templates(&[], 400);
    let error = deliver(&open(template(&server)).await).await.expect_err("the template is refused");
    assert_eq!(error.kind(), SinkErrorKind::Unavailable, "{error}");
    assert!(error.to_string().contains("the index template is refused"), "{error}");
}
