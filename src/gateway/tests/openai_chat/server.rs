//! A model server for tests: plays scripted bytes over a real socket and keeps what it was sent.

use std::sync::{Arc, Mutex};

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// What the server does with one request.
pub(crate) struct Reply {
    bytes: Vec<u8>,
    /// Whether the connection stays open, silent, after the bytes.
    hold: bool,
}

impl Reply {
    /// A whole answer. `head` is status and reason, and may go on with more header lines.
    pub(crate) fn of(head: &str, body: impl AsRef<[u8]>) -> Reply {
        let body = body.as_ref();
        Reply::raw(&format!("{head}\r\ncontent-length: {}", body.len()), body)
    }

    /// An answer whose length the client is not told, or is told wrongly by `head`.
    pub(crate) fn raw(head: &str, body: &[u8]) -> Reply {
        let mut bytes = format!("HTTP/1.1 {head}\r\nconnection: close\r\n\r\n").into_bytes();
        bytes.extend_from_slice(body);
        Reply { bytes, hold: false }
    }

    /// The same, and then silence.
    pub(crate) fn then_silence(self) -> Reply {
        Reply { hold: true, ..self }
    }

    /// No answer at all.
    pub(crate) fn silence() -> Reply {
        Reply { bytes: Vec::new(), hold: true }
    }

    /// The connection is closed without an answer.
    pub(crate) fn hang_up() -> Reply {
        Reply { bytes: Vec::new(), hold: false }
    }
}

/// A request as it arrived.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    /// Request line and header lines, in lower case but for values.
    pub(crate) head: String,
    /// The body, parsed.
    pub(crate) body: Value,
}

/// The server; it ends with the test's runtime.
pub(crate) struct Server {
    /// `http://127.0.0.1:port`.
    pub(crate) url: String,
    seen: Arc<Mutex<Vec<Seen>>>,
}

impl Server {
    /// Starts one that gives these replies, one a connection, and answers whatever comes after them with 418.
    pub(crate) async fn playing(replies: impl IntoIterator<Item = Reply>) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let seen: Arc<Mutex<Vec<Seen>>> = Arc::default();
        let (keeps, mut replies) = (Arc::clone(&seen), replies.into_iter().collect::<Vec<_>>().into_iter());
        tokio::spawn(async move {
            let mut held = Vec::new();
            while let Ok((mut stream, _)) = listener.accept().await {
                let Some(request) = read(&mut stream).await else { continue };
                keeps.lock().unwrap().push(request);
                let reply = replies.next().unwrap_or_else(|| Reply::of("418 I'm a teapot", "nothing scripted"));
                // A client may well have left before the end.
                let _ = stream.write_all(&reply.bytes).await;
                if reply.hold {
                    held.push(stream);
                }
            }
        });
        Server { url, seen }
    }

    /// What was sent so far.
    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }
}

/// One request with a `content-length`.
async fn read(stream: &mut TcpStream) -> Option<Seen> {
    let mut bytes = Vec::new();
    loop {
        let mut buffer = [0; 4096];
        let count = stream.read(&mut buffer).await.ok().filter(|count| *count > 0)?;
        bytes.extend_from_slice(&buffer[..count]);
        let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") else { continue };
        let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: "))?.parse::<usize>().ok()?;
        if bytes.len() >= end + 4 + length {
            return Some(Seen { head, body: serde_json::from_slice(&bytes[end + 4..]).ok()? });
        }
    }
}
