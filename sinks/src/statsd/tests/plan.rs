//! What a pipeline file can say and what it cannot.

use super::*;

#[test]
fn each_setting_that_makes_no_sense_is_refused_with_its_name() {
    let with = |change: &dyn Fn(&mut StatsdConfig)| {
        let mut config = config("udp://h:1");
        change(&mut config);
        config
    };
    let tyk = |config: &mut StatsdConfig| config.naming = Naming::Tyk;
    let dogstatsd = |config: &mut StatsdConfig| (config.naming, config.tags) = (Naming::Tyk, Tags::Dogstatsd);
    for (key, config) in [
        ("by", with(&|config| config.by = by(&["nothing"]))),
        ("by", with(&|config| config.by = by(&["raw_request"]))),
        ("by", with(&|config| config.by = by(&["timestamp"]))),
        ("by", with(&|config| config.by = by(&["tags"]))),
        ("by", with(&|config| config.by = by(&["api_id", "api_id"]))),
        ("by", with(&|config| (tyk(config), config.by = by(&["raw_response"])).1)),
        ("by", with(&|config| (tyk(config), config.by = by(&["tracked"])).1)),
        ("by", with(&|config| (dogstatsd(config), config.by = by(&["api_key"])).1)),
        ("separated_method", with(&|config| config.separated_method = true)),
        ("separated_method", with(&|config| (dogstatsd(config), config.separated_method = true).1)),
        ("fields", with(&|config| config.fields.push(TimeField::RequestTime))),
        ("fields", with(&|config| (tyk(config), config.fields.clear()).1)),
        ("max_datagram", with(&|config| config.max_datagram = ByteSize(100))),
        ("max_datagram", with(&|config| config.max_datagram = ByteSize::kib(64))),
    ] {
        let Err(error) = StatsdSink::plan(&config, None) else { panic!("{config:?} was taken") };
        assert_eq!(&*error.key, key, "{error}");
    }
    let Err(error) = StatsdSink::plan(&config("h:1"), Some(Format::Tyk)) else { panic!("it was taken") };
    assert_eq!(&*error.key, "format");
}

#[test]
fn the_plan_names_what_will_be_contacted_and_what_is_taken() {
    let mut own = config("statsd.internal:8125");
    let plan = StatsdSink::plan(&own, None).expect("it is sound");
    assert_eq!(plan.targets, ["statsd.internal:8125"]);
    assert_eq!(plan.kinds, [Kind::Transaction, Kind::Uptime]);
    assert!(plan.body.is_none() && !plan.takes_additions);
    own.naming = Naming::Tyk;
    assert_eq!(StatsdSink::plan(&own, None).expect("it is sound").kinds, [Kind::Transaction]);
    let plan = StatsdSink::plan(&config("unix:///run/statsd.socket"), None).expect("it is sound");
    assert!(plan.targets.is_empty());
}
