//! What a hostile model, or a hostile program that it runs, cannot do.

use std::os::unix::fs::symlink;
use std::time::{Duration, Instant};

use reeve_core::tool::ToolName;
use reeve_core::tool::wire::{Status, code};
use serde_json::json;

use crate::harness::{Sandbox, children, eventually, usual};

#[tokio::test]
async fn file_tools_do_not_leave_the_workspace() {
    let (sandbox, session) = Sandbox::with(&[("in.txt", "inside\n"), ("d/x", "")]).await;
    symlink("/etc/passwd", sandbox.path("workspace/absolute")).unwrap();
    symlink("../ledger/calls.jsonl", sandbox.path("workspace/relative")).unwrap();
    symlink("../../git", sandbox.path("workspace/d/git")).unwrap();
    symlink("/proc/self/root/etc/passwd", sandbox.path("workspace/magic")).unwrap();
    symlink("in.txt", sandbox.path("workspace/fine")).unwrap();
    for path in [
        "/etc/passwd",
        "../ledger/calls.jsonl",
        "d/../../git/HEAD",
        "absolute",
        "relative",
        "d/git/HEAD",
        "magic",
        "d/../../../../etc/passwd",
    ] {
        for (tool, arguments) in [
            (ToolName::FsRead, json!({ "path": path })),
            (ToolName::FsWrite, json!({ "path": path, "content": "x" })),
            (ToolName::FsEdit, json!({ "path": path, "old": "x", "new": "y" })),
            (ToolName::FsList, json!({ "path": path })),
            (ToolName::FsSearch, json!({ "pattern": "x", "path": path })),
            (ToolName::ShellRun, json!({ "argv": ["ls"], "cwd": path })),
        ] {
            let refused = session.run(tool, arguments).await.unwrap_err();
            assert_eq!(refused.code, code::ESCAPE, "{tool} {path}: {refused:?}");
            assert!(refused.message.contains("below the workspace"), "{refused:?}");
        }
    }
    for path in ["../new.txt", "/tmp/new.txt", "d/git/new.txt", "none/../../new.txt"] {
        let refused = session.run(ToolName::FsWrite, json!({ "path": path, "content": "x" })).await.unwrap_err();
        assert_eq!(refused.code, code::ESCAPE, "{path}: {refused:?}");
    }
    let fine = session.run(ToolName::FsRead, json!({ "path": "fine" })).await.unwrap();
    assert_eq!(fine.content, "     1\tinside\n");
    let git = session.run(ToolName::FsWrite, json!({ "path": "d/.GIT/hooks/x", "content": "x" })).await.unwrap_err();
    assert_eq!(git.code, code::INVALID);
    let program = session.run(ToolName::ShellRun, json!({ "argv": [sandbox.path("bin/reeve")] })).await.unwrap_err();
    assert_eq!(program.code, code::ESCAPE);
}

#[tokio::test]
async fn a_process_does_not_leave_the_workspace() {
    let (sandbox, session) = Sandbox::with(&[("in.txt", "inside\n")]).await;
    let secret = sandbox.path("secret");
    std::fs::write(&secret, "secret").unwrap();
    let program = format!(
        r#"
import os
root = {root:?}
def tried(what, do):
    try: do(); print(what, "WORKED")
    except OSError as e: print(what, "refused")
tried("read beside", lambda: open(root + "/secret").read())
tried("read up", lambda: open("../secret").read())
tried("read by proc", lambda: open("/proc/self/root" + root + "/secret").read())
tried("read by pid 1", lambda: open("/proc/1/root" + root + "/secret").read())
os.symlink(root + "/secret", "link")
tried("read by link", lambda: open("link").read())
tried("hard link", lambda: os.link(root + "/secret", "hard"))
tried("list ledger", lambda: os.listdir(root + "/ledger"))
tried("read ledger", lambda: open(root + "/ledger/calls.jsonl").read())
tried("read bin", lambda: open(root + "/bin/reeve").read(1))
tried("list tmp", lambda: os.listdir(root + "/tmp"))
tried("write beside", lambda: open(root + "/new", "w"))
tried("write tmp", lambda: open("/tmp/reeve-escape", "w"))
tried("truncate", lambda: os.truncate(root + "/ledger/calls.jsonl", 0))
tried("rename out", lambda: os.rename("in.txt", root + "/tmp/in.txt"))
tried("device", lambda: os.mknod("dev", 0o600 | 0o060000, os.makedev(254, 0)))
tried("memory of pid 1", lambda: open("/proc/1/mem", "rb").read(1))
tried("environment of pid 1", lambda: open("/proc/1/environ", "rb").read(1))
tried("oom score of pid 1", lambda: open("/proc/1/oom_score_adj", "w").write("1000"))
tried("execute bin", lambda: os.posix_spawn(root + "/bin/reeve", ["reeve"], {{}}))
print("inside", open("in.txt").read().strip())
"#,
        root = sandbox.root.path().to_str().unwrap()
    );
    let outcome = session.python(&program).await;
    assert!(!outcome.content.contains("WORKED"), "{}", outcome.content);
    assert!(outcome.content.contains("inside inside"), "{}", outcome.content);
    assert_eq!(outcome.content.matches("refused").count(), 19, "{}", outcome.content);
}

