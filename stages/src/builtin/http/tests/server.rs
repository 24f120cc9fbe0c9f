//! A server of raw bytes on loopback: it reads requests as HTTP/1.1, and says whatever a test
//! wants, so that every fault can be made exactly.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use rustls::{ServerConfig, ServerConnection, StreamOwned};

/// A request as it came.
#[derive(Debug, Clone, Default)]
pub(super) struct Seen {
    /// Request line and headers.
    pub(super) head: String,
    pub(super) body: Vec<u8>,
}

impl Seen {
    /// The first line.
    pub(super) fn line(&self) -> &str {
        self.head.lines().next().unwrap_or_default()
    }

    /// A header's value.
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().skip(1).find_map(|line| {
            let (found, value) = line.split_once(':')?;
            found.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }
}

/// One connection, plain or with TLS.
pub(super) trait Wire: Read + Write {
    /// The socket below.
    fn socket(&self) -> &TcpStream;
}

impl Wire for TcpStream {
    fn socket(&self) -> &TcpStream {
        self
    }
}

impl Wire for StreamOwned<ServerConnection, TcpStream> {
    fn socket(&self) -> &TcpStream {
        &self.sock
    }
}

/// What a server does with a request; the connection is closed after it.
type Handler = dyn Fn(&Seen, &mut dyn Wire) + Send + Sync;

pub(super) struct Server {
    address: SocketAddr,
    scheme: &'static str,
    seen: Arc<Mutex<Vec<Seen>>>,
}

impl Server {
    /// A server with a handler.
    pub(super) fn new(handler: impl Fn(&Seen, &mut dyn Wire) + Send + Sync + 'static) -> Self {
        Self::start(None, Arc::new(handler))
    }

    /// A server with TLS.
    pub(super) fn tls(
        config: ServerConfig,
        handler: impl Fn(&Seen, &mut dyn Wire) + Send + Sync + 'static,
    ) -> Self {
        Self::start(Some(Arc::new(config)), Arc::new(handler))
    }

    /// A server that gives the answers in order, and the last one again.
    pub(super) fn saying<const N: usize>(answers: [impl Into<Vec<u8>>; N]) -> Self {
        let answers: Vec<Vec<u8>> = answers.into_iter().map(Into::into).collect();
        let next = Mutex::new(0);
        Self::new(move |_, wire| {
            let mut next = next.lock().expect("no handler panics here");
            let answer = &answers[(*next).min(answers.len() - 1)];
            *next += 1;
            drop(wire.write_all(answer));
        })
    }

    /// A server that says 200 with a JSON body.
    pub(super) fn json(body: &str) -> Self {
        Self::saying([ok("application/json", body)])
    }

    fn start(tls: Option<Arc<ServerConfig>>, handler: Arc<Handler>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("its address");
        let seen = Arc::new(Mutex::new(Vec::new()));
        let record = Arc::clone(&seen);
        let scheme = if tls.is_some() { "https" } else { "http" };
        std::thread::spawn(move || {
            for socket in listener.incoming().map_while(Result::ok) {
                let (handler, record, tls) =
                    (Arc::clone(&handler), Arc::clone(&record), tls.clone());
                std::thread::spawn(move || match tls {
                    None => serve(socket, handler.as_ref(), &record),
                    Some(config) => {
                        let session = ServerConnection::new(config).expect("a TLS session");
                        serve(StreamOwned::new(session, socket), handler.as_ref(), &record);
                    }
                });
            }
        });
        Self { address, scheme, seen }
    }

    /// A URL of the server by its address.
    pub(super) fn url(&self, path: &str) -> String {
        format!("{}://{}{path}", self.scheme, self.address)
    }

    /// A URL of the server by a name.
    pub(super) fn named(&self, host: &str, path: &str) -> String {
        format!("{}://{host}:{}{path}", self.scheme, self.address.port())
    }

    /// All requests so far.
    pub(super) fn seen(&self) -> Vec<Seen> {
        self.seen.lock().expect("no handler panics here").clone()
    }

    /// The one request.
    pub(super) fn only(&self) -> Seen {
        let seen = self.seen();
        assert_eq!(seen.len(), 1, "{seen:?}");
        seen.into_iter().next().unwrap_or_default()
    }
}

fn serve(mut wire: impl Wire, handler: &Handler, record: &Mutex<Vec<Seen>>) {
    let Some(seen) = read_request(&mut wire) else { return };
    record.lock().expect("no handler panics here").push(seen.clone());
    handler(&seen, &mut wire);
    drop(wire.flush());
}

fn read_request(wire: &mut impl Wire) -> Option<Seen> {
    let mut bytes = Vec::new();
    let end = loop {
        if let Some(at) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            break at;
        }
        read_more(wire, &mut bytes)?;
    };
    let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
    let mut seen = Seen { head, body: bytes.split_off(end + 4) };
    let length = seen.header("content-length").map_or(0, |text| text.parse().expect("a length"));
    assert!(seen.header("transfer-encoding").is_none(), "this server reads no chunks");
    while seen.body.len() < length {
        read_more(wire, &mut seen.body)?;
    }
    Some(seen)
}

fn read_more(wire: &mut impl Wire, bytes: &mut Vec<u8>) -> Option<()> {
    let mut buffer = [0; 65_536];
    let count = wire.read(&mut buffer).ok().filter(|count| *count > 0)?;
    bytes.extend_from_slice(&buffer[..count]);
    Some(())
}

/// An answer with a body of known length.
pub(super) fn answer(status: &str, headers: &[&str], body: &[u8]) -> Vec<u8> {
    let length = body.len();
    let head = format!("HTTP/1.1 {status}\r\nConnection: close\r\nContent-Length: {length}\r\n");
    let mut bytes = head.into_bytes();
    for header in headers {
        bytes.extend_from_slice(header.as_bytes());
        bytes.extend_from_slice(b"\r\n");
    }
    bytes.extend_from_slice(b"\r\n");
    bytes.extend_from_slice(body);
    bytes
}

/// A 200 with a body of known length.
pub(super) fn ok(content_type: &str, body: &str) -> Vec<u8> {
    answer("200 OK", &[&format!("Content-Type: {content_type}")], body.as_bytes())
}

/// A redirect.
pub(super) fn redirect(status: &str, location: &str) -> Vec<u8> {
    answer(status, &[&format!("Location: {location}")], b"")
}

/// Ends a connection with a reset instead of a close.
pub(super) fn reset_on_close(wire: &dyn Wire) {
    rustix::net::sockopt::set_socket_linger(wire.socket(), Some(std::time::Duration::ZERO))
        .expect("a socket option");
}
