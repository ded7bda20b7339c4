use std::fs;
use std::path::PathBuf;

use super::{catalog, environment, load, load_sink, messages};
use crate::config::{
    ByteSize, ConfigDuration, ConfigErrors, DeadLetterConfig, Format, MaxAge, MaxInFlight, Pipeline,
    load as load_paths,
};
use crate::record::Kind;

const SMALLEST: &str = "sources: { a: { type: demo } }\nsinks: { out: { type: 'null' } }\n";

fn load_files(files: &[(&str, &str)], named: &[&str]) -> Result<Pipeline, ConfigErrors> {
    let folder = tempfile::tempdir().expect("there is room");
    for (name, text) in files {
        fs::write(folder.path().join(name), text).expect("it can be written");
    }
    let paths: Vec<PathBuf> = named.iter().map(|name| folder.path().join(name)).collect();
    load_paths(&paths, &environment, &catalog())
}

#[test]
fn what_is_left_out_has_its_default() {
    let pipeline = load(SMALLEST).expect("it is sound");
    assert_eq!(pipeline.log.max_size(), ByteSize::mib(32));
    assert_eq!(pipeline.admin.listen.to_string(), "127.0.0.1:8083");
    assert_eq!(pipeline.shutdown_timeout, ConfigDuration::secs(25));
    assert!(pipeline.record_id.is_none());
    let DeadLetterConfig::Directory(directory) = &pipeline.dead_letters else { panic!("it is a directory") };
    assert_eq!((directory.path.as_str(), directory.max_size), ("./dead-letters", ByteSize::gib(1)));
    let sink = &pipeline.sinks[0];
    assert_eq!((sink.name.as_str(), sink.type_name.as_str()), ("out", "null"));
    assert_eq!(sink.sources, ["a"]);
    assert!(sink.keys.required);
    assert_eq!(
        (sink.keys.max_in_flight, sink.keys.timeout),
        (MaxInFlight::Fixed(2), ConfigDuration::secs(30))
    );
    assert_eq!(sink.keys.retry.max_age, MaxAge::Never);
}

#[test]
fn every_key_of_the_engine_is_read_and_the_rest_left_to_the_plugin() {
    let pipeline = load_sink(
        "    name: mine
    sources: [a, pump]
    kinds: [transaction, event]
    filter: { api_ids: [a1, a2], skip_response_codes: [404] }
    omit: [raw_request]
    redact: { headers: [authorization], fields: { api_key: hash } }
    add: { cluster: eu1, rack: '7' }
    required: true
    batch: { max_records: 5000, max_bytes: 4MiB, max_age: 1s }
    max_in_flight: 1
    rate_limit: 20000/s
    timeout: 10s
    retry: { initial: 1s, max: 1m, max_age: 24h }
    format: tyk
",
    )
    .expect("it is sound");
    let sink = &pipeline.sinks[0];
    assert_eq!(sink.sources, ["a", "pump"]);
    assert_eq!(sink.keys.kinds, Some(vec![Kind::Transaction, Kind::Event]));
    assert_eq!(sink.keys.filter.skip_response_codes, [404]);
    assert_eq!(sink.keys.redact.fields["api_key"], crate::edit::FieldMode::Hash);
    assert_eq!(sink.keys.add["rack"], "7");
    assert_eq!(sink.keys.batch.max_bytes, Some(ByteSize::mib(4)));
    assert_eq!(sink.keys.format, Some(Format::Tyk));
    let own: super::TestConfig = sink.plugin.read().expect("it was checked");
    assert_eq!(own.name.as_deref(), Some("mine"));
}

#[test]
fn files_and_directories_come_together() {
    let pipeline = load_files(
        &[
            ("b.yml", "sinks: { two: { type: 'null' } }"),
            ("a.json", "{\"sinks\": {\"one\": {\"type\": \"null\"}}}"),
            ("readme.md", "no pipeline"),
            (".hidden.yaml", "nor this"),
            ("main.yaml", "sources: { a: { type: demo } }"),
        ],
        &[""],
    )
    .expect("it is sound");
    let names: Vec<_> = pipeline.sinks.iter().map(|sink| sink.name.as_str()).collect();
    assert_eq!(names, ["one", "two"]);
}

