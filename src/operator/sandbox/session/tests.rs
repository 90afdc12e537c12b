#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::sync::Mutex;

use futures::FutureExt as _;
use reeve_core::tool::ToolName;
use reeve_core::tool::wire::{Canonical, Confinement, Network, Status as Ended};
use rmcp::model::{CustomResult, ErrorCode, ErrorData};
use rmcp::service::RequestContext;
use rmcp::{RoleServer, ServerHandler, ServiceExt as _};
use serde_json::{Value, json};
use tokio::io::{DuplexStream, split};
use tokio::sync::{Notify, oneshot};
use tokio::time::Instant;

use super::*;

/// What the far side does with one request; none answers never.
type Behaviour = dyn Fn(&str, Value) -> Option<Result<Value, ErrorData>> + Send + Sync;

#[derive(Clone)]
struct FakeSandbox {
    behaviour: Arc<Behaviour>,
    asked: Arc<Mutex<Vec<(String, Value)>>>,
    rang: Arc<Notify>,
}

impl ServerHandler for FakeSandbox {
    async fn on_custom_request(&self, request: CustomRequest, _: RequestContext<RoleServer>) -> Result<CustomResult, ErrorData> {
        let mut params = request.params.unwrap_or_default();
        params.as_object_mut().map(|params| params.remove("_meta"));
        self.asked.lock().unwrap().push((request.method.clone(), params.clone()));
        self.rang.notify_one();
        match (self.behaviour)(&request.method, params) {
            Some(answer) => answer.map(CustomResult::new),
            None => std::future::pending().await,
        }
    }
}

fn refuse(code: i32, message: &str) -> Option<Result<Value, ErrorData>> {
    Some(Err(ErrorData::new(ErrorCode(code), message.to_owned(), None)))
}

fn answer(value: impl Serialize) -> Option<Result<Value, ErrorData>> {
    Some(Ok(serde_json::to_value(value).unwrap()))
}

struct Line {
    sandbox: FakeSandbox,
    /// Ends the connection with this reason, without closing its output: what a broken WebSocket does.
    cut: Option<oneshot::Sender<String>>,
    far_end: Option<DuplexStream>,
    near_end: Option<DuplexStream>,
}

impl Line {
    fn new(behaviour: impl Fn(&str, Value) -> Option<Result<Value, ErrorData>> + Send + Sync + 'static) -> Line {
        let (near_end, far_end) = tokio::io::duplex(BUFFER_BYTES);
        let sandbox = FakeSandbox { behaviour: Arc::new(behaviour), asked: Arc::default(), rang: Arc::default() };
        Line { sandbox, cut: None, far_end: Some(far_end), near_end: Some(near_end) }
    }

    async fn open(&mut self) -> Result<(Session, Welcome), SessionError> {
        let (far, near) = (self.far_end.take().unwrap(), self.near_end.take().unwrap());
        let sandbox = self.sandbox.clone();
        tokio::spawn(async move {
            if let Ok(serving) = sandbox.serve(far).await {
                let _ = serving.waiting().await;
            }
        });
        let (cut, ended) = oneshot::channel();
        self.cut = Some(cut);
        let ended = async move {
            match ended.await {
                Ok(why) => why,
                Err(_) => std::future::pending().await,
            }
        };
        let (output, input) = split(near);
        let hello = Hello { epoch: 3, run_uid: "uid-1".to_owned() };
        Session::over(output, input, ended.boxed(), hello).await
    }

    fn asked(&self, method: &str) -> Vec<Value> {
        self.sandbox.asked.lock().unwrap().iter().filter(|(asked, _)| asked == method).map(|(_, params)| params.clone()).collect()
    }
}

fn welcome() -> Option<Result<Value, ErrorData>> {
    answer(Welcome { version: "1".to_owned(), landlock_abi: 7, workspace: None })
}

