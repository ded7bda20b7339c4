use std::time::Duration;

use proptest::prelude::*;

use crate::config::text_value::TextValue;
use crate::config::{
    ByteSize, ConfigDuration, HostPort, HttpUrl, ListenAddress, MaxAge, MaxInFlight, Rate, RedisUrl, Secret,
    StatsdAddress, StatsdPrefix,
};

fn is<T: TextValue + PartialEq>(text: &str, value: T) -> bool {
    text.parse() == Ok(value)
}

fn refused<T: TextValue>(texts: &[&str]) {
    for text in texts {
        assert!(text.parse::<T>().is_err(), "{text:?} was taken");
    }
}

#[test]
fn sizes_are_numbers_with_a_unit() {
    assert!(is("512B", ByteSize(512)));
    assert!(is("64KiB", ByteSize::kib(64)));
    assert!(is("8MiB", ByteSize::mib(8)));
    assert!(is("1GB", ByteSize(1_000_000_000)));
    assert!(is("3kB", ByteSize(3000)) && is("3KB", ByteSize(3000)));
    refused::<ByteSize>(&[
        "",
        "4",
        "MiB",
        "4M",
        "4Mi",
        "4mib",
        "4 MiB",
        "-4MiB",
        "+4MiB",
        "1.5MiB",
        "4MiB ",
        "99999999999999999999B",
        "99999999999TiB",
    ]);
}

#[test]
fn a_daemon_of_statsd_is_reached_by_udp_unless_the_address_says_otherwise() {
    let host = || HostPort { host: "statsd.internal".to_owned(), port: 8125 };
    assert!(is("statsd.internal:8125", StatsdAddress::Udp(host())));
    assert!(is("udp://statsd.internal:8125", StatsdAddress::Udp(host())));
    assert!(is("tcp://statsd.internal:8125", StatsdAddress::Tcp(host())));
    assert!(is("unix:///run/statsd.socket", StatsdAddress::Unix("/run/statsd.socket".into())));
    assert!(is("udp://[::1]:8125", StatsdAddress::Udp(HostPort { host: "::1".to_owned(), port: 8125 })));
    refused::<StatsdAddress>(&[
        "",
        "statsd",
        ":8125",
        "udp://statsd",
        "udp://statsd:0",
        "udp://statsd:99999",
        "http://statsd:8125",
        "udp://user@statsd:8125",
        "udp://statsd:8125/path",
        "unix://",
        "unix://run/statsd.socket",
        "unix:///run/",
        "/run/statsd.socket",
    ]);
}

#[test]
fn a_prefix_is_parts_of_a_name() {
    for text in ["", "pump", "gateway.eu-1.a_b", "9"] {
        let prefix: StatsdPrefix = text.parse().expect("it is one");
        assert_eq!(prefix.as_str(), text);
        assert_eq!(prefix.with_dot(), if text.is_empty() { String::new() } else { format!("{text}.") });
    }
    refused::<StatsdPrefix>(&[".", "a.", ".a", "a..b", "a:b", "a b", "a|b", "a\n", "é"]);
}

#[test]
fn durations_are_numbers_with_a_unit() {
    assert!(is("200ms", ConfigDuration::millis(200)));
    assert!(is("5m", ConfigDuration::secs(300)));
    assert!(is("1h", ConfigDuration::secs(3600)));
    assert!(is("90d", ConfigDuration::secs(90 * 86_400)));
    assert!(is("0s", ConfigDuration::secs(0)));
    refused::<ConfigDuration>(&[
        "",
        "1",
        "s",
        "1 s",
        "1.5s",
        "1h30m",
        "-1s",
        "5us",
        "5M",
        "36501d",
        "99999999999999999999d",
    ]);
    assert!(is("never", MaxAge::Never));
    assert!(is("24h", MaxAge::After(Duration::from_secs(86_400))));
    refused::<MaxAge>(&["Never", "forever", ""]);
}

#[test]
fn rates_are_records_a_second() {
    assert!(is("20000/s", Rate::per_second(20_000).expect("it is not zero")));
    refused::<Rate>(&["", "20000", "20000/m", "0/s", "/s", "5000000000/s", "1.5/s"]);
}

#[test]
fn an_address_to_listen_on_has_an_ip_and_a_port() {
    assert!("127.0.0.1:8083".parse::<ListenAddress>().is_ok() && "[::1]:80".parse::<ListenAddress>().is_ok());
    refused::<ListenAddress>(&["", ":8083", "localhost:8083", "127.0.0.1", "::1:80", "127.0.0.1:70000"]);
}

#[test]
fn a_redis_address_has_a_host() {
    for text in [
        "redis://h",
        "redis://h:6379/0",
        "redis://u:p@h:1/2",
        "redis://:a:b@c@h/",
        "redis://[::1]:6379/1",
        "rediss://h:6380",
        "unix:///run/redis/redis.sock",
    ] {
        assert!(text.parse::<RedisUrl>().is_ok(), "{text}");
    }
    refused::<RedisUrl>(&[
        "",
        "h:6379",
        "http://h",
        "unix://redis.sock",
        "unix:///",
        "unix:///tmp/redis?db=1",
        "redis://",
        "redis://:6379",
        "redis://h:x",
        "redis://h:6379/zero",
        "redis://::1",
        "redis://h:99999",
    ]);
}

