use std::io::Read;
use std::time::Instant;

use super::*;
use crate::{HttpReaction, HttpServer};

/// What a client sees of one request.
fn ask(proxy: &FaultyProxy) -> io::Result<String> {
    let mut stream = TcpStream::connect(proxy.address)?;
    stream.set_read_timeout(Some(Duration::from_secs(1)))?;
    stream.write_all(b"GET / HTTP/1.1\r\nconnection: close\r\n\r\n")?;
    // Only the reply ends the conversation.
    let mut reply = Vec::new();
    let mut buffer = [0; 1024];
    loop {
        let count = stream.read(&mut buffer)?;
        reply.extend_from_slice(&buffer[..count]);
        let text = String::from_utf8_lossy(&reply);
        let is_whole = text.split_once("\r\n\r\n").is_some_and(|(head, body)| {
            head.to_ascii_lowercase().contains(&format!("content-length: {}", body.len()))
        });
        if is_whole || count == 0 {
            return Ok(text.into_owned());
        }
    }
}

#[test]
fn each_fault_is_what_it_says_and_ends_when_it_is_told() {
    let server = HttpServer::start(|_| HttpReaction::reply(200, "0123456789"));
    let proxy = FaultyProxy::start(server.url()[7..].parse().expect("an address"));
    let late = Duration::from_millis(100);
    let faults = [
        Fault::Down,
        Fault::Reset,
        Fault::Silent,
        Fault::Slow(late),
        Fault::Truncated,
        Fault::Refused(503, 7),
        Fault::Down,
    ];
    for fault in faults {
        proxy.set(Some(fault));
        let (begin, answer) = (Instant::now(), ask(&proxy));
        let kind = answer.as_ref().map_err(io::Error::kind);
        match fault {
            Fault::Down => assert_eq!(kind, Err(io::ErrorKind::ConnectionRefused)),
            Fault::Reset => assert_eq!(kind, Err(io::ErrorKind::ConnectionReset)),
            Fault::Silent => assert_eq!(kind, Err(io::ErrorKind::WouldBlock)),
            Fault::Slow(_) => {
                assert!(answer.expect("late").ends_with("0123456789") && begin.elapsed() >= late);
            }
            Fault::Truncated => assert!(answer.expect("half").ends_with("\r\n\r\n01234")),
            Fault::Refused(..) => {
                let answer = answer.expect("a refusal");
                assert!(answer.starts_with("HTTP/1.1 503") && answer.contains("retry-after: 7"), "{answer}");
            }
        }
        assert_eq!(proxy.met(), u64::from(fault != Fault::Down), "{fault:?}");
        proxy.set(None);
        assert!(ask(&proxy).expect("sound again").ends_with("0123456789"), "after {fault:?}");
    }
    assert_eq!(server.requests().len(), 2 * faults.len() - 2, "only what is down keeps requests away");
}
