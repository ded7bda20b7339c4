//! `make new-sink` and `make new-source`: what they write compiles, is complete, and passes its tests, in a copy of the
//! project; what they refuse changes nothing.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use tempfile::TempDir;

use crate::layout;

/// What a copy needs; the rest is large, or made by tools.
const PARTS: &[&str] = &[
    ".ci",
    "Cargo.lock",
    "Cargo.toml",
    "Makefile",
    "benches",
    "configs",
    "docs",
    "examples",
    "fixtures",
    "pump-core",
    "rustfmt.toml",
    "scripts",
    "sinks",
    "sources",
    "src",
    "testing",
    "tests",
];

fn copy() -> TempDir {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let copy = TempDir::new().expect("a folder");
    let copied =
        Command::new("cp").arg("--recursive").args(PARTS).arg(copy.path()).current_dir(root).output();
    succeeded(&copied.expect("cp is there"));
    copy
}

fn make(copy: &Path, target: &str, name: &str) -> Output {
    let name = format!("NAME={name}");
    Command::new("make").args([target, &name]).current_dir(copy).output().expect("make is there")
}

fn succeeded(output: &Output) -> String {
    let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{}\n{}", text(&output.stdout), text(&output.stderr));
    text(&output.stdout)
}

/// Every file below a folder, with what is in it.
fn files(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut all = Vec::new();
    for entry in fs::read_dir(folder).expect("it is there") {
        let path = entry.expect("it can be read").path();
        match path.is_dir() {
            true => all.extend(files(&path)),
            false => all.push((path.clone(), fs::read(&path).expect("it can be read"))),
        }
    }
    all.sort();
    all
}

#[test]
fn a_new_sink_and_a_new_source_compile_pass_their_tests_and_lack_nothing() {
    let copy = copy();
    let said = succeeded(&make(copy.path(), "new-sink", "moon_base"));
    assert!(said.contains("--features moon_base --lib moon_base::"), "{said}");
    succeeded(&make(copy.path(), "new-source", "crater"));

    let mut cargo = Command::new(env!("CARGO"));
    // Under this workspace's own settings for what others wrote, which is built already, and under other ones for what
    // is ours, so that nothing of the copy is taken for this workspace's.
    for package in ["pump", "pump-core", "pump-sinks", "pump-sources", "pump-testing"] {
        cargo.args(["--config", &format!("profile.dev.package.{package}.debug=0")]);
    }
    let target = Path::new(env!("CARGO_BIN_EXE_pump")).ancestors().nth(2).expect("target/debug/pump");
    let tested = cargo
        .args(["test", "--offline", "--locked", "--workspace", "--lib", "--", "moon_base::", "crater::"])
        .current_dir(copy.path())
        .env("CARGO_TARGET_DIR", target)
        .env("UPDATE_DOCUMENTS", "1")
        .output();
    let said = succeeded(&tested.expect("cargo runs"));
    assert_eq!(said.matches(" ... ok").count(), 3, "{said}");
    assert_eq!(layout::missing(copy.path()), [""; 0]);
    let formatted =
        Command::new(env!("CARGO")).args(["fmt", "--all", "--check"]).current_dir(copy.path()).output();
    succeeded(&formatted.expect("cargo fmt is there"));
}

#[test]
fn a_name_that_is_none_or_is_taken_is_refused_and_nothing_changes() {
    let copy = copy();
    let before = files(copy.path());
    for (target, name, reason) in [
        ("new-sink", "", "say its name"),
        ("new-sink", "9lives", "no name of a plugin"),
        ("new-sink", "Moon", "no name of a plugin"),
        ("new-sink", "moon-base", "no name of a plugin"),
        ("new-sink", "../moon", "no name of a plugin"),
        ("new-sink", "match", "is taken"),
        ("new-sink", "file", "sinks/src/file is there already"),
        ("new-sink", "http", "sinks/src/http.rs is there already"),
        ("new-source", "redis_list", "sources/src/redis_list is there already"),
        ("new-source", "elasticsearch", "Cargo.toml has something of the name"),
    ] {
        let output = make(copy.path(), target, name);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && said.contains(reason), "{target} {name}: {said}");
    }
    // The list of plugins is not as the script knows it: found out at the end, and yet nothing is left behind.
    fs::write(copy.path().join("src/lib.rs"), "").expect("written");
    let output = make(copy.path(), "new-sink", "moon_base");
    assert!(!output.status.success());
    fs::copy(Path::new(env!("CARGO_MANIFEST_DIR")).join("src/lib.rs"), copy.path().join("src/lib.rs"))
        .expect("copied");
    assert!(files(copy.path()) == before, "something has changed");
}