#[tokio::test]
async fn a_read_only_workspace_cannot_be_written() {
    let (sandbox, session) = Sandbox::with(&[("a", "one\n")]).await;
    let confinement = reeve_core::tool::wire::Confinement { workspace_writable: false, ..usual() };
    let program =
        json!({ "argv": ["sh", "-c", "cat a; echo x > a; echo x > b; rm a; mkdir c; mv a d; echo ok > $TMPDIR/t && cat $TMPDIR/t"] });
    let outcome = session.run_with(ToolName::ShellRun, program, confinement).await.unwrap();
    assert!(outcome.content.starts_with("one\n") && outcome.content.contains("\nok\n"), "{}", outcome.content);
    assert_eq!(std::fs::read_to_string(sandbox.path("workspace/a")).unwrap(), "one\n");
    assert_eq!(std::fs::read_dir(sandbox.path("workspace")).unwrap().count(), 1);
}

#[tokio::test]
async fn a_tool_cannot_write_the_git_directory() {
    let (_sandbox, session) = Sandbox::with(&[("a", "one\n")]).await;
    for command in [
        "echo x > $GIT_DIR/hooks-x",
        "echo x >> $GIT_DIR/config",
        "mkdir -p $GIT_DIR/hooks && echo x > $GIT_DIR/hooks/pre-commit",
        "git config core.fsmonitor 'touch x'",
        "git update-ref refs/heads/main HEAD~0 0000000000000000000000000000000000000000",
        "git tag evil",
        "rm $GIT_DIR/HEAD",
        "ln -s /etc/passwd $GIT_DIR/link",
        "mv $GIT_DIR/HEAD h",
    ] {
        let outcome = session.shell(&["sh", "-c", command]).await;
        assert_eq!(outcome.status, Status::Error, "{command}: {outcome:?}");
    }
    assert_eq!(session.shell(&["git", "status"]).await.exit_code, Some(0));
}

#[tokio::test]
async fn no_socket_but_a_local_one_can_be_opened() {
    let (_sandbox, session) = Sandbox::with(&[]).await;
    let program = r#"
import socket, ctypes
def tried(what, do):
    try: do(); print(what, "WORKED")
    except OSError as e: print(what, "refused", e.errno)
S = socket
tried("tcp", lambda: S.socket(S.AF_INET, S.SOCK_STREAM))
tried("tcp6", lambda: S.socket(S.AF_INET6, S.SOCK_STREAM))
tried("udp", lambda: S.socket(S.AF_INET, S.SOCK_DGRAM))
tried("raw", lambda: S.socket(S.AF_INET, S.SOCK_RAW, 1))
tried("ping", lambda: S.socket(S.AF_INET, S.SOCK_DGRAM, 1))
tried("packet", lambda: S.socket(S.AF_PACKET, S.SOCK_RAW))
tried("netlink", lambda: S.socket(S.AF_NETLINK, S.SOCK_RAW, 0))
tried("vsock", lambda: S.socket(40, S.SOCK_STREAM))
tried("alg", lambda: S.socket(38, S.SOCK_SEQPACKET))
tried("pair", lambda: S.socketpair(S.AF_INET))
# The family is an int: high bits that the kernel drops must not slip past the filter.
libc = ctypes.CDLL(None, use_errno=True)
libc.syscall.restype = ctypes.c_long
r = libc.syscall(ctypes.c_long(41), ctypes.c_long(0x100000002), ctypes.c_long(1), ctypes.c_long(0))
print("high bits", "WORKED" if r >= 0 else "refused")
a, b = S.socketpair(); a.send(b"x"); print("unix pair", b.recv(1))
l = S.socket(S.AF_UNIX); l.bind("s"); l.listen(); c = S.socket(S.AF_UNIX); c.connect("s"); print("unix listener ok")
"#;
    let outcome = session.python(program).await;
    assert!(!outcome.content.contains("WORKED"), "{}", outcome.content);
    assert_eq!(outcome.content.matches("refused 13").count(), 10, "{}", outcome.content);
    assert!(outcome.content.contains("unix pair b'x'\nunix listener ok"), "{}", outcome.content);
}

