//! What a hostile tool tries in a real sandbox, and what stops it.

use k8s_openapi::api::core::v1::Pod;
use reeve_core::tool::wire::Status;
use reeve_tests::{FakeModel, Gate, Rows, Turn, World, call, calls, finish};
use serde_json::{Value, json};

fn python(text: &str) -> (&'static str, Value) {
    ("shell.run", json!({"argv": ["python3", "-c", text], "timeout_seconds": 20}))
}

/// Has an agent try these things, and finish.
async fn tries(world: &World, turns: impl IntoIterator<Item = Turn>) -> Rows {
    let model = FakeModel::playing(turns.into_iter().chain([finish("That is all.")])).await;
    world.agents_ask(&model).await;
    let _operator = world.operator().await;
    world.run("hostile", json!({})).await;
    let ended = world.run_ended("hostile").await;
    let rows = world.journal("hostile").await;
    assert!(ended.succeeded, "{}: {}\n{rows}", ended.reason, ended.message);
    rows
}

/// Python that tries each expression and prints what came of it, a line each.
fn attempts(expressions: &[&str]) -> (&'static str, Value) {
    let tried: Vec<String> = expressions
        .iter()
        .map(|expression| format!("try:\n    {expression}\n    print('DONE', {expression:?})\nexcept Exception as error:\n    print('stopped', type(error).__name__, {expression:?})\n"))
        .collect();
    python(&format!("import os, socket, ctypes, signal, subprocess\n{}", tried.join("")))
}

fn all_stopped(rows: &Rows, call: usize, count: usize) {
    let told = rows.told(call);
    assert!(!told.contains("DONE"), "{told}");
    assert_eq!(told.matches("stopped").count(), count, "{told}");
}

#[tokio::test]
async fn reading_outside_the_workspace_is_stopped_by_path_by_link_and_by_process() {
    World::scenario("outside", async |world| {
        let rows = tries(
            world,
            [
                calls([
                    ("fs.read", json!({"path": "../etc/passwd"})),
                    ("fs.read", json!({"path": "/etc/passwd"})),
                    ("fs.read", json!({"path": "a/../../etc/passwd"})),
                    ("fs.list", json!({"path": ".."})),
                    ("fs.search", json!({"pattern": "root", "path": "/etc"})),
                    ("fs.write", json!({"path": "/tmp/outside", "content": "x"})),
                ]),
                call("shell.run", json!({"argv": ["python3", "-c", "import os; os.symlink('/etc', 'etc'); os.symlink('/reeve', 'reeve'); os.symlink('/proc/self/root/etc', 'root')"]})),
                calls([
                    ("fs.read", json!({"path": "etc/passwd"})),
                    ("fs.read", json!({"path": "root/passwd"})),
                    ("fs.list", json!({"path": "reeve"})),
                    ("fs.write", json!({"path": "etc/outside", "content": "x"})),
                    ("fs.edit", json!({"path": "etc/passwd", "old": "root", "new": "toor"})),
                ]),
                calls([attempts(&[
                    "os.listdir('/reeve/ledger')",
                    "os.listdir('/reeve/run')",
                    "open('/proc/1/environ').read()",
                    "open('/proc/1/mem', 'rb').read(1)",
                    "os.listdir('/proc/1/root/')",
                    "os.listdir('/var/run/secrets')",
                    "open('/etc/outside', 'w')",
                    "open('/usr/outside', 'w')",
                    "open('/reeve/outside', 'w')",
                    "os.link('/etc/passwd', 'passwd')",
                ])]),
                // Links that lead out are no work of git's either.
                call("shell.run", json!({"argv": ["rm", "etc", "reeve", "root"]})),
            ],
        )
        .await;
        for place in (0..6).chain(7..12) {
            let told = rows.told(place);
            assert!(!told.contains("root:x:0:0") && !told.contains("ledger"), "call {place}: {told}");
            let ran = &rows.results()[place].observation;
            assert!(!matches!(ran, reeve_core::journal::Observation::Ran { status: Status::Ok, .. }), "call {place} went through\n{rows}");
        }
        all_stopped(&rows, 12, 10);
    })
    .await;
}

