//! `pump test`: what it says each sink would send is what `pump run` sends, and nothing is touched.

use std::collections::BTreeSet;
use std::fs;
use std::io::Write;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use pump_core::dead_letter::DeadLetter;
use pump_core::encode::CSV_HEADER;
use pump_core::record::{Codec, Kind, Timestamp};
use pump_testing::RedisServer;
use serde_json::Value;
use tempfile::TempDir;

use crate::gateway::KEY;
use crate::process::PumpProcess;

/// A source that is nowhere: nobody contacts it.
const GATEWAY: &str = "sources:\n  gateway: { type: redis_list, url: \"redis://127.0.0.1:1/0\" }\n";

struct Scene(TempDir);

impl Scene {
    /// With a pipeline of `GATEWAY` and these sinks.
    fn new(sinks: &str) -> Self {
        Self::of(&format!("{GATEWAY}sinks:\n{sinks}\ndead_letters: {{ type: directory, path: letters }}\n"))
    }

    fn of(pipeline: &str) -> Self {
        let scene = Self(TempDir::new().expect("a folder"));
        fs::write(scene.path().join("pipeline.yaml"), pipeline).expect("written");
        scene
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    /// `pump test` of these bytes on standard input.
    fn test(&self, input: &[u8], arguments: &[&str]) -> Output {
        let mut child = Command::new(env!("CARGO_BIN_EXE_pump"))
            .args(["test", "-c", "pipeline.yaml", "--in", "-"])
            .args(arguments)
            .current_dir(self.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary runs");
        let mut stdin = child.stdin.take().expect("it is piped");
        let input = input.to_vec();
        // What is refused by its command line never reads.
        let writing = std::thread::spawn(move || drop(stdin.write_all(&input)));
        let output = child.wait_with_output().expect("it ends");
        writing.join().expect("written");
        let left = fs::read_dir(self.path()).expect("listed").count();
        assert_eq!(left, 1, "something was written beside the pipeline file");
        output
    }

    /// What it says as JSON, without the summary; it must find nothing wrong.
    fn lines(&self, input: &[u8], arguments: &[&str]) -> Vec<Value> {
        let output = self.test(input, &[&["--json"], arguments].concat());
        assert!(output.status.success(), "{}", text(&output.stderr));
        let mut lines = parse(&output.stdout);
        assert!(lines.pop().expect("a summary")["summary"].is_object());
        lines
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn parse(bytes: &[u8]) -> Vec<Value> {
    text(bytes).lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

fn fixture(name: &str) -> Vec<u8> {
    fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures").join(name)).expect("a fixture")
}

/// Entries of a file that has their lengths before them.
fn entries(mut bytes: &[u8]) -> Vec<&[u8]> {
    let mut entries = Vec::new();
    while let Some((length, rest)) = bytes.split_first_chunk() {
        let (entry, rest) = rest.split_at(u32::from_be_bytes(*length) as usize);
        entries.push(entry);
        bytes = rest;
    }
    entries
}

/// Of each line: a member, `null` where it has none.
fn members<'a>(lines: &'a [Value], name: &str) -> Vec<&'a Value> {
    lines.iter().map(|line| line.get(name).unwrap_or(&Value::Null)).collect()
}

/// What a line's body says as JSON.
fn body(line: &Value) -> Value {
    serde_json::from_str(line["body"].as_str().expect("a body")).expect("JSON")
}

fn letter(kind: Kind, codec: Codec, body: &[u8]) -> DeadLetter {
    DeadLetter {
        sink: Some("files".into()),
        reason: "stuck".into(),
        detail: "by a test".into(),
        id: None,
        source: "gateway".into(),
        partition: "list 3".into(),
        position: 41,
        kind,
        codec,
        received: Timestamp { seconds: 1_764_000_000, nanos: 0 },
        body: body.to_vec().into(),
    }
}

/// Every file below a folder.
fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).expect("listed").map(|entry| entry.expect("an entry").path());
    entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

/// The body, also when it is no text.
fn bytes_of(line: &Value) -> Vec<u8> {
    match line["body_base64"].as_str() {
        Some(body) => STANDARD.decode(body).expect("base64"),
        None => line["body"].as_str().expect("a body").as_bytes().to_vec(),
    }
}

fn sorted_lines(text: &[u8]) -> Vec<&[u8]> {
    let mut lines: Vec<_> = text.split(|byte| *byte == b'\n').collect();
    lines.sort_unstable();
    lines
}

/// A line without the time at which the pump got the record.
fn timeless(line: &str) -> String {
    let (before, after) = line.split_once(",\"time\":\"").expect("a time");
    let (_, after) = after.split_once('"').expect("its end");
    format!("{before}{after}")
}

const SINKS: &str = "  files:
    type: file
    path: out/%Y/{api_id}/records.ndjson
    format: tyk
    omit: [user_agent]
    redact: { headers: [host], fields: { api_key: hash, ip_address: mask } }
    add: { cluster: eu1 }
    filter: { skip_response_codes: [404] }
  table: { type: file, path: table/records.csv, encoding: csv }
  lines: { type: stdout, format: tyk }";

#[test]
fn what_is_shown_is_what_a_run_writes() {
    let real = fixture("real/transactions.msgpack.lp");
    let mut entries: Vec<Vec<u8>> = entries(&real).into_iter().take(300).map(<[u8]>::to_vec).collect();
    entries.extend((1..15).map(|number| fixture(&format!("tyk/{number:03}.msgpack"))));
    let shown = Scene::new(SINKS).lines(&entries.concat(), &[]);
    assert_eq!(shown.len(), 3 * entries.len());

    let (redis, folder) = (RedisServer::start(), TempDir::new().expect("a folder"));
    redis::cmd("RPUSH").arg(KEY).arg(&entries).query::<u64>(&mut redis.connection()).expect("pushed");
    let pipeline =
        format!("sources:\n  gateway: {{ type: redis_list, url: \"{}\" }}\nsinks:\n{SINKS}\n", redis.url());
    let mut pump = PumpProcess::start(folder.path(), "run", &pipeline, &["--drain"]);
    assert!(pump.wait(Duration::from_secs(60)).success());

    let of = |sink: &'static str| {
        shown.iter().filter(move |line| line["sink"] == sink && line["outcome"] == "sent")
    };
    let mut expected: Vec<(String, String)> = of("files")
        .map(|line| {
            let route = Path::new(line["route"].as_str().expect("a route"));
            let folder = route.parent().expect("a folder").display().to_string();
            (folder, line["body"].as_str().expect("a body").to_owned())
        })
        .collect();
    let mut written = Vec::new();
    for file in files(&folder.path().join("out")) {
        let own = file.parent().expect("a folder").strip_prefix(folder.path()).expect("below");
        let lines = fs::read_to_string(&file).expect("read");
        written.extend(lines.lines().map(|line| (own.display().to_string(), line.to_owned())));
    }
    expected.sort();
    written.sort();
    assert!(expected.len() > 100 && expected.len() < entries.len(), "{} are filtered", expected.len());
    assert_eq!(expected, written);

    let mut rows = CSV_HEADER.to_vec();
    of("table").for_each(|line| rows.extend([&bytes_of(line)[..], b"\n"].concat()));
    let table = files(&folder.path().join("table"));
    let table = table.iter().flat_map(|file| fs::read(file).expect("read")).collect::<Vec<u8>>();
    assert_eq!(sorted_lines(&rows), sorted_lines(&table));

    let expected: BTreeSet<String> =
        of("lines").map(|line| timeless(line["body"].as_str().expect("a body"))).collect();
    let log = fs::read_to_string(folder.path().join("pump-run.log")).expect("read");
    let printed: BTreeSet<String> =
        log.lines().filter(|line| line.contains("\"tyk-analytics-record\"")).map(timeless).collect();
    assert_eq!(expected, printed);
}

#[test]
fn the_golden_files_of_tyk_pump_are_what_would_be_sent() {
    let scene = Scene::new("  out: { type: file, path: out/a.ndjson, format: tyk }");
    for number in ["002", "003", "006"] {
        let golden = text(&fixture(&format!("tyk/{number}.stdout")));
        let golden: Value = serde_json::from_str(golden.lines().next().expect("a line")).expect("JSON");
        let shown = scene.lines(&fixture(&format!("tyk/{number}.msgpack")), &[]);
        assert_eq!(body(&shown[0]), golden["tyk-analytics-record"], "{number}");
    }
}

#[test]
fn filter_route_and_edits_are_shown_for_each_sink_in_the_order_of_the_file() {
    let scene = Scene::new(
        "  zeta:
    type: file
    path: out/{org_id}.ndjson
    omit: [user_agent]
    redact: { fields: { ip_address: mask } }
    add: { cluster: eu1 }
  alpha: { type: \"null\", filter: { api_ids: [other] } }
  fields: { type: \"null\", omit: [path], required: false }",
    );
    let shown = scene.lines(&fixture("tyk/002.msgpack"), &[]);
    assert_eq!(members(&shown, "sink"), ["zeta", "alpha", "fields"]);
    assert_eq!(members(&shown, "outcome"), ["sent", "filtered", "sent"]);
    assert_eq!(members(&shown, "record"), [1, 1, 1]);
    assert_eq!(shown[0]["route"], "out/5e9d9544a1dcd60001d0ed20.ndjson");
    let record = body(&shown[0]);
    assert_eq!((&record["ip_address"], &record["cluster"]), (&"***".into(), &"eu1".into()));
    assert!(record.get("user_agent").is_none() && record.get("path").is_some());
    assert_eq!(shown[1]["by"], "filter.api_ids");
    let fields = &shown[2]["fields"];
    assert!(fields.get("path").is_none() && fields["method"] == "GET");
    assert!(shown[2].get("body").is_none());
    assert_eq!(shown[0]["id"], shown[2]["id"]);

    let output = scene.test(&fixture("tyk/002.msgpack"), &[]);
    let said = text(&output.stdout);
    for expected in [
        "sink zeta (file, required)\n  record 1: sent to out/5e9d9544a1dcd60001d0ed20.ndjson, id ",
        "sink alpha (null, required)\n  record 1: filtered by filter.api_ids\n",
        "sink fields (null, best effort)\n",
        "\n1 record; cannot be decoded: 0 of 1\n",
        "alpha: 0 sent (0 B), 1 filtered, 0 not taken\n",
    ] {
        assert!(said.contains(expected), "{expected:?} is not in {said}");
    }
}

#[test]
fn entries_with_lengths_and_protobuf_are_told_by_content() {
    let scene = Scene::new("  out: { type: file, path: out/a.ndjson }");
    assert_eq!(scene.lines(&fixture("real/transactions.msgpack.lp"), &[]).len(), 2_000);
    assert_eq!(scene.lines(&fixture("real/transactions.protobuf.lp"), &["--limit", "5"]).len(), 5);
    assert_eq!(scene.lines(&fixture("tyk/002.pb"), &[]).len(), 1);
    let uptime = scene.lines(&fixture("real/uptime.msgpack.lp"), &[]);
    assert_eq!((uptime.len(), &uptime[0]["kind"]), (15, &"uptime".into()));
}

#[test]
fn what_cannot_be_decoded_is_shown_as_the_dead_letter_it_would_be_and_ends_with_1() {
    let scene = Scene::new("  out: { type: file, path: out/a.ndjson }");
    let input = b"{\"event\":\"a\"}\n\n{\"event\":\x1b[2J}\r\n{\"event\":\"c\"}\n";
    let output = scene.test(input, &["--kind", "event", "--json"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("cannot be decoded: 1 of 3 entries"));
    let lines = parse(&output.stdout);
    assert_eq!(members(&lines, "outcome")[..3], ["sent", "sent", "undecodable"]);
    assert_eq!(members(&lines, "record")[..3], [1, 3, 2]);
    let flaw = &lines[2];
    assert_eq!((&flaw["reason"], &flaw["source"]), (&"malformed".into(), &"gateway".into()));
    assert_eq!(flaw["body"], "{\"event\":\u{1b}[2J}");
    assert_eq!(lines[3]["summary"]["undecodable"], 1);

    let output = scene.test(input, &["--kind", "event"]);
    assert_eq!(output.status.code(), Some(1));
    let said = text(&output.stdout);
    assert!(said.contains("record 2: a dead letter of event from gateway, malformed: "), "{said}");
    assert!(!said.contains('\x1b'), "a control character reached the terminal");
}

#[test]
fn lines_of_json_take_part_as_the_kind_that_is_named() {
    let scene = Scene::new(
        "  all: { type: file, path: \"out/{kind}/{source}.ndjson\", add: { zone: a } }
  some: { type: file, path: out/b.ndjson, kinds: [transaction] }",
    );
    let shown = scene.lines(b"{\"event\": \"\xc2\x9b3m\", \"n\": 1}\n", &["--kind", "event"]);
    assert_eq!(members(&shown, "outcome"), ["sent", "not_taken"]);
    assert_eq!(shown[0]["body"], "{\"event\":\"\u{9b}3m\",\"n\":1,\"zone\":\"a\"}");
    assert_eq!(shown[0]["route"], "out/event/gateway.ndjson");
    assert_eq!(shown[0]["id"], Value::Null, "it depends on the place in the buffer");
    assert_eq!(shown[1]["reason"], "the sink takes no event records");

    let output = scene.test(b"{\"event\": \"\xc2\x9b3m\"}\n", &["--kind", "event", "--json"]);
    assert!(!text(&output.stdout).contains('\u{9b}'), "a control character reached the terminal");
    let output = scene.test(b"{\"event\": 1}\n", &[]);
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("--kind"), "{}", text(&output.stderr));
}

#[test]
fn dead_letters_bring_source_kind_and_place() {
    let scene = Scene::new("  all: { type: file, path: \"out/{kind}/%Y.ndjson\" }");
    let now = Timestamp::now();
    let record = letter(Kind::Transaction, Codec::Msgpack, &fixture("tyk/002.msgpack"));
    let event = letter(Kind::Event, Codec::Json, b"{\"event\":\"a\"}");
    let elsewhere = DeadLetter { source: "another".into(), ..event.clone() };
    let lines = [&record, &event, &elsewhere].map(|letter| letter.to_line(now)).join(&b'\n');
    let shown = scene.lines(&lines, &[]);
    assert_eq!(members(&shown, "record"), [1, 2, 3]);
    assert_eq!(members(&shown, "outcome"), ["sent", "sent", "not_taken"]);
    assert_eq!(
        (&shown[0]["route"], &shown[1]["route"]),
        (&"out/transaction/2025.ndjson".into(), &"out/event/undated.ndjson".into())
    );
    assert!(shown[1]["id"].is_string());
    assert_eq!(shown[2]["reason"], "the sink takes nothing from another");

    let output = scene.test(&[&lines[..], b"\n{\"torn"].concat(), &["--json"]);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(members(&parse(&output.stdout), "outcome")[3], "no_letter");
    let output = scene.test(&lines, &["--source", "gateway"]);
    assert_eq!(output.status.code(), Some(2));
}

#[test]
fn a_letter_whose_id_would_change_is_warned_of() {
    let scene = Scene::new("  all: { type: file, path: out/a.ndjson }");
    let mut record = letter(Kind::Transaction, Codec::Msgpack, &fixture("tyk/002.msgpack"));
    let now = Timestamp::now();
    let id = scene.lines(&record.to_line(now), &[])[0]["id"].as_str().expect("an id").to_owned();
    for (id, is_warned) in [(id, false), ("0".repeat(32), true)] {
        record.id = Some(id.parse().expect("an id"));
        let output = scene.test(&record.to_line(now), &[]);
        assert_eq!(text(&output.stderr).contains("record_id.key"), is_warned, "{}", text(&output.stderr));
    }
}

#[test]
fn the_source_must_be_said_where_there_are_several_and_must_be_one_of_them() {
    let scene = Scene::of(
        "sources:\n  a: { type: redis_list, url: \"redis://127.0.0.1:1/0\", keys: [a] }\n  b: { type: demo }\nsinks:\n  \
         of_a: { type: stdout, sources: [a] }\n  of_b: { type: \"null\", sources: [b] }\n  \
         news: { type: \"null\", sources: [pump], required: false }\n",
    );
    let record = fixture("tyk/002.msgpack");
    for arguments in [&[][..], &["--source", "c"]] {
        let output = scene.test(&record, arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(text(&output.stderr).contains("a, b"), "{}", text(&output.stderr));
    }
    let shown = scene.lines(&record, &["--source", "b"]);
    assert_eq!(members(&shown, "outcome"), ["not_taken", "sent", "not_taken"]);
    let shown = scene.lines(b"{\"event\":\"start\"}", &["--source", "pump", "--kind", "event"]);
    assert_eq!(members(&shown, "outcome"), ["not_taken", "not_taken", "sent"]);
    let shown = scene.lines(b"{\"event\":\"start\"}", &["--source", "b", "--kind", "event"]);
    assert_eq!(members(&shown, "outcome"), ["not_taken", "sent", "not_taken"]);
    let output = scene.test(b"{\"event\":\"start\"}", &["--source", "b", "--kind", "event"]);
    let warning = "a run gets no event records from b";
    assert!(text(&output.stderr).contains(warning), "{}", text(&output.stderr));
}

#[test]
fn wrong_files_and_words_end_with_2() {
    let scene = Scene::new("  all: { type: file, path: out/a.ndjson }");
    for (arguments, expected) in [
        (&["--kind", "evnt"][..], "app_log"),
        (&["--codec", "xml"], "msgpack"),
        (&["--kind", "uptime", "--codec", "protobuf"], "msgpack"),
        (&["--kind", "transaction", "--codec", "json"], "msgpack or protobuf"),
        (&["--kind", "audit", "--codec", "msgpack"], "JSON"),
    ] {
        let output = scene.test(b"", arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(text(&output.stderr).contains(expected), "{}", text(&output.stderr));
    }
    let missing = Command::new(env!("CARGO_BIN_EXE_pump"))
        .args(["test", "-c", "pipeline.yaml", "--in", "missing.bin"])
        .current_dir(scene.path())
        .output()
        .expect("it runs");
    assert_eq!(missing.status.code(), Some(2));
    assert!(text(&missing.stderr).contains("missing.bin"));
}

#[test]
fn nobody_is_contacted() {
    let server = TcpListener::bind("127.0.0.1:0").expect("a free port");
    server.set_nonblocking(true).expect("set");
    let url = format!("redis://{}/0", server.local_addr().expect("an address"));
    let scene = Scene::of(&format!(
        "sources:\n  gateway: {{ type: redis_list, url: \"{url}\" }}\nsinks:\n  all: {{ type: stdout }}\n\
         dead_letters: {{ type: redis_list, url: \"{url}\", key: letters }}\n"
    ));
    let shown = scene.lines(&fixture("tyk/002.msgpack"), &[]);
    assert_eq!(members(&shown, "outcome"), ["sent"]);
    let error = server.accept().expect_err("nobody connects");
    assert_eq!(error.kind(), std::io::ErrorKind::WouldBlock);
}

#[test]
fn an_empty_file_holds_no_records() {
    let scene = Scene::new("  all: { type: file, path: out/a.ndjson }");
    assert!(scene.lines(b"", &[]).is_empty());
}
