//! `examples/own-sink`, a pump with a sink that is no part of pump: built as its author would build it, held to the
//! suite, and used in a pipeline file like any other.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use pump_testing::RedisServer;
use redis::Commands as _;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn folder() -> PathBuf {
    root().join("examples/own-sink")
}

/// Where this test's own program was built: what both packages need is built once.
fn target() -> PathBuf {
    let program = Path::new(env!("CARGO_BIN_EXE_pump"));
    program.ancestors().nth(2).expect("a profile's folder in the folder of targets").to_owned()
}

fn cargo(arguments: &[&str]) {
    let mut command = Command::new(env!("CARGO"));
    command.args(arguments).arg("--offline").current_dir(folder()).env("CARGO_TARGET_DIR", target());
    let settings = profile();
    assert!(settings.len() >= 3, "no settings in Cargo.toml: {settings:?}");
    // To this package pump's crates are what others wrote, which is optimized; it takes longer than the tests.
    let ours = ["pump", "pump-core", "pump-sources", "pump-sinks"];
    let ours = ours.map(|name| format!("profile.dev.package.{name}.opt-level=0"));
    for setting in settings.iter().chain(&ours) {
        command.args(["--config", setting]);
    }
    succeeded(&command.output().expect("cargo runs"));
}

/// How this workspace builds what others wrote: built in the same way, it is built once for both.
fn profile() -> Vec<String> {
    let manifest = fs::read_to_string(root().join("Cargo.toml")).expect("it is text");
    let (mut section, mut settings) = (None, Vec::new());
    for line in manifest.lines() {
        if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            section = name.starts_with("profile.dev").then_some(name);
        } else if let Some(section) = section
            && let Some((key, value)) = line.split_once(" = ")
        {
            settings.push(format!("{section}.{key}={value}"));
        }
    }
    settings
}

fn succeeded(output: &Output) -> String {
    let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{}\n{}", text(&output.stdout), text(&output.stderr));
    text(&output.stdout)
}

#[test]
fn a_sink_of_ones_own_behaves_and_is_used_like_any_other() {
    let code = fs::read_to_string(folder().join("src/main.rs")).expect("it is text");
    assert!(code.lines().count() <= 60, "a sink and its pump take more than 60 lines");

    // The versions that this workspace has, which are here already.
    fs::copy(root().join("Cargo.lock"), folder().join("Cargo.lock")).expect("written");
    // Together, since its suite and its program then share one build of pump.
    cargo(&["build", "--bins", "--tests"]);
    cargo(&["test"]);
    let program = target().join("debug/own-sink");
    let pump =
        |arguments: &[&str]| succeeded(&Command::new(&program).args(arguments).output().expect("it runs"));

    assert!(pump(&["plugins"]).contains("  redis_hash\n"));
    assert!(pump(&["plugins"]).contains("  webhook\n"), "the built-in ones are there too");
    let keys = pump(&["plugins", "redis_hash"]);
    assert!(keys.contains("The hash that records are put into."), "{keys}");
    let schema: serde_json::Value = serde_json::from_str(&pump(&["schema"])).expect("it is JSON");
    let properties = &schema["$defs"]["sink.redis_hash"]["properties"];
    assert_eq!(properties["key"]["type"], "string", "its own keys");
    assert!(properties["batch"].is_object(), "the engine's keys");

    let server = RedisServer::start();
    let file = folder().join("pipeline.yaml");
    let home = tempfile::tempdir().expect("a folder");
    let run = Command::new(&program)
        .args(["run", "--drain", "-c"])
        .arg(file)
        .env("REDIS_URL", server.url())
        .current_dir(home.path())
        .output();
    succeeded(&run.expect("it runs"));
    let records: usize = server.connection().hlen("records").expect("redis answers");
    assert_eq!(records, 1_000);
}
