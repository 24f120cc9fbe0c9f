//! A server of threads: it reads requests as HTTP/1.1, notes them in its ledger, and answers as its API
//! does, or with the trouble that a test orders.

use std::collections::VecDeque;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::Value;

/// A request as it came, and what became of it.
#[derive(Debug, Clone, Default)]
pub struct Asked {
    /// Such as `POST`.
    pub method: String,
    /// Without the query.
    pub path: String,
    /// Decoded pairs of the query, in order.
    pub query: Vec<(String, String)>,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
    /// What the server did in the place of a good answer.
    pub trouble: Option<Trouble>,
    /// The status of the answer; none if no head of an answer was sent, or nobody was there for it.
    pub answered: Option<u16>,
    /// Whether the API did the work of the request: also if its answer was lost then.
    pub worked: bool,
}

impl Asked {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str())
    }

    /// The first parameter of this name.
    pub fn param(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str())
    }

    /// All parameters of this name, with and without `[]` behind it.
    pub fn params(&self, name: &str) -> Vec<&str> {
        let with_brackets = format!("{name}[]");
        let named = |found: &str| found == name || found == with_brackets;
        self.query.iter().filter(|(n, _)| named(n)).map(|(_, v)| v.as_str()).collect()
    }

    /// The body as JSON; null if it is none.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    /// Whether it came through: its work was done and its whole answer was sent.
    pub fn is_served(&self) -> bool {
        self.worked && self.trouble.is_none() && self.answered.is_some_and(|s| s < 400)
    }
}

/// An answer.
#[derive(Debug, Clone)]
pub struct Reply {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Reply {
    pub fn new(status: u16, media_type: &str, body: impl Into<Vec<u8>>) -> Self {
        let headers = vec![("Content-Type".to_owned(), media_type.to_owned())];
        Self { status, headers, body: body.into() }
    }

    pub fn json(status: u16, body: &Value) -> Self {
        Self::new(status, "application/json", body.to_string())
    }

    pub fn empty(status: u16) -> Self {
        Self { status, headers: Vec::new(), body: Vec::new() }
    }

    pub fn header(mut self, name: &str, value: impl ToString) -> Self {
        self.headers.push((name.to_owned(), value.to_string()));
        self
    }
}

/// What goes wrong with one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trouble {
    /// A failure of the server (500, 502, 503 or 504) in the API's own words.
    Status(u16),
    /// Too many requests, with `Retry-After` in seconds.
    TooMany(u64),
    /// The same, with the delay as a date.
    TooManyUntil(u64),
    /// The connection is reset before the request is looked at.
    Reset,
    /// The work is done, and the connection is closed without an answer.
    Lost,
    /// The work is done; the connection is reset in the middle of the answer's body.
    Cut,
    /// The head says more bytes than come.
    ShortBody,
    /// 200 with a page of HTML.
    Html,
    /// 200 with JSON that breaks off, under its true length.
    BrokenJson,
    /// Nothing is sent, for so many milliseconds; then the connection is closed.
    Silence(u64),
}

impl Trouble {
    /// Whether the API does its work nevertheless.
    fn works(self) -> bool {
        matches!(self, Self::Lost | Self::Cut | Self::ShortBody)
    }
}

/// An API: how it answers well, and how it says that something is wrong.
pub trait Api: Send + Sync + 'static {
    /// Its answer to a request; `base` is where the server is, for URLs in answers.
    fn answer(&self, asked: &Asked, base: &str) -> Reply;

    /// A status of failure in its own words: 429, or one of 5xx.
    fn failure(&self, status: u16) -> Reply;

    /// Takes over a connection for another protocol, such as WebSocket; gives it back if it does not.
    fn upgrade(&self, _asked: &Asked, socket: TcpStream) -> Option<TcpStream> {
        Some(socket)
    }
}

/// Which requests meet trouble: at random, the same for the same seed and order of requests.
#[derive(Debug, Clone)]
pub struct Weather {
    seed: u64,
    /// Of 100 requests, so many meet trouble.
    percent: u64,
    kinds: Vec<Trouble>,
    drawn: u64,
}

