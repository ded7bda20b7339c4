//! An authority of a test's own, and certificates that it has signed.

use std::path::PathBuf;
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use tempfile::TempDir;

/// Files in PEM: `ca.pem`; `server.pem`, `server.key` for `127.0.0.1`; `client.pem`,
/// `client.key`; and `stranger.pem`, an authority that has signed nothing.
#[derive(Debug, Clone)]
pub struct Certificates {
    folder: Arc<TempDir>,
}

impl Certificates {
    /// Makes them, in a folder that is there as long as a clone of this.
    ///
    /// # Panics
    /// When they cannot be made.
    pub fn make() -> Self {
        let folder = Arc::new(TempDir::new().expect("a folder"));
        // Whoever uses several of them in one process would have to choose otherwise.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let authority = authority("pump tests");
        let write =
            |name: &str, text: String| std::fs::write(folder.path().join(name), text).expect("written");
        write("ca.pem", authority.pem());
        write("stranger.pem", self::authority("a stranger").pem());
        for (name, host) in [("server", "127.0.0.1"), ("client", "client")] {
            let key = KeyPair::generate().expect("a key");
            let certificate =
                CertificateParams::new([host.to_owned()]).expect("names").signed_by(&key, &authority);
            write(&format!("{name}.pem"), certificate.expect("signed").pem());
            write(&format!("{name}.key"), key.serialize_pem());
        }
        Self { folder }
    }

    /// The path of one of them.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// What a client needs.
    ///
    /// # Panics
    /// When the files are gone.
    pub fn for_client(&self) -> redis::TlsCertificates {
        let read = |name: &str| std::fs::read(self.path(name)).expect("it was made");
        redis::TlsCertificates {
            client_tls: Some(redis::ClientTlsConfig {
                client_cert: read("client.pem"),
                client_key: read("client.key"),
            }),
            root_cert: Some(read("ca.pem")),
        }
    }
}

fn authority(name: &str) -> CertifiedIssuer<'static, KeyPair> {
    let mut params = CertificateParams::new(Vec::new()).expect("no names");
    params.distinguished_name.push(rcgen::DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().expect("a key")).expect("signed")
}
