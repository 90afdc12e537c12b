//! A real sandbox in a temporary directory: PID 1 of its own PID namespace, an ordinary user, no capabilities, as in a Pod.
//!
//! Each has a uid of its own: the kernel counts a user's processes over the whole machine, so a fork bomb in one test would be felt in others.
//!
//! Needs root to become that; as another user it runs without the namespace, which every test but those about PID 1 survives.

use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use base64::Engine as _;
use reeve_core::Digest;
use reeve_core::tool::ToolName;
use reeve_core::tool::wire::{
    Call, Checkpoint, Checkpointed, Chunk, Confinement, Fetch, Halt, Halted, Hello, Import, Imported, Lookup, Network, Outcome, Packing,
    Recorded, Resolve, Resolved, Welcome, method,
};
use rmcp::model::{ClientRequest, CustomRequest, ServerResult};
use rmcp::service::RunningService;
use rmcp::{RoleClient, ServiceError, ServiceExt};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::process::{Child, Command};

pub(crate) const RUN: &str = "b7c3a1de-0000-4000-8000-000000000001";
/// Uids that no person has; this many, so that tests of several runs at once rarely meet.
const UIDS: std::ops::Range<u32> = 1_000_000..3_000_000;

/// A sandbox that runs.
pub(crate) struct Sandbox {
    pub(crate) uid: u32,
    namespace: bool,
    pub(crate) root: TempDir,
    pub(crate) server: Child,
}

/// A session with it.
pub(crate) struct Session {
    client: RunningService<RoleClient, ()>,
    pub(crate) attach: Child,
    keys: AtomicU64,
    prefix: String,
}

/// How a request was refused.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Refused {
    pub(crate) code: i32,
    pub(crate) message: String,
}

pub(crate) type Answer<T> = Result<T, Refused>;

fn example() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    test.parent().unwrap().parent().unwrap().join("examples/tools")
}

pub(crate) fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

impl Sandbox {
    /// Volumes and a server, with nothing loaded.
    pub(crate) async fn empty() -> Sandbox {
        Sandbox::served(is_root()).await
    }

    /// The same where the launcher is not PID 1, but a process among the machine's others.
    pub(crate) async fn outside_a_namespace() -> (Sandbox, Session) {
        let sandbox = Sandbox::served(false).await;
        let session = sandbox.session(1).await;
        session.import(&tar_gz(&[]), Packing::TarGz).await.unwrap();
        (sandbox, session)
    }

    async fn served(namespace: bool) -> Sandbox {
        static SANDBOXES: AtomicU64 = AtomicU64::new(0);
        let number = u64::from(std::process::id()) * 64 + SANDBOXES.fetch_add(1, Ordering::Relaxed);
        let uid = UIDS.start + u32::try_from(number % UIDS.len() as u64).unwrap();
        let root = tempfile::Builder::new().prefix("reeve-").tempdir_in("/tmp").unwrap();
        std::fs::set_permissions(root.path(), PermissionsExt::from_mode(0o755)).unwrap();
        for volume in ["workspace", "git", "ledger", "tmp", "bin"] {
            let path = root.path().join(volume);
            std::fs::create_dir(&path).unwrap();
            if is_root() {
                chown(&path, Some(uid), Some(uid)).unwrap();
            }
        }
        let binary = root.path().join("bin/reeve");
        let installed = Command::new(example()).arg("install").arg(&binary).status().await.unwrap();
        assert!(installed.success());
        let server = serve(root.path(), uid, namespace);
        Sandbox { uid, namespace, root, server }
    }

    /// A sandbox whose workspace holds these files.
    pub(crate) async fn with(files: &[(&str, &str)]) -> (Sandbox, Session) {
        let sandbox = Sandbox::empty().await;
        let session = sandbox.session(1).await;
        session.import(&tar_gz(files), Packing::TarGz).await.unwrap();
        (sandbox, session)
    }

    /// Kills PID 1 from outside, as a node does, and waits until all of the sandbox is gone.
    pub(crate) async fn kill(&mut self) {
        self.kill_launcher();
        self.server.wait().await.unwrap();
    }

    fn kill_launcher(&self) {
        let Some(outer) = self.server.id() else { return };
        let launchers = if self.namespace { children(outer) } else { vec![outer.cast_signed()] };
        for pid in launchers {
            let _ = rustix::process::kill_process(rustix::process::Pid::from_raw(pid).unwrap(), rustix::process::Signal::KILL);
        }
    }

    /// Starts a server again, on the same volumes.
    pub(crate) fn restart(&mut self) {
        self.server = serve(self.root.path(), self.uid, self.namespace);
    }

    pub(crate) fn path(&self, below: &str) -> PathBuf {
        self.root.path().join(below)
    }

