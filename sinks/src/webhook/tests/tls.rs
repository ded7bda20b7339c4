//! Who the receiver is, and who we are.

use pump_testing::Authority;

use super::*;

fn encrypted(authority: &Authority, asks_clients: bool) -> HttpServer {
    HttpServer::encrypted(authority.server(asks_clients), |_| HttpReaction::reply(200, ""))
}

async fn with(server: &HttpServer, tls: TlsConfig) -> Result<Answers, SinkError> {
    deliver(&open(WebhookConfig { tls, allow_plain_http: false, ..config(&server.url()) }).await).await
}

fn trusting(authority: &Authority) -> TlsConfig {
    TlsConfig { ca_file: Some(authority.file().display().to_string()), ..TlsConfig::default() }
}

#[tokio::test]
async fn a_receiver_is_known_by_its_authority() {
    let (authority, other) = (Authority::new(), Authority::new());
    let server = encrypted(&authority, false);
    assert_eq!(with(&server, trusting(&authority)).await.expect("it is known"), Answers::delivered(5));
    for tls in [TlsConfig::default(), trusting(&other)] {
        let error = with(&server, tls).await.expect_err("nobody vouches for it");
        assert_eq!(error.kind(), SinkErrorKind::Retry);
        assert!(error.to_string().contains("certificate"), "{error}");
    }
    assert_eq!(server.requests().len(), 1, "nothing is sent to a stranger");
}

#[tokio::test]
async fn we_show_our_certificate_to_a_receiver_that_asks_for_it() {
    let authority = Authority::new();
    let server = encrypted(&authority, true);
    let (cert_file, key_file) = authority.client_files();
    let known = TlsConfig {
        cert_file: Some(cert_file.display().to_string()),
        key_file: Some(key_file.display().to_string()),
        ..trusting(&authority)
    };
    with(&server, trusting(&authority)).await.expect_err("it talks to those it knows");
    assert_eq!(with(&server, known).await.expect("it knows us"), Answers::delivered(5));
}

#[tokio::test]
async fn files_that_are_none_are_told_at_the_start() {
    let authority = Authority::new();
    let (_, key) = authority.client_files();
    for (path, said) in [("/nowhere/ca.pem".to_owned(), "cannot read"), (key.display().to_string(), "`tls`")]
    {
        let tls = TlsConfig { ca_file: Some(path), ..TlsConfig::default() };
        let context = SinkContext { name: "test".into(), format: None, timeout: Duration::from_secs(30) };
        let opened = WebhookSink::open(WebhookConfig { tls, ..config("https://h") }, context).await;
        let error = opened.err().expect("it cannot be used");
        assert!(error.to_string().contains(said), "{error}");
    }
}
