//! The command line as a user meets it: what it prints, where, and its exit codes.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::process::PumpProcess;

fn pump(folder: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_pump")).args(arguments).current_dir(folder).output().expect("it runs")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn folder_with(pipeline: &str) -> TempDir {
    let folder = TempDir::new().expect("a folder");
    std::fs::write(folder.path().join("pipeline.yaml"), pipeline).expect("written");
    folder
}

const DEMO: &str = "sources:\n  gateway:\n    type: demo\n    records: 500\n    rate: 5000/s\n";

#[test]
fn a_wrong_pipeline_file_ends_with_2_and_says_where() {
    let folder = folder_with("sources:\n  a:\n    type: demo\nsinks:\n  b:\n    type: file\n    paht: x\n");
    for command in ["check", "run"] {
        let output = pump(folder.path(), &[command, "-c", "pipeline.yaml"]);
        assert_eq!(output.status.code(), Some(2));
        let error = text(&output.stderr);
        assert!(error.contains("pipeline.yaml:7:5") && error.contains("`path`"), "{error}");
        assert!(output.stdout.is_empty());
    }
}

#[test]
fn a_wrong_command_line_ends_with_2() {
    let folder = TempDir::new().expect("a folder");
    for arguments in [&["run"][..], &["fly"], &["plugins", "nothing"]] {
        assert_eq!(pump(folder.path(), arguments).status.code(), Some(2), "{arguments:?}");
    }
}

