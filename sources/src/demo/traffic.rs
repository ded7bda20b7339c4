//! Made-up traffic of a gateway, in the bytes that a gateway would leave in its buffer.
//!
//! Five APIs with their own paths, callers, latencies and faults; one of them is recorded in detail.
//! A twentieth into the run somebody tries stolen credentials against the login for a while. The same
//! seed gives the same traffic, but for the time of day.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use pump_core::record::Timestamp;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use rmp::encode as msgpack;

/// One API behind the made-up gateway.
struct Api {
    id: &'static str,
    name: &'static str,
    listen_path: &'static str,
    paths: &'static [(&'static str, &'static str)],
    /// Of the upstream, in milliseconds.
    latency_ms: (u32, u32),
    /// Answers with 5xx, in a thousand.
    faults: u32,
    is_detailed: bool,
}

const APIS: [Api; 5] = [
    Api {
        id: "3f1c7a52d0e84b6c8a7e5d1f90b2c4a1",
        name: "Accounts",
        listen_path: "/accounts/",
        paths: &[("POST", "/login"), ("GET", "/me"), ("PUT", "/me"), ("POST", "/logout")],
        latency_ms: (8, 60),
        faults: 2,
        is_detailed: false,
    },
    Api {
        id: "8d20b9e64c3f4f1fb5a97c6e0d8a3b72",
        name: "Catalogue",
        listen_path: "/catalogue/",
        paths: &[("GET", "/products"), ("GET", "/products/{id}"), ("GET", "/search")],
        latency_ms: (3, 40),
        faults: 1,
        is_detailed: false,
    },
    Api {
        id: "b47e5f0c92a1483dae6d1c8f7b3052e9",
        name: "Orders",
        listen_path: "/orders/",
        paths: &[("POST", "/orders"), ("GET", "/orders/{id}"), ("DELETE", "/orders/{id}")],
        latency_ms: (20, 240),
        faults: 8,
        is_detailed: true,
    },
    Api {
        id: "e61a0d83b7c94250a8f3e9d5c1b76f04",
        name: "Payments",
        listen_path: "/payments/",
        paths: &[("POST", "/charges"), ("GET", "/charges/{id}"), ("POST", "/refunds")],
        latency_ms: (60, 900),
        faults: 25,
        is_detailed: false,
    },
    Api {
        id: "5c98d3f1e07b4a6693b2f8a4d6c01e75",
        name: "Reports",
        listen_path: "/reports/",
        paths: &[("GET", "/daily"), ("GET", "/export")],
        latency_ms: (200, 2_500),
        faults: 12,
        is_detailed: false,
    },
];
const ORG: &str = "5e9d9544a1dcd60001d0ed20";
const AGENTS: [&str; 4] = [
    "okhttp/4.12.0",
    "python-requests/2.32.3",
    "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0",
    "ShopApp/7.3 (iOS 18.1)",
];
/// Who tries stolen credentials.
const ATTACKER: &str = "203.0.113.66";

/// Makes records one after the other.
pub struct Traffic {
    random: StdRng,
    made: u64,
    /// Records between which the attack runs.
    attack: std::ops::Range<u64>,
}

/// What one record says.
struct Request<'a> {
    api: &'a Api,
    method: &'a str,
    /// As configured, and as it was called.
    path: &'a str,
    raw_path: String,
    status: u16,
    key: String,
    ip: String,
    agent: &'a str,
    upstream_ms: u32,
    gateway_ms: u32,
}

impl Traffic {
    /// Traffic of so many records; an endless run is attacked early on.
    pub fn new(seed: u64, records: Option<u64>) -> Self {
        let total = records.unwrap_or(100_000);
        let attack = total / 20..total / 20 + (total / 12).min(10_000);
        Self { random: StdRng::seed_from_u64(seed), made: 0, attack }
    }

    /// Appends one record as a gateway writes it. `alias` is the name that its key was given; tests
    /// put a number there, by which they know the record again.
    pub fn write(&mut self, now: Timestamp, alias: &str, out: &mut Vec<u8>) {
        // While it lasts, the attack is as loud as all others together.
        let is_attack = self.attack.contains(&self.made) && self.made.is_multiple_of(2);
        let request = if is_attack { self.stolen_credentials() } else { self.ordinary() };
        self.made += 1;
        write_record(&request, now, alias, out).expect("writing into memory does not fail");
    }

