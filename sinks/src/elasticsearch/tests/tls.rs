//! Who the cluster is, and who we are.

use pump_core::config::TlsConfig;
use pump_testing::Authority;

use super::*;

fn encrypted(authority: &Authority, asks_clients: bool) -> HttpServer {
    HttpServer::encrypted(authority.server(asks_clients), |request| match request.method.as_str() {
        "GET" => HttpReaction::reply(200, ROOT),
        _ => all_created(),
    })
}

async fn with(server: &HttpServer, tls: TlsConfig) -> Result<Answers, SinkError> {
    deliver(&open(ElasticsearchConfig { tls, ..config(&[server.url()]) }).await).await
}

#[tokio::test]
async fn a_cluster_is_known_by_its_authority() {
    let (authority, other) = (Authority::new(), Authority::new());
    let server = encrypted(&authority, false);
    let trusting = |authority: &Authority| TlsConfig {
        ca_file: Some(authority.file().display().to_string()),
        ..TlsConfig::default()
    };
    assert_eq!(with(&server, trusting(&authority)).await.expect("it is known"), Answers::delivered(5));
    for tls in [TlsConfig::default(), trusting(&other)] {
        let error = with(&server, tls).await.expect_err("nobody vouches for it");
        assert_eq!(error.kind(), SinkErrorKind::Retry);
        assert!(error.to_string().contains("certificate"), "{error}");
    }
}

#[tokio::test]
async fn we_show_our_certificate_to_a_cluster_that_asks_for_it() {
    let authority = Authority::new();
    let server = encrypted(&authority, true);
    let (cert_file, key_file) = authority.client_files();
    let anonymous =
        TlsConfig { ca_file: Some(authority.file().display().to_string()), ..TlsConfig::default() };
    let known = TlsConfig {
        cert_file: Some(cert_file.display().to_string()),
        key_file: Some(key_file.display().to_string()),
        ..anonymous.clone()
    };
    with(&server, anonymous).await.expect_err("it talks to those it knows");
    assert_eq!(with(&server, known).await.expect("it knows us"), Answers::delivered(5));
}
