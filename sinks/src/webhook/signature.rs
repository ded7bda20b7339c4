//! Signatures: who has the secret can tell that a request is ours, whole, and not an old one sent again.
//!
//! `t=SECONDS,v1=HEX`: the time of sending as seconds since 1970, and the HMAC-SHA-256 (RFC 2104) over that time
//! in decimal digits, a full stop, and the body as it is sent, thus compressed where it is. Stripe signs so, and
//! what verifies its signatures can be taught to verify ours.

use std::fmt::Write;
use std::time::{SystemTime, UNIX_EPOCH};

use pump_core::plugin::PlanError;
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderName};
use ring::hmac::{Context, HMAC_SHA256, Key};

use super::client;
use super::config::SignatureConfig;

/// What is wrong with the settings.
pub(super) fn check(config: &SignatureConfig) -> Result<(), PlanError> {
    if config.secret.expose().is_empty() {
        let message = "the secret is empty: `openssl rand -hex 32` makes one";
        return Err(PlanError::new("signature.secret", message));
    }
    let wrong = |message: &str| PlanError::new("signature.header", message);
    let name = HeaderName::from_bytes(config.header.as_bytes());
    let name = name.map_err(|_| wrong("there are signs in it that no header's name has"))?;
    if client::is_ours(&name) || [AUTHORIZATION, CONTENT_TYPE].contains(&name) {
        return Err(wrong("this header has another meaning: take a name of its own"));
    }
    Ok(())
}

/// Makes the value of the signature's header.
pub(super) struct Signer(Key);

impl Signer {
    pub(super) fn new(secret: &str) -> Self {
        Self(Key::new(HMAC_SHA256, secret.as_bytes()))
    }

    /// The header for this body, sent now.
    pub(super) fn sign(&self, body: &[u8]) -> String {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        self.sign_at(since.as_secs(), body)
    }

    pub(super) fn sign_at(&self, seconds: u64, body: &[u8]) -> String {
        let mut context = Context::with_key(&self.0);
        context.update(seconds.to_string().as_bytes());
        context.update(b".");
        context.update(body);
        let mut text = format!("t={seconds},v1=");
        for byte in context.sign().as_ref() {
            // Writing into a text does not fail.
            let _ = write!(text, "{byte:02x}");
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The expected value comes from Python's `hmac`.
    #[test]
    fn a_signature_is_over_the_time_and_the_body() {
        let signed = Signer::new("whsec_test").sign_at(1_700_000_000, b"[{\"n\":1}]");
        assert_eq!(
            signed,
            "t=1700000000,v1=80a20382f6522bf916adcee9e2062b77d1cea74378282fb7f1390e21176278bf"
        );
        assert_ne!(Signer::new("whsec_test").sign_at(1_700_000_001, b"[{\"n\":1}]"), signed);
        assert_ne!(Signer::new("other").sign_at(1_700_000_000, b"[{\"n\":1}]"), signed);
    }
}
