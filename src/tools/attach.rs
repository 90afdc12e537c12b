//! `reeve tools attach`: one line to the server, for `kubectl exec` and the operator's exec stream.

use std::fs::File;
use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::fd::AsFd as _;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixStream};
use std::path::Path;
use std::time::{Duration, Instant};

use reeve_core::Digest;

use crate::Error;

/// How long a server may take to come up: it starts together with the container.
const PATIENCE: Duration = Duration::from_secs(10);
/// Between two tries.
const PAUSE: Duration = Duration::from_millis(20);
/// One read: the pipe's own size.
const BUFFER_BYTES: usize = 64 * 1024;

/// The address that a socket path stands for: an abstract one.
///
/// Tools have the server's uid, and Landlock below ABI 9 does not judge `connect` to a socket file; abstract sockets it does, by scope. So
/// no tool can speak to the server, whatever it can see of the file system.
pub(crate) fn address(socket: &Path) -> Result<SocketAddr, Error> {
    let name = format!("reeve-tools-{}", Digest::of(socket.as_os_str().as_encoded_bytes()).hex());
    SocketAddr::from_abstract_name(name).map_err(Error::io("naming the socket"))
}

/// Joins standard input and output to the server behind `socket`, unbuffered, until the server closes. `reeve tools attach`.
///
/// # Errors
/// [`Error::NoServer`] when none answers within ten seconds, [`Error::Io`] when the line breaks.
pub fn attach(socket: &Path) -> Result<(), Error> {
    let stream = connect(socket)?;
    let stdin = File::from(std::io::stdin().as_fd().try_clone_to_owned().map_err(Error::io("opening standard input"))?);
    let stdout = File::from(std::io::stdout().as_fd().try_clone_to_owned().map_err(Error::io("opening standard output"))?);
    let upstream = stream.try_clone().map_err(Error::io("sharing the line"))?;
    std::thread::Builder::new()
        .name("stdin".to_owned())
        .spawn(move || {
            let _ = pump(stdin, &upstream);
            let _ = upstream.shutdown(Shutdown::Write);
        })
        .map_err(Error::io("starting a thread"))?;
    // The process ends with this direction; a thread that waits for input does not hold it.
    pump(&stream, stdout).map_err(Error::io("copying from the server"))
}

fn connect(socket: &Path) -> Result<UnixStream, Error> {
    let address = address(socket)?;
    let started = Instant::now();
    loop {
        match UnixStream::connect_addr(&address) {
            Ok(stream) => return Ok(stream),
            Err(_) if started.elapsed() < PATIENCE => std::thread::sleep(PAUSE),
            Err(_) => {
                let waited_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
                return Err(Error::NoServer { socket: socket.to_owned(), waited_ms });
            }
        }
    }
}

fn pump(mut from: impl Read, mut to: impl Write) -> std::io::Result<()> {
    let mut buffer = vec![0u8; BUFFER_BYTES];
    loop {
        match from.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(read) => to.write_all(&buffer[..read])?,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}
