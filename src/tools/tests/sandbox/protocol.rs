//! Keys, handles, epochs, and lines that break.

use std::time::Duration;

use reeve_core::tool::wire::{Recorded, Shutdown, Status, code, method};
use reeve_core::tool::{Role, ToolName, catalog};
use rmcp::model::CallToolRequestParams;
use serde_json::{Value, json};

use crate::harness::{Sandbox, children, eventually, usual};

#[tokio::test]
async fn plain_mcp_works_and_tools_call_is_refused() {
    let (_sandbox, session) = Sandbox::with(&[]).await;
    let tools = session.client().list_all_tools().await.unwrap();
    let names: Vec<_> = tools.iter().map(|tool| tool.name.to_string()).collect();
    assert_eq!(names, catalog(Role::Coder).iter().map(|tool| tool.name.to_string()).collect::<Vec<_>>());
    let read = tools[0].annotations.clone().unwrap();
    assert_eq!((read.read_only_hint, read.destructive_hint, read.idempotent_hint), (Some(true), Some(false), Some(true)));
    let refused = session.client().call_tool(CallToolRequestParams::new("fs.read")).await.unwrap_err().to_string();
    assert!(refused.contains("reeve/resolve"), "{refused}");
}

#[tokio::test]
async fn a_session_begins_with_a_hello_for_the_right_run() {
    let sandbox = Sandbox::empty().await;
    let session = sandbox.attach().await;
    assert_eq!(session.lookup("k", 0).await.unwrap_err().code, code::INVALID);
    let wrong: Result<Value, _> = session.request(method::HELLO, json!({ "epoch": 1, "run_uid": "another" })).await;
    assert!(wrong.unwrap_err().message.contains("one run only"));
    let welcome = session.hello(1).await.unwrap();
    assert!(welcome.landlock_abi >= 6 && welcome.workspace.is_none());
    let early = session.run(ToolName::FsList, json!({})).await.unwrap_err();
    assert!(early.message.contains("import one first"), "{early:?}");
}

#[tokio::test]
async fn a_key_never_runs_twice() {
    let (sandbox, session) = Sandbox::with(&[]).await;
    let append = json!({ "argv": ["sh", "-c", "echo ran >> log"] });
    let first = session.resolve("k", ToolName::ShellRun, append.clone()).await.unwrap();
    let second = session.resolve("k", ToolName::ShellRun, append).await.unwrap();
    assert_eq!(session.lookup("k", 0).await.unwrap(), Recorded::Absent);
    let outcome = session.call("k", &first.handle, usual()).await.unwrap();
    for handle in [&first.handle, &second.handle] {
        assert_eq!(session.call("k", handle, usual()).await.unwrap_err().code, code::KEY_USED);
    }
    assert_eq!(session.lookup("k", 0).await.unwrap(), Recorded::Done { outcome });
    assert_eq!(std::fs::read_to_string(sandbox.path("workspace/log")).unwrap(), "ran\n");
}

#[tokio::test]
async fn a_handle_belongs_to_one_key_and_one_epoch() {
    let (sandbox, session) = Sandbox::with(&[]).await;
    let resolved = session.resolve("a", ToolName::FsList, json!({})).await.unwrap();
    assert_eq!(session.call("b", &resolved.handle, usual()).await.unwrap_err().code, code::HANDLE);
    assert_eq!(session.call("b", "nonsense", usual()).await.unwrap_err().code, code::HANDLE);
    assert_eq!(session.lookup("b", 0).await.unwrap(), Recorded::Absent, "a refused call has not started");
    let next = sandbox.session(2).await;
    assert_eq!(next.call("a", &resolved.handle, usual()).await.unwrap_err().code, code::HANDLE);
}

#[tokio::test]
async fn a_later_epoch_fences_an_earlier_one() {
    let (sandbox, session) = Sandbox::with(&[]).await;
    let resolved = session.resolve("k", ToolName::FsList, json!({})).await.unwrap();
    let next = sandbox.session(7).await;
    assert_eq!(session.call("k", &resolved.handle, usual()).await.unwrap_err().code, code::FENCED);
    assert_eq!(session.lookup("k", 0).await.unwrap_err().code, code::FENCED);
    assert_eq!(session.hello(6).await.unwrap_err().code, code::FENCED);
    let fenced: Result<Value, _> = session.request(method::SHUTDOWN, Shutdown {}).await;
    assert_eq!(fenced.unwrap_err().code, code::FENCED);
    assert_eq!(next.run(ToolName::FsList, json!({})).await.unwrap().status, Status::Ok);
}