#[tokio::test]
async fn the_git_directory_is_written_by_commits_alone() {
    World::scenario("git-dir", async |world| {
        let rows = tries(
            world,
            [
                calls([
                    attempts(&[
                        "open('/reeve/git/config', 'a')",
                        "os.makedirs('/reeve/git/hooks', exist_ok=True); open('/reeve/git/hooks/pre-commit', 'w')",
                        "os.rename('/reeve/git/HEAD', '/reeve/git/DAEH')",
                        "os.unlink('/reeve/git/HEAD')",
                    ]),
                    ("fs.write", json!({"path": ".git/config", "content": "[core]\n\tfsmonitor = touch /workspace/pwned\n"})),
                    ("fs.write", json!({"path": ".git/hooks/pre-commit", "content": "touch /workspace/pwned\n"})),
                    ("shell.run", json!({"argv": ["git", "config", "core.hooksPath", "/workspace"]})),
                ]),
                call("fs.write", json!({"path": "a.txt", "content": "a\n"})),
                call("git.commit", json!({"message": "a"})),
                call("fs.list", json!({})),
            ],
        )
        .await;
        all_stopped(&rows, 0, 4);
        assert!(!rows.told(6).contains("pwned"), "{}", rows.told(6));
        assert_eq!(rows.ran(5).0, Status::Ok, "a commit goes through\n{rows}");
    })
    .await;
}

#[tokio::test]
async fn no_tool_opens_an_internet_socket_and_no_process_of_the_pod_reaches_anything() {
    World::scenario("network", async |world| {
        let gate = Gate::default();
        let model = FakeModel::playing([
            calls([attempts(&[
                "socket.create_connection(('10.96.0.1', 443), 2)",
                "socket.create_connection(('127.0.0.1', 1), 2)",
                "socket.socket(socket.AF_INET, socket.SOCK_DGRAM)",
                "socket.socket(socket.AF_INET6, socket.SOCK_STREAM)",
                "socket.socket(socket.AF_NETLINK, socket.SOCK_RAW)",
                "socket.socket(socket.AF_PACKET, socket.SOCK_RAW)",
                "socket.socket(socket.AF_UNIX, socket.SOCK_STREAM).connect('/reeve/run/tools.sock')",
            ])]),
            finish("That is all.").held_by(&gate),
        ])
        .await;
        world.agents_ask(&model).await;
        let _operator = world.operator().await;
        world.run("hostile", json!({})).await;
        gate.reached().await;
        // The second wall: a process of the Pod without any filter of ours.
        let reach = |host: &str, port: &str| {
            format!("import socket\ntry:\n    socket.create_connection(({host:?}, {port}), 3); print('reached')\nexcept OSError as error:\n    print('stopped', error)")
        };
        let service = std::env::var("REEVE_TEST_APISERVER").unwrap_or_else(|_| "10.96.0.1".to_owned());
        for (host, port) in [(service.as_str(), "443"), ("10.96.0.10", "53"), ("1.1.1.1", "443")] {
            let said = world.exec(&["python3", "-c", &reach(host, port)]).await;
            assert!(said.starts_with("stopped"), "{host}:{port}: {said}");
        }
        gate.open();
        world.succeeded("hostile").await;
        all_stopped(&world.journal("hostile").await, 0, 7);
    })
    .await;
}

#[tokio::test]
async fn a_fork_bomb_ends_with_its_call() {
    World::scenario("fork-bomb", async |world| {
        let bomb = "import os\nwhile True:\n    try: os.fork()\n    except OSError: pass";
        let rows = tries(
            world,
            [call("shell.run", json!({"argv": ["python3", "-c", bomb], "timeout_seconds": 3})), calls([python("print('alive')")])],
        )
        .await;
        assert_ne!(rows.ran(0).0, Status::Ok, "{rows}");
        assert!(rows.told(1).contains("alive"), "the sandbox works on: {}", rows.told(1));
    })
    .await;
}

#[tokio::test]
async fn a_gigabyte_of_output_is_counted_and_cut() {
    World::scenario("output", async |world| {
        let prints =
            "import sys\nprint('first')\nline = 'x' * (1 << 20)\nfor _ in range(1024): sys.stdout.write(line)\nprint()\nprint('last')";
        let rows = tries(world, [call("shell.run", json!({"argv": ["python3", "-c", prints], "timeout_seconds": 60}))]).await;
        let reeve_core::journal::Observation::Ran { output_bytes, status, .. } = rows.results()[0].observation.clone() else {
            panic!("{rows}")
        };
        assert_eq!(status, Status::Ok);
        assert!(output_bytes > 1 << 30, "{output_bytes}");
        let told = rows.told(0);
        assert!(told.len() < 64 * 1024 && told.contains("first") && told.contains("last"), "{} bytes are told", told.len());
    })
    .await;
}

