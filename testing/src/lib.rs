//! Real servers for the tests: started on free ports in folders of their own, ended by their process.
//!
//! A server that is not installed fails the test and says what to do: nothing is skipped.

mod authority;
mod certificates;
mod faulty_proxy;
mod http_server;
mod kafka_server;
mod lossy_proxy;
mod redis_cluster;
mod redis_sentinels;
mod redis_server;
mod s3_server;
mod search_server;
mod statsd_servers;
mod webhook_receiver;

pub use authority::Authority;
pub use certificates::Certificates;
pub use faulty_proxy::{Fault, FaultyProxy};
pub use http_server::{HttpReaction, HttpReply, HttpRequest, HttpServer, exchange};
pub use kafka_server::{KAFKA_PASSWORD, KAFKA_USER, KafkaMessage, KafkaOptions, KafkaServer};
pub use lossy_proxy::LossyProxy;
pub use redis_cluster::RedisCluster;
pub use redis_sentinels::RedisSentinels;
pub use redis_server::{Program, RedisOptions, RedisServer};
pub use s3_server::{S3Server, WRITER, WRITER_SECRET};
pub use search_server::SearchServer;
pub use statsd_servers::{EtsyStatsd, StatsdExporter};
pub use webhook_receiver::WebhookReceiver;

use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;

/// An address on the loopback interface that nobody listens on now.
///
/// # Panics
/// When there is none.
pub fn free_address() -> SocketAddr {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("there is a free port");
    listener.local_addr().expect("it is bound")
}

/// Where `scripts/setup.sh` puts what it fetches.
fn cache() -> PathBuf {
    let of = |name| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let cache = of("XDG_CACHE_HOME").or_else(|| Some(of("HOME")?.join(".cache")));
    cache.expect("HOME is set").join("pump")
}
