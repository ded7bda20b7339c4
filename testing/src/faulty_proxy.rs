//! A way to an HTTP server on which a fault can be had at any time, and ended again.

use std::io::{self, BufReader, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::thread;
use std::time::Duration;

use rustix::net::{AddressFamily, SocketFlags, SocketType, sockopt};

use crate::http_server::{self, HttpReply, HttpRequest};

/// Connections that wait to be accepted.
const BACKLOG: i32 = 128;

/// What is wrong on the way. But for `Down`, the server gets every request and does what it says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Connections are refused; those that there are end.
    Down,
    /// The connection is reset in the middle of the reply.
    Reset,
    /// The reply never comes, and the connection stays.
    Silent,
    /// The reply comes so late.
    Slow(Duration),
    /// Half of the reply comes, as if it were all of it.
    Truncated,
    /// Another reply comes in its place: this status, with so many seconds as `Retry-After`.
    Refused(u16, u64),
}

/// Passes requests and replies on, as the fault of the moment lets it. Ends with the process.
#[derive(Debug)]
pub struct FaultyProxy {
    address: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    listener: TcpListener,
    server: SocketAddr,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    fault: Option<Fault>,
    met: u64,
    connections: Vec<Weak<TcpStream>>,
}

impl FaultyProxy {
    /// A proxy to this server, without a fault at first.
    ///
    /// # Panics
    /// When there is no port for it.
    pub fn start(server: SocketAddr) -> Self {
        let listener = listener().expect("a port of our own");
        let address = listener.local_addr().expect("it is bound");
        let shared = Arc::new(Shared { listener, server, state: Mutex::default() });
        let own = shared.clone();
        thread::spawn(move || own.accept());
        Self { address, shared }
    }

    /// Its address as a pipeline file has it.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// From now on this is wrong; `None`: nothing.
    ///
    /// # Panics
    /// When the system takes its port away.
    pub fn set(&self, fault: Option<Fault>) {
        let mut state = self.shared.state();
        let was_down = state.fault == Some(Fault::Down);
        let is_down = fault == Some(Fault::Down);
        (state.fault, state.met) = (fault, 0);
        // The port stays ours meanwhile: whoever connects to it is refused, and nobody else gets it.
        if is_down && !was_down {
            rustix::net::shutdown(&self.shared.listener, rustix::net::Shutdown::Both)
                .expect("a listener can be stopped");
            for connection in state.connections.drain(..).filter_map(|connection| connection.upgrade()) {
                // One that has ended by itself is as good.
                let _ = connection.shutdown(Shutdown::Both);
            }
        }
        if was_down && !is_down {
            rustix::net::listen(&self.shared.listener, BACKLOG).expect("the port is still ours");
        }
    }

    /// How many requests met the fault of the moment; refused connections are not seen.
    pub fn met(&self) -> u64 {
        self.shared.state().met
    }
}

/// On a port that stays bound while nobody listens: one that was asked for by its number.
fn listener() -> rustix::io::Result<TcpListener> {
    let listen = || {
        // Processes that the test starts must not inherit it.
        let (family, kind, flags) = (AddressFamily::INET, SocketType::STREAM, SocketFlags::CLOEXEC);
        let socket = rustix::net::socket_with(family, kind, flags, None)?;
        sockopt::set_socket_reuseaddr(&socket, true)?;
        rustix::net::bind(&socket, &crate::free_address())?;
        rustix::net::listen(&socket, BACKLOG)?;
        Ok(TcpListener::from(socket))
    };
    // Between finding a free port and taking it, another test may have taken it.
    listen().or_else(|_| listen()).or_else(|_| listen())
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn accept(self: &Arc<Self>) {
        loop {
            let Ok((client, _)) = self.listener.accept() else {
                // Nobody listens: the fault of the moment is `Down`.
                thread::sleep(Duration::from_millis(5));
                continue;
            };
            let client = Arc::new(client);
            {
                let mut state = self.state();
                if state.fault == Some(Fault::Down) {
                    continue;
                }
                state.connections.retain(|connection| connection.strong_count() > 0);
                state.connections.push(Arc::downgrade(&client));
            }
            let own = self.clone();
            // A client that goes away ends its connection and nothing else.
            thread::spawn(move || drop(own.serve(&client)));
        }
    }

    fn serve(&self, client: &TcpStream) -> io::Result<()> {
        let mut requests = BufReader::new(client);
        while let Some(request) = http_server::read(&mut requests)? {
            let HttpReply { status, headers, body } = http_server::exchange(self.server, &request)?;
            let fault = {
                let mut state = self.state();
                state.met += 1;
                state.fault
            };
            match fault {
                None => reply(client, &request, status, &headers, &body)?,
                Some(Fault::Down) => return Ok(()),
                Some(Fault::Reset) => {
                    http_server::head(&mut &*client, status, &headers, body.len())?;
                    (&*client).write_all(&body[..body.len() / 2])?;
                    // Closed so, it ends with a reset instead of an end.
                    sockopt::set_socket_linger(client, Some(Duration::ZERO))?;
                    return Ok(());
                }
                // Until the client has had enough.
                Some(Fault::Silent) => {
                    return io::copy(&mut requests, &mut io::sink()).map(drop);
                }
                Some(Fault::Slow(delay)) => {
                    thread::sleep(delay);
                    reply(client, &request, status, &headers, &body)?;
                }
                Some(Fault::Truncated) => {
                    reply(client, &request, status, &headers, &body[..body.len() / 2])?;
                }
                Some(Fault::Refused(status, seconds)) => {
                    let wait = [("retry-after", seconds.to_string())];
                    reply(client, &request, status, &wait, b"told to refuse")?;
                }
            }
        }
        Ok(())
    }
}

fn reply(
    mut client: &TcpStream,
    request: &HttpRequest,
    status: u16,
    headers: &[(impl AsRef<str>, String)],
    body: &[u8],
) -> io::Result<()> {
    http_server::head(&mut client, status, headers, body.len())?;
    if request.method != "HEAD" {
        client.write_all(body)?;
    }
    client.flush()
}

#[cfg(test)]
mod tests;
