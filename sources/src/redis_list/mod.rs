//! The `redis_list` source: the lists that Tyk gateways append to, without losing a record.
//!
//! A gateway's list cannot be read in place: the gateway expires it as a whole, and whoever trims it
//! after a delay may trim what came later. So a pump takes the whole list in one atomic step, by
//! renaming it to a **segment**, a name that only pumps use. A segment never grows and has no TTL; its
//! records have absolute offsets, so trimming is idempotent and a late trim cannot remove what was not
//! delivered. Each segment belongs, under a lease, to the pump that holds its current token; when the
//! lease has passed, another pump takes it over with a new token and the former holder is refused.
//!
//! A record leaves Redis only at a segment's head, by the holder of the current token, below an offset
//! under which everything is settled.
//!
//! `keys` names things, `calls` is what Redis is asked, `server` asks it (each change is a Lua script), `lease` is the state of
//! what is held, `run` is the loop with `poll` and `settle`, `watch` tells the operator what is wrong.

mod calls;
mod chunks;
mod config;
mod keys;
mod lease;
#[cfg(test)]
mod model;
mod poll;
#[cfg(test)]
mod proof;
#[cfg(test)]
mod redis_model;
mod run;
mod scripts;
mod server;
mod settle;
#[cfg(test)]
mod simulation;
mod troubles;
mod watch;

use std::time::Duration;

use async_trait::async_trait;
use pump_core::plugin::{Buffer, PlanError, Port, Source, SourceContext, SourceError, SourcePlan};
use pump_core::record::Kind;

use calls::Calls;
pub use config::{Eviction, OnMemory, RedisListConfig};
use keys::{ListKeys, lists};
use run::Running;
use server::{Looks, Server};

/// A lease must outlast a read and a look or two.
const MIN_LEASE: Duration = Duration::from_secs(1);

/// Reads a gateway's lists.
pub struct RedisListSource {
    config: RedisListConfig,
    server: Box<dyn Calls>,
    lists: Vec<ListKeys>,
}

#[async_trait]
impl Source for RedisListSource {
    const NAME: &'static str = "redis_list";
    type Config = RedisListConfig;

    fn plan(config: &RedisListConfig) -> Result<SourcePlan, PlanError> {
        if config.lease.get() < MIN_LEASE {
            return Err(PlanError::new(
                "lease",
                "a lease this short passes before anything is delivered: write 1s or more",
            ));
        }
        let all = lists(&config.key_prefix, config.keys.as_deref(), config.codec);
        let mut kinds: Vec<Kind> = all.iter().map(|keys| keys.kind).collect();
        kinds.sort_unstable();
        kinds.dedup();
        let redis = config.redis();
        if let Some((key, message)) = redis.contradiction() {
            return Err(PlanError::new(key, message));
        }
        Ok(SourcePlan { kinds, targets: redis.targets(), notes: Vec::new() })
    }

    fn buffers(config: &RedisListConfig) -> Vec<Buffer> {
        let all = lists(&config.key_prefix, config.keys.as_deref(), config.codec);
        let places = config.redis().places();
        let buffers = places.into_iter().flat_map(|server| {
            all.iter().map(move |keys| Buffer { server: server.clone(), name: keys.list.to_string() })
        });
        buffers.collect()
    }

    async fn open(config: RedisListConfig, context: SourceContext) -> Result<Self, SourceError> {
        let server = Server::new(&config)
            .map_err(|error| SourceError::caused("redis cannot be used as the file says", error))?;
        let mut lists = lists(&config.key_prefix, config.keys.as_deref(), config.codec);
        lists.retain(|keys| context.kinds.contains(&keys.kind));
        Ok(Self { config, server: Box::new(server), lists })
    }

    async fn probe(&self) -> Result<(), SourceError> {
        let failed = |error| SourceError::caused("redis cannot be reached, or does not let us look", error);
        self.server.ping().await.map_err(failed)?;
        self.server.look(&Looks::new(&self.lists)).await.map(drop).map_err(failed)
    }

    async fn run(self, port: Port) -> Result<(), SourceError> {
        Running::new(self.config, self.server, self.lists, port).run().await
    }
}
