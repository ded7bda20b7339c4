//! Settings of the `statsd` sink.

use pump_core::config::{ByteSize, StatsdAddress, StatsdPrefix, StatsdTags};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Settings of the `statsd` sink.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StatsdConfig {
    /// Where the daemon listens: `udp://host:port`, `tcp://host:port` or `unix:///path`.
    pub address: StatsdAddress,
    /// What every name begins with; a dot follows it.
    #[serde(default)]
    pub prefix: StatsdPrefix,
    /// How metrics are named.
    #[serde(default)]
    pub naming: Naming,
    /// Where the values of `by` stand.
    #[serde(default)]
    pub tags: StatsdTags,
    /// Which times are sent. `safe` counts records besides.
    #[serde(default = "request_time")]
    pub fields: Vec<TimeField>,
    /// The fields whose values tell series apart, in their order. Without this key: `safe` takes `api_id`, `method`
    /// and `response_code`, `tyk` what Tyk Pump takes.
    #[serde(default)]
    pub by: Option<Vec<String>>,
    /// With `naming: tyk` and `tags: none`: the method is not a part of `path`, and may stand in `by`.
    #[serde(default)]
    pub separated_method: bool,
    /// How many series there may be; records of further ones count for the series `other`. One that was not
    /// seen for an hour makes room.
    #[serde(default = "ten_thousand")]
    #[schemars(range(min = 1, max = 1_000_000))]
    pub max_series: u32,
    /// How large a datagram may be, and a line in a stream.
    #[serde(default = "of_an_ethernet")]
    pub max_datagram: ByteSize,
}

/// How metrics are named.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Naming {
    /// Every value is escaped: no record can make a name that is not its own.
    #[default]
    Safe,
    /// As Tyk Pump names them, unescaped.
    Tyk,
}

/// A time that a record tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TimeField {
    /// The whole request, or health check.
    RequestTime,
    /// The whole request, as the gateway breaks it down.
    LatencyTotal,
    /// The upstream's part.
    LatencyUpstream,
    /// The gateway's own part.
    LatencyGateway,
}

impl TimeField {
    /// All of them.
    pub(super) const ALL: [Self; 4] =
        [Self::RequestTime, Self::LatencyTotal, Self::LatencyUpstream, Self::LatencyGateway];

    /// As it stands in names.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::RequestTime => "request_time",
            Self::LatencyTotal => "latency_total",
            Self::LatencyUpstream => "latency_upstream",
            Self::LatencyGateway => "latency_gateway",
        }
    }
}

impl StatsdConfig {
    /// So that names have room in the smallest datagram.
    pub(super) const LONGEST_PREFIX: usize = 128;
    /// The least that `max_datagram` may be: a datagram that every network carries.
    pub(super) const LEAST_DATAGRAM: ByteSize = ByteSize(508);
    /// The most: what UDP carries over IPv4.
    pub(super) const LARGEST_DATAGRAM: ByteSize = ByteSize(65_507);
}

fn request_time() -> Vec<TimeField> {
    vec![TimeField::RequestTime]
}

fn ten_thousand() -> u32 {
    10_000
}

/// 1,500 less the headers of IPv6 and UDP, and a little for tunnels.
fn of_an_ethernet() -> ByteSize {
    ByteSize(1_432)
}
