//! One connection: a socket whose frames are bounded, and which tells when an answer has left.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::UnixStream;
use tokio::sync::Notify;

/// One JSON-RPC message, bytes. The largest is a chunk of a workspace in base64, or a file of 1 MiB with every byte escaped.
const MAX_FRAME_BYTES: usize = 2 * 1024 * 1024;

/// The end, asked for on one session.
#[derive(Clone, Debug)]
pub(super) struct Ending {
    asked: Arc<AtomicBool>,
    /// Told when the answer to it is out.
    ended: Arc<Notify>,
}

impl Ending {
    pub(super) fn new(ended: Arc<Notify>) -> Ending {
        Ending { asked: Arc::default(), ended }
    }

    pub(super) fn ask(&self) {
        self.asked.store(true, Ordering::Relaxed);
    }

    /// To be called when whatever was to be written is written, or never will be.
    pub(super) fn written(&self) {
        if self.asked.load(Ordering::Relaxed) {
            self.ended.notify_one();
        }
    }
}

/// The socket. A frame that is too long is an error, which ends the session: an answer to it would have no id.
#[derive(Debug)]
pub(super) struct Line {
    stream: UnixStream,
    frame_bytes: usize,
    ending: Ending,
}

impl Line {
    pub(super) fn new(stream: UnixStream, ending: Ending) -> Line {
        Line { stream, frame_bytes: 0, ending }
    }
}

impl AsyncRead for Line {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        std::task::ready!(Pin::new(&mut self.stream).poll_read(cx, buf))?;
        let read = &buf.filled()[before..];
        self.frame_bytes = match read.iter().rposition(|byte| *byte == b'\n') {
            Some(end) => read.len() - end - 1,
            None => self.frame_bytes + read.len(),
        };
        if self.frame_bytes > MAX_FRAME_BYTES {
            return Poll::Ready(Err(io::Error::other(format!("a frame of more than {MAX_FRAME_BYTES} bytes"))));
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Line {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.stream).poll_flush(cx);
        if flushed.is_ready() {
            self.ending.written();
        }
        flushed
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
