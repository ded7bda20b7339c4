//! A connection to Redis that is made when it is first needed, and anew when it breaks.

use std::time::Duration;

use redis::aio::{ConnectionManager, ConnectionManagerConfig};
use redis::{Client, RedisError};
use tokio::sync::OnceCell;

/// How long Redis may take for an answer. A reply may be megabytes, and the server may be loading.
const PATIENCE: Duration = Duration::from_secs(10);

/// A connection that whoever holds it shares.
pub(crate) struct Connection {
    client: Client,
    manager: OnceCell<ConnectionManager>,
}

impl Connection {
    /// Contacts nobody.
    pub(crate) fn new(client: Client) -> Self {
        Self { client, manager: OnceCell::new() }
    }

    /// The connection, made now if there is none.
    pub(crate) async fn get(&self) -> Result<ConnectionManager, RedisError> {
        let connect = || {
            let config = ConnectionManagerConfig::new()
                .set_connection_timeout(Some(PATIENCE))
                .set_response_timeout(Some(PATIENCE))
                // Whoever asks has a backoff of its own, and goes on with other things meanwhile.
                .set_number_of_retries(0);
            ConnectionManager::new_with_config(self.client.clone(), config)
        };
        self.manager.get_or_try_init(connect).await.cloned()
    }
}
