//! Whom we take for the store.

use pump_core::plugin::SinkErrorKind;
use pump_testing::{Authority, HttpReaction, HttpServer};

use super::*;

fn trusting(server: &HttpServer, ca_file: Option<String>) -> S3Config {
    S3Config { tls: TlsConfig { ca_file, ..TlsConfig::default() }, ..config(&server.url()) }
}

#[tokio::test]
async fn a_store_is_known_by_its_authority() {
    let (authority, other) = (Authority::new(), Authority::new());
    let server = HttpServer::encrypted(authority.server(false), |_| HttpReaction::reply(200, ""));
    let file = |authority: &Authority| Some(authority.file().display().to_string());
    let sink = open(trusting(&server, file(&authority))).await;
    assert_eq!(deliver(&sink, &five()).await.expect("it is known"), Answers::delivered(5));
    for ca_file in [None, file(&other)] {
        let sink = open(trusting(&server, ca_file)).await;
        let error = deliver(&sink, &five()).await.expect_err("nobody vouches for it");
        assert_eq!(error.kind(), SinkErrorKind::Retry);
        assert!(error.to_string().contains("certificate"), "{error}");
    }
}

#[tokio::test]
async fn a_file_without_certificates_is_refused_before_it_is_used() {
    let folder = tempfile::TempDir::new().expect("a folder");
    let server = HttpServer::start(|_| HttpReaction::reply(200, ""));
    let broken = "-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n";
    for content in ["", "no certificate", broken] {
        let path = folder.path().join("ca.pem");
        std::fs::write(&path, content).expect("written");
        let config = trusting(&server, Some(path.display().to_string()));
        let context = SinkContext { name: "test".into(), format: None, timeout: Duration::from_secs(60) };
        let error = S3Sink::open(config, context).await.map(drop).expect_err("it is refused");
        assert_eq!(error.kind(), SinkErrorKind::Unavailable);
        assert!(error.to_string().contains("ca.pem is no certificate"), "{error}");
    }
}
