//! Fills a Redis with made-up records, as gateways would: `fill_redis URL COUNT BYTES`.

#[path = "../tests/suite/gateway.rs"]
#[expect(dead_code, reason = "only pushing is needed here")]
mod gateway;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [url, count, bytes] = &arguments[..] else {
        eprintln!("usage: fill_redis URL COUNT BYTES");
        std::process::exit(2);
    };
    let number = |text: &String| text.parse().unwrap_or_else(|error| panic!("{text}: {error}"));
    gateway::push(url, 0, number(count), number(bytes) as usize);
}
