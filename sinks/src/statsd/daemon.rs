//! The way to a daemon: one socket or connection for each call, so that a daemon that moved is found again.
//!
//! **TCP** ends the stream after the last line and waits until the daemon has ended it too, which daemons do when
//! they have read everything: this is the only way that confirms anything. Who ends before we do has not.
//!
//! **UDP** sends a few datagrams at a time. A daemon that is busy for a moment loses what does not fit into its
//! socket's buffer, and nobody is told; what is spread over time fits. The socket is connected, so a host that has no
//! such port says so, as far as networks carry that.
//!
//! **Unix sockets** make the sender wait when the daemon's buffer is full: nothing is lost, and no pace is needed.

use std::error::Error;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use pump_core::config::{HostPort, StatsdAddress};
use pump_core::plugin::{Deadline, SinkError};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket, UnixDatagram, lookup_host};
use tokio::time::{sleep, timeout};

use super::datagrams::Datagrams;

/// How often datagrams are sent over UDP. Together with [`AT_ONCE`] some 285 kB a second: Linux
/// buffers 212,992 bytes by default, of which a full datagram takes 2,304, so a daemon may be busy for half a second.
const EVERY: Duration = Duration::from_millis(10);
/// How many of them, unless the attempt would then take more than half of its time.
const AT_ONCE: usize = 2;
/// How long a refusal by UDP is waited for.
const REFUSED_IN: Duration = Duration::from_millis(20);
/// How long a stream must stay open after its last line: where it was cut on the way, we are told by then.
const CUT_IN: Duration = Duration::from_millis(50);

/// A daemon's address, and what is done there. It holds nothing open.
#[derive(Debug, Clone)]
pub struct Daemon {
    address: StatsdAddress,
}

impl Daemon {
    /// The daemon at that address; nobody is contacted.
    pub fn new(address: StatsdAddress) -> Self {
        Self { address }
    }

    /// Sends everything. By UDP and Unix sockets that says that the kernel took it. May be dropped at any await; what
    /// was sent by then stays sent.
    pub async fn send(&self, datagrams: &Datagrams, deadline: Deadline) -> Result<(), SinkError> {
        match &self.address {
            StatsdAddress::Udp(host) => self.send_paced(&udp(host).await?, datagrams, deadline).await,
            StatsdAddress::Unix(path) => {
                let socket = unix(path)?;
                for datagram in datagrams.iter() {
                    socket.send(datagram).await.map_err(|error| self.not_sent(error))?;
                }
                Ok(())
            }
            StatsdAddress::Tcp(host) => {
                let stream = tcp(host).await?;
                converse(stream, datagrams.stream()).await.map_err(|error| self.not_sent(error))
            }
        }
    }

    /// Whether somebody listens there, as far as that can be known without sending a metric.
    pub async fn probe(&self) -> Result<(), SinkError> {
        match &self.address {
            StatsdAddress::Udp(host) => {
                let socket = udp(host).await?;
                // Without a line in it: counted by nobody.
                socket.send(&[]).await.map_err(|error| self.not_sent(error))?;
                self.refusal(&socket).await
            }
            StatsdAddress::Unix(path) => unix(path).map(drop),
            // A proxy listens although its daemon does not, and ends at once.
            StatsdAddress::Tcp(host) => {
                converse(tcp(host).await?, &[]).await.map_err(|error| self.not_sent(error))
            }
        }
    }

    async fn send_paced(
        &self,
        socket: &UdpSocket,
        datagrams: &Datagrams,
        deadline: Deadline,
    ) -> Result<(), SinkError> {
        let ticks = (deadline.remaining().as_millis() / 2 / EVERY.as_millis()).max(1);
        let at_once = datagrams.iter().len().div_ceil(ticks as usize).max(AT_ONCE);
        for (index, datagram) in datagrams.iter().enumerate() {
            if index > 0 && index % at_once == 0 {
                sleep(EVERY).await;
            }
            socket.send(datagram).await.map_err(|error| self.not_sent(error))?;
        }
        self.refusal(socket).await
    }

