//! A way to a server on which answers get lost.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

/// Passes everything on, until it is told to lose an answer. Ends with the process.
#[derive(Debug)]
pub struct LossyProxy {
    address: SocketAddr,
    plan: Arc<Mutex<Plan>>,
}

#[derive(Debug, Default)]
struct Plan {
    /// The answer to the next request that holds these bytes is lost.
    marker: Option<Vec<u8>>,
    lost: u64,
}

impl LossyProxy {
    /// A proxy to this server.
    pub fn start(server: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port of our own");
        let address = listener.local_addr().expect("it is bound");
        let plan = Arc::new(Mutex::new(Plan::default()));
        let shared = plan.clone();
        thread::spawn(move || {
            for client in listener.incoming() {
                let plan = shared.clone();
                thread::spawn(move || {
                    // A client or server that goes away ends its connection and nothing else.
                    let _ = client.and_then(|client| pass(client, server, &plan));
                });
            }
        });
        Self { address, plan }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The next request that holds these bytes reaches the server; its answer is lost with the
    /// connection.
    pub fn lose_answer_to(&self, marker: &[u8]) {
        lock(&self.plan).marker = Some(marker.to_vec());
    }

    /// How many answers were lost.
    pub fn lost(&self) -> u64 {
        lock(&self.plan).lost
    }
}

fn pass(client: TcpStream, server: SocketAddr, plan: &Arc<Mutex<Plan>>) -> io::Result<()> {
    let server = TcpStream::connect(server)?;
    let (from_client, to_server) = (client.try_clone()?, server.try_clone()?);
    let (from_server, to_client) = (server, client);
    // Set between a request whose answer is to be lost and that answer.
    let is_doomed = Arc::new(Mutex::new(false));
    let (doomed, requests) = (is_doomed.clone(), plan.clone());
    thread::spawn(move || {
        let _ = copy(from_client, to_server, |bytes| {
            let mut plan = lock(&requests);
            let is_meant = |marker: &Vec<u8>| bytes.windows(marker.len()).any(|window| window == marker);
            if plan.marker.as_ref().is_some_and(is_meant) {
                plan.marker = None;
                *lock(&doomed) = true;
            }
            true
        });
    });
    copy(from_server, to_client, |_| {
        let is_lost = *lock(&is_doomed);
        lock(plan).lost += u64::from(is_lost);
        !is_lost
    })
}

/// Copies until one side ends, or until `passes` says that what came is not to go on.
fn copy(mut from: TcpStream, mut to: TcpStream, mut passes: impl FnMut(&[u8]) -> bool) -> io::Result<()> {
    let mut buffer = vec![0; 64 << 10];
    loop {
        let count = from.read(&mut buffer)?;
        if count == 0 || !passes(&buffer[..count]) {
            break;
        }
        to.write_all(&buffer[..count])?;
    }
    from.shutdown(Shutdown::Both)?;
    to.shutdown(Shutdown::Both)
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
