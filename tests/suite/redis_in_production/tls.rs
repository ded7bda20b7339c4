//! TLS: an authority of one's own, a certificate for the client, and errors that say what to do.

use std::process::Command;

use pump_testing::{Certificates, RedisOptions, RedisServer};

use super::{SMALL, drain, folder, pipeline, wait_for_trouble};
use crate::gateway::{push_over, repeats};
use crate::process::PumpProcess;

fn encrypted() -> (RedisServer, Certificates) {
    let certificates = Certificates::make();
    let options = RedisOptions { tls: Some(certificates.clone()), ..RedisOptions::default() };
    (RedisServer::with(options), certificates)
}

/// The keys for this server, with these certificates.
fn keys(redis: &RedisServer, certificates: &Certificates, ca: &str, has_certificate: bool) -> String {
    let path = |name: &str| certificates.path(name).display().to_string();
    let mut keys = format!("url: {}\ntls:\n  ca_file: {}\n", redis.url(), path(ca));
    if has_certificate {
        keys += &format!("  cert_file: {}\n  key_file: {}\n", path("client.pem"), path("client.key"));
    }
    keys
}

#[test]
fn tls_with_a_client_certificate_is_drained() {
    let ((redis, certificates), folder) = (encrypted(), folder());
    push_over(&mut redis.connection(), 0, 5_000, SMALL);
    drain(folder.path(), &keys(&redis, &certificates, "ca.pem", true));
    assert_eq!(repeats(&folder.path().join("out"), 5_000), 0);
    assert_eq!(redis.keys(), Vec::<String>::new());
}

#[test]
fn what_is_wrong_with_tls_is_said_with_what_to_do() {
    let (redis, certificates) = encrypted();
    let plain = RedisServer::start();
    let wrong_name = keys(&redis, &certificates, "ca.pem", true).replace("127.0.0.1", "localhost");
    let not_tls = keys(&redis, &certificates, "ca.pem", true)
        .replace(&redis.url(), &plain.url().replace("redis:", "rediss:"));
    for (keys, advice) in [
        (keys(&redis, &certificates, "stranger.pem", true), "name the right one in `tls.ca_file`"),
        (keys(&redis, &certificates, "ca.pem", false), "name it in `tls.cert_file` and `tls.key_file`"),
        (wrong_name, "connect by a name that it has"),
        (not_tls, "does the server speak it at this port?"),
    ] {
        let folder = folder();
        let pump = PumpProcess::start(folder.path(), "wrong", &pipeline(&keys), &[]);
        wait_for_trouble(&pump, &[advice]);
    }
}

#[test]
fn a_file_of_tls_that_is_missing_or_wrong_ends_the_start_with_its_key() {
    let ((redis, certificates), folder) = (encrypted(), folder());
    let right = keys(&redis, &certificates, "ca.pem", true);
    for (keys, words) in [
        (right.replace("ca.pem", "missing.pem"), ["`tls.ca_file` cannot be read", "missing.pem"]),
        (right.replace("client.key", "client.pem"), ["a file under `tls` is not PEM as it should be", "key"]),
    ] {
        // The default address may be taken on this machine.
        let text = pipeline(&keys) + "\nadmin: { listen: \"127.0.0.1:0\" }\n";
        std::fs::write(folder.path().join("pipeline.yaml"), text).expect("written");
        let output = Command::new(env!("CARGO_BIN_EXE_pump"))
            .args(["run", "-c", "pipeline.yaml"])
            .current_dir(folder.path())
            .output()
            .expect("it runs");
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{error}");
        assert!(words.iter().all(|word| error.contains(word)), "{error}");
    }
}
