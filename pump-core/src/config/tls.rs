//! TLS to a server: one shape for every plugin that speaks to one.

use schemars::JsonSchema;
use serde::Deserialize;

/// TLS to a server. The files are PEM; each plugin's page says when they are read again.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TlsConfig {
    /// Certificates of authorities that are trusted; without this key the well-known ones.
    #[serde(default)]
    #[schemars(length(min = 1))]
    pub ca_file: Option<String>,
    /// The certificate that we show a server that asks for one, with its chain.
    #[serde(default)]
    #[schemars(length(min = 1))]
    pub cert_file: Option<String>,
    /// The private key of that certificate.
    #[serde(default)]
    #[schemars(length(min = 1))]
    pub key_file: Option<String>,
}

impl TlsConfig {
    /// Where our certificate and its key are, if we have one; what is missing when only one of them is set.
    pub fn identity(&self) -> Result<Option<(&str, &str)>, &'static str> {
        match (&self.cert_file, &self.key_file) {
            (Some(certificate), Some(key)) => Ok(Some((certificate, key))),
            (None, None) => Ok(None),
            (Some(_), None) => Err("a certificate is shown with its private key: add `key_file`"),
            (None, Some(_)) => Err("a private key belongs to a certificate: add `cert_file`"),
        }
    }
}