    fn ordinary(&mut self) -> Request<'static> {
        let random = &mut self.random;
        let api = &APIS[[0, 1, 1, 1, 1, 2, 2, 3, 3, 4][random.random_range(0..10)]];
        let (method, path) = api.paths[random.random_range(0..api.paths.len())];
        let raw_path = path.replace("{id}", &random.random_range(1_000..90_000).to_string());
        let status = match random.random_range(0..1_000) {
            draw if draw < api.faults => [500, 502, 503, 504][random.random_range(0..4)],
            draw if draw < api.faults + 15 => 404,
            draw if draw < api.faults + 22 => 429,
            draw if draw < api.faults + 28 => 401,
            _ if method == "POST" => 201,
            _ => 200,
        };
        let (fast, slow) = api.latency_ms;
        // Most are near the fast end, a few far from it.
        let draw: f64 = random.random();
        let mut upstream_ms = fast + (f64::from(slow - fast) * draw.powi(6)) as u32;
        if matches!(status, 401 | 429) {
            upstream_ms = 0;
        }
        Request {
            api,
            method,
            path,
            raw_path,
            status,
            key: if status == 401 {
                String::new()
            } else {
                format!("{ORG}key{:04}", random.random_range(0..40))
            },
            ip: format!("198.51.100.{}", random.random_range(1..250)),
            agent: AGENTS[random.random_range(0..AGENTS.len())],
            upstream_ms,
            gateway_ms: random.random_range(0..3),
        }
    }

    fn stolen_credentials(&mut self) -> Request<'static> {
        let random = &mut self.random;
        // Once in a while one of them fits.
        let status = if random.random_range(0..400) == 0 { 200 } else { 401 };
        Request {
            api: &APIS[0],
            method: "POST",
            path: "/login",
            raw_path: "/login".into(),
            status,
            key: format!("{:016x}", random.random::<u64>()),
            ip: ATTACKER.into(),
            agent: "python-requests/2.32.3",
            upstream_ms: random.random_range(9..30),
            gateway_ms: 1,
        }
    }
}

/// The 35 fields in the order in which a current gateway writes them.
fn write_record(
    request: &Request<'_>,
    now: Timestamp,
    alias: &str,
    out: &mut Vec<u8>,
) -> Result<(), std::io::Error> {
    let Request { api, method, path, raw_path, status, key, ip, agent, upstream_ms, gateway_ms } = request;
    let moment = now.civil();
    let total_ms = i64::from(upstream_ms + gateway_ms);
    let host = format!("{}.upstream.example", api.name.to_ascii_lowercase());
    let (raw_request, raw_response) = if api.is_detailed { dump(request, &host) } else { Default::default() };
    let original_path = format!("{}{}", api.listen_path, raw_path.trim_start_matches('/'));
    let tags = [format!("key-{key}"), format!("org-{ORG}"), format!("api-{}", api.id)];

    msgpack::write_map_len(out, 35)?;
    text(out, "Method", method)?;
    text(out, "Host", &host)?;
    text(out, "Path", path)?;
    text(out, "RawPath", raw_path)?;
    int(out, "ContentLength", if *method == "GET" { 0 } else { 64 })?;
    text(out, "UserAgent", agent)?;
    int(out, "Day", i64::from(moment.day))?;
    int(out, "Month", i64::from(moment.month))?;
    int(out, "Year", moment.year)?;
    int(out, "Hour", i64::from(moment.hour))?;
    int(out, "ResponseCode", i64::from(*status))?;
    text(out, "APIKey", key)?;
    time(out, "TimeStamp", now)?;
    text(out, "APIVersion", "Non Versioned")?;
    text(out, "APIName", api.name)?;
    text(out, "APIID", api.id)?;
    text(out, "OrgID", ORG)?;
    text(out, "OauthID", "")?;
    int(out, "RequestTime", total_ms)?;
    text(out, "RawRequest", &raw_request)?;
    text(out, "RawResponse", &raw_response)?;
    text(out, "IPAddress", ip)?;
    map(out, "Geo", 3)?;
    map(out, "Country", 1)?;
    text(out, "ISOCode", "")?;
    map(out, "City", 2)?;
    int(out, "GeoNameID", 0)?;
    nil(out, "Names")?;
    map(out, "Location", 3)?;
    float(out, "Latitude", 0.0)?;
    float(out, "Longitude", 0.0)?;
    text(out, "TimeZone", "")?;
    map(out, "Network", 4)?;
    for name in ["OpenConnections", "ClosedConnection", "BytesIn", "BytesOut"] {
        int(out, name, 0)?;
    }
    map(out, "Latency", 3)?;
    int(out, "Total", total_ms)?;
    int(out, "Upstream", i64::from(*upstream_ms))?;
    int(out, "Gateway", i64::from(*gateway_ms))?;
    msgpack::write_str(out, "Tags")?;
    msgpack::write_array_len(out, tags.len() as u32)?;
    tags.iter().try_for_each(|tag| Ok::<_, std::io::Error>(msgpack::write_str(out, tag)?))?;
    text(out, "Alias", alias)?;
    bool(out, "TrackPath", path.contains('{'))?;
    time(out, "ExpireAt", Timestamp { seconds: now.seconds + 3_153_600_000, ..now })?;
    text(out, "ApiSchema", "")?;
    text(out, "OriginalPath", &original_path)?;
    text(out, "ListenPath", api.listen_path)?;
    map(out, "GraphQLStats", 7)?;
    text(out, "Variables", "")?;
    nil(out, "RootFields")?;
    nil(out, "Types")?;
    nil(out, "Errors")?;
    int(out, "OperationType", 0)?;
    bool(out, "HasErrors", false)?;
    bool(out, "IsGraphQL", false)?;
    map(out, "MCPStats", 4)?;
    bool(out, "IsMCP", false)?;
    for name in ["JSONRPCMethod", "PrimitiveType", "PrimitiveName"] {
        text(out, name, "")?;
    }
    text(out, "CollectionName", "")
}

