//! The files of TLS, and errors of TLS as the operator needs them.

use std::sync::Once;

use pump_core::config::TlsConfig;
use redis::{ClientTlsConfig, ErrorKind, RedisError, RedisResult, TlsCertificates};

/// Certificates and keys in files, read anew for each connection.
pub(crate) struct TlsFiles(TlsConfig);

impl TlsFiles {
    /// Reads nothing yet.
    pub(crate) fn new(config: TlsConfig) -> Self {
        static RING: Once = Once::new();
        RING.call_once(|| {
            // An error says that somebody else has chosen one already, which is as good.
            let _ = rustls::crypto::ring::default_provider().install_default();
        });
        Self(config)
    }

    /// Whether the files can be read and hold what they should.
    pub(crate) fn check(&self) -> RedisResult<()> {
        let certificates = self.read()?;
        let client = redis::Client::build_with_tls("rediss://localhost", certificates);
        client.map(drop).map_err(|error| {
            (
                ErrorKind::InvalidClientConfig,
                "a file under `tls` is not PEM as it should be",
                error.to_string(),
            )
                .into()
        })
    }

    /// What is in the files now.
    pub(crate) fn read(&self) -> RedisResult<TlsCertificates> {
        let ca_file = &self.0.ca_file;
        let client_tls = match self.0.identity() {
            Ok(Some((cert, key))) => Some(ClientTlsConfig {
                client_cert: contents("cert_file", cert)?,
                client_key: contents("key_file", key)?,
            }),
            _ => None,
        };
        let root_cert = ca_file.as_ref().map(|file| contents("ca_file", file)).transpose()?;
        Ok(TlsCertificates { client_tls, root_cert })
    }
}

/// An error of connecting, with what to do where rustls only names the trouble.
pub(crate) fn explained(error: RedisError) -> RedisError {
    // What a server says it says better itself.
    if matches!(error.kind(), ErrorKind::Server(_) | ErrorKind::Extension) {
        return error;
    }
    let text = error.to_string();
    let advice = if text.contains("UnknownIssuer") {
        "no authority that we trust has signed the server's certificate: name the right one in `tls.ca_file`"
    } else if text.contains("not valid for name") {
        "the server's certificate is for another name: connect by a name that it has"
    } else if text.contains("Expired") {
        "the server's certificate has expired: renew it"
    } else if text.contains("CertificateRequired") {
        "the server asks for a certificate of ours: name it in `tls.cert_file` and `tls.key_file`"
    } else if text.contains("UnknownCA") {
        "the server does not know the authority of our certificate: name another in `tls.cert_file`"
    } else if text.contains("corrupt message") || text.contains("InvalidContentType") {
        "the server does not speak TLS here: take `tls` out, or connect to its port for TLS"
    } else {
        return error;
    };
    (ErrorKind::Io, advice, text).into()
}

fn contents(key: &str, file: &str) -> RedisResult<Vec<u8>> {
    std::fs::read(file).map_err(|error| {
        let text = format!("{file}: {error}");
        let what = match key {
            "ca_file" => "`tls.ca_file` cannot be read",
            "cert_file" => "`tls.cert_file` cannot be read",
            _ => "`tls.key_file` cannot be read",
        };
        (ErrorKind::InvalidClientConfig, what, text).into()
    })
}
