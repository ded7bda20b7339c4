//! Daemons that are not there, go, and come back.

use pump_core::plugin::SinkErrorKind;
use pump_testing::{EtsyStatsd, StatsdExporter};

use super::*;

fn batch() -> Batch {
    transactions(&[transaction("a1", "GET", "/", 200, [3; 4])], Edits::default())
}

async fn fails(sink: &StatsdSink, kind: SinkErrorKind, words: &str) {
    let deadline = Deadline::after(Duration::from_secs(10));
    for error in [sink.deliver(&batch(), deadline).await.map(drop), sink.probe().await] {
        let error = error.expect_err("nobody is there");
        assert_eq!(error.kind(), kind, "{error}");
        assert!(error.to_string().contains(words), "{error}");
    }
}

async fn gets_through(sink: &StatsdSink) {
    sink.probe().await.expect("somebody listens");
    sink.deliver(&batch(), Deadline::after(Duration::from_secs(10))).await.expect("it is delivered");
}

#[tokio::test]
async fn a_daemon_that_is_down_is_tried_again_and_found_when_it_is_back() {
    let mut daemon = EtsyStatsd::start();
    for scheme in ["tcp", "udp"] {
        let sink = open(config(&format!("{scheme}://{}", daemon.address()))).await;
        gets_through(&sink).await;
        daemon.kill();
        fails(&sink, SinkErrorKind::Retry, "nobody listens at").await;
        daemon.start_again();
        gets_through(&sink).await;
    }
}

#[tokio::test]
async fn a_socket_that_is_missing_is_unavailable_and_one_that_nobody_reads_is_tried_again() {
    let mut daemon = StatsdExporter::start();
    let socket = daemon.socket();
    let sink = open(config(&format!("unix://{}", socket.display()))).await;
    gets_through(&sink).await;
    daemon.kill();
    fails(&sink, SinkErrorKind::Retry, "nobody listens at the socket").await;
    std::fs::remove_file(&socket).expect("it is left behind");
    fails(&sink, SinkErrorKind::Unavailable, "there is no socket").await;
    std::fs::write(&socket, "").expect("written");
    // A file that is no socket refuses as a daemon does that is down.
    fails(&sink, SinkErrorKind::Retry, "nobody listens at the socket").await;
    daemon.start_again();
    gets_through(&sink).await;
}

#[tokio::test]
async fn a_socket_for_streams_and_a_host_that_nobody_knows_are_unavailable() {
    let folder = tempfile::TempDir::new().expect("a folder");
    let path = folder.path().join("socket");
    let _listener = std::os::unix::net::UnixListener::bind(&path).expect("it is bound");
    let sink = open(config(&format!("unix://{}", path.display()))).await;
    fails(&sink, SinkErrorKind::Unavailable, "it has to take datagrams").await;
    for scheme in ["tcp", "udp"] {
        let sink = open(config(&format!("{scheme}://nowhere.invalid:8125"))).await;
        fails(&sink, SinkErrorKind::Unavailable, "nowhere.invalid is not known").await;
    }
}

/// It takes what is sent and does not read it: the stream's end is not answered, so nothing counts.
#[tokio::test]
async fn a_daemon_that_hangs_confirms_nothing() {
    let daemon = EtsyStatsd::start();
    let sink = open(config(&format!("tcp://{}", daemon.address()))).await;
    daemon.pause();
    let batch = batch();
    let attempt = sink.deliver(&batch, Deadline::after(Duration::from_secs(10)));
    assert!(tokio::time::timeout(Duration::from_secs(1), attempt).await.is_err(), "it was confirmed");
    daemon.resume();
    gets_through(&sink).await;
}