    /// The launcher's id, as seen from outside.
    pub(crate) fn launcher(&self) -> i32 {
        let outer = self.server.id().unwrap();
        if self.namespace { children(outer)[0] } else { outer.cast_signed() }
    }

    /// Every process of the sandbox but for the launcher and the server, as seen from outside; dead ones that nobody collected too.
    /// Found by its user, so that one that got away from the launcher is found as well.
    pub(crate) fn tool_processes(&self) -> Vec<i32> {
        let launcher = self.launcher();
        let server = children(launcher)[0];
        if !is_root() {
            return descendants(launcher).into_iter().filter(|pid| *pid != server).collect();
        }
        std::fs::read_dir("/proc")
            .unwrap()
            .flatten()
            .filter_map(|entry| Some((entry.file_name().to_str()?.parse::<i32>().ok()?, entry)))
            .filter(|(pid, entry)| ![launcher, server].contains(pid) && has_uid(&entry.path(), self.uid))
            .map(|(pid, _)| pid)
            .collect()
    }

    /// A session after its hello.
    pub(crate) async fn session(&self, epoch: u64) -> Session {
        let session = self.attach().await;
        session.hello(epoch).await.unwrap();
        session
    }

    /// A session before its hello.
    pub(crate) async fn attach(&self) -> Session {
        let mut attach = Command::new(self.path("bin/reeve"))
            .arg("attach")
            .arg(self.root.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let line = (attach.stdout.take().unwrap(), attach.stdin.take().unwrap());
        let client = ().serve(line).await.unwrap();
        static SESSIONS: AtomicU64 = AtomicU64::new(0);
        let prefix = format!("{RUN}/{}", SESSIONS.fetch_add(1, Ordering::Relaxed));
        Session { client, attach, keys: AtomicU64::new(0), prefix }
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        self.kill_launcher();
    }
}

/// The processes that this one started, as seen from outside.
pub(crate) fn children(pid: impl std::fmt::Display) -> Vec<i32> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    text.split_ascii_whitespace().map(|pid| pid.parse().unwrap()).collect()
}

fn descendants(pid: i32) -> Vec<i32> {
    children(pid).into_iter().flat_map(|child| [vec![child], descendants(child)].concat()).collect()
}

/// Whether a process has this real uid. Its directory's owner does not tell: it is root's while the process is not dumpable.
fn has_uid(process: &Path, uid: u32) -> bool {
    let status = std::fs::read(process.join("status")).unwrap_or_default();
    let wanted = format!("\nUid:\t{uid}\t");
    status.windows(wanted.len()).any(|window| window == wanted.as_bytes())
}

fn serve(root: &Path, uid: u32, namespace: bool) -> Child {
    let binary = root.join("bin/reeve");
    let mut command = if namespace {
        let mut command = Command::new("unshare");
        command.args([
            "--pid",
            "--fork",
            "--kill-child",
            "--mount-proc",
            "setpriv",
            "--pdeathsig=KILL",
            "--clear-groups",
            "--bounding-set=-all",
        ]);
        command.args([format!("--reuid={uid}"), format!("--regid={uid}")]).arg(&binary);
        command
    } else {
        as_user(uid, &binary)
    };
    command.arg("serve").arg(root).arg(RUN).kill_on_drop(true).spawn().unwrap()
}

/// A program as a sandbox's user, if this may become that.
pub(crate) fn as_user(uid: u32, program: &Path) -> Command {
    if !is_root() {
        return Command::new(program);
    }
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig=KILL", "--clear-groups", "--bounding-set=-all"]);
    command.args([format!("--reuid={uid}"), format!("--regid={uid}")]).arg(program);
    command
}

impl Session {
    pub(crate) async fn request<T: DeserializeOwned>(&self, method: &str, parameters: impl Serialize) -> Answer<T> {
        let request = ClientRequest::CustomRequest(CustomRequest::new(method, Some(serde_json::to_value(parameters).unwrap())));
        let answer = tokio::time::timeout(Duration::from_secs(60), self.client.send_request(request)).await.expect("an answer in a minute");
        match answer {
            Ok(ServerResult::CustomResult(result)) => Ok(serde_json::from_value(result.0).unwrap()),
            Ok(ServerResult::EmptyResult(_)) => Ok(serde_json::from_value(Value::Null).unwrap()),
            Ok(other) => panic!("{other:?}"),
            Err(ServiceError::McpError(error)) => Err(Refused { code: error.code.0, message: error.message.into_owned() }),
            Err(other) => Err(Refused { code: 0, message: other.to_string() }),
        }
    }

    pub(crate) fn client(&self) -> &RunningService<RoleClient, ()> {
        &self.client
    }