fn call() -> Call {
    let confinement =
        Confinement { network: Network::None, workspace_writable: true, timeout_ms: 1_000, output_head_bytes: 10, output_tail_bytes: 10 };
    Call { key: "uid-1/4/0".to_owned(), handle: "h".to_owned(), confinement }
}

fn outcome() -> Outcome {
    Outcome {
        status: Ended::Error,
        content: "1 failed\n".to_owned(),
        output_bytes: 9,
        truncated: false,
        exit_code: Some(1),
        duration_ms: 12,
        commit: None,
    }
}

fn imported(digest: Digest, received: u64, loaded: bool) -> Imported {
    let commit = loaded.then(|| "c".repeat(40));
    Imported { digest, received, base_commit: commit.clone(), head_commit: commit, files: u64::from(loaded) }
}

#[tokio::test]
async fn each_request_has_its_answer() {
    let blob = Blob { digest: Digest::of(b"patch"), bytes: 5 };
    let canonical =
        Canonical { tool: ToolName::FsRead, arguments: json!({"path": "a"}), paths: vec![], program: None, argv: vec!["ls".to_owned()] };
    let resolved = Resolved { handle: "h".to_owned(), canonical };
    let checkpointed = Checkpointed {
        base_commit: "a".to_owned(),
        head_commit: "b".to_owned(),
        uncommitted: vec![],
        changed: vec!["x".to_owned()],
        patch: blob.clone(),
        bundle: blob.clone(),
    };
    let (resolved_there, checkpointed_there) = (resolved.clone(), checkpointed.clone());
    let mut line = Line::new(move |method, _| match method {
        method::HELLO => answer(Welcome { version: "1".to_owned(), landlock_abi: 7, workspace: Some(imported(Digest::of("w"), 9, true)) }),
        method::RESOLVE => answer(&resolved_there),
        method::CALL => answer(outcome()),
        method::LOOKUP => answer(Recorded::Unknown),
        method::CHECKPOINT => answer(&checkpointed_there),
        method::FETCH => answer(Chunk { data: STANDARD.encode("patch") }),
        method::HALT => answer(Halted { calls: 2 }),
        method::SHUTDOWN => Some(Ok(Value::Null)),
        _ => refuse(-1, method),
    });
    let (session, welcome) = line.open().await.unwrap();
    assert_eq!((welcome.landlock_abi, welcome.workspace), (7, Some(imported(Digest::of("w"), 9, true))));
    assert_eq!(line.asked(method::HELLO), [json!({"epoch": 3, "run_uid": "uid-1"})]);
    let resolve = Resolve { key: "k".to_owned(), tool: ToolName::FsRead, arguments: json!({"path": "./a"}) };
    assert_eq!(session.resolve(&resolve).await, Ok(resolved));
    assert_eq!(line.asked(method::RESOLVE), [json!({"key": "k", "tool": "fs.read", "arguments": {"path": "./a"}})]);
    assert_eq!(session.call(&call()).await, Ok(outcome()));
    assert_eq!(session.lookup(&Lookup { key: "k".to_owned(), wait_ms: 5 }).await, Ok(Recorded::Unknown));
    assert_eq!(session.checkpoint().await, Ok(checkpointed));
    assert_eq!(session.fetch_blob(&blob).await, Ok(b"patch".to_vec()));
    assert_eq!(session.halt().await, Ok(Halted { calls: 2 }));
    assert_eq!(line.asked(method::HALT), [json!({})]);
    assert_eq!(session.ping().await, Ok(()));
    assert_eq!(session.shutdown().await, Ok(()));
}