#[tokio::test]
async fn dangerous_system_calls_are_refused() {
    let (_sandbox, session) = Sandbox::with(&[]).await;
    let program = r#"
import ctypes, os, errno
libc = ctypes.CDLL(None, use_errno=True)
libc.syscall.restype = ctypes.c_long
def call(name, number, *args):
    ctypes.set_errno(0)
    r = libc.syscall(ctypes.c_long(number), *[ctypes.c_long(a) for a in args])
    print(name, "WORKED" if r >= 0 else errno.errorcode[ctypes.get_errno()])
PTRACE_TRACEME, NEWUSER, NEWNET = 0, 0x10000000, 0x40000000
call("ptrace", 101, PTRACE_TRACEME)
call("process_vm_readv", 310, os.getpid(), 0, 0, 0, 0, 0)
call("process_vm_writev", 311, os.getpid(), 0, 0, 0, 0, 0)
call("unshare", 272, NEWUSER)
call("setns", 308, 0, 0)
call("clone user", 56, NEWUSER | 17, 0, 0, 0, 0)
call("clone net", 56, NEWNET | 17, 0, 0, 0, 0)
call("mount", 165, 0, 0, 0, 0, 0)
call("open_tree", 428, -100, 0, 0)
call("bpf", 321, 0, 0, 0)
call("userfaultfd", 323, 0)
call("keyctl", 250, 0, 0)
call("add_key", 248, 0, 0, 0, 0, 0)
call("perf_event_open", 298, 0, 0, 0, 0, 0)
call("open_by_handle_at", 304, -1, 0, 0)
call("pidfd_getfd", 438, 0, 0, 0)
call("kexec_load", 246, 0, 0, 0, 0)
call("io_uring_setup", 425, 1, 0)
call("io_uring_enter", 426, 0, 0, 0, 0)
call("io_uring_register", 427, 0, 0, 0, 0)
call("clone3", 435, 0, 0)
call("x32 getpid", 0x40000000 + 39)
"#;
    let outcome = session.python(program).await;
    assert!(!outcome.content.contains("WORKED"), "{}", outcome.content);
    assert_eq!(outcome.content.matches("ENOSYS").count(), 5, "{}", outcome.content);
    assert_eq!(outcome.content.matches("EPERM").count(), 17, "{}", outcome.content);
}

#[tokio::test]
async fn a_tool_cannot_touch_the_server() {
    let (sandbox, session) = Sandbox::with(&[]).await;
    let program = format!(
        r#"
import os, signal, socket, ctypes, resource, hashlib
def tried(what, do):
    try: do(); print(what, "WORKED")
    except OSError as e: print(what, "refused")
others = [int(p) for p in os.listdir("/proc") if p.isdigit() and int(p) != os.getpid()]
for pid in others:
    for sig in (signal.SIGKILL, signal.SIGTERM, signal.SIGSTOP):
        tried(f"signal", lambda: os.kill(pid, sig))
    tried("pidfd", lambda: signal.pidfd_send_signal(os.pidfd_open(pid), signal.SIGKILL))
    tried("cpu limit", lambda: resource.prlimit(pid, resource.RLIMIT_CPU, (0, 0)))
    tried("affinity", lambda: os.sched_setaffinity(pid, {{0}}))
    tried("scheduler", lambda: os.sched_setscheduler(pid, os.SCHED_IDLE, os.sched_param(0)))
    tried("priority", lambda: os.setpriority(os.PRIO_PROCESS, pid, 19))
# The kernel answers this with success when there were processes, even if none could be reached.
os.kill(-1, signal.SIGKILL)
tried("all of the user", lambda: os.setpriority(os.PRIO_USER, 0, 19))
name = "\0reeve-tools-" + hashlib.sha256({socket:?}.encode()).hexdigest()
s = socket.socket(socket.AF_UNIX)
tried("server's socket", lambda: s.connect(name))
print(len(others), "others")
"#,
        socket = sandbox.path("run/tools.sock").to_str().unwrap()
    );
    let outcome = session.python(&program).await;
    assert_eq!(outcome.exit_code, Some(0), "{}", outcome.content);
    assert!(!outcome.content.contains("WORKED"), "{}", outcome.content);
    assert!(outcome.content.contains("server's socket refused"), "{}", outcome.content);
    assert_eq!(session.shell(&["echo", "alive"]).await.content, "alive\nexit code 0");
    let _ = sandbox;
}