    /// What came back for the last datagrams.
    async fn refusal(&self, socket: &UdpSocket) -> Result<(), SinkError> {
        sleep(REFUSED_IN).await;
        match socket.take_error() {
            Ok(None) => Ok(()),
            Ok(Some(error)) | Err(error) => Err(self.not_sent(error)),
        }
    }

    fn not_sent(&self, error: io::Error) -> SinkError {
        if is_too_large(&error) {
            let message = "the network takes no datagram of that size: lower `max_datagram`";
            return SinkError::unavailable(message, error);
        }
        let message = match error.kind() {
            io::ErrorKind::ConnectionRefused => format!("nobody listens at {}", self.address),
            _ => format!("the metrics did not get to {}", self.address),
        };
        SinkError::retry(message, error)
    }
}

/// `EMSGSIZE`.
fn is_too_large(error: &io::Error) -> bool {
    const MESSAGE_TOO_LONG: i32 = 90;
    error.raw_os_error() == Some(MESSAGE_TOO_LONG)
}

async fn udp(host: &HostPort) -> Result<UdpSocket, SinkError> {
    let address = resolve(host).await?[0];
    let any: SocketAddr = if address.is_ipv4() { ([0, 0, 0, 0], 0).into() } else { ([0_u16; 8], 0).into() };
    let socket = async {
        let socket = UdpSocket::bind(any).await?;
        socket.connect(address).await?;
        Ok(socket)
    };
    socket.await.map_err(|error: io::Error| SinkError::retry(format!("no way to {host} by UDP"), error))
}

fn unix(path: &Path) -> Result<UnixDatagram, SinkError> {
    let socket = UnixDatagram::unbound().map_err(|error| SinkError::retry("no socket can be made", error))?;
    socket.connect(path).map_err(|error| {
        let place = path.display();
        match error.kind() {
            // Its daemon is gone and may come back.
            io::ErrorKind::ConnectionRefused => {
                SinkError::retry(format!("nobody listens at the socket {place}"), error)
            }
            io::ErrorKind::NotFound => {
                let message =
                    format!("there is no socket {place}: start the daemon, or set `address` to where it is");
                SinkError::unavailable(message, error)
            }
            _ => {
                let message = format!(
                    "the socket {place} cannot be used: it has to take datagrams, and be writable for us"
                );
                SinkError::unavailable(message, error)
            }
        }
    })?;
    Ok(socket)
}

async fn tcp(host: &HostPort) -> Result<TcpStream, SinkError> {
    let mut failure = None;
    for address in resolve(host).await? {
        match TcpStream::connect(address).await {
            Ok(stream) => return Ok(stream),
            Err(error) => failure = Some(error),
        }
    }
    let cause: Box<dyn Error + Send + Sync> = match failure {
        Some(error) => error.into(),
        None => "it has no address".into(),
    };
    Err(SinkError::retry(format!("nobody listens at tcp://{host}"), cause))
}

/// All addresses of a host, one at the least.
async fn resolve(host: &HostPort) -> Result<Vec<SocketAddr>, SinkError> {
    let unknown = || format!("the host {} is not known: is `address` right?", host.host);
    let found = lookup_host((&*host.host, host.port)).await;
    let addresses: Vec<_> = found.map_err(|error| SinkError::unavailable(unknown(), error))?.collect();
    if addresses.is_empty() {
        Err(SinkError::unavailable(unknown(), "it has no address"))
    } else {
        Ok(addresses)
    }
}

/// Writes everything, ends, and waits until the other side has ended too.
async fn converse(mut stream: TcpStream, lines: &[u8]) -> io::Result<()> {
    let mut said = [0; 512];
    stream.write_all(lines).await?;
    if let Ok(read) = timeout(CUT_IN, stream.read(&mut said)).await
        && read? == 0
    {
        return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the connection was ended from there"));
    }
    stream.shutdown().await?;
    while stream.read(&mut said).await? > 0 {}
    Ok(())
}