#[tokio::test]
async fn refusals_keep_their_code_and_words_and_a_higher_epoch_fences() {
    let mut line = Line::new(|method, _| match method {
        method::HELLO => welcome(),
        method::RESOLVE => refuse(code::ESCAPE, "../x leaves the workspace"),
        _ => refuse(code::FENCED, "epoch 4 was here"),
    });
    let (session, _) = line.open().await.unwrap();
    let resolve = Resolve { key: "k".to_owned(), tool: ToolName::FsRead, arguments: json!({}) };
    let refused = SessionError::Refused { code: code::ESCAPE, message: "../x leaves the workspace".to_owned() };
    assert_eq!(session.resolve(&resolve).await, Err(refused));
    assert_eq!(session.call(&call()).await, Err(SessionError::Fenced));
    let mut fenced = Line::new(|_, _| refuse(code::FENCED, "epoch 4 was here"));
    assert_eq!(fenced.open().await.map(|_| ()), Err(SessionError::Fenced));
}

#[tokio::test]
async fn a_workspace_goes_in_chunks_and_comes_back_in_pages() {
    let bytes: Vec<u8> = (0..2 * STREAM_CHUNK_BYTES + 17).map(|n| (n % 251) as u8).collect();
    let digest = Digest::of(&bytes);
    let there = bytes.clone();
    let mut line = Line::new(move |method, params| match method {
        method::HELLO => welcome(),
        method::IMPORT => {
            let chunk: Import = serde_json::from_value(params).unwrap();
            let length = STANDARD.decode(&chunk.data).unwrap().len() as u64;
            answer(imported(chunk.digest, chunk.offset + length, chunk.last))
        }
        method::FETCH => {
            let fetch: Fetch = serde_json::from_value(params).unwrap();
            let start = usize::try_from(fetch.offset).unwrap();
            let end = there.len().min(start + usize::try_from(fetch.max_bytes).unwrap());
            answer(Chunk { data: STANDARD.encode(&there[start..end]) })
        }
        _ => refuse(-1, method),
    });
    let (session, _) = line.open().await.unwrap();
    let loaded = session.import_workspace(&bytes, digest, Packing::GitBundle, 0).await.unwrap();
    assert_eq!((loaded.received, loaded.files), (bytes.len() as u64, 1));
    let chunks: Vec<Import> = line.asked(method::IMPORT).into_iter().map(|chunk| serde_json::from_value(chunk).unwrap()).collect();
    assert_eq!(chunks.iter().map(|chunk| chunk.last).collect::<Vec<_>>(), [false, false, true]);
    let sent: Vec<u8> = chunks.iter().flat_map(|chunk| STANDARD.decode(&chunk.data).unwrap()).collect();
    assert_eq!(sent, bytes);
    assert!(session.import_workspace(b"", Digest::of(b""), Packing::TarGz, 1).await.is_ok(), "an empty workspace is one empty chunk");
    assert_eq!(session.fetch_blob(&Blob { digest, bytes: bytes.len() as u64 }).await, Ok(bytes.clone()));
    let wrong = Blob { digest: Digest::of("else"), bytes: bytes.len() as u64 };
    assert!(matches!(session.fetch_blob(&wrong).await, Err(SessionError::Refused { code: code::INTERNAL, .. })), "another digest");
    let huge = Blob { digest, bytes: MAX_WORKSPACE_BYTES + 1 };
    assert!(matches!(session.fetch_blob(&huge).await, Err(SessionError::Refused { code: code::INTERNAL, .. })), "too large to ask for");
    let longer = Blob { digest, bytes: bytes.len() as u64 + 1 };
    assert!(matches!(session.fetch_blob(&longer).await, Err(SessionError::Refused { code: code::INTERNAL, .. })), "a page of nothing");
}

#[tokio::test]
async fn a_workspace_that_is_there_is_not_sent_again() {
    let mut line = Line::new(|method, params| match method {
        method::HELLO => welcome(),
        _ => answer(imported(serde_json::from_value(params["digest"].clone()).unwrap(), 999_999, true)),
    });
    let (session, _) = line.open().await.unwrap();
    let bytes = vec![0; 3 * STREAM_CHUNK_BYTES];
    assert!(session.import_workspace(&bytes, Digest::of(&bytes), Packing::TarGz, 0).await.is_ok());
    assert_eq!(line.asked(method::IMPORT).len(), 1);
}

