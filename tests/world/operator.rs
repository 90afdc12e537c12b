//! An operator as a process on this machine, which a test may kill.

#[path = "../../src/store/tests/store/tracer.rs"]
mod tracer;

use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::{Child, Command};
use tokio::sync::watch;

use super::cluster;
use super::deadline;
use tracer::Unsynced;

/// How an operator is to be started.
#[derive(Clone, Debug)]
pub struct Start {
    /// What the Lease knows it by. The same identity takes over from itself at once, as a restarted container does.
    pub identity: String,
    /// Directory of journal and artifacts; None for the world's own.
    pub data: Option<PathBuf>,
    /// `point@n`: the fail point at which it ends itself by SIGKILL.
    pub crash_at: Option<String>,
    /// Directory of the keys that sign the journal; None for the world's own.
    pub keys: Option<PathBuf>,
    /// What is logged; None for what is worth reading after a failure.
    pub log: Option<String>,
    /// URL of a witness, None for none.
    pub witness: Option<String>,
    /// Name of the admission policy on approvals and of its binding; None for the chart's, bound to the tests' namespaces.
    pub admission: Option<String>,
}

impl Default for Start {
    fn default() -> Start {
        Start { identity: "first".to_owned(), data: None, crash_at: None, keys: None, log: None, witness: None, admission: None }
    }
}

/// Where an operator works; the same for each start of a world.
pub(crate) struct Site {
    pub(crate) namespace: String,
    pub(crate) kubeconfig: PathBuf,
    pub(crate) data: PathBuf,
    pub(crate) keys: PathBuf,
    /// URL of the journal; None for a file in the data directory.
    pub(crate) journal: Option<String>,
}

/// A running operator. Dropped, it is killed.
pub struct Operator {
    child: Mutex<Option<Child>>,
    log: Log,
    /// `127.0.0.1:port` of its web server.
    pub http: String,
}

/// A disk that does not flush, as an operator sees it.
pub struct Unflushed {
    _tracer: Unsynced,
}

/// The lines that a process has written so far.
#[derive(Clone)]
pub(crate) struct Log(Arc<watch::Sender<Vec<String>>>);

impl Log {
    fn new() -> Log {
        Log(Arc::new(watch::channel(Vec::new()).0))
    }

    fn keep(&self, stream: impl AsyncRead + Unpin + Send + 'static) {
        let lines = Arc::clone(&self.0);
        tokio::spawn(async move {
            let mut reader = BufReader::new(stream).lines();
            while let Ok(Some(line)) = reader.next_line().await {
                lines.send_modify(|lines| lines.push(line));
            }
        });
    }

    pub(crate) fn tail(&self, lines: usize) -> String {
        let log = self.0.borrow();
        log[log.len().saturating_sub(lines)..].join("\n")
    }
}

impl Operator {
    /// Starts one. It may not be the leader yet when this returns, nor listen.
    pub(crate) async fn start(site: &Site, start: &Start) -> (Operator, Log) {
        let port = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
        let http = format!("127.0.0.1:{port}");
        let data = start.data.as_ref().unwrap_or(&site.data);
        let mut command = Command::new(cluster::reeve_binary());
        command
            .arg("operator")
            .args(["--namespace", &site.namespace])
            .args(["--watch-namespace", &site.namespace])
            .arg("--data-dir")
            .arg(data)
            .arg("--journal-key-dir")
            .arg(start.keys.as_ref().unwrap_or(&site.keys))
            .args(["--http-address", &http])
            .args(["--read-api-address", "127.0.0.1:0"])
            .args(["--sandbox-installer-image", &cluster::reeve_image()])
            .args(["--identity", &format!("{}-{}", site.namespace, start.identity)])
            .args(["--approval-policy", start.admission.as_deref().unwrap_or("reeve-approvals")])
            .args(["--approval-binding", start.admission.as_deref().unwrap_or("reeve-tests-approvals")])
            .args(["--decision-binding", "reeve-tests-approval-decision"])
            .args(["--max-concurrent-runs", "25"])
            .args(["--log-format", "text", "--log", start.log.as_deref().unwrap_or("info,rmcp=warn")])
            .env("KUBECONFIG", &site.kubeconfig)
            .env("NO_COLOR", "1")
            .env_remove("REEVE_DATABASE")
            .envs(site.journal.iter().map(|url| ("REEVE_DATABASE", url)))
            .env_remove("REEVE_WITNESS_URL")
            .envs(start.witness.iter().map(|url| ("REEVE_WITNESS_URL", url)))
            .env_remove("REEVE_CRASH_AT")
            .envs(start.crash_at.iter().map(|point| ("REEVE_CRASH_AT", point)))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        let mut child = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let log = Log::new();
        log.keep(child.stdout.take().unwrap());
        log.keep(child.stderr.take().unwrap());
        (Operator { child: Mutex::new(Some(child)), log: log.clone(), http }, log)
    }

