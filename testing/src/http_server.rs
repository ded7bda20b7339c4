//! An HTTP server that does as it is told: for what real servers do too rarely for a test, such as
//! cutting a reply off.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use rustls::{ServerConfig, ServerConnection, StreamOwned};

/// A request as it came.
#[derive(Debug, Clone, Default)]
pub struct HttpRequest {
    /// Such as `POST`.
    pub method: String,
    /// With the query.
    pub path: String,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    /// As sent, so perhaps compressed.
    pub body: Vec<u8>,
}

impl HttpRequest {
    /// The value of a header; its name in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(own, _)| own == name).map(|(_, value)| value.as_str())
    }
}

/// What the server does about a request.
#[derive(Debug, Clone)]
pub enum HttpReaction {
    /// Answers with status, headers and body.
    Reply(u16, Vec<(&'static str, String)>, Vec<u8>),
    /// Answers with this status and the first of what it promises, says nothing for so long, then closes the
    /// connection.
    Hesitate(u16, Duration),
    /// Promises this body with status 200, sends so many bytes of it and closes the connection.
    CutAfter(usize, Vec<u8>),
    /// Sends these bytes as they are and closes the connection.
    Raw(Vec<u8>),
    /// Says nothing for so long, then closes the connection.
    Silence(Duration),
}

impl HttpReaction {
    /// Answers with status and body.
    pub fn reply(status: u16, body: impl Into<Vec<u8>>) -> Self {
        Self::Reply(status, Vec::new(), body.into())
    }
}

type Handler = dyn Fn(&HttpRequest) -> HttpReaction + Send + Sync;

/// A running server; its connections end when it is dropped.
pub struct HttpServer {
    address: SocketAddr,
    shared: Arc<Shared>,
    is_encrypted: bool,
}

struct Shared {
    handler: Box<Handler>,
    requests: Mutex<Vec<HttpRequest>>,
    connections: Mutex<Vec<TcpStream>>,
    is_over: AtomicBool,
    tls: Option<Arc<ServerConfig>>,
}

impl HttpServer {
    /// Asks `handler` about each request, also about several at once.
    pub fn start(handler: impl Fn(&HttpRequest) -> HttpReaction + Send + Sync + 'static) -> Self {
        Self::launch(Box::new(handler), None)
    }

    /// The same over TLS.
    pub fn encrypted(
        tls: Arc<ServerConfig>,
        handler: impl Fn(&HttpRequest) -> HttpReaction + Send + Sync + 'static,
    ) -> Self {
        Self::launch(Box::new(handler), Some(tls))
    }

    /// Its address, such as `http://127.0.0.1:40123`; with TLS under the name `localhost`.
    pub fn url(&self) -> String {
        match self.is_encrypted {
            true => format!("https://localhost:{}", self.address.port()),
            false => format!("http://{}", self.address),
        }
    }

    /// How many connections it has had so far.
    pub fn connections(&self) -> usize {
        self.shared.connections.lock().expect("nothing panics with it").len()
    }

    /// What was asked so far, in order.
    pub fn requests(&self) -> Vec<HttpRequest> {
        self.shared.requests.lock().expect("no handler panicked").clone()
    }

    fn launch(handler: Box<Handler>, tls: Option<Arc<ServerConfig>>) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("there is a free port");
        let address = listener.local_addr().expect("it is bound");
        let is_encrypted = tls.is_some();
        let (requests, connections) = (Mutex::default(), Mutex::default());
        let shared =
            Arc::new(Shared { handler, requests, connections, is_over: AtomicBool::new(false), tls });
        let own = shared.clone();
        thread::spawn(move || {
            for stream in listener.incoming() {
                if own.is_over.load(Ordering::SeqCst) {
                    return;
                }
                let (Ok(stream), shared) = (stream, own.clone()) else { continue };
                let (Ok(second), Ok(third)) = (stream.try_clone(), stream.try_clone()) else { continue };
                shared.connections.lock().expect("nothing panics with it").push(second);
                thread::spawn(move || {
                    // A client that goes away is what these tests are about.
                    let _ = shared.serve(stream);
                    // Closing one of several handles would not end the connection.
                    let _ = third.shutdown(Shutdown::Both);
                });
            }
        });
        Self { address, shared, is_encrypted }
    }
}

impl Drop for HttpServer {
    fn drop(&mut self) {
        self.shared.is_over.store(true, Ordering::SeqCst);
        // Wakes the listener, which then ends and gives its port back.
        let _ = TcpStream::connect(self.address);
        if let Ok(connections) = self.shared.connections.lock() {
            for connection in connections.iter() {
                let _ = connection.shutdown(Shutdown::Both);
            }
        }
    }
}

impl Shared {
    fn serve(&self, stream: TcpStream) -> io::Result<()> {
        match &self.tls {
            None => self.converse(stream),
            Some(tls) => {
                let connection = ServerConnection::new(tls.clone()).map_err(io::Error::other)?;
                self.converse(StreamOwned::new(connection, stream))
            }
        }
    }