#[tokio::test]
async fn no_tool_kills_or_traces_what_is_not_its_own() {
    World::scenario("kill", async |world| {
        let rows = tries(
            world,
            [
                calls([attempts(&[
                    "os.kill(1, signal.SIGKILL)",
                    "os.kill(1, signal.SIGTERM)",
                    "os.kill(os.getppid(), signal.SIGKILL)",
                    "assert ctypes.CDLL(None).ptrace(16, 1, 0, 0) == 0",
                    "assert ctypes.CDLL(None).mount(b'none', b'/workspace', b'tmpfs', 0, 0) == 0",
                    "assert ctypes.CDLL(None).unshare(0x10000000) == 0",
                    "assert ctypes.CDLL(None).setuid(0) == 0",
                ])]),
                calls([python("import os\nos.kill(-1, 9)")]),
                calls([python("print('alive')")]),
            ],
        )
        .await;
        all_stopped(&rows, 0, 7);
        assert!(rows.told(2).contains("alive"), "the sandbox works on: {}", rows.told(2));
    })
    .await;
}

#[tokio::test]
async fn no_process_outlives_its_call() {
    World::scenario("outlive", async |world| {
        let daemon = "import os, sys, time\nif os.fork(): sys.exit(0)\nos.setsid()\nif os.fork(): os._exit(0)\nfor fd in range(3): os.close(fd)\nwhile True:\n    time.sleep(0.05)\n    open('heartbeat', 'a').write('x')";
        let listing = "import glob, os\nprint('I am', os.getpid())\nfor path in glob.glob('/proc/[0-9]*/cmdline'):\n    try: print(path, open(path).read().replace('\\0', ' '))\n    except OSError: pass";
        let rows = tries(world, [calls([python(daemon), python(listing)]), call("shell.run", json!({"argv": ["rm", "-f", "heartbeat"]})), call("fs.list", json!({}))]).await;
        assert!(!rows.told(1).contains("heartbeat"), "{}", rows.told(1));
        assert!(!rows.told(3).contains("heartbeat"), "something still writes: {}", rows.told(3));
    })
    .await;
}

#[tokio::test]
async fn the_pod_is_restricted_in_every_line() {
    World::scenario("pod-spec", async |world| {
        let gate = Gate::default();
        let model = FakeModel::playing([finish("That is all.").held_by(&gate)]).await;
        world.agents_ask(&model).await;
        let _operator = world.operator().await;
        world.run("hostile", json!({})).await;
        gate.reached().await;
        let pod: Pod = world.pod().await;
        let job = world.jobs().await.remove(0).spec.unwrap();
        assert_eq!(job.backoff_limit, Some(0));
        assert!(job.active_deadline_seconds.is_some(), "a run that nobody ends, ends");
        let spec = pod.spec.unwrap();
        assert_eq!(spec.automount_service_account_token, Some(false));
        assert_eq!(spec.enable_service_links, Some(false));
        assert!(!spec.host_network.unwrap_or(false) && !spec.host_pid.unwrap_or(false) && !spec.host_ipc.unwrap_or(false));
        let of_pod = spec.security_context.unwrap();
        assert_eq!(of_pod.run_as_non_root, Some(true));
        assert_eq!(of_pod.seccomp_profile.unwrap().type_, "RuntimeDefault");
        for container in spec.init_containers.iter().flatten().chain(&spec.containers) {
            let security = container.security_context.as_ref().unwrap();
            assert_eq!(security.allow_privilege_escalation, Some(false), "{}", container.name);
            assert_eq!(security.read_only_root_filesystem, Some(true), "{}", container.name);
            assert_eq!(security.capabilities.as_ref().unwrap().drop, Some(vec!["ALL".to_owned()]), "{}", container.name);
            assert!(container.resources.as_ref().unwrap().limits.as_ref().unwrap().contains_key("memory"), "{}", container.name);
            assert!(
                container.env.iter().flatten().all(|variable| variable.value_from.is_none()),
                "no secret, no token: {:?}",
                container.env
            );
        }
        for volume in spec.volumes.iter().flatten() {
            let empty = volume.empty_dir.as_ref().unwrap_or_else(|| panic!("{} is no emptyDir", volume.name));
            assert!(empty.size_limit.is_some(), "{} has no size limit", volume.name);
        }
        gate.open();
        world.succeeded("hostile").await;
    })
    .await;
}