#[test]
fn a_node_has_a_host_and_a_port() {
    assert_eq!("[::1]:6379".parse(), Ok(HostPort { host: "::1".into(), port: 6379 }));
    for text in ["h:1", "redis-1.internal:26379", "10.0.0.1:6379", "[::1]:6379"] {
        assert_eq!(text.parse::<HostPort>().map(|node| node.to_string()), Ok(text.to_owned()));
    }
    refused::<HostPort>(&["", "h", ":1", "h:", "h:x", "redis://h:1", "::1:1", "h:70000", "a@h:1", "h/0:1"]);
}

#[test]
fn an_http_address_has_a_host_and_no_credentials() {
    for (text, target) in [
        ("http://h", "h:80"),
        ("https://search.internal", "search.internal:443"),
        ("https://h:9200/", "h:9200"),
        ("http://[::1]:9200/behind/a/proxy", "[::1]:9200"),
        ("http://[::1]", "[::1]:80"),
    ] {
        let url: HttpUrl = text.parse().unwrap_or_else(|error| panic!("{text}: {error}"));
        assert_eq!((url.target().as_str(), url.as_str()), (target, text));
    }
    refused::<HttpUrl>(&[
        "",
        "h:9200",
        "ftp://h",
        "https://",
        "https://:9200",
        "http://h:x",
        "http://::1",
        "http://h:99999",
        "http://user:hunter2@h",
        "http://h/?a=b",
        "http://h/#a",
        "http://h /",
    ]);
}

#[test]
fn secrets_do_not_show_when_printed() {
    let url: RedisUrl = "rediss://user:hunter2@host:1/2".parse().expect("it is sound");
    assert_eq!((url.to_string().as_str(), url.database()), ("rediss://***@host:1/2", 2));
    let url: RedisUrl = "redis://user:hunter2@host:1/2".parse().expect("it is sound");
    assert_eq!(format!("{url} {url:?}"), "redis://***@host:1/2 \"redis://***@host:1/2\"");
    assert_eq!(format!("{:?}", Some(Secret::new("hunter2"))), "Some(***)");
}

proptest! {
    #[test]
    fn what_is_written_is_read_again(number in any::<u64>(), shift in 0u32..64) {
        let number = number >> shift;
        prop_assert!(is(&ByteSize(number).to_string(), ByteSize(number)));
        let duration = ConfigDuration::millis(number % (36_500 * 86_400_000));
        prop_assert!(is(&duration.to_string(), duration));
        if let Some(rate) = u32::try_from(number).ok().and_then(Rate::per_second) {
            prop_assert!(is(&rate.to_string(), rate));
        }
    }

    #[test]
    fn no_text_panics(text in "\\PC{0,12}|[0-9]{0,22}[a-zA-Z/:@\\[\\]]{0,5}|(redis|https?)://[a:@/\\[\\]0-9]{0,8}") {
        let _ = (text.parse::<ByteSize>(), text.parse::<ConfigDuration>(), text.parse::<Rate>());
        let _ = (text.parse::<MaxAge>(), text.parse::<ListenAddress>(), text.parse::<RedisUrl>().map(|url| url.to_string()));
        let _ = text.parse::<HttpUrl>().map(|url| url.target());
    }
}

#[test]
fn max_in_flight_is_a_number_or_one_word() {
    let read = |value: &str| {
        let pipeline = super::load_sink(&format!("    max_in_flight: {value}\n"));
        pipeline.map(|pipeline| pipeline.sinks[0].keys.max_in_flight)
    };
    for (value, expected) in [
        ("auto", MaxInFlight::Auto),
        ("1", MaxInFlight::Fixed(1)),
        ("64", MaxInFlight::Fixed(64)),
        ("${NUMBER}", MaxInFlight::Fixed(7)),
        ("${NONE:-auto}", MaxInFlight::Auto),
    ] {
        assert_eq!(read(value).unwrap_or_else(|errors| panic!("{errors}")), expected, "{value}");
    }
    for (value, expected) in [
        ("0", "expected `auto`, or an integer from 1 to 64, found 0"),
        ("65", "expected `auto`, or an integer from 1 to 64, found 65"),
        ("-1", "expected `auto`, or an integer from 1 to 64, found -1"),
        ("1.5", "expected `auto`, or an integer from 1 to 64, found a number"),
        ("'2'", "expected `auto`, or an integer from 1 to 64: a number stands without quotes"),
        ("Auto", "expected `auto`, or an integer from 1 to 64: there is no other word"),
        ("${WORD}", "expected `auto`, or an integer from 1 to 64, found another string (from ${WORD})"),
    ] {
        assert_eq!(super::messages(&read(value).expect_err("it is wrong")), [expected], "{value}");
    }
}