    /// Waits for a line of its log that holds this text.
    pub async fn says(&self, text: &str) -> String {
        let mut lines = self.log.0.subscribe();
        let found = |lines: &Vec<String>| lines.iter().find(|line| line.contains(text)).cloned();
        let waits = lines.wait_for(|lines| found(lines).is_some());
        let line = match tokio::time::timeout(deadline(), waits).await {
            Ok(Ok(lines)) => found(&lines),
            Ok(Err(_)) | Err(_) => None,
        };
        line.unwrap_or_else(|| panic!("the operator never said {text:?}; its last lines:\n{}", self.log.tail(40)))
    }

    /// Whether its log so far holds this text.
    pub fn has_said(&self, text: &str) -> bool {
        self.log.0.borrow().iter().any(|line| line.contains(text))
    }

    /// Every line of its log so far.
    pub fn said(&self) -> String {
        self.log.tail(usize::MAX)
    }

    /// What its web server answers at this path, with the headers.
    pub async fn serves(&self, path: &str) -> String {
        let mut stream = TcpStream::connect(&self.http).await.unwrap();
        stream.write_all(format!("GET {path} HTTP/1.1\r\nhost: reeve\r\nconnection: close\r\n\r\n").as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    }

    /// Waits until it has ended by itself.
    pub async fn ended(&self) -> ExitStatus {
        let mut child = self.child.lock().unwrap().take().expect("it has ended already");
        match tokio::time::timeout(deadline(), child.wait()).await {
            Ok(status) => status.unwrap(),
            Err(_) => panic!("the operator still runs after {:?}; its last lines:\n{}", deadline(), self.log.tail(40)),
        }
    }

    /// Waits until SIGKILL has ended it: its fail point was reached.
    pub async fn killed(&self) {
        use std::os::unix::process::ExitStatusExt as _;
        let status = self.ended().await;
        assert_eq!(status.signal(), Some(9), "it ended with {status}; its last lines:\n{}", self.log.tail(40));
    }

    /// `kill -9`, and waits for the end.
    pub async fn kill9(&self) {
        let child = self.child.lock().unwrap().take();
        if let Some(mut child) = child {
            child.kill().await.unwrap();
        }
    }

    /// `kill -9` after this time, in which it has not ended by itself, and waits for the end.
    pub async fn killed_after(&self, time: Duration) {
        let mut child = self.child.lock().unwrap().take().expect("it has ended already");
        if let Ok(status) = tokio::time::timeout(time, child.wait()).await {
            panic!("the operator ended by itself with {status:?}; its last lines:\n{}", self.log.tail(40));
        }
        child.kill().await.unwrap();
    }

    /// SIGTERM, and waits for the end: what a kubelet does.
    pub async fn stop(&self) -> ExitStatus {
        self.signal(Signal::TERM);
        self.ended().await
    }

    /// SIGSTOP: it does nothing any more, and its connections stay open.
    pub fn falls_asleep(&self) {
        self.signal(Signal::STOP);
    }

    /// SIGCONT: it goes on where it was, and has not seen the time go by.
    pub fn wakes(&self) {
        self.signal(Signal::CONT);
    }

    /// Whatever it flushes to its disk fails, until this is dropped.
    pub fn cannot_flush(&self) -> Unflushed {
        Unflushed { _tracer: Unsynced::process(self.pid()) }
    }

    fn pid(&self) -> u32 {
        self.child.lock().unwrap().as_ref().and_then(Child::id).expect("it has ended already")
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_raw(self.pid().try_into().unwrap()).unwrap(), signal).unwrap();
    }
}
