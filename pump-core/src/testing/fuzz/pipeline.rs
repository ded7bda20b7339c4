//! The pipeline file, with plugins that have every type of value that a plugin's settings may have.
//!
//! A file is read or refused, the same each time. What is wrong has its place in the file, fits on a
//! terminal, and shows no secret: neither what a reference brought in nor what is written in the file.

use std::sync::LazyLock;

use schemars::JsonSchema;
use serde::Deserialize;

use crate::config::{
    AuthConfig, ByteSize, Catalog, ConfigDuration, ConfigErrors, DeadLetterRedisList, HostPort, HttpUrl,
    ListenAddress, Mapping, MaxAge, Node, Pipeline, Rate, Secret, StatsdAddress, StatsdPrefix, TlsConfig,
    Value, lines_of, load_text, tree_of,
};

/// Settings of an invented sink.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "only read from a file")]
struct SearchConfig {
    endpoints: Option<Vec<HttpUrl>>,
    auth: Option<AuthConfig>,
    tls: Option<TlsConfig>,
    password: Option<Secret>,
    server: Option<HostPort>,
    listen: Option<ListenAddress>,
    size: Option<ByteSize>,
    rate: Option<Rate>,
    daemon: Option<StatsdAddress>,
    prefix: Option<StatsdPrefix>,
    max_age: Option<MaxAge>,
    lease: Option<ConfigDuration>,
    count: Option<u32>,
    share: Option<f64>,
    is_on: Option<bool>,
}

static CATALOG: LazyLock<Catalog> =
    LazyLock::new(|| Catalog::new().source::<DeadLetterRedisList>("redis_list").sink::<SearchConfig>("null"));

/// What the environment's variables hold; no input contains it by chance.
const FROM_ENVIRONMENT: &str = "k7Zw91fromTheEnvironment";
/// Keys that hold secrets in the settings of a plugin.
const SECRET_KEYS: [&str; 3] = ["password", "sentinel_password", "api_key"];

fn environment(name: &str) -> Option<String> {
    match name {
        "NUMBER" => Some("7".into()),
        "SECRET" => Some(FROM_ENVIRONMENT.into()),
        "URL" => Some(format!("redis://:{FROM_ENVIRONMENT}@127.0.0.1:6379/0")),
        "REFERENCE" => Some(format!("${{SECRET}}{FROM_ENVIRONMENT}")),
        _ => None,
    }
}

pub(super) fn run(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    // What a fuzzer names is not opened: some files have no end.
    if text.contains("${file:") {
        return;
    }
    let loaded = load(&text);
    let shown = match &loaded {
        Ok(pipeline) => format!("{pipeline:?}"),
        Err(errors) => {
            wrong(&text, errors);
            format!("{errors}{errors:?}")
        }
    };
    assert!(text.contains(FROM_ENVIRONMENT) || !shown.contains(FROM_ENVIRONMENT), "{shown}");
    for secret in written_secrets(&text) {
        assert!(!shown.contains(&secret), "`{secret}` in {shown}");
    }
    match (loaded, load(&text)) {
        (Ok(first), Ok(second)) => assert_eq!(format!("{first:?}"), format!("{second:?}")),
        (Err(first), Err(second)) => assert_eq!(first, second),
        _ => panic!("the same file is right and wrong"),
    }
}

fn load(text: &str) -> Result<Pipeline, ConfigErrors> {
    load_text("pipeline.yaml", text, &environment, &CATALOG)
}

fn wrong(text: &str, errors: &ConfigErrors) {
    assert!(!errors.0.is_empty(), "wrong, and nobody says why");
    let lines = lines_of(text).count() as u32;
    for (index, error) in errors.0.iter().enumerate() {
        assert!(!error.message().is_empty());
        match error.location() {
            Some(place) => {
                assert_eq!(&*place.file, "pipeline.yaml");
                assert!((1..=lines + 1).contains(&place.line) && place.column >= 1, "{place}: {error}");
            }
            // How many more errors there are is said last, and of no place.
            None => {
                assert!(index + 1 == errors.0.len() && error.message().ends_with(" more errors"), "{error}")
            }
        }
    }
    let shown = errors.to_string();
    assert!(shown.chars().all(|c| c == '\n' || !c.is_control()), "{shown:?}");
}

/// Secrets that stand in the file in their places, and nowhere else in it.
fn written_secrets(text: &str) -> Vec<String> {
    let tree = tree_of(text);
    let mut secrets = Vec::new();
    let Some(Node { value: Value::Mapping(root), .. }) = &tree else { return secrets };
    for plugins in ["sources", "sinks"].iter().filter_map(|section| mapping(root, section)) {
        for entry in &plugins.entries {
            let Value::Mapping(settings) = &entry.value.value else { continue };
            add_secrets(settings, &SECRET_KEYS, &mut secrets);
            if let Some(auth) = mapping(settings, "auth") {
                add_secrets(auth, &SECRET_KEYS, &mut secrets);
                let basic = mapping(auth, "basic");
                basic.into_iter().for_each(|basic| add_secrets(basic, &SECRET_KEYS, &mut secrets));
            }
        }
    }
    let record_id = mapping(root, "record_id");
    record_id.into_iter().for_each(|section| add_secrets(section, &["key"], &mut secrets));
    secrets.retain(|secret| is_telling(secret) && text.matches(secret.as_str()).count() == 1);
    secrets
}

fn mapping<'m>(parent: &'m Mapping, key: &str) -> Option<&'m Mapping> {
    match &parent.get(key)?.value.value {
        Value::Mapping(mapping) => Some(mapping),
        _ => None,
    }
}

fn add_secrets(settings: &Mapping, keys: &[&str], secrets: &mut Vec<String>) {
    for entry in &settings.entries {
        if let (true, Value::String(text)) = (keys.contains(&&*entry.key), &entry.value.value) {
            secrets.push(text.clone());
        }
    }
}

/// Whether no word or number of a message is the same by chance.
fn is_telling(secret: &str) -> bool {
    secret.len() >= 7
        && secret.bytes().all(|byte| byte.is_ascii_alphanumeric())
        && secret.bytes().any(|byte| byte.is_ascii_digit())
        && secret.bytes().any(|byte| byte.is_ascii_alphabetic())
}