    fn wait(&self, duration: Duration) {
        let end = Instant::now() + duration;
        while Instant::now() < end && !self.is_over.load(Ordering::SeqCst) {
            thread::sleep(Duration::from_millis(10));
        }
    }

    fn converse(&self, stream: impl Read + Write) -> io::Result<()> {
        let mut stream = BufReader::new(stream);
        while let Some(request) = read(&mut stream)? {
            self.requests.lock().expect("nothing panics with it").push(request.clone());
            let out = stream.get_mut();
            match (self.handler)(&request) {
                HttpReaction::Reply(status, headers, body) => {
                    head(out, status, &headers, body.len())?;
                    if request.method != "HEAD" {
                        out.write_all(&body)?;
                    }
                    out.flush()?;
                }
                HttpReaction::CutAfter(count, body) => {
                    head(out, 200, &[] as &[(&str, String)], body.len())?;
                    out.write_all(&body[..count])?;
                    return out.flush();
                }
                HttpReaction::Hesitate(status, duration) => {
                    head(out, status, &[] as &[(&str, String)], 100)?;
                    out.write_all(b"wait")?;
                    out.flush()?;
                    self.wait(duration);
                    return Ok(());
                }
                HttpReaction::Raw(bytes) => {
                    out.write_all(&bytes)?;
                    return out.flush();
                }
                HttpReaction::Silence(duration) => {
                    self.wait(duration);
                    return Ok(());
                }
            }
        }
        Ok(())
    }
}

/// The beginning of a reply, up to its body.
pub(crate) fn head(
    out: &mut impl Write,
    status: u16,
    headers: &[(impl AsRef<str>, String)],
    length: usize,
) -> io::Result<()> {
    write!(out, "HTTP/1.1 {status} as told\r\ncontent-length: {length}\r\n")?;
    for (name, value) in headers {
        write!(out, "{}: {value}\r\n", name.as_ref())?;
    }
    out.write_all(b"\r\n")
}

/// A server's whole answer. Headers that belong to one connection alone are left out, and names are in lower case.
#[derive(Debug)]
pub struct HttpReply {
    /// Its status.
    pub status: u16,
    /// Its headers.
    pub headers: Vec<(String, String)>,
    /// Its body.
    pub body: Vec<u8>,
}

/// What belongs to one connection and not to what is said on it.
const OF_THE_CONNECTION: [&str; 6] =
    ["connection", "content-length", "transfer-encoding", "expect", "keep-alive", "te"];

/// Has a server answer a request, with the name that it was sent to where it has one: signatures are over it. In
/// HTTP/1.0, so that a reply that does not say its length ends with the connection.
pub fn exchange(server: SocketAddr, request: &HttpRequest) -> io::Result<HttpReply> {
    let mut stream = TcpStream::connect_timeout(&server, Duration::from_secs(1))?;
    stream.set_read_timeout(Some(Duration::from_secs(60)))?;
    let HttpRequest { method, path, headers, body } = request;
    let mut head = format!("{method} {path} HTTP/1.0\r\n");
    if request.header("host").is_none() {
        head.push_str(&format!("host: {server}\r\n"));
    }
    let is_kept = |name: &str| !OF_THE_CONNECTION.contains(&name);
    for (name, value) in headers.iter().filter(|(name, _)| is_kept(name)) {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    write!(stream, "{head}content-length: {}\r\n\r\n", body.len())?;
    stream.write_all(body)?;
    let mut stream = BufReader::new(stream);
    let mut line = String::new();
    stream.read_line(&mut line)?;
    let status = line.split_whitespace().nth(1).and_then(|status| status.parse().ok());
    let mut length = u64::MAX;
    let mut headers = read_headers(&mut stream)?;
    if let Some((_, value)) = headers.iter().find(|(name, _)| name == "content-length") {
        length = value.parse().map_err(io::Error::other)?;
    }
    headers.retain(|(name, _)| is_kept(name));
    if method == "HEAD" {
        length = 0;
    }
    let mut body = Vec::new();
    stream.take(length).read_to_end(&mut body)?;
    Ok(HttpReply { status: status.unwrap_or_default(), headers, body })
}

/// `None` at the end of the connection.
pub(crate) fn read(stream: &mut impl BufRead) -> io::Result<Option<HttpRequest>> {
    let mut line = String::new();
    if stream.read_line(&mut line)? == 0 {
        return Ok(None);
    }
    let mut words = line.split_whitespace().map(str::to_owned);
    let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let headers = read_headers(stream)?;
    let mut request = HttpRequest { method, path, headers, ..HttpRequest::default() };
    let length = request.header("content-length").and_then(|length| length.parse().ok());
    request.body = vec![0; length.unwrap_or_default()];
    stream.read_exact(&mut request.body)?;
    Ok(Some(request))
}

/// Up to the empty line; names in lower case.
fn read_headers(stream: &mut impl BufRead) -> io::Result<Vec<(String, String)>> {
    let mut headers = Vec::new();
    loop {
        let mut line = String::new();
        stream.read_line(&mut line)?;
        let Some((name, value)) = line.trim_end().split_once(':') else { return Ok(headers) };
        headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
}
