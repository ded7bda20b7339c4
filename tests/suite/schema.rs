//! What `pump schema` gives to editors: files that are right pass it, files that are wrong fail it where a schema can
//! say what is wrong.
//!
//! Files are read as an editor reads them: by another reader of YAML, with references as they stand.

use std::fs;
use std::path::{Path, PathBuf};

use boon::{Compiler, SchemaIndex, Schemas};
use pump_core::config::pipeline_schema;

/// Wrong files that an editor takes for right, and why a schema cannot say it.
const BEYOND: &[(&str, &str)] = &[
    ("08_no_sinks", "several files are laid together, and another one may have the sinks"),
    ("14_missing_variable", "an editor does not know the environment"),
    ("15_missing_secret_file", "nor the files of the machine that the pump runs on"),
    ("23_source_of_a_sink", "a name in one place has to stand in another"),
    ("24_no_required_sink", "what several entries say has to be seen together"),
    ("34_retry_order", "one duration has to be longer than another"),
    ("42_contradictions_of_redis", "which keys go together depends on the values of others"),
    ("43_contradiction_in_dead_letters", "which keys go together depends on the values of others"),
    ("48_small_disk_log", "a size is a text, and texts are not larger or smaller"),
    ("50_contradictions_of_a_webhook", "what templates in texts say, and which keys go together"),
    ("56_statsd_names", "which names go together depends on the values of others"),
    (
        "51_property_of_ours",
        "properties of librdkafka have any name; which are the pump's own, the sink knows",
    ),
];

/// What an editor holds a file to.
struct Editor(Schemas, SchemaIndex);

impl Editor {
    fn new() -> Self {
        let schema = pipeline_schema(pump::builtin().catalog()).to_value();
        let (mut schemas, mut compiler) = (Schemas::new(), Compiler::new());
        compiler.add_resource("pump.json", schema).expect("it is JSON");
        let index =
            compiler.compile("pump.json", &mut schemas).unwrap_or_else(|error| panic!("no schema: {error}"));
        Self(schemas, index)
    }

    /// What it underlines; nothing for a file that is right.
    fn errors(&self, text: &str) -> String {
        // As a tree of YAML first, which knows of keys that are there twice.
        let file = serde_norway::from_str::<serde_norway::Value>(text).map(serde_json::to_value);
        match file {
            Ok(Ok(file)) => {
                self.0.validate(&file, self.1).err().map(|error| format!("{error:#}")).unwrap_or_default()
            }
            Ok(Err(error)) => error.to_string(),
            Err(error) => error.to_string(),
        }
    }
}

fn files(folder: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let entries = fs::read_dir(folder).expect("the folder is there");
    let mut files: Vec<_> = entries.map(|entry| entry.expect("it can be read").path()).collect();
    files.retain(|path| path.extension().is_some_and(|end| end == "yaml" || end == "json"));
    files.sort();
    files
}

#[test]
fn every_example_file_passes_the_schema() {
    let editor = Editor::new();
    for path in files("configs") {
        let text = fs::read_to_string(&path).expect("it is text");
        let errors = editor.errors(&text);
        assert!(errors.is_empty(), "{}: {}", path.display(), errors);
    }
}

#[test]
fn every_wrong_file_fails_the_schema_where_a_schema_can_say_so() {
    let editor = Editor::new();
    let mut passed = Vec::new();
    for path in files("tests/wrong") {
        let text = fs::read(&path).expect("it can be read");
        if editor.errors(&String::from_utf8_lossy(&text)).is_empty() {
            passed.push(path.file_stem().expect("it has a name").to_string_lossy().into_owned());
        }
    }
    let is_known = |name: &&String| BEYOND.iter().any(|(known, _)| known == name);
    let unknown: Vec<_> = passed.iter().filter(|name| !is_known(name)).collect();
    assert!(unknown.is_empty(), "these pass the schema, and BEYOND does not say why: {unknown:?}");
    let failing = BEYOND.iter().find(|(known, _)| !passed.iter().any(|name| name == known));
    assert_eq!(failing, None, "the schema can say what is wrong here: take it out of BEYOND");
}

#[test]
fn a_reference_is_right_wherever_a_value_has_a_type() {
    let editor = Editor::new();
    let file = "
sources: { gateway: { type: demo, records: \"${COUNT}\", rate: \"${RATE:-10/s}\" } }
sinks:
  archive:
    type: file
    path: \"${LOG_DIR}/a.ndjson\"
    encoding: \"${ENCODING}\"
    compression: \"${COMPRESSION:-gzip}\"
    rotate: { max_size: \"${SIZE}MiB\", max_age: \"${file:age}\" }
    required: \"${REQUIRED}\"
    max_in_flight: \"${MAX}\"
    kinds: [\"${KIND}\"]
    format: \"${FORMAT}\"
    timeout: \"${TIMEOUT}\"
    filter: { response_codes: [\"${CODE}\"] }
log: { type: disk, path: /log, max_size: \"${SIZE}\" }
admin: { listen: \"127.0.0.1:${PORT}\" }
telemetry: { log: { level: \"${LEVEL}\" } }
";
    assert_eq!(editor.errors(file), "");
    let mistakes =
        [("${REQUIRED}", "perhaps"), ("${COUNT}", "many"), ("${MAX}", "two"), ("${FORMAT}", "ty$k")];
    for (reference, mistake) in mistakes {
        let errors = editor.errors(&file.replace(reference, mistake));
        assert!(!errors.is_empty(), "{mistake} is right for {reference}");
    }
}
