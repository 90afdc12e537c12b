//! A kill switch: every tool process dies at once, and the sandbox goes on.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use reeve_core::tool::ToolName;
use reeve_core::tool::wire::{Confinement, Halted, Outcome, Packing, Recorded, Shutdown, Status, method};
use serde_json::{Value, json};

use crate::harness::{Answer, Sandbox, Session, as_user, children, eventually, is_root, tar_gz, usual};

/// What the operator waits for an answer. A machine with nothing else to do needs a tenth of a second.
const BUDGET: Duration = Duration::from_secs(3);

/// A tree for a minute: double forks into new sessions, a process that keeps forking and leaving, one whose first thread has ended, one
/// with a name that is no text, all deaf to every signal that one can be deaf to. Each beats into a file of its own.
const TREE: &str = r#"
import ctypes, os, signal, sys, threading, time
for number in range(1, 65):
    try: signal.signal(number, signal.SIG_IGN)
    except (OSError, ValueError): pass
end = time.monotonic() + 60
def beat(name):
    while time.monotonic() < end:
        with open("beat-" + name, "a") as f: f.write(".")
        time.sleep(0.005)
def daemon(name, depth):
    if os.fork(): return
    os.setsid()
    for _ in range(depth):
        if os.fork(): os._exit(0)
        os.setsid() if os.getpgrp() != os.getpid() else None
    beat(name)
    os._exit(0)
for n in range(8): daemon(f"daemon-{n}", n % 3 + 1)
if os.fork() == 0:
    ctypes.CDLL(None).prctl(15, b"\xff) R 1 \n(", 0, 0, 0)
    beat("nameless")
if os.fork() == 0:
    threading.Thread(target=beat, args=("headless",)).start()
    ctypes.CDLL(None).pthread_exit(None)
if os.fork() == 0:
    os.setsid()
    while time.monotonic() < end:
        if os.fork(): os._exit(0)
        with open("beat-comet", "a") as f: f.write(".")
beat("main")
"#;
const BEATS: usize = 12;

/// As many processes as the limit allows, each of which forks on. Says when the limit is reached.
const STORM: &str = r#"
import os, signal
signal.signal(signal.SIGTERM, signal.SIG_IGN)
while True:
    try: os.fork()
    except OSError:
        if not os.path.exists("storm"): open("storm", "w").close()
"#;

fn long() -> Confinement {
    Confinement { timeout_ms: 60_000, ..usual() }
}

/// Resolves and calls a Python program.
async fn python(session: &Session, key: &str, program: &str) -> Answer<Outcome> {
    let resolved = session.resolve(key, ToolName::ShellRun, json!({ "argv": ["python3", "-c", program] })).await?;
    session.call(key, &resolved.handle, long()).await
}

/// Sizes of the files that processes beat into.
fn beats(workspace: &Path) -> Vec<u64> {
    let entries = std::fs::read_dir(workspace).unwrap().flatten();
    entries.filter(|entry| entry.file_name().to_string_lossy().starts_with("beat-")).map(|entry| entry.metadata().unwrap().len()).collect()
}