#[tokio::test]
async fn a_daemon_that_left_its_session_is_dead_after_the_call() {
    let (sandbox, session) = Sandbox::with(&[]).await;
    let program = r#"
import os, sys, time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        os.setsid() if os.getpgrp() != os.getpid() else None
        for fd in range(3): os.close(fd)
        with open("daemon.pid", "w") as f: f.write(open("/proc/self/stat").read().split()[0])
        while True:
            with open("beat", "a") as f: f.write(".")
            time.sleep(0.005)
    os._exit(0)
os.wait()
while not os.path.exists("beat"): time.sleep(0.001)
"#;
    let started = Instant::now();
    let outcome = session.python(program).await;
    assert_eq!(outcome.exit_code, Some(0), "{outcome:?}");
    assert!(started.elapsed() < Duration::from_secs(10));
    let beats = std::fs::metadata(sandbox.path("workspace/beat")).unwrap().len();
    let pid = std::fs::read_to_string(sandbox.path("workspace/daemon.pid")).unwrap();
    let there = session.shell(&["ls", "-d", &format!("/proc/{}", pid.trim())]).await;
    assert_ne!(there.exit_code, Some(0), "{there:?}");
    assert_eq!(std::fs::metadata(sandbox.path("workspace/beat")).unwrap().len(), beats);
}

#[tokio::test]
async fn a_timeout_ends_the_whole_tree() {
    let (sandbox, session) = Sandbox::with(&[]).await;
    let confinement = reeve_core::tool::wire::Confinement { timeout_ms: 300, ..usual() };
    let program = "trap '' TERM INT HUP; (setsid sh -c 'while :; do echo . >> beat; sleep 0.01; done' &) ; echo on; sleep 100";
    let outcome = session.run_with(ToolName::ShellRun, json!({ "argv": ["sh", "-c", program] }), confinement).await.unwrap();
    assert_eq!((outcome.status, outcome.exit_code), (Status::Timeout, None));
    assert!(outcome.content.starts_with("on\nkilled after 300 ms"), "{}", outcome.content);
    let processes = session.shell(&["sh", "-c", "ls -d /proc/[0-9]* | wc -l"]).await;
    let beats = std::fs::metadata(sandbox.path("workspace/beat")).unwrap().len();
    let count: usize = processes.content.lines().next().unwrap().trim().parse().unwrap();
    assert!(count <= 8, "launcher, server, supervisor, shell and its pipe: {count}");
    assert_eq!(std::fs::metadata(sandbox.path("workspace/beat")).unwrap().len(), beats);
}

#[tokio::test]
async fn a_supervisor_that_dies_leaves_no_process_behind() {
    let (sandbox, session) = Sandbox::with(&[]).await;
    // The first child is the server; a stage of loading the workspace may just be ending beside it.
    let (launcher, server) = (sandbox.launcher(), children(sandbox.launcher())[0]);
    let program = "(setsid sh -c 'touch up; while :; do sleep 1; done' &) ; sleep 100";
    let key = session.new_key();
    let resolved = session.resolve(&key, ToolName::ShellRun, json!({ "argv": ["sh", "-c", program] })).await.unwrap();
    let killing = async {
        eventually("the daemon is up", || sandbox.path("workspace/up").exists()).await;
        let supervisor = children(launcher).into_iter().find(|pid| *pid != server && !children(*pid).is_empty()).unwrap();
        rustix::process::kill_process(rustix::process::Pid::from_raw(supervisor).unwrap(), rustix::process::Signal::KILL).unwrap();
    };
    let (outcome, ()) = tokio::join!(session.call(&key, &resolved.handle, usual()), killing);
    assert_eq!(outcome.unwrap().status, Status::Killed);
    eventually("only the server is left", || children(launcher) == [server]).await;
    assert_eq!(session.shell(&["echo", "alive"]).await.content, "alive\nexit code 0");
}

