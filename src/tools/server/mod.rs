//! The MCP server: one process, confined, with file tools of its own and processes started through the launcher.

mod checkpoint;
mod commits;
mod fence;
mod git;
mod halt;
mod handles;
mod import;
mod ledger;
mod line;
mod perform;
mod resolve;
mod scratch;
mod session;
mod stages;
mod unpack;

use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::net::UnixListener as StdListener;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use rmcp::ServiceExt as _;
use rmcp::transport::async_rw::AsyncRwTransport;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::{Mode, OFlags};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{Notify, Semaphore};

use self::import::{Loaded, Staging};
use self::line::{Ending, Line};
use self::session::Session;
use crate::program::Programs;
use crate::refusal::Refusal;
use crate::schema::Schemas;
use crate::workspace::Workspace;
use crate::{Error, ServeOptions, attach, confine, kernel};

/// Sessions at once: an operator, its successor, and a person who looks.
const MAX_SESSIONS: usize = 16;

/// Everything that sessions share.
#[derive(Debug)]
pub(crate) struct Sandbox {
    options: ServeOptions,
    workspace: Workspace,
    git_dir: OwnedFd,
    stages: stages::Stages,
    halts: halt::Halts,
    ledger: ledger::Ledger,
    fence: fence::Fence,
    handles: handles::Handles,
    programs: Programs,
    schemas: Schemas,
    loaded: Mutex<Option<Loaded>>,
    staging: tokio::sync::Mutex<Option<Staging>>,
    /// Held while git works: it has one index.
    git_turn: tokio::sync::Mutex<()>,
}

/// The server's life, in the process that the launcher forked for it.
pub(crate) fn run_and_exit(options: ServeOptions, line: OwnedFd) -> ! {
    match run(options, line) {
        Ok(()) => kernel::exit_now(0),
        Err(error) => {
            eprintln!("reeve tools: {error}");
            kernel::exit_now(1)
        }
    }
}

fn run(options: ServeOptions, line: OwnedFd) -> Result<(), Error> {
    kernel::fresh_signals();
    rustix::process::umask(Mode::from_raw_mode(0o022));
    let listener = StdListener::bind_addr(&attach::address(&options.socket)?).map_err(Error::io("listening on the socket"))?;
    listener.set_nonblocking(true).map_err(Error::io("listening on the socket"))?;
    let volumes = [&options.workspace, &options.git_dir, &options.ledger, &options.scratch]
        .map(|path| open_directory(path))
        .into_iter()
        .collect::<Result<Vec<_>, _>>()?;
    let launcher = line.try_clone().map_err(Error::io("sharing the launcher's socket"))?;
    let sandbox = Sandbox::open(options, line)?;
    confine::restrict_server(volumes.iter().map(|volume| volume.as_fd()))?;
    confine::filter_server()?;
    drop(volumes);
    end_with(launcher)?;
    // One thread answers, others do the work on files: a request that needs no file is answered without waking a second thread.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(16)
        .build()
        .map_err(Error::io("starting the runtime"))?;
    runtime.block_on(serve(Arc::new(sandbox), listener))
}

/// Ties this process's life to the launcher's end of the line. A signal at the launcher's death would not do: the launcher's domain keeps
/// its signals from us, that one too. A thread of its own, so that it happens whatever the others are at.
fn end_with(launcher: OwnedFd) -> Result<(), Error> {
    let watch = move || {
        // Nothing is asked for: a line that ended is always told of.
        while poll(&mut [PollFd::new(&launcher, PollFlags::empty())], None).is_err() {}
        kernel::exit_now(0)
    };
    let started = std::thread::Builder::new().name("launcher".to_owned()).spawn(watch);
    started.map(drop).map_err(Error::io("watching the launcher"))
}

async fn serve(sandbox: Arc<Sandbox>, listener: StdListener) -> Result<(), Error> {
    let listener = UnixListener::from_std(listener).map_err(Error::io("listening on the socket"))?;
    sandbox.restore_workspace().await.map_err(|refusal| Error::confinement("restoring the workspace")(refusal.message))?;
    let ended = Arc::new(Notify::new());
    let places = Arc::new(Semaphore::new(MAX_SESSIONS));
    loop {
        let stream = tokio::select! {
            accepted = listener.accept() => accepted.map_err(Error::io("accepting a session"))?.0,
            () = ended.notified() => break,
        };
        if !is_ours(&stream) {
            continue;
        }
        let Ok(place) = places.clone().try_acquire_owned() else { continue };
        let (sandbox, ending) = (sandbox.clone(), Ending::new(ended.clone()));
        tokio::spawn(async move {
            let (read, write) = tokio::io::split(Line::new(stream, ending.clone()));
            if let Ok(session) = Session::new(sandbox, ending.clone()).serve(AsyncRwTransport::new_server(read, write)).await {
                let _ = session.waiting().await;
            }
            ending.written();
            drop(place);
        });
    }
    sandbox.stages.shut_down().map_err(|refusal| Error::confinement("ending")(refusal.message))?;
    // The launcher's end is ours.
    std::future::pending().await
}

/// Whoever is let in has this server's uid or is root. Tools have it too; they are kept out by Landlock's scope.
fn is_ours(stream: &UnixStream) -> bool {
    let own = rustix::process::geteuid().as_raw();
    stream.peer_cred().is_ok_and(|peer| peer.uid() == own || peer.uid() == 0)
}

impl Sandbox {
    fn open(options: ServeOptions, line: OwnedFd) -> Result<Sandbox, Error> {
        let blobs = options.ledger.join(checkpoint::BLOBS);
        std::fs::create_dir_all(&blobs).map_err(Error::io(format!("making {}", blobs.display())))?;
        // The lock first: what is cleared must not belong to a server that runs.
        let ledger = ledger::Ledger::open(&options.ledger).map_err(Error::io("opening the ledger"))?;
        scratch::clear_leftovers(&options.scratch).map_err(Error::io(format!("clearing {}", options.scratch.display())))?;
        Ok(Sandbox {
            workspace: Workspace::open(&options.workspace).map_err(Error::errno(format!("opening {}", options.workspace.display())))?,
            git_dir: open_directory(&options.git_dir)?,
            stages: stages::Stages::new(line),
            halts: halt::Halts::default(),
            ledger,
            fence: fence::Fence::open(&options.ledger).map_err(Error::io("opening the epoch"))?,
            handles: handles::Handles::new(),
            programs: Programs::default(),
            schemas: Schemas::compile().map_err(|refusal| Error::confinement("compiling schemas")(refusal.message))?,
            loaded: Mutex::default(),
            staging: tokio::sync::Mutex::default(),
            git_turn: tokio::sync::Mutex::default(),
            options,
        })
    }

    fn loaded(&self) -> Option<Loaded> {
        self.loaded.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set_head(&self, commit: &str) {
        if let Some(loaded) = self.loaded.lock().unwrap_or_else(PoisonError::into_inner).as_mut() {
            commit.clone_into(&mut loaded.head_commit);
        }
    }

    fn require_workspace(&self) -> Result<(), Refusal> {
        let absent = || Refusal::invalid("expected a loaded workspace, found none: import one first");
        self.loaded().map(drop).ok_or_else(absent)
    }
}

fn open_directory(path: &Path) -> Result<OwnedFd, Error> {
    rustix::fs::open(path, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
        .map_err(Error::errno(format!("opening {}", path.display())))
}