impl Weather {
    pub fn new(seed: u64, percent: u64, kinds: &[Trouble]) -> Self {
        Self { seed, percent, kinds: kinds.to_vec(), drawn: 0 }
    }

    fn draw(&mut self) -> u64 {
        self.drawn += 1;
        // SplitMix64 (Steele, Lea, Flood 2014).
        let mut z = self.seed.wrapping_add(self.drawn.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn next(&mut self) -> Option<Trouble> {
        let meets = self.draw() % 100 < self.percent;
        let at = self.draw() as usize % self.kinds.len().max(1);
        meets.then(|| self.kinds.get(at).copied()).flatten()
    }
}

#[derive(Default)]
struct State {
    ledger: Vec<Asked>,
    ordered: VecDeque<Option<Trouble>>,
    weather: Option<Weather>,
}

/// A running server; it ends with the program.
pub struct Server {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
}

impl Server {
    pub fn start(api: impl Api) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("its address");
        let state = Arc::new(Mutex::new(State::default()));
        let (api, shared) = (Arc::new(api), Arc::clone(&state));
        std::thread::spawn(move || {
            for socket in listener.incoming().map_while(Result::ok) {
                let (api, state) = (Arc::clone(&api), Arc::clone(&shared));
                std::thread::spawn(move || serve(socket, address, api.as_ref(), &state));
            }
        });
        Self { address, state }
    }

    /// Where it is, such as `http://127.0.0.1:40000`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Lets the next requests meet these troubles, one each; `None` is a good answer.
    pub fn order(&self, troubles: impl IntoIterator<Item = Option<Trouble>>) {
        self.lock().ordered.extend(troubles);
    }

    /// Lets requests meet trouble at random, from here on.
    pub fn weather(&self, weather: Weather) {
        self.lock().weather = Some(weather);
    }

    /// All requests so far.
    pub fn ledger(&self) -> Vec<Asked> {
        self.lock().ledger.clone()
    }

    /// Those with this method, under paths with this beginning.
    pub fn asked(&self, method: &str, path: &str) -> Vec<Asked> {
        let mut ledger = self.ledger();
        ledger.retain(|asked| asked.method == method && asked.path.starts_with(path));
        ledger
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

fn serve(mut socket: TcpStream, address: SocketAddr, api: &dyn Api, state: &Mutex<State>) {
    let Some(mut asked) = read(&mut socket) else { return };
    let Some(mut socket) = api.upgrade(&asked, socket) else { return };
    let trouble = {
        let mut state = lock(state);
        match state.ordered.pop_front() {
            Some(ordered) => ordered,
            None => state.weather.as_mut().and_then(Weather::next),
        }
    };
    asked.trouble = trouble;
    asked.worked = trouble.is_none_or(Trouble::works);
    let base = format!("http://{address}");
    let reply = match trouble {
        None | Some(Trouble::Lost | Trouble::Cut | Trouble::ShortBody) => api.answer(&asked, &base),
        Some(Trouble::Status(status)) => api.failure(status),
        Some(Trouble::TooMany(seconds)) => api.failure(429).header("Retry-After", seconds),
        Some(Trouble::TooManyUntil(seconds)) => {
            let until = std::time::SystemTime::now() + Duration::from_secs(seconds);
            api.failure(429).header("Retry-After", httpdate::fmt_http_date(until))
        }
        Some(Trouble::Html) => {
            Reply::new(200, "text/html", "<html><body><h1>Welcome</h1></body></html>")
        }
        Some(Trouble::BrokenJson) => {
            let whole = api.answer(&asked, &base).body;
            Reply::new(200, "application/json", whole[..whole.len() / 2].to_vec())
        }
        Some(Trouble::Reset | Trouble::Silence(_)) => Reply::empty(0),
    };
    let sends = !matches!(trouble, Some(Trouble::Reset | Trouble::Lost | Trouble::Silence(_)));
    asked.answered = (sends && !is_gone(&socket)).then_some(reply.status);
    // The ledger is written before the answer, so that whoever has the answer finds it there.
    lock(state).ledger.push(asked);
    match trouble {
        Some(Trouble::Silence(ms)) => std::thread::sleep(Duration::from_millis(ms)),
        Some(Trouble::Reset) => reset(&socket),
        Some(Trouble::Lost) => {}
        Some(Trouble::Cut) => {
            let bytes = encoded(&reply, reply.body.len());
            let head = bytes.len() - reply.body.len();
            drop(socket.write_all(&bytes[..head + reply.body.len() / 2]));
            drop(socket.flush());
            reset(&socket);
        }
        Some(Trouble::ShortBody) => {
            drop(socket.write_all(&encoded(&reply, reply.body.len() + 100)));
        }
        _ => drop(socket.write_all(&encoded(&reply, reply.body.len()))),
    }
}

fn encoded(reply: &Reply, length: usize) -> Vec<u8> {
    let mut head = format!("HTTP/1.1 {} X\r\nConnection: close\r\n", reply.status);
    for (name, value) in &reply.headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    if reply.status != 204 {
        head.push_str(&format!("Content-Length: {length}\r\n"));
    }
    head.push_str("\r\n");
    [head.as_bytes(), &reply.body].concat()
}

/// Whether whoever asked has hung up meanwhile, so that no answer can reach them.
fn is_gone(socket: &TcpStream) -> bool {
    if socket.set_nonblocking(true).is_err() {
        return true;
    }
    let peeked = socket.peek(&mut [0]);
    let gone = match peeked {
        Ok(bytes) => bytes == 0,
        Err(error) => error.kind() != std::io::ErrorKind::WouldBlock,
    };
    gone || socket.set_nonblocking(false).is_err()
}

/// Lets the end of a socket be a reset instead of an orderly close.
fn reset(socket: &TcpStream) {
    use std::os::fd::AsFd as _;
    let zero = Some(Duration::ZERO);
    rustix::net::sockopt::set_socket_linger(socket.as_fd(), zero).ok();
}

fn read(socket: &mut TcpStream) -> Option<Asked> {
    let mut bytes = Vec::new();
    let head_end = loop {
        if let Some(at) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            break at;
        }
        more(socket, &mut bytes)?;
    };
    let head = String::from_utf8_lossy(&bytes[..head_end]).into_owned();
    let mut asked = head_of(&head)?;
    let length = asked.header("content-length").map_or(Some(0), |text| text.parse().ok())?;
    let mut body = bytes.split_off(head_end + 4);
    while body.len() < length {
        more(socket, &mut body)?;
    }
    body.truncate(length);
    asked.body = body;
    Some(asked)
}

fn more(socket: &mut TcpStream, bytes: &mut Vec<u8>) -> Option<()> {
    let mut buffer = vec![0; 64 * 1024];
    let count = socket.read(&mut buffer).ok().filter(|count| *count > 0)?;
    bytes.extend_from_slice(&buffer[..count]);
    Some(())
}

fn head_of(head: &str) -> Option<Asked> {
    let mut lines = head.split("\r\n");
    let mut first = lines.next()?.split(' ');
    let (method, target) = (first.next()?.to_owned(), first.next()?);
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let header = |line: &str| {
        let (name, value) = line.split_once(':')?;
        Some((name.to_ascii_lowercase(), value.trim().to_owned()))
    };
    Some(Asked {
        method,
        path: decoded(path),
        query: query.split('&').filter(|pair| !pair.is_empty()).map(pair).collect(),
        headers: lines.filter_map(header).collect(),
        ..Asked::default()
    })
}

fn pair(text: &str) -> (String, String) {
    let (name, value) = text.split_once('=').unwrap_or((text, ""));
    (decoded(&name.replace('+', " ")), decoded(&value.replace('+', " ")))
}

fn decoded(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let hex = after.get(..2).and_then(|two| std::str::from_utf8(two).ok());
        match hex.filter(|_| *first == b'%').and_then(|two| u8::from_str_radix(two, 16).ok()) {
            Some(byte) => {
                bytes.push(byte);
                rest = &after[2..];
            }
            None => {
                bytes.push(*first);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}