/// Request and response as they were on the wire, in base64.
fn dump(request: &Request<'_>, host: &str) -> (String, String) {
    let Request { method, raw_path, status, key, agent, .. } = request;
    let asked = format!(
        "{method} {raw_path} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: {agent}\r\nAuthorization: Bearer {key}\r\n\
         Content-Type: application/json\r\n\r\n{{\"items\":[{{\"sku\":\"A-1\",\"count\":2}}]}}"
    );
    let answered = format!(
        "HTTP/1.1 {status} \r\nContent-Type: application/json\r\n\r\n{{\"status\":{status},\"path\":\"{raw_path}\"}}"
    );
    (STANDARD.encode(asked), STANDARD.encode(answered))
}

fn text(out: &mut Vec<u8>, name: &str, value: &str) -> Result<(), std::io::Error> {
    msgpack::write_str(out, name)?;
    Ok(msgpack::write_str(out, value)?)
}

fn int(out: &mut Vec<u8>, name: &str, value: i64) -> Result<(), std::io::Error> {
    msgpack::write_str(out, name)?;
    msgpack::write_sint(out, value)?;
    Ok(())
}

fn float(out: &mut Vec<u8>, name: &str, value: f64) -> Result<(), std::io::Error> {
    msgpack::write_str(out, name)?;
    Ok(msgpack::write_f64(out, value)?)
}

fn bool(out: &mut Vec<u8>, name: &str, value: bool) -> Result<(), std::io::Error> {
    msgpack::write_str(out, name)?;
    msgpack::write_bool(out, value)
}

fn nil(out: &mut Vec<u8>, name: &str) -> Result<(), std::io::Error> {
    msgpack::write_str(out, name)?;
    msgpack::write_nil(out)
}

fn map(out: &mut Vec<u8>, name: &str, members: u32) -> Result<(), std::io::Error> {
    msgpack::write_str(out, name)?;
    msgpack::write_map_len(out, members)?;
    Ok(())
}

/// A pair of seconds and nanoseconds, as the gateway's old library wrote times.
fn time(out: &mut Vec<u8>, name: &str, value: Timestamp) -> Result<(), std::io::Error> {
    msgpack::write_str(out, name)?;
    msgpack::write_array_len(out, 2)?;
    msgpack::write_sint(out, value.seconds)?;
    msgpack::write_sint(out, i64::from(value.nanos))?;
    Ok(())
}