#[tokio::test]
async fn a_cut_stream_ends_the_call_in_flight_at_once() {
    let mut line = Line::new(|method, _| if method == method::HELLO { welcome() } else { None });
    let (session, _) = line.open().await.unwrap();
    let (rang, cut) = (Arc::clone(&line.sandbox.rang), line.cut.take().unwrap());
    rang.notified().await;
    let started = Instant::now();
    let cutting = async {
        rang.notified().await;
        cut.send("the node is gone".to_owned()).unwrap();
    };
    let call = call();
    let (ended, ()) = tokio::join!(session.call(&call), cutting);
    assert_eq!(ended, Err(SessionError::Lost("the node is gone".to_owned())));
    assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
    assert_eq!(session.ping().await, Err(SessionError::Lost("the node is gone".to_owned())), "and whatever is asked later");
    assert_eq!(session.lost().await, "the node is gone");
}

#[tokio::test]
async fn a_far_side_that_closes_ends_the_call_in_flight_at_once() {
    let (near, far) = tokio::io::duplex(BUFFER_BYTES);
    let mut line = Line::new(|method, _| if method == method::HELLO { welcome() } else { None });
    let sandbox = line.sandbox.clone();
    line.near_end = Some(near);
    // The relay is what dies.
    let (relay_near, relay_far) = tokio::io::duplex(BUFFER_BYTES);
    line.far_end = Some(relay_far);
    let relay = tokio::spawn(async move {
        let (mut a, mut b) = (far, relay_near);
        tokio::io::copy_bidirectional(&mut a, &mut b).await
    });
    let (session, _) = line.open().await.unwrap();
    sandbox.rang.notified().await;
    let cutting = async {
        sandbox.rang.notified().await;
        relay.abort();
    };
    let call = call();
    let (ended, ()) = tokio::join!(session.call(&call), cutting);
    assert_eq!(ended, Err(SessionError::Lost("the other side closed it".to_owned())));
}

#[tokio::test]
async fn the_last_answer_counts_although_the_connection_ended_with_it() {
    let cut: Arc<Mutex<Option<oneshot::Sender<String>>>> = Arc::default();
    let there = Arc::clone(&cut);
    let mut line = Line::new(move |method, _| match method {
        method::HELLO => welcome(),
        _ => {
            there.lock().unwrap().take().map(|cut| cut.send("done".to_owned()));
            answer(outcome())
        }
    });
    let (session, _) = line.open().await.unwrap();
    *cut.lock().unwrap() = line.cut.take();
    assert_eq!(session.call(&call()).await, Ok(outcome()));
}

