//! pump with one sink more: `redis_hash` keeps records in a hash of a Redis server, each under its id.
#[cfg(test)]
mod tests;
use pump_core::config::RedisUrl;
use pump_core::plugin::*;
use redis::{AsyncConnectionConfig, Client, Cmd, RedisError, RedisResult};

/// Its keys, as `pump plugins redis_hash` and `pump schema` describe them.
#[derive(serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
struct HashConfig {
    /// The server, such as `redis://127.0.0.1:6379/0`.
    url: RedisUrl,
    /// The hash that records are put into.
    key: String,
}

struct HashSink(HashConfig, Client);

#[async_trait::async_trait]
impl Sink for HashSink {
    const NAME: &'static str = "redis_hash";
    type Config = HashConfig;

    fn plan(config: &HashConfig, format: Option<Format>) -> Result<SinkPlan, PlanError> {
        Ok(SinkPlan { targets: vec![config.url.server()], ..SinkPlan::new(Some(Body::json_lines(format))) })
    }
    async fn open(config: HashConfig, _: SinkContext) -> Result<Self, SinkError> {
        Client::open(config.url.expose()).map(|client| Self(config, client)).map_err(sorted)
    }
    // What is sent twice has the same id twice, so it is there once.
    async fn deliver(&self, batch: &Batch, _: Deadline) -> Result<Answers, SinkError> {
        let mut command = Cmd::hset_multiple::<_, &str, &str>(&self.0.key, &[]);
        batch.for_each(|entry| _ = command.arg(entry.id().to_string()).arg(entry.body())).await?;
        self.run(&command).await.map_err(sorted)?;
        Ok(Answers::delivered(batch.len()))
    }
    async fn probe(&self) -> Result<(), SinkError> {
        self.run(&Cmd::hlen(&self.0.key)).await.map_err(sorted)
    }
}

impl HashSink {
    async fn run(&self, command: &Cmd) -> RedisResult<()> {
        let config = AsyncConnectionConfig::new().set_response_timeout(None); // The engine has a time-out.
        command.exec_async(&mut self.1.get_multiplexed_async_connection_with_config(&config).await?).await
    }
}

/// Whether it may pass by itself, or somebody has to mend something first.
fn sorted(error: RedisError) -> SinkError {
    match error.is_io_error() {
        true => SinkError::retry("the server cannot be reached", error),
        false => SinkError::unavailable("the server refuses", error),
    }
}

fn main() -> std::process::ExitCode {
    pump::main(pump::builtin().sink::<HashSink>())
}