    pub(crate) async fn hello(&self, epoch: u64) -> Answer<Welcome> {
        self.request(method::HELLO, Hello { epoch, run_uid: RUN.to_owned() }).await
    }

    pub(crate) fn new_key(&self) -> String {
        format!("{}/{}", self.prefix, self.keys.fetch_add(1, Ordering::Relaxed))
    }

    pub(crate) async fn import(&self, packed: &[u8], packing: Packing) -> Answer<Imported> {
        self.import_stripped(packed, packing, 0).await
    }

    pub(crate) async fn import_stripped(&self, packed: &[u8], packing: Packing, strip_components: u32) -> Answer<Imported> {
        let digest = Digest::of(packed);
        let chunks: Vec<&[u8]> = if packed.is_empty() { vec![packed] } else { packed.chunks(200_000).collect() };
        let mut offset = 0;
        let mut answer = None;
        for (number, chunk) in chunks.iter().enumerate() {
            let last = number + 1 == chunks.len();
            let data = base64::engine::general_purpose::STANDARD.encode(chunk);
            answer = Some(self.request(method::IMPORT, Import { digest, packing, strip_components, offset, data, last }).await?);
            offset += chunk.len() as u64;
        }
        Ok(answer.unwrap())
    }

    pub(crate) async fn resolve(&self, key: &str, tool: ToolName, arguments: Value) -> Answer<Resolved> {
        self.request(method::RESOLVE, Resolve { key: key.to_owned(), tool, arguments }).await
    }

    pub(crate) async fn call(&self, key: &str, handle: &str, confinement: Confinement) -> Answer<Outcome> {
        self.request(method::CALL, Call { key: key.to_owned(), handle: handle.to_owned(), confinement }).await
    }

    /// Resolves and calls under a fresh key.
    pub(crate) async fn run(&self, tool: ToolName, arguments: Value) -> Answer<Outcome> {
        self.run_with(tool, arguments, usual()).await
    }

    pub(crate) async fn run_with(&self, tool: ToolName, arguments: Value, confinement: Confinement) -> Answer<Outcome> {
        let key = self.new_key();
        let resolved = self.resolve(&key, tool, arguments).await?;
        self.call(&key, &resolved.handle, confinement).await
    }

    pub(crate) async fn shell(&self, argv: &[&str]) -> Outcome {
        self.run(ToolName::ShellRun, json!({ "argv": argv })).await.unwrap()
    }

    /// Runs a Python program given as text.
    pub(crate) async fn python(&self, program: &str) -> Outcome {
        self.run(ToolName::ShellRun, json!({ "argv": ["python3", "-"], "stdin": program })).await.unwrap()
    }

    pub(crate) async fn lookup(&self, key: &str, wait_ms: u64) -> Answer<Recorded> {
        self.request(method::LOOKUP, Lookup { key: key.to_owned(), wait_ms }).await
    }

    pub(crate) async fn halt(&self) -> Answer<Halted> {
        self.request(method::HALT, Halt {}).await
    }

    pub(crate) async fn checkpoint(&self) -> Checkpointed {
        self.request(method::CHECKPOINT, Checkpoint {}).await.unwrap()
    }

    pub(crate) async fn blob(&self, blob: &reeve_core::tool::wire::Blob) -> Vec<u8> {
        let mut bytes = Vec::new();
        while (bytes.len() as u64) < blob.bytes {
            let wanted = Fetch { digest: blob.digest, offset: bytes.len() as u64, max_bytes: u64::MAX };
            let chunk: Chunk = self.request(method::FETCH, wanted).await.unwrap();
            bytes.extend(base64::engine::general_purpose::STANDARD.decode(chunk.data).unwrap());
        }
        assert_eq!(Digest::of(&bytes), blob.digest);
        bytes
    }
}

pub(crate) fn usual() -> Confinement {
    Confinement {
        network: Network::None,
        workspace_writable: true,
        timeout_ms: 30_000,
        output_head_bytes: 16_384,
        output_tail_bytes: 16_384,
    }
}

/// A packed workspace of plain files. A name that ends with `+x` is executable.
pub(crate) fn tar_gz(files: &[(&str, &str)]) -> Vec<u8> {
    let mut archive = tar::Builder::new(flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast()));
    for (name, content) in files {
        let (name, mode) = name.strip_suffix("+x").map_or((*name, 0o644), |name| (name, 0o755));
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        header.set_mode(mode);
        archive.append_data(&mut header, name, content.as_bytes()).unwrap();
    }
    archive.into_inner().unwrap().finish().unwrap()
}

/// Waits until something holds, looking again and again, for at most ten seconds.
pub(crate) async fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = tokio::time::Instant::now() + Duration::from_secs(10);
    while !holds() {
        assert!(tokio::time::Instant::now() < deadline, "not in ten seconds: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
