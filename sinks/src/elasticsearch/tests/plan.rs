//! What a pipeline file can say and what it cannot.

use pump_core::config::TlsConfig;
use pump_core::plugin::PlanError;

use super::*;

fn refused(config: &ElasticsearchConfig, format: Option<Format>) -> PlanError {
    match ElasticsearchSink::plan(config, format) {
        Ok(_) => panic!("{config:?} was taken"),
        Err(error) => error,
    }
}

#[test]
fn each_setting_that_makes_no_sense_is_refused_with_its_name() {
    let base = config(&["http://h".to_owned()]);
    let with = |change: &dyn Fn(&mut ElasticsearchConfig)| {
        let mut config = base.clone();
        change(&mut config);
        config
    };
    let nothing = AuthConfig::default();
    for (key, format, config) in [
        ("index", None, with(&|config| config.index = "Tyk".into())),
        ("index", None, with(&|config| config.index = "tyk-%Q".into())),
        ("index", None, with(&|config| (config.index, config.data_stream) = ("tyk-%Y".into(), true))),
        ("op", None, with(&|config| (config.op, config.data_stream) = (Op::Index, true))),
        ("extended", None, with(&|config| config.extended = true)),
        ("extended", Some(Format::Full), with(&|config| config.extended = true)),
        ("auth", None, with(&|config| config.auth = Some(nothing.clone()))),
        ("tls", None, with(&|config| config.tls.cert_file = Some("cert.pem".into()))),
        ("tls", None, with(&|config| config.tls.ca_file = Some("ca.pem".into()))),
    ] {
        assert_eq!(&*refused(&config, format).key, key);
    }
}

#[test]
fn the_plan_names_what_will_be_contacted() {
    let config = config(&["http://a:9200".to_owned(), "https://b/search".to_owned()]);
    let plan = ElasticsearchSink::plan(&config, Some(Format::Tyk)).expect("it is sound");
    assert_eq!(plan.targets, ["a:9200", "b:443"]);
    assert_eq!(plan.body.expect("it has bodies").encoder.key(), "elasticsearch-tyk");
}

#[tokio::test]
async fn files_that_cannot_be_read_are_named() {
    let mut config = config(&["https://h".to_owned()]);
    config.tls = TlsConfig { ca_file: Some("/nowhere/ca.pem".into()), ..TlsConfig::default() };
    let context = SinkContext { name: "test".into(), format: None, timeout: Duration::from_secs(30) };
    let Err(error) = ElasticsearchSink::open(config, context).await else { panic!("it opened") };
    assert!(error.to_string().contains("/nowhere/ca.pem"), "{error}");
}