#[tokio::test]
async fn a_call_goes_on_when_its_line_is_cut() {
    let (sandbox, mut session) = Sandbox::with(&[]).await;
    let go = sandbox.path("workspace/go");
    let program = "echo begun > begun; while [ ! -e go ]; do sleep 0.01; done; echo finished";
    let resolved = session.resolve("k", ToolName::ShellRun, json!({ "argv": ["sh", "-c", program] })).await.unwrap();
    tokio::select! {
        answer = session.call("k", &resolved.handle, usual()) => panic!("{answer:?}"),
        () = eventually("the call has begun", || sandbox.path("workspace/begun").exists()) => {}
    }
    session.attach.kill().await.unwrap();
    let next = sandbox.session(1).await;
    assert_eq!(next.lookup("k", 0).await.unwrap(), Recorded::Running);
    let (found, ()) = tokio::join!(next.lookup("k", 20_000), async { std::fs::write(&go, "").unwrap() });
    let Recorded::Done { outcome } = found.unwrap() else { panic!("not done") };
    assert_eq!((outcome.status, outcome.content.as_str()), (Status::Ok, "finished\nexit code 0"));
}

#[tokio::test]
async fn a_session_answers_while_a_tool_runs() {
    let (sandbox, session) = Sandbox::with(&[]).await;
    let resolved = session
        .resolve("slow", ToolName::ShellRun, json!({ "argv": ["sh", "-c", "while [ ! -e go ]; do sleep 0.01; done"] }))
        .await
        .unwrap();
    let other = async {
        session.run(ToolName::FsWrite, json!({ "path": "a", "content": "x" })).await.unwrap();
        assert_eq!(session.shell(&["cat", "a"]).await.content, "x\nexit code 0");
        eventually("slow is started", || true).await;
        assert_eq!(session.lookup("slow", 0).await.unwrap(), Recorded::Running);
        std::fs::write(sandbox.path("workspace/go"), "").unwrap();
    };
    let (slow, ()) = tokio::join!(session.call("slow", &resolved.handle, usual()), other);
    assert_eq!(slow.unwrap().status, Status::Ok);
}

#[tokio::test]
async fn shutdown_answers_and_ends_everything_with_zero() {
    let (mut sandbox, session) = Sandbox::with(&[]).await;
    let resolved = session.resolve("k", ToolName::ShellRun, json!({ "argv": ["sleep", "100"] })).await.unwrap();
    let calling = session.call("k", &resolved.handle, usual());
    let ending = async {
        let mut state = Recorded::Absent;
        while state == Recorded::Absent {
            state = session.lookup("k", 0).await.unwrap();
        }
        session.request::<Option<Value>>(method::SHUTDOWN, Shutdown {}).await
    };
    let (called, ended) = tokio::join!(calling, ending);
    assert_eq!(ended.unwrap(), None);
    assert!(called.is_err(), "its line went with the server");
    let status = tokio::time::timeout(Duration::from_secs(10), sandbox.server.wait()).await.unwrap().unwrap();
    assert_eq!(status.code(), Some(0));
}

#[tokio::test]
async fn a_sandbox_whose_server_dies_ends_with_an_error() {
    let (mut sandbox, session) = Sandbox::with(&[]).await;
    let launcher = children(sandbox.server.id().unwrap())[0];
    let server = children(launcher)[0];
    let resolved = session.resolve("k", ToolName::ShellRun, json!({ "argv": ["sleep", "100"] })).await.unwrap();
    let killing = async {
        while session.lookup("k", 0).await.unwrap() == Recorded::Absent {}
        rustix::process::kill_process(rustix::process::Pid::from_raw(server).unwrap(), rustix::process::Signal::KILL).unwrap();
    };
    let (called, ()) = tokio::join!(session.call("k", &resolved.handle, usual()), killing);
    assert!(called.is_err());
    let status = tokio::time::timeout(Duration::from_secs(10), sandbox.server.wait()).await.unwrap().unwrap();
    assert_ne!(status.code(), Some(0));
    // The volumes are still there, as when a container is started again.
    sandbox.restart();
    let next = sandbox.session(2).await;
    assert_eq!(next.lookup("k", 0).await.unwrap(), Recorded::Unknown);
    assert_eq!(std::fs::read_dir(sandbox.path("tmp")).unwrap().count(), 0, "what the lost call left is cleared");
    assert_eq!(next.run(ToolName::FsList, json!({})).await.unwrap().status, Status::Ok, "the workspace is known again");
    let again = next.resolve("k", ToolName::FsList, json!({})).await.unwrap();
    assert_eq!(next.call("k", &again.handle, usual()).await.unwrap_err().code, code::KEY_USED);
}

#[tokio::test]
async fn a_frame_that_is_too_long_ends_the_session_only() {
    let (sandbox, session) = Sandbox::with(&[]).await;
    let refused = session.run(ToolName::FsWrite, json!({ "path": "a", "content": "x".repeat(3 << 20) })).await.unwrap_err();
    assert_eq!(refused.code, 0, "the line is closed: {refused:?}");
    assert_eq!(sandbox.session(1).await.run(ToolName::FsList, json!({})).await.unwrap().status, Status::Ok);
}