#[tokio::test]
async fn a_fork_bomb_ends_and_the_server_answers_meanwhile() {
    let (_sandbox, session) = Sandbox::with(&[]).await;
    let confinement = reeve_core::tool::wire::Confinement { timeout_ms: 2_000, ..usual() };
    let key = session.new_key();
    let bomb = "import os\nwhile True:\n  try: os.fork()\n  except OSError: pass\n";
    let resolved = session.resolve(&key, ToolName::ShellRun, json!({ "argv": ["python3", "-c", bomb] })).await.unwrap();
    let (outcome, listed) = tokio::join!(session.call(&key, &resolved.handle, confinement), session.run(ToolName::FsList, json!({})));
    assert_eq!(outcome.unwrap().status, Status::Timeout);
    assert_eq!(listed.unwrap().status, Status::Ok);
    let processes = session.shell(&["sh", "-c", "ls -d /proc/[0-9]* | wc -l"]).await;
    let count: usize = processes.content.lines().next().unwrap().trim().parse().unwrap();
    assert!(count <= 8, "{count}");
}

#[tokio::test]
async fn a_file_swapped_for_a_link_between_resolve_and_call_does_not_escape() {
    let (sandbox, session) = Sandbox::with(&[("a.txt", "one\n"), ("d/b.txt", "two\n"), ("run.sh+x", "#!/bin/sh\necho judged\n")]).await;
    let outside = sandbox.path("outside");
    std::fs::create_dir(&outside).unwrap();
    std::fs::write(outside.join("a.txt"), "secret\n").unwrap();
    let resolve = async |tool, arguments| {
        let key = session.new_key();
        let handle = session.resolve(&key, tool, arguments).await.unwrap().handle;
        (key, handle)
    };
    let read = resolve(ToolName::FsRead, json!({ "path": "a.txt" })).await;
    let write = resolve(ToolName::FsWrite, json!({ "path": "a.txt", "content": "x" })).await;
    let edit = resolve(ToolName::FsEdit, json!({ "path": "a.txt", "old": "one", "new": "x" })).await;
    let new = resolve(ToolName::FsWrite, json!({ "path": "d/new/c.txt", "content": "x" })).await;
    let list = resolve(ToolName::FsList, json!({ "path": "d" })).await;
    let run = resolve(ToolName::ShellRun, json!({ "argv": ["./run.sh"] })).await;
    let workspace = sandbox.path("workspace");
    std::fs::rename(workspace.join("a.txt"), workspace.join("old.txt")).unwrap();
    symlink(outside.join("a.txt"), workspace.join("a.txt")).unwrap();
    std::fs::rename(workspace.join("d"), workspace.join("was-d")).unwrap();
    symlink(&outside, workspace.join("d")).unwrap();
    symlink(&outside, workspace.join("was-d/new")).unwrap();
    std::fs::write(workspace.join("run.sh"), "#!/bin/sh\necho swapped\n").unwrap();
    let call = async |(key, handle): &(String, String)| session.call(key, handle, usual()).await.unwrap();
    assert_eq!(call(&read).await.content, "     1\tone\n", "the file that was judged");
    for changed in [&write, &edit, &new, &run] {
        let outcome = call(changed).await;
        assert_eq!(outcome.status, Status::Error, "{outcome:?}");
    }
    assert_eq!(call(&list).await.content, "b.txt\nnew -> ".to_owned() + outside.to_str().unwrap() + "\n", "the directory that was judged");
    assert_eq!(std::fs::read_to_string(outside.join("a.txt")).unwrap(), "secret\n");
    assert_eq!(std::fs::read_dir(&outside).unwrap().count(), 1);
}
