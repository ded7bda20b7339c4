//! What a pipeline file may say.

use super::*;

fn refused(config: &WebhookConfig) -> PlanError {
    match WebhookSink::plan(config, None) {
        Ok(_) => panic!("{config:?} is taken"),
        Err(error) => error,
    }
}

#[test]
fn each_setting_that_makes_no_sense_is_refused_with_its_name() {
    let base = config("https://h/hook");
    let with = |change: &dyn Fn(&mut WebhookConfig)| {
        let mut config = base.clone();
        change(&mut config);
        config
    };
    let header = |name: &str, value: &str| BTreeMap::from([(name.to_owned(), Secret::new(value))]);
    let bearer = || AuthConfig { bearer: Some(Secret::new("token")), ..AuthConfig::default() };
    let signed = |secret: &str, header: &str| {
        Some(SignatureConfig { secret: Secret::new(secret), header: header.to_owned() })
    };
    for (key, config) in [
        ("url", with(&|config| (config.url, config.allow_plain_http) = (Secret::new("http://h"), false))),
        ("url", with(&|config| config.url = Secret::new("https://u:hunter2@h"))),
        ("auth", with(&|config| config.auth = Some(AuthConfig::default()))),
        (
            "auth.api_key",
            with(&|config| {
                config.auth = Some(AuthConfig { api_key: Some(Secret::new("k")), ..AuthConfig::default() });
            }),
        ),
        ("tls", with(&|config| config.tls.cert_file = Some("cert.pem".into()))),
        (
            "tls",
            with(&|config| {
                (config.url, config.tls.ca_file) = (Secret::new("http://h"), Some("ca.pem".into()));
            }),
        ),
        ("headers.Content-Length", with(&|config| config.headers = header("Content-Length", "1"))),
        ("headers.idempotency-key", with(&|config| config.headers = header("idempotency-key", "1"))),
        ("headers.a b", with(&|config| config.headers = header("a b", "1"))),
        ("headers.a", with(&|config| config.headers = header("a", "1\n2"))),
        (
            "headers.x-a",
            with(&|config| {
                config.headers = [header("X-A", "1"), header("x-a", "2")].into_iter().flatten().collect();
            }),
        ),
        (
            "headers.Authorization",
            with(&|config| {
                (config.headers, config.auth) = (header("Authorization", "x"), Some(bearer()));
            }),
        ),
        (
            "headers.x-s",
            with(&|config| {
                (config.headers, config.signature) = (header("x-s", "x"), signed(SIGNING, "X-S"));
            }),
        ),
        ("signature.secret", with(&|config| config.signature = signed("", "X-S"))),
        ("signature.header", with(&|config| config.signature = signed(SIGNING, "a b"))),
        ("signature.header", with(&|config| config.signature = signed(SIGNING, "Host"))),
        ("body", with(&|config| config.body = Some("{}".into()))),
        ("record", with(&|config| config.record = Some("{".into()))),
        (
            "body",
            with(&|config| {
                (config.encoding, config.body) = (WebhookEncoding::Ndjson, Some("\"{records}\"".into()));
            }),
        ),
        (
            "record",
            with(&|config| {
                (config.encoding, config.record) = (WebhookEncoding::Single, Some("\"{record}\"".into()));
            }),
        ),
    ] {
        let error = refused(&config);
        assert_eq!(&*error.key, key, "{error}");
        assert!(!error.to_string().contains("hunter2"), "{error}");
    }
}

#[test]
fn the_plan_says_what_the_engine_needs() {
    let plan = WebhookSink::plan(&config("https://h/hook"), None).expect("it is sound");
    assert_eq!(plan.targets, ["h:443"]);
    assert_eq!(plan.body.expect("it has bodies").encoder.key(), "full");
    assert!(plan.repeats_batches && plan.takes_additions && plan.route.is_constant());
    let plan = WebhookSink::plan(&single("http://h:8080"), Some(Format::Tyk)).expect("it is sound");
    assert_eq!((plan.targets, plan.batch.max_records), (vec!["h:8080".to_owned()], 100));
    assert_eq!(plan.body.expect("it has bodies").encoder.key(), "tyk-record");
    assert!(!plan.repeats_batches);
}
