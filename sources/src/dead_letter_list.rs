//! Dead letters in a Redis list: for pumps without a disk of their own.
//!
//! Each letter is one element, a line of JSON as in every store. A counter beside the list,
//! `{KEY}:bytes`, holds how large the letters are together: whoever takes letters out lowers it. Both
//! change in one transaction, so they agree after any crash; after a lost reply letters may be there
//! twice, with the same id.

use async_trait::async_trait;
use pump_core::dead_letter::{DeadLetter, DeadLetterStore, StoreError};
use pump_core::record::Timestamp;
use redis::{Client, RedisError};

use crate::connection::Connection;

/// Dead letters in a list of a Redis server.
pub struct RedisListStore {
    key: String,
    bytes_key: String,
    max_size: u64,
    connection: Connection,
}

impl RedisListStore {
    /// A store in this list, of at most so many bytes. Contacts nobody.
    pub fn new(url: &str, key: &str, max_size: u64) -> Result<Self, RedisError> {
        Ok(Self {
            key: key.to_owned(),
            // A key that has a hash tag keeps it; one without becomes its own, so that both keys lie
            // in one slot of a cluster.
            bytes_key: if key.contains('{') { format!("{key}:bytes") } else { format!("{{{key}}}:bytes") },
            max_size,
            connection: Connection::new(Client::open(url)?),
        })
    }

    async fn push(&self, lines: &[Vec<u8>]) -> Result<(), StoreError> {
        let failed = |error: RedisError| StoreError::Failed(Box::new(error));
        let mut connection = self.connection.get().await.map_err(failed)?;
        let added: u64 = lines.iter().map(|line| line.len() as u64).sum();
        let mut ask = redis::cmd("GET");
        let size: Option<u64> =
            ask.arg(&self.bytes_key).query_async(&mut connection).await.map_err(failed)?;
        let size = size.unwrap_or_default();
        if size + added > self.max_size {
            return Err(StoreError::Full { size, max_size: self.max_size });
        }
        let mut transaction = redis::pipe();
        transaction.atomic();
        transaction.rpush(&self.key, lines).ignore().incr(&self.bytes_key, added).ignore();
        transaction.query_async::<()>(&mut connection).await.map_err(failed)
    }
}

#[async_trait]
impl DeadLetterStore for RedisListStore {
    async fn append(&self, letters: &[DeadLetter]) -> Result<(), StoreError> {
        let now = Timestamp::now();
        let lines: Vec<_> = letters.iter().map(|letter| letter.to_line(now)).collect();
        self.push(&lines).await
    }
}