#[tokio::test(start_paused = true)]
async fn a_sandbox_that_does_not_answer_is_waited_for_somewhat_longer_than_the_call_may_take() {
    let mut line = Line::new(|method, _| if method == method::HELLO { welcome() } else { None });
    let (session, _) = line.open().await.unwrap();
    let started = Instant::now();
    assert_eq!(session.call(&call()).await, Err(SessionError::Timeout));
    assert!(started.elapsed() >= Duration::from_secs(31), "{:?}", started.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_halt_that_is_not_answered_fails_while_there_is_time_for_other_means() {
    let mut line = Line::new(|method, _| if method == method::HELLO { welcome() } else { None });
    let (session, _) = line.open().await.unwrap();
    let started = Instant::now();
    assert_eq!(session.halt().await, Err(SessionError::Timeout));
    assert!(started.elapsed() < Duration::from_millis(3_500), "{:?}", started.elapsed());
}

#[tokio::test]
async fn a_halt_is_answered_while_a_call_is_in_flight() {
    let mut line = Line::new(|method, _| match method {
        method::HELLO => welcome(),
        method::HALT => answer(Halted { calls: 1 }),
        _ => None,
    });
    let (session, _) = line.open().await.unwrap();
    let call = call();
    tokio::select! {
        answered = session.call(&call) => panic!("{answered:?}"),
        halted = session.halt() => assert_eq!(halted, Ok(Halted { calls: 1 })),
    }
    assert_eq!(session.ping().await, Ok(()), "the stream lives on");
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_says_nothing_or_nonsense_is_not_waited_for_forever() {
    let (near, far) = tokio::io::duplex(BUFFER_BYTES);
    let (output, input) = split(near);
    let hello = Hello { epoch: 1, run_uid: "u".to_owned() };
    let opened = Session::over(output, input, std::future::pending().boxed(), hello.clone()).await;
    assert_eq!(opened.map(|_| ()), Err(SessionError::Timeout));
    drop(far);
    let (near, _far) = tokio::io::duplex(BUFFER_BYTES);
    let (output, input) = split(near);
    let ended = std::future::ready("`reeve tools attach` failed: exit code 1".to_owned()).boxed();
    let opened = Session::over(output, input, ended, hello).await;
    assert_eq!(opened.map(|_| ()), Err(SessionError::Lost("`reeve tools attach` failed: exit code 1".to_owned())));
}

#[tokio::test]
async fn dropping_a_session_closes_its_stream() {
    struct Held(Option<oneshot::Sender<()>>);
    impl Drop for Held {
        fn drop(&mut self) {
            self.0.take().map(|told| told.send(()));
        }
    }
    let mut line = Line::new(|_, _| welcome());
    let (far, near) = (line.far_end.take().unwrap(), line.near_end.take().unwrap());
    let serving = tokio::spawn(async move { line.sandbox.clone().serve(far).await.unwrap().waiting().await });
    let (told, dropped) = oneshot::channel();
    let connection = Held(Some(told));
    let ended = async move {
        let _open = connection;
        std::future::pending::<String>().await
    };
    let (output, input) = split(near);
    let (session, _) = Session::over(output, input, ended.boxed(), Hello { epoch: 1, run_uid: "u".to_owned() }).await.unwrap();
    drop(session);
    dropped.await.unwrap();
    assert!(serving.await.unwrap().is_ok());
}

#[tokio::test]
async fn arguments_that_no_frame_holds_are_refused_before_they_are_sent() {
    let mut line = Line::new(|_, _| welcome());
    let (session, _) = line.open().await.unwrap();
    let arguments = json!({ "content": "\n".repeat(MAX_PARAMS_BYTES / 2 + 1) });
    let refused = session.resolve(&Resolve { key: "k".to_owned(), tool: ToolName::FsWrite, arguments }).await;
    assert!(matches!(refused, Err(SessionError::Refused { code: code::INVALID, .. })), "{refused:?}");
    assert!(line.asked(method::RESOLVE).is_empty());
}

/// rmcp reads an answer as the first kind of MCP result that it fits. Ours must come through whole, whatever it is taken for.
#[test]
fn no_answer_is_mangled_on_its_way() {
    let blob = Blob { digest: Digest::of("x"), bytes: 1 };
    let answers = [
        json!(Welcome { version: "1".to_owned(), landlock_abi: 7, workspace: None }),
        json!(imported(Digest::of("x"), 1, true)),
        json!(outcome()),
        json!(Outcome { commit: Some("c".to_owned()), exit_code: None, ..outcome() }),
        json!(Recorded::Absent),
        json!(Recorded::Running),
        json!(Recorded::Unknown),
        json!(Recorded::Done { outcome: outcome() }),
        json!(Checkpointed {
            base_commit: String::new(),
            head_commit: String::new(),
            uncommitted: vec![],
            changed: vec![],
            patch: blob.clone(),
            bundle: blob
        }),
        json!(Chunk { data: String::new() }),
        json!(Halted { calls: 0 }),
    ];
    for answer in answers {
        let read: ServerResult = serde_json::from_value(answer.clone()).unwrap();
        assert!(matches!(&read, ServerResult::CustomResult(custom) if custom.0 == answer), "{answer} was taken for {read:?}");
    }
}
