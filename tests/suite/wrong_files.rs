//! What the pump says of wrong pipeline files: one file a mistake in `tests/wrong/`, one snapshot each.

use std::path::Path;

use pump_core::config::{
    Catalog, ConfigErrors, Pipeline, SinkKeys, key_table, load_text, pipeline_schema, schema_of,
};

fn catalog() -> Catalog {
    pump::builtin().catalog().clone()
}

/// The only variables there are: the word `hunter2` must never come out again.
fn environment(name: &str) -> Option<String> {
    let value = match name {
        "PASSWORD" => "hunter2",
        "SIZE" => "hunter2MiB",
        "COUNT" => "70",
        "WORD" => "hunter2",
        "TYPE" => "hunter2",
        _ => return None,
    };
    Some(value.to_owned())
}

#[test]
fn wrong_files_are_refused_with_what_to_do() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/wrong");
    let mut files: Vec<_> = std::fs::read_dir(&folder)
        .expect("the folder is there")
        .map(|entry| entry.expect("it can be read").path())
        .collect();
    files.retain(|path| path.extension().is_some_and(|end| end == "yaml" || end == "json"));
    files.sort();
    assert!(files.len() >= 30, "there are only {} wrong files", files.len());
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path("../wrong/snapshots");
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    for path in files {
        let text = std::fs::read_to_string(&path).expect("it is text");
        let stem = path.file_stem().expect("it has a name").to_string_lossy().into_owned();
        let name = path.file_name().expect("it has a name").to_string_lossy().into_owned();
        let errors = match load_text(&name, &text, &environment, &catalog()) {
            Ok(pipeline) => {
                errors_of_plugins(&pipeline).unwrap_or_else(|| panic!("{name} is not wrong")).to_string()
            }
            Err(errors) => errors.to_string(),
        };
        assert!(!errors.contains("hunter2"), "{name} shows a secret:\n{errors}");
        settings.bind(|| insta::assert_snapshot!(stem, errors));
    }
}

/// What only the plugins know to be wrong.
fn errors_of_plugins(pipeline: &Pipeline) -> Option<ConfigErrors> {
    let registry = pump::builtin();
    let sources = pipeline.sources.iter().filter_map(|entry| {
        registry.plan_source(&entry.type_name).expect("it was loaded")(&entry.plugin).err()
    });
    let sinks = pipeline.sinks.iter().filter_map(|entry| {
        registry.plan_sink(&entry.type_name).expect("it was loaded")(&entry.plugin, entry.keys.format).err()
    });
    let errors: Vec<_> = sources.chain(sinks).flatten().collect();
    (!errors.is_empty()).then_some(ConfigErrors(errors))
}

#[test]
fn no_plugin_uses_the_name_of_an_engine_key() {
    let engine = key_table(&schema_of::<SinkKeys>());
    for plugin in catalog().sinks() {
        for key in key_table(&plugin.schema()).top_level() {
            assert!(key != "type" && engine.top_level().all(|own| own != key), "{}: {key}", plugin.name());
        }
    }
    for plugin in catalog().sources() {
        assert!(key_table(&plugin.schema()).top_level().all(|key| key != "type"), "{}", plugin.name());
    }
}

#[test]
fn every_key_is_described() {
    let catalog = catalog();
    for plugin in catalog.sources().iter().chain(catalog.sinks()) {
        let text = key_table(&plugin.schema()).to_markdown();
        assert!(!text.contains("|  |\n"), "a key of {} has no description:\n{text}", plugin.name());
    }
}

#[test]
fn the_schema_for_editors_refers_only_to_what_it_defines() {
    let schema = pipeline_schema(&catalog()).to_value();
    fn visit(root: &serde_json::Value, value: &serde_json::Value) {
        match value {
            serde_json::Value::Object(object) => {
                if let Some(target) = object.get("$ref").and_then(|target| target.as_str()) {
                    assert!(root.pointer(&target[1..]).is_some(), "{target} is not defined");
                }
                object.values().for_each(|value| visit(root, value));
            }
            serde_json::Value::Array(items) => items.iter().for_each(|value| visit(root, value)),
            _ => {}
        }
    }
    visit(&schema, &schema);
    assert!(schema["$defs"]["sink.file"]["properties"]["max_in_flight"].is_object());
}

#[test]
fn the_tables_of_keys_are_as_they_were() {
    let catalog = catalog();
    let mut text = String::new();
    for plugin in catalog.sources().iter().chain(catalog.sinks()) {
        text += &format!("# {}\n\n{}\n", plugin.name(), key_table(&plugin.schema()).to_text());
    }
    text += &key_table(&schema_of::<SinkKeys>()).to_markdown();
    insta::assert_snapshot!(text);
}
