//! A way to a server over TCP on which things go wrong when they are told to.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// What is wrong on the way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Every connection ends: one within what the client says, somewhere in its first 2,000 bytes; the next one
    /// within what the server says, so that an answer is lost to something that was done.
    Cut,
    /// Nothing that the server says arrives, not even that it ends, and no connection ends.
    Silent,
    /// Whatever the server says, or that it ends, arrives that much later.
    Slow(Duration),
}

/// Passes bytes on. A handle; ends with the last one.
#[derive(Debug, Clone)]
pub struct Proxy {
    address: SocketAddr,
    shared: Arc<Shared>,
    _ends_with_it: Arc<Task>,
}

#[derive(Debug)]
struct Task(tokio::task::AbortHandle);

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}

#[derive(Debug)]
struct Shared {
    server: Mutex<Option<SocketAddr>>,
    fault: watch::Sender<Option<Fault>>,
    /// Within what the client says, and within what the server says.
    met: [AtomicU64; 2],
    connections: AtomicU64,
}

impl Proxy {
    /// A proxy to a server that is said later, for one that must know how it is reached before it starts.
    ///
    /// # Panics
    /// When there is no port for it.
    pub async fn listen() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port of our own");
        let address = listener.local_addr().expect("it is bound");
        let shared = Arc::new(Shared {
            server: Mutex::default(),
            fault: watch::Sender::new(None),
            met: Default::default(),
            connections: AtomicU64::new(0),
        });
        let task = tokio::spawn(accept(listener, shared.clone()));
        Self { address, shared, _ends_with_it: Arc::new(Task(task.abort_handle())) }
    }

    /// A proxy to this server.
    pub async fn to(server: SocketAddr) -> Self {
        let proxy = Self::listen().await;
        proxy.set_server(server);
        proxy
    }

    /// Where connections go from now on.
    pub fn set_server(&self, server: SocketAddr) {
        *self.shared.server() = Some(server);
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// From now on this is wrong; `None`: nothing. Connections that met the one before end.
    pub fn set(&self, fault: Option<Fault>) {
        self.shared.met.iter().for_each(|met| met.store(0, Ordering::Relaxed));
        self.shared.connections.store(0, Ordering::Relaxed);
        self.shared.fault.send_replace(fault);
    }

    /// How often the fault of the moment was met, in either direction.
    pub fn met(&self) -> u64 {
        self.shared.met.iter().map(|met| met.load(Ordering::Relaxed)).sum()
    }

    /// How often it was met within what the server says.
    pub fn met_back(&self) -> u64 {
        self.shared.met[1].load(Ordering::Relaxed)
    }
}

impl Shared {
    fn server(&self) -> MutexGuard<'_, Option<SocketAddr>> {
        self.server.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn meet(&self, direction: Direction) {
        self.met[direction as usize].fetch_add(1, Ordering::Relaxed);
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Direction {
    There,
    Back,
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    // Connections end with the proxy.
    let mut connections = tokio::task::JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                if let Ok((client, _)) = accepted {
                    let shared = shared.clone();
                    connections.spawn(async move { connect(client, &shared).await });
                }
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn connect(mut client: TcpStream, shared: &Shared) {
    let Some(server) = *shared.server() else { return };
    // A server that is down refuses; closing says so to the client.
    let Ok(mut server) = TcpStream::connect(server).await else { return };
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    let number = shared.connections.fetch_add(1, Ordering::Relaxed);
    let outcome = {
        let (mut from_client, mut to_client) = client.split();
        let (mut from_server, mut to_server) = server.split();
        let there = pass(&mut from_client, &mut to_server, shared, Direction::There, number);
        let back = pass(&mut from_server, &mut to_client, shared, Direction::Back, number);
        // One side may end while the other goes on; what breaks a connection ends it as a whole.
        tokio::try_join!(there, back)
    };
    if let Err(Broken::Reset) = outcome {
        // An orderly end would say to the client that everything was read. Servers get one: not each survives
        // another.
        let _ = client.set_zero_linger();
    }
}

/// What ended a connection was no orderly end.
enum Broken {
    /// The fault of the moment, within what a side said.
    Cut,
    /// One side is gone, or that it ended was held back.
    Reset,
}

/// After how many bytes in this direction a cut ends the connection of that number; the same in each run.
fn life(number: u64, direction: Direction) -> usize {
    // The first bytes of a server may be a greeting: a row of lives gets past it.
    const BACK: [usize; 6] = [0, 40, 200, 0, 1_000, 4_000];
    match (number % 2, direction) {
        (0, Direction::There) => (number.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 48) as usize % 2_000,
        (1, Direction::Back) => BACK[(number / 2) as usize % BACK.len()],
        _ => usize::MAX,
    }
}

/// Passes bytes on until one side ends, and passes that on, too; or until the fault of the moment ends it.
async fn pass(
    from: &mut (impl AsyncReadExt + Unpin),
    to: &mut (impl AsyncWriteExt + Unpin),
    shared: &Shared,
    direction: Direction,
    number: u64,
) -> Result<(), Broken> {
    let mut fault = shared.fault.subscribe();
    let (mut buffer, mut passed) = (vec![0; 16 << 10], 0);
    loop {
        let count = from.read(&mut buffer).await.map_err(|_| Broken::Reset)?;
        let mut end = count;
        let (now, is_back) = (*fault.borrow_and_update(), direction == Direction::Back);
        match now {
            // That a side ends is something that it says.
            Some(Fault::Cut) if passed + count.max(1) > life(number, direction) => {
                shared.meet(direction);
                if count == 0 {
                    return Err(Broken::Reset);
                }
                end = life(number, direction).saturating_sub(passed);
            }
            Some(Fault::Silent) if is_back => {
                shared.meet(direction);
                let _ = fault.changed().await;
                return Err(Broken::Reset);
            }
            Some(Fault::Slow(delay)) if is_back => {
                shared.meet(direction);
                tokio::time::sleep(delay).await;
            }
            _ => {}
        }
        if count == 0 {
            return to.shutdown().await.map_err(|_| Broken::Reset);
        }
        to.write_all(&buffer[..end]).await.map_err(|_| Broken::Reset)?;
        if end < count {
            return Err(Broken::Cut);
        }
        passed += count;
    }
}
