//! What sinks that speak HTTP have in common: how we say who we are, how a body is compressed, and what errors say.

use std::error::Error;
use std::io::Write;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use pump_core::config::{Auth, AuthConfig, HttpCompression};
use pump_core::plugin::SinkError;
use tokio::task::spawn_blocking;

pub(crate) use crate::words::{cut, hex, words};

/// A body of this size is compressed in less time than it takes to hand it to another thread and back.
const MAX_IN_PLACE: usize = 16 << 10;

/// The value of `Authorization`; `None` when `auth` is none, which plans refuse.
pub(crate) fn authorization(auth: &AuthConfig) -> Option<String> {
    let text = match auth.scheme().ok()? {
        Auth::Basic(basic) => {
            let pair = format!("{}:{}", basic.username, basic.password.expose());
            format!("Basic {}", STANDARD.encode(pair))
        }
        Auth::Bearer(token) => format!("Bearer {}", token.expose()),
        // Servers give a key out in two forms: its id and secret, and both of them encoded.
        Auth::ApiKey(key) if key.expose().contains(':') => {
            format!("ApiKey {}", STANDARD.encode(key.expose()))
        }
        Auth::ApiKey(key) => format!("ApiKey {}", key.expose()),
    };
    Some(text)
}

/// A file of `tls`.
pub(crate) fn read(path: &str) -> Result<Vec<u8>, SinkError> {
    std::fs::read(path).map_err(|error| SinkError::unavailable(format!("cannot read {path}"), error))
}

/// The body as it is sent; compressed where that does not hold up others.
pub(crate) async fn compressed(body: Vec<u8>, compression: HttpCompression) -> Result<Bytes, SinkError> {
    let result = match compression {
        HttpCompression::None => return Ok(body.into()),
        HttpCompression::Gzip if body.len() <= MAX_IN_PLACE => gzip(&body),
        HttpCompression::Gzip => match spawn_blocking(move || gzip(&body)).await {
            Ok(result) => result,
            Err(error) => {
                return Err(SinkError::retry("the compressing thread ended without an answer", error));
            }
        },
    };
    result.map_err(|error| SinkError::retry("the request cannot be compressed", error))
}

/// One gzip member.
fn gzip(bytes: &[u8]) -> std::io::Result<Bytes> {
    // Level 1 takes a third of the time of the usual 6 for logs, and a tenth more room.
    let compressed = Vec::with_capacity(bytes.len() / 4);
    let mut encoder = flate2::write::GzEncoder::new(compressed, flate2::Compression::fast());
    encoder.write_all(bytes)?;
    encoder.finish().map(Bytes::from)
}

/// An error and what lies beneath it, each said once: clients' errors repeat each other.
pub(crate) fn causes(error: &dyn Error) -> String {
    let mut said = error.to_string();
    let mut cause = error.source();
    while let Some(beneath) = cause {
        let text = beneath.to_string();
        if !said.contains(&text) {
            said = format!("{said}: {text}");
        }
        cause = beneath.source();
    }
    said
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    #[tokio::test]
    async fn small_and_large_bodies_are_compressed_alike() {
        for length in [0, MAX_IN_PLACE, MAX_IN_PLACE + 1, 1 << 20] {
            let body: Vec<u8> = (0..length).map(|at| (at % 251) as u8).collect();
            let sent = compressed(body.clone(), HttpCompression::Gzip).await.expect("it is in memory");
            let mut found = Vec::new();
            flate2::read::GzDecoder::new(&sent[..]).read_to_end(&mut found).expect("it is gzip");
            assert_eq!(found, body);
        }
    }
}