#[tokio::test]
async fn everything_that_tools_started_is_dead_after_a_halt() {
    let (sandbox, session) = Sandbox::with(&[]).await;
    let (session, workspace) = (Arc::new(session), sandbox.path("workspace"));
    // The first child is the server; a stage of loading the workspace may just be ending beside it.
    let (launcher, server) = (sandbox.launcher(), children(sandbox.launcher())[0]);
    let start = |key: &'static str, program: &'static str| {
        let session = Arc::clone(&session);
        tokio::spawn(async move { python(&session, key, program).await.unwrap() })
    };
    let other = sandbox.session(1).await;
    let tree = start("tree", TREE);
    eventually("every process beats", || beats(&workspace).iter().filter(|beat| **beat > 0).count() == BEATS).await;
    let storm = start("storm", STORM);
    eventually("the storm has come", || workspace.join("storm").exists()).await;
    let started = Instant::now();
    let halted = other.halt().await.unwrap();
    let took = started.elapsed();
    println!("{} ms until the last process was dead", took.as_millis());
    assert_eq!(sandbox.tool_processes(), [0; 0]);
    assert!(took < BUDGET, "{took:?}");
    assert_eq!(halted, Halted { calls: 2 });
    let last = beats(&workspace);
    for (key, outcome) in [("tree", tree.await.unwrap()), ("storm", storm.await.unwrap())] {
        assert_eq!((outcome.status, outcome.exit_code), (Status::Halted, None), "{outcome:?}");
        assert!(outcome.content.ends_with("What it had done so far stays"), "{outcome:?}");
        assert_eq!(session.lookup(key, 0).await.unwrap(), Recorded::Done { outcome });
    }
    assert_eq!(session.halt().await.unwrap(), Halted { calls: 0 });
    assert_eq!(session.shell(&["echo", "alive"]).await.content, "alive\nexit code 0");
    assert_eq!(beats(&workspace), last, "nothing beats any more");
    eventually("the same launcher and server are there, and nobody else", || {
        (sandbox.launcher(), children(launcher)) == (launcher, vec![server])
    })
    .await;
}

#[tokio::test]
async fn outside_a_namespace_a_halt_reaches_no_bystander() {
    let (mut sandbox, session) = Sandbox::outside_a_namespace().await;
    let workspace = sandbox.path("workspace");
    let mut bystander = as_user(sandbox.uid, Path::new("/bin/sleep")).arg("60").kill_on_drop(true).spawn().unwrap();
    let bystander_pid = bystander.id().unwrap().cast_signed();
    let halting = async {
        eventually("every process beats", || beats(&workspace).iter().filter(|beat| **beat > 0).count() == BEATS).await;
        let halted = session.halt().await.unwrap();
        (halted, sandbox.tool_processes())
    };
    let (tree, (halted, left)) = tokio::join!(python(&session, "tree", TREE), halting);
    assert_eq!((tree.unwrap().status, halted), (Status::Halted, Halted { calls: 1 }));
    assert!(left.iter().all(|pid| *pid == bystander_pid), "{left:?}");
    assert!(bystander.try_wait().unwrap().is_none(), "the bystander lives");
    assert_eq!(session.shell(&["echo", "alive"]).await.content, "alive\nexit code 0");
    // There is no namespace whose end would take the server along.
    let server = children(sandbox.launcher())[0];
    sandbox.kill().await;
    eventually("the server ends with its launcher", || !Path::new(&format!("/proc/{server}")).exists()).await;
}

#[tokio::test]
async fn an_orphan_of_somebody_else_neither_dies_in_a_halt_nor_holds_it_or_the_end_up() {
    let (mut sandbox, session) = Sandbox::with(&[]).await;
    let launcher = sandbox.launcher();
    if !is_root() {
        return;
    }
    // As `kubectl exec` does it: into the namespace from outside. The shell goes, and what it leaves becomes the launcher's child.
    let shell = "sleep 60 > /dev/null 2>&1 &";
    let mut exec = tokio::process::Command::new("nsenter");
    exec.args(["--target", &launcher.to_string(), "--pid", "setpriv", "--clear-groups"]);
    exec.args([format!("--reuid={}", sandbox.uid), format!("--regid={}", sandbox.uid)]).args(["sh", "-c", shell]);
    assert!(exec.status().await.unwrap().success());
    eventually("the launcher has adopted it", || children(launcher).len() == 2).await;
    let orphan = children(launcher)[1];
    let halting = async {
        eventually("the call runs", || sandbox.tool_processes().len() > 2).await;
        let halted = session.halt().await.unwrap();
        (halted, sandbox.tool_processes())
    };
    let (call, (halted, left)) = tokio::join!(python(&session, "k", "import time; time.sleep(60)"), halting);
    assert_eq!((call.unwrap().status, halted, left), (Status::Halted, Halted { calls: 1 }, vec![orphan]));
    assert_eq!(session.request::<Option<Value>>(method::SHUTDOWN, Shutdown {}).await.unwrap(), None);
    let status = tokio::time::timeout(Duration::from_secs(10), sandbox.server.wait()).await.unwrap().unwrap();
    assert_eq!(status.code(), Some(0));
    eventually("it dies with its namespace", || !Path::new(&format!("/proc/{orphan}")).exists()).await;
}

