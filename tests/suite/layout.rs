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
fn plugins(root: &Path, crate_name: &str) -> Vec<String> {
    let entries = fs::read_dir(root.join(crate_name).join("src")).expect("the crate is there");
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
            for plugin in plugins(root(), own) {
                let is_own = file.components().any(|part| part.as_os_str() == plugin.as_str());
                let names_it = code.contains(&format!("crate::{plugin}::"));
                assert!(is_own || !names_it, "{} uses the plugin {plugin}", file.display());
            }
        }
    }
}

/// What a plugin takes besides its code, and does not have yet.
pub(crate) fn missing(root: &Path) -> Vec<String> {
    let text = |path: &str| fs::read_to_string(root.join(path)).unwrap_or_default();
    let (list, manifest, table) = (text("src/lib.rs"), text("Cargo.toml"), text("docs/sinks.md"));
    let examples = all_text(&root.join("configs"));
    let mut missing = Vec::new();
    for crate_name in ["sources", "sinks"] {
        let package = format!("pump-{crate_name}");
        let always =
            manifest.lines().find(|line| line.starts_with(&package) && line.contains(" features = ["));
        let own_manifest = text(&format!("{crate_name}/Cargo.toml"));
        for plugin in plugins(root, crate_name) {
            let folder = format!("{crate_name}/src/{plugin}");
            let code = all_text(&root.join(&folder));
            let is_sink = crate_name == "sinks";
            let page = format!("docs/{crate_name}/{plugin}.md");
            let uses = [format!("type: {plugin}\n"), format!("type: \"{plugin}\"\n")];
            let has_feature = manifest.contains(&format!("\"{package}/{plugin}\""))
                || always.is_some_and(|line| line.contains(&format!("\"{plugin}\"")));
            // Nothing comes out of it again that the suite could read.
            let is_held = !is_sink || plugin == "null" || code.contains("behaviour::behaves(");
            let is_in_table = !is_sink || plugin == "null" || table.contains(&format!("| [{plugin}]("));
            for (is_there, what) in [
                (
                    list.contains(&format!("pump_{crate_name}::{plugin}::")),
                    "a line in the list, src/lib.rs".to_owned(),
                ),
                (
                    own_manifest.contains(&format!("\n{plugin} = ")),
                    format!("a feature in {crate_name}/Cargo.toml"),
                ),
                (has_feature, format!("a feature in Cargo.toml that brings {package}/{plugin}")),
                (root.join(&folder).join("config.rs").is_file(), format!("{folder}/config.rs with its keys")),
                (uses.iter().any(|line| examples.contains(line)), "an example file in configs/".to_owned()),
                (root.join(&page).is_file(), format!("a page, {page}")),
                (code.contains("#[cfg(test)]") || plugin == "null", "tests".to_owned()),
                (is_held, "the suite: a test that calls behaviour::behaves".to_owned()),
                (
                    is_in_table,
                    "a row in docs/sinks.md, which the suite writes with UPDATE_DOCUMENTS=1".to_owned(),
                ),
            ] {
                if !is_there {
                    missing.push(format!("{crate_name}/{plugin} has not got {what}"));
                }
            }
        }
    }
    missing
}

/// All files below a folder, one after the other.
fn all_text(folder: &Path) -> String {
    let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let paths = entries.map(|entry| entry.expect("it can be read").path());
    paths
        .map(|path| match path.is_dir() {
            true => all_text(&path),
            false => fs::read_to_string(&path).unwrap_or_default(),
        })
        .collect()
}

/// What adding a plugin takes: this names whatever is missing.
#[test]
fn every_plugin_is_listed_shown_described_and_held_to_the_suite() {
    let missing = missing(root());
    assert!(
        missing.is_empty(),
        "`make new-sink` and `make new-source` write all of it:\n{}",
        missing.join("\n")
    );
}

#[test]
fn whatever_a_plugin_lacks_is_named() {
    let copy = tempfile::tempdir().expect("a folder");
    for folder in ["src", "configs", "sources/src", "sinks/src/lonely"] {
        fs::create_dir_all(copy.path().join(folder)).expect("made");
    }
    let missing = missing(copy.path()).join("\n");
    for what in [
        "the list",
        "sinks/Cargo.toml",
        "in Cargo.toml",
        "config.rs",
        "configs/",
        "a page",
        "tests",
        "suite",
        "row",
    ] {
        assert!(missing.contains(what), "{what} is not named:\n{missing}");
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
