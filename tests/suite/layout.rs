//! The rules of the workspace's layout, kept by a test instead of a reviewer.

use std::fs;
use std::path::{Path, PathBuf};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn text(path: impl AsRef<Path>) -> String {
    let path = root().join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Every Rust file below a folder.
fn rust_files(folder: &str) -> Vec<PathBuf> {
    fn visit(folder: &Path, files: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(folder).expect("the folder is there") {
            let path = entry.expect("it can be read").path();
            if path.is_dir() {
                visit(&path, files);
            } else if path.extension().is_some_and(|ending| ending == "rs") {
                files.push(path);
            }
        }
    }
    let mut files = Vec::new();
    visit(&root().join(folder), &mut files);
    files
}

/// The plugins of a crate: its folders.
fn plugins(crate_name: &str) -> Vec<String> {
    let entries = fs::read_dir(root().join(crate_name).join("src")).expect("the crate is there");
    entries
        .map(|entry| entry.expect("it can be read"))
        .filter(|entry| entry.path().is_dir())
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect()
}

#[test]
fn members_name_no_versions_of_their_own() {
    for member in ["pump-core", "sources", "sinks"] {
        let manifest = text(format!("{member}/Cargo.toml"));
        let own = manifest.lines().find(|line| line.contains("version = "));
        assert_eq!(own, None, "{member}/Cargo.toml pins a version itself");
    }
}

#[test]
fn the_core_knows_no_client_library() {
    let manifest = text("pump-core/Cargo.toml");
    for client in ["redis", "reqwest", "hyper", "rdkafka", "aws", "elasticsearch", "axum", "cadence", "zstd"]
    {
        // The disk log can do without zstd, and is built without it where nothing may be C.
        let is_exception =
            |line: &str| client == "zstd" && line.contains("dep:zstd") || line.contains("optional = true");
        let is_named = manifest.lines().any(|line| line.starts_with(client) && !is_exception(line));
        assert!(!is_named, "pump-core depends on {client}");
    }
}

/// Plugins use the plugin interface and what belongs to it, never the engine, the log or each other.
#[test]
fn plugins_know_the_plugin_interface_only() {
    for (own, other) in [("sources", "pump_sinks"), ("sinks", "pump_sources")] {
        for file in rust_files(own) {
            // A simulation runs whole pumps, and is part of the tests alone.
            if file.components().any(|part| part.as_os_str() == "simulation") {
                continue;
            }
            let code = fs::read_to_string(&file).expect("it is text");
            for forbidden in [other, "pump_core::engine", "pump_core::log", "pump_core::accounting"] {
                assert!(!code.contains(forbidden), "{} uses {forbidden}", file.display());
            }
            for plugin in plugins(own) {
                let is_own = file.components().any(|part| part.as_os_str() == plugin.as_str());
                let names_it = code.contains(&format!("crate::{plugin}::"));
                assert!(is_own || !names_it, "{} uses the plugin {plugin}", file.display());
            }
        }
    }
}

/// What adding a plugin takes: this names whatever is missing.
#[test]
fn every_plugin_is_listed_shown_and_described() {
    let list = text("src/lib.rs");
    let examples: String = fs::read_dir(root().join("configs"))
        .expect("the folder is there")
        .map(|entry| fs::read_to_string(entry.expect("it can be read").path()).expect("it is text"))
        .collect();
    for crate_name in ["sources", "sinks"] {
        for plugin in plugins(crate_name) {
            assert!(
                list.contains(&format!("pump_{crate_name}::{plugin}::")),
                "src/lib.rs does not list {plugin}"
            );
            let uses = [format!("type: {plugin}\n"), format!("type: \"{plugin}\"\n")];
            assert!(uses.iter().any(|line| examples.contains(line)), "no file in configs/ uses {plugin}");
            let page = format!("docs/{crate_name}/{plugin}.md");
            assert!(root().join(&page).is_file(), "{page} is missing");
            let manifest = text(format!("{crate_name}/Cargo.toml"));
            assert!(
                manifest.contains(&format!("\n{plugin} = ")),
                "{crate_name}/Cargo.toml has no feature {plugin}"
            );
            assert!(
                root().join(crate_name).join("src").join(&plugin).join("config.rs").is_file(),
                "{crate_name}/{plugin} has no config.rs"
            );
        }
    }
}

#[test]
fn a_file_is_read_in_one_sitting() {
    for folder in ["src", "pump-core/src", "sources/src", "sinks/src"] {
        for file in rust_files(folder) {
            let lines = fs::read_to_string(&file).expect("it is text").lines().count();
            let limit = if file.ends_with("tests.rs") { 800 } else { 520 };
            assert!(lines <= limit, "{}: {lines} lines; is there a second noun in it?", file.display());
        }
    }
}