#[test]
fn a_file_that_is_missing_is_named() {
    let folder = TempDir::new().expect("a folder");
    let output = pump(folder.path(), &["check", "-c", "missing.yaml"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("missing.yaml"), "{}", text(&output.stderr));
}

#[test]
fn check_says_what_the_pipeline_does_and_touches_nothing() {
    let folder = folder_with(&format!(
        "{DEMO}sinks:\n  table:\n    type: file\n    path: out/a.csv\n    encoding: csv\n"
    ));
    let output = pump(folder.path(), &["check", "-c", "pipeline.yaml"]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let said = text(&output.stdout);
    assert!(said.contains("sink table (file, required): transaction from gateway"), "{said}");
    assert!(!folder.path().join("out").exists());
}

#[test]
fn check_with_connect_fails_when_something_cannot_be_reached() {
    let folder =
        folder_with(&format!("{DEMO}sinks:\n  table:\n    type: file\n    path: pipeline.yaml/a.ndjson\n"));
    let output = pump(folder.path(), &["check", "-c", "pipeline.yaml", "--connect"]);
    assert_eq!(output.status.code(), Some(1));
    let said = text(&output.stdout);
    assert!(
        said.contains("source gateway: can be reached") && said.contains("sink table: cannot write"),
        "{said}"
    );
}

#[test]
fn what_a_crash_left_behind_is_left_by_check_and_finished_by_run_although_nothing_arrives() {
    let folder = folder_with(&format!(
        "{DEMO}sinks:\n  rest:\n    type: \"null\"\n  audit:\n    type: file\n    path: out/%Y/audit.ndjson\n    kinds: [audit]\n"
    ));
    let pipeline = std::fs::read_to_string(folder.path().join("pipeline.yaml")).expect("it is there");
    let year = folder.path().join("out/2020");
    std::fs::create_dir_all(&year).expect("made");
    let part = year.join("audit.ndjson.part");
    for arguments in [&[][..], &["--drain"]] {
        std::fs::write(&part, "{\"n\":1}\n{\"torn").expect("written");
        let output = pump(folder.path(), &["check", "-c", "pipeline.yaml", "--connect"]);
        assert!(output.status.success(), "{}", text(&output.stdout));
        assert_eq!(std::fs::read_to_string(&part).expect("it stays"), "{\"n\":1}\n{\"torn");
        let mut pump = PumpProcess::start(folder.path(), "run", &pipeline, arguments);
        let limit = Instant::now() + Duration::from_secs(20);
        while part.exists() {
            assert!(Instant::now() < limit, "it is never finished");
            std::thread::sleep(Duration::from_millis(20));
        }
        match arguments {
            [] => pump.stop(),
            _ => assert!(pump.wait(Duration::from_secs(20)).success()),
        }
    }
    let finished = std::fs::read_dir(&year)
        .expect("the folder is there")
        .map(|entry| std::fs::read_to_string(entry.expect("it can be read").path()).expect("it is text"));
    assert_eq!(finished.collect::<Vec<_>>(), ["{\"n\":1}\n", "{\"n\":1}\n"]);
}

#[test]
fn what_only_a_plugin_knows_is_found_by_check_too() {
    let wrong = [
        ("    path: out/%Q.ndjson\n", "path"),
        ("    path: out/a.csv\n    encoding: csv\n    add: { cluster: eu1 }\n", "add"),
        ("    path: out/a.csv\n    encoding: csv\n    kinds: [event]\n", "kinds"),
        ("    path: out/a.ndjson\n    redact: { fields: { response_code: hash } }\n", "redact"),
    ];
    for (lines, key) in wrong {
        let folder = folder_with(&format!("{DEMO}sinks:\n  table:\n    type: file\n{lines}"));
        let output = pump(folder.path(), &["check", "-c", "pipeline.yaml"]);
        assert_eq!(output.status.code(), Some(2), "{lines}");
        let error = text(&output.stderr);
        assert!(error.contains(&format!("sinks.table.{key}")), "{error}");
    }
}

#[test]
fn the_plugins_and_their_keys_are_listed() {
    let folder = TempDir::new().expect("a folder");
    let list = text(&pump(folder.path(), &["plugins"]).stdout);
    for plugin in ["demo", "redis_list", "file", "stdout", "null"] {
        assert!(list.contains(plugin), "{list}");
    }
    let keys = text(&pump(folder.path(), &["plugins", "file"]).stdout);
    assert!(keys.contains("compression") && keys.contains("rotate.max_size"), "{keys}");
    let schema = text(&pump(folder.path(), &["schema"]).stdout);
    let schema: serde_json::Value = serde_json::from_str(&schema).expect("a schema is JSON");
    assert!(schema["properties"]["sinks"].is_object());
}

#[test]
fn the_demo_ends_in_time_and_its_files_hold_everything() {
    let folder = TempDir::new().expect("a folder");
    let begin = Instant::now();
    let output = pump(folder.path(), &["demo"]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert!(begin.elapsed() < Duration::from_secs(20), "{:?}", begin.elapsed());
    let said = text(&output.stdout);
    assert!(said.contains("203.0.113.66") && said.contains("slowest paths"), "{said}");
    let again = pump(folder.path(), &["demo", "--records", "1000"]);
    assert!(again.status.success(), "{}", text(&again.stderr));
    let log = pump(folder.path(), &["log", "inspect", "--json", "demo-out/log"]);
    let log: serde_json::Value = serde_json::from_slice(&log.stdout).expect("a report");
    assert_eq!(log["lanes"][0]["cursor"], log["end"], "{log}");
    let (mut json, mut csv) = (0, 0);
    for entry in std::fs::read_dir(folder.path().join("demo-out")).expect("it is there") {
        let path = entry.expect("it can be read").path();
        if path.ends_with("log") {
            continue;
        }
        let lines = std::fs::read_to_string(&path).expect("text");
        match path.extension().and_then(|ending| ending.to_str()) {
            Some("ndjson") => {
                json += lines.lines().count();
                assert!(!lines.contains("QmVhcmVy"), "a bearer token is in {}", path.display());
            }
            Some("csv") => csv += lines.lines().count() - 1,
            _ => panic!("{} is not whole", path.display()),
        }
    }
    assert_eq!((json, csv), (41_000, 41_000));
}

#[test]
fn standard_output_carries_records_and_nothing_else() {
    let folder = folder_with(&format!(
        "{DEMO}sinks:\n  screen:\n    type: stdout\n    format: tyk\nadmin: {{ listen: \"127.0.0.1:0\" }}\n"
    ));
    let output = pump(folder.path(), &["run", "-c", "pipeline.yaml", "--drain"]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let lines = text(&output.stdout);
    assert_eq!(lines.lines().count(), 500);
    for line in lines.lines() {
        let line: serde_json::Value = serde_json::from_str(line).expect("each line is JSON");
        assert!(line["tyk-analytics-record"]["api_id"].is_string());
    }
}

#[test]
fn a_reader_that_goes_away_makes_the_sink_unavailable_and_the_pump_can_still_be_stopped() {
    let folder = folder_with(
        "sources:\n  gateway:\n    type: demo\nsinks:\n  screen:\n    type: stdout\nadmin: { listen: \"127.0.0.1:0\" }\nshutdown_timeout: 1s\n",
    );
    let mut child = Command::new(env!("CARGO_BIN_EXE_pump"))
        .args(["run", "-c", "pipeline.yaml"])
        .current_dir(folder.path())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("it runs");
    drop(child.stdout.take());
    std::thread::sleep(Duration::from_secs(2));
    assert_eq!(child.try_wait().expect("it can be asked"), None);
    let pid = rustix::process::Pid::from_raw(child.id() as i32).expect("a process has a number");
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).expect("told");
    assert!(child.wait().expect("it ends").success());
}

#[test]
fn the_endpoints_tell_how_it_stands() {
    let folder = TempDir::new().expect("a folder");
    let pipeline =
        "sources:\n  gateway:\n    type: demo\nsinks:\n  files:\n    type: file\n    path: out/a.ndjson\n";
    let mut running = PumpProcess::start(folder.path(), "only", pipeline, &[]);
    running.wait_until(Duration::from_secs(10), "delivered", |status| {
        status["lanes"][0]["records"]["delivered"].as_u64() > Some(0)
    });
    for path in ["/livez", "/readyz", "/health", "/hello"] {
        assert_eq!(running.get(path).0, 200, "{path}: {}", running.get(path).1);
    }
    assert_eq!(running.get("/nothing").0, 404);
    let status = running.status();
    assert_eq!(status["lanes"][0]["name"], "files");
    assert!(status["config_hash"].is_string());
    let (code, metrics) = running.get("/metrics");
    assert_eq!(code, 200);
    let mut promtool = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("promtool is there: scripts/setup.sh installs it");
    promtool.stdin.take().expect("piped").write_all(metrics.as_bytes()).expect("written");
    let said = promtool.wait_with_output().expect("it ends");
    assert!(said.status.success(), "{}{}", text(&said.stdout), text(&said.stderr));
    running.stop();
}

#[test]
fn a_required_sink_that_cannot_be_reached_is_a_reason_not_to_be_ready() {
    let folder = TempDir::new().expect("a folder");
    std::fs::write(folder.path().join("file"), "no folder").expect("written");
    let pipeline =
        "sources:\n  gateway:\n    type: demo\nsinks:\n  files:\n    type: file\n    path: file/a.ndjson\n";
    let mut running = PumpProcess::start(folder.path(), "only", pipeline, &[]);
    running.wait_until(Duration::from_secs(10), "unavailable", |status| {
        status["lanes"][0]["state"] == "unavailable"
    });
    let (code, reasons) = running.get("/readyz");
    assert_eq!(code, 503);
    assert!(reasons.contains("\"sink\":\"files\"") && reasons.contains("cannot write"), "{reasons}");
    assert_eq!(running.get("/livez").0, 200);
    running.stop();
}
