//! Documents and example files are true: tables of keys come from the types, examples are right.

use std::fs;
use std::path::Path;

use pump_core::config::{DiskLogConfig, SinkKeys, StatsdTelemetry, key_table, load, schema_of};

const BEGIN: &str = "<!-- keys: from the types; UPDATE_DOCUMENTS=1 make test writes them -->\n";
const END: &str = "<!-- end of keys -->\n";

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Holds a page's table to `table`, or writes it there when asked to.
fn hold(page: &str, table: &str) {
    let path = root().join(page);
    let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{page}: {error}"));
    let begin = text.find(BEGIN).unwrap_or_else(|| panic!("{page} has no line {BEGIN}")) + BEGIN.len();
    let end = begin + text[begin..].find(END).unwrap_or_else(|| panic!("{page} has no line {END}"));
    if std::env::var_os("UPDATE_DOCUMENTS").is_some() {
        fs::write(&path, format!("{}{table}{}", &text[..begin], &text[end..])).expect("written");
    } else {
        assert_eq!(&text[begin..end], table, "{page} is out of date: UPDATE_DOCUMENTS=1 make test");
    }
}

#[test]
fn every_plugins_page_has_the_keys_of_its_type() {
    let registry = pump::builtin();
    for plugin in registry.catalog().sources() {
        hold(&format!("docs/sources/{}.md", plugin.name()), &key_table(&plugin.schema()).to_markdown());
    }
    for plugin in registry.catalog().sinks() {
        hold(&format!("docs/sinks/{}.md", plugin.name()), &key_table(&plugin.schema()).to_markdown());
    }
}

#[test]
fn the_page_on_the_pipeline_file_has_what_every_sink_has() {
    hold("docs/pipeline-file.md", &key_table(&schema_of::<SinkKeys>()).to_markdown());
}

#[test]
fn the_page_on_the_disk_log_has_its_keys() {
    hold("docs/disk-log.md", &key_table(&schema_of::<DiskLogConfig>()).to_markdown());
}

#[test]
fn the_page_on_metrics_has_the_keys_of_statsd() {
    hold("docs/metrics.md", &key_table(&schema_of::<StatsdTelemetry>()).to_markdown());
}

#[test]
fn every_example_file_is_right() {
    let registry = pump::builtin();
    for entry in fs::read_dir(root().join("configs")).expect("the folder is there") {
        let path = entry.expect("it can be read").path();
        if let Err(errors) = load(std::slice::from_ref(&path), &|_| None, registry.catalog()) {
            panic!("{}: {errors}", path.display());
        }
    }
}