#[test]
fn a_name_in_two_files_is_an_error_with_both_places() {
    let errors = load_files(
        &[
            ("a.yaml", SMALLEST),
            ("b.yaml", "sinks:\n  out: { type: 'null' }\nlog: {}\n"),
            ("c.yaml", "log: {}\n"),
        ],
        &["a.yaml", "b.yaml", "c.yaml"],
    )
    .expect_err("two sinks have one name");
    assert_eq!(messages(&errors), ["the name `out` is used twice", "the section `log` is used twice"]);
    let shown = errors.to_string();
    assert!(shown.contains("b.yaml:2:3  sinks.out") && shown.contains("a.yaml:2:10"), "{shown}");
    assert!(shown.contains("c.yaml:1:1  log") && shown.contains("b.yaml:3:1"), "{shown}");
}

#[test]
fn the_same_name_may_be_a_source_and_a_sink() {
    assert!(load("sources: { a: { type: demo } }\nsinks: { a: { type: 'null' } }\n").is_ok());
}

#[test]
fn what_cannot_be_read_is_named_and_nothing_else_is_blamed_on_it() {
    let errors = load_files(&[("a.yaml", "sources: { a: { type: demo } }")], &["a.yaml", "b.yaml"]);
    let errors = errors.expect_err("there is no such file");
    assert_eq!(errors.0.len(), 1);
    assert!(errors.0[0].message().contains("b.yaml cannot be read"), "{errors}");
    let errors = load_files(
        &[("a.yaml", "sources: [\n"), ("b.yaml", "sinks: { out: { type: 'null', sources: [a] } }")],
        &[""],
    );
    assert_eq!(errors.expect_err("it is no YAML").0.len(), 1);
    assert!(
        load_files(&[], &[""]).expect_err("there is nothing").0[0]
            .message()
            .contains("holds no pipeline file")
    );
    assert!(load_files(&[], &[]).is_err());
}

#[test]
fn errors_of_a_types_own_code_have_the_place_and_the_path() {
    let errors = load_sink("    share: 1.5\n").expect_err("it is too much");
    assert_eq!(messages(&errors), ["1.5 is more than all"]);
    assert_eq!(errors.0[0].path(), "sinks.out.share");
    assert_eq!(errors.0[0].location().map(|place| (place.line, place.column)), Some((5, 12)));
}

#[test]
fn no_more_errors_are_shown_than_anyone_reads() {
    let sinks: String = (0..300).map(|number| format!("  s{number}: {{ type: nothing }}\n")).collect();
    let errors =
        load(&format!("sources: {{ a: {{ type: demo }} }}\nsinks:\n{sinks}")).expect_err("they are wrong");
    assert_eq!(errors.0.len(), 101);
    assert_eq!(errors.0[100].message(), "there are 200 more errors");
}

#[test]
fn the_hash_changes_with_the_configuration_and_with_nothing_else() {
    let hash = |text: &str| load(text).unwrap_or_else(|errors| panic!("{errors}")).hash;
    let original = hash(SMALLEST);
    assert_eq!(
        original,
        hash("# a comment\nsinks:\n  out:\n    type: \"null\"\nsources: { a: { type: demo } }\n")
    );
    assert_ne!(original, hash(&SMALLEST.replace("'null'", "'null', timeout: 10s")));
    let keyed = |key: &str| hash(&format!("{SMALLEST}record_id: {{ key: {key} }}\n"));
    assert_eq!(keyed("one"), keyed("'one'"));
    assert_ne!(keyed("one"), keyed("two"));
    assert_eq!(keyed("'${WORD}'"), keyed("hunter2"));
}

#[test]
fn a_plugin_can_give_its_own_errors_a_place() {
    let pipeline = load_sink("    count: 5\n").expect("it is sound");
    let error = pipeline.sinks[0].plugin.error("count", "five is too many");
    assert_eq!(error.to_string(), "error: five is too many\n --> pipeline.yaml:5:12  sinks.out.count");
}