#[tokio::test]
async fn a_call_that_races_a_halt_is_killed_by_it_or_by_a_later_one() {
    const CALLS: u32 = 24;
    let (sandbox, session) = Sandbox::with(&[]).await;
    let session = Arc::new(session);
    let mut calls = tokio::task::JoinSet::new();
    for number in 0..CALLS {
        let key = format!("race-{number}");
        let program = json!({ "argv": ["sh", "-c", format!("echo >> ran-{number}; sleep 60")] });
        let handle = session.resolve(&key, ToolName::ShellRun, program).await.unwrap().handle;
        let session = Arc::clone(&session);
        calls.spawn(async move { session.call(&key, &handle, long()).await });
    }
    let mut halted = 0;
    while halted < CALLS {
        halted += session.halt().await.unwrap().calls;
    }
    let outcomes = calls.join_all().await;
    assert!(outcomes.into_iter().all(|outcome| outcome.unwrap().status == Status::Halted));
    assert_eq!(halted, CALLS, "each is counted once");
    assert_eq!(session.halt().await.unwrap(), Halted { calls: 0 });
    assert!(sandbox.tool_processes().is_empty());
    for number in 0..CALLS {
        let ran = std::fs::read_to_string(sandbox.path(&format!("workspace/ran-{number}"))).unwrap_or_default();
        assert!(ran.len() <= 1, "call {number} ran {} times", ran.len());
    }
}

/// Zeros, so many that git is busy with them for a while.
const BIG_BYTES: u64 = 48 * 1024 * 1024;

fn make_big(path: &Path) {
    std::fs::File::create(path).unwrap().set_len(BIG_BYTES).unwrap();
}

#[tokio::test]
async fn git_works_on_after_a_halt_that_killed_it() {
    let (sandbox, session) = Sandbox::with(&[("a", "one\n")]).await;
    let lock = sandbox.path("git/index.lock");
    make_big(&sandbox.path("workspace/big"));
    let halting = async {
        eventually("git is at it", || lock.exists()).await;
        session.halt().await.unwrap()
    };
    let (commit, halted) = tokio::join!(session.run(ToolName::GitCommit, json!({ "message": "Big" })), halting);
    assert_eq!((commit.unwrap().status, halted), (Status::Halted, Halted { calls: 1 }));
    let commit = session.run(ToolName::GitCommit, json!({ "message": "Big" })).await.unwrap();
    assert_eq!(commit.status, Status::Ok, "{commit:?}");
    // A checkpoint is no call: it is done over.
    let staged = sandbox.path("ledger/blobs/staged");
    let halting = async {
        eventually("the checkpoint is packed", || staged.exists()).await;
        session.halt().await.unwrap()
    };
    let (checkpoint, halted) = tokio::join!(session.checkpoint(), halting);
    assert_eq!((Some(checkpoint.head_commit), halted), (commit.commit, Halted { calls: 0 }));
}

#[tokio::test]
async fn an_import_that_a_halt_cuts_is_done_over() {
    let sandbox = Sandbox::empty().await;
    let session = sandbox.session(1).await;
    let lock = sandbox.path("git/index.lock");
    let big = "\n".repeat(usize::try_from(BIG_BYTES).unwrap());
    let packed = tar_gz(&[("a", "one\n"), ("big", &big)]);
    let halting = async {
        eventually("git is at it", || lock.exists()).await;
        session.halt().await.unwrap()
    };
    let (imported, halted) = tokio::join!(session.import(&packed, Packing::TarGz), halting);
    assert_eq!((imported.unwrap().files, halted), (2, Halted { calls: 0 }));
    assert_eq!(session.shell(&["cat", "a"]).await.content, "one\nexit code 0");
}
