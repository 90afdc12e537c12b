//! One MCP session: `initialize`, `ping` and `tools/list` by the protocol, and Reeve's own methods.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use reeve_core::limits::CEILING_TOOL_TIMEOUT_MS;
use reeve_core::tool::wire::{Call, Checkpoint, Fetch, Halt, Hello, Import, Lookup, Outcome, Resolve, Resolved, Shutdown, Welcome, method};
use reeve_core::tool::{Role, catalog};
use rmcp::model::{
    CallToolRequestParams, CallToolResponse, CustomRequest, CustomResult, ErrorCode, Implementation, ListToolsResult,
    PaginatedRequestParams, ServerCapabilities, ServerConfig, Tool, ToolAnnotations,
};
use rmcp::service::RequestContext;
use rmcp::{ErrorData, RoleServer, ServerHandler};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::Sandbox;
use super::halt::InFlight;
use super::line::Ending;
use super::perform::blocking;
use crate::kernel;
use crate::refusal::Refusal;

/// One line to the server. Its epoch is what its hello said.
#[derive(Debug)]
pub(super) struct Session {
    sandbox: Arc<Sandbox>,
    ending: Ending,
    epoch: Mutex<Option<u64>>,
}

impl Session {
    pub(super) fn new(sandbox: Arc<Sandbox>, ending: Ending) -> Session {
        Session { sandbox, ending, epoch: Mutex::new(None) }
    }

    async fn answer(&self, request: CustomRequest) -> Result<Value, ErrorData> {
        let CustomRequest { method, params, .. } = request;
        if method == method::HELLO {
            return json(self.hello(read(&method, params)?).await);
        }
        let epoch = self.current_epoch().map_err(error)?;
        match method.as_str() {
            method::IMPORT => json(self.sandbox.import(read::<Import>(&method, params)?).await),
            method::RESOLVE => json(self.resolve(epoch, read(&method, params)?).await),
            method::CALL => json(self.call(epoch, read(&method, params)?).await),
            method::LOOKUP => {
                let Lookup { key, wait_ms } = read(&method, params)?;
                let wait = Duration::from_millis(wait_ms.min(CEILING_TOOL_TIMEOUT_MS));
                json(self.sandbox.ledger.lookup(&key, wait).await)
            }
            method::CHECKPOINT => {
                let Checkpoint {} = read(&method, params)?;
                json(self.sandbox.checkpoint().await)
            }
            method::FETCH => {
                let wanted: Fetch = read(&method, params)?;
                let sandbox = self.sandbox.clone();
                json(blocking(move || sandbox.fetch(&wanted)).await.and_then(|fetched| fetched))
            }
            method::HALT => {
                let Halt {} = read(&method, params)?;
                // A task of its own: it ends although this session's line is cut, or every later call would wait for its end.
                let halting = tokio::spawn(self.sandbox.clone().halt());
                json(halting.await.map_err(Refusal::failed("the halt's task")).and_then(|halted| halted))
            }
            method::SHUTDOWN => {
                let Shutdown {} = read(&method, params)?;
                self.ending.ask();
                Ok(Value::Null)
            }
            _ => Err(ErrorData::new(ErrorCode::METHOD_NOT_FOUND, format!("no method {method:?}"), None)),
        }
    }

    async fn hello(&self, hello: Hello) -> Result<Welcome, Refusal> {
        let wanted = &self.sandbox.options.run_uid;
        if hello.run_uid != *wanted {
            return Err(Refusal::invalid(format!("expected run {wanted}, found run {}: this sandbox serves one run only", hello.run_uid)));
        }
        self.sandbox.fence.hello(hello.epoch)?;
        *self.epoch.lock().unwrap_or_else(PoisonError::into_inner) = Some(hello.epoch);
        Ok(Welcome {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            landlock_abi: kernel::landlock_abi(),
            workspace: self.sandbox.loaded().map(|loaded| loaded.imported()),
        })
    }

    fn current_epoch(&self) -> Result<u64, Refusal> {
        let epoch = *self.epoch.lock().unwrap_or_else(PoisonError::into_inner);
        let epoch = epoch.ok_or_else(|| Refusal::invalid(format!("expected {} first", method::HELLO)))?;
        self.sandbox.fence.pass(epoch).map(|_| epoch)
    }

    async fn resolve(&self, epoch: u64, wanted: Resolve) -> Result<Resolved, Refusal> {
        self.sandbox.require_workspace()?;
        let sandbox = self.sandbox.clone();
        let resolving = move || {
            let Resolve { key, tool, arguments } = wanted;
            sandbox.resolve(tool, &arguments).map(|(canonical, prepared)| (key, canonical, prepared))
        };
        let (key, canonical, prepared) = blocking(resolving).await??;
        let handle = self.sandbox.handles.hold(&key, epoch, prepared);
        Ok(Resolved { handle, canonical })
    }

    async fn call(&self, epoch: u64, call: Call) -> Result<Outcome, Refusal> {
        let Call { key, handle, confinement } = call;
        let sandbox = self.sandbox.clone();
        let in_flight = InFlight::enter(sandbox.clone()).await;
        let (started, prepared) = {
            // While this is held no later epoch gets in: what it later finds started really is.
            let _passage = sandbox.fence.pass(epoch)?;
            if sandbox.ledger.knows(&key) {
                return Err(Refusal::key_used(&key));
            }
            let prepared = sandbox.handles.take(&handle, &key, epoch)?;
            (sandbox.ledger.start(&key)?, prepared)
        };
        // A task of its own: it goes on when this session's line is cut.
        let work = tokio::spawn(async move {
            let outcome = sandbox.clone().perform(prepared, confinement).await;
            let recorded = sandbox.ledger.finish(started, &outcome);
            in_flight.ended(&outcome);
            recorded.map(|()| outcome)
        });
        work.await.map_err(Refusal::failed("the call's task"))?
    }
}

impl ServerHandler for Session {
    fn get_info(&self) -> ServerConfig {
        let mut info = ServerConfig::new(ServerCapabilities::builder().enable_tools().build());
        info.server_info = Implementation::new("reeve-tools", env!("CARGO_PKG_VERSION"));
        info
    }

    async fn list_tools(&self, _: Option<PaginatedRequestParams>, _: RequestContext<RoleServer>) -> Result<ListToolsResult, ErrorData> {
        Ok(ListToolsResult::with_all_items(catalog(Role::Coder).into_iter().map(shown).collect()))
    }

    async fn call_tool(&self, _: CallToolRequestParams, _: RequestContext<RoleServer>) -> Result<CallToolResponse, ErrorData> {
        let (resolve, call) = (method::RESOLVE, method::CALL);
        let message = format!("tools/call has neither a key nor a judged handle and is refused; use {resolve}, then {call}");
        Err(ErrorData::new(ErrorCode::METHOD_NOT_FOUND, message, None))
    }

    async fn on_custom_request(&self, request: CustomRequest, _: RequestContext<RoleServer>) -> Result<CustomResult, ErrorData> {
        self.answer(request).await.map(CustomResult::new)
    }
}

fn shown(tool: reeve_core::tool::Tool) -> Tool {
    let schema = tool.input_schema.as_object().cloned().unwrap_or_default();
    let mut annotations = ToolAnnotations::new();
    annotations.read_only_hint = Some(tool.annotations.read_only);
    annotations.destructive_hint = Some(tool.annotations.destructive);
    annotations.idempotent_hint = Some(tool.annotations.idempotent);
    annotations.open_world_hint = Some(false);
    Tool::new(tool.name.as_str(), tool.description, schema).with_annotations(annotations)
}

fn read<T: DeserializeOwned>(method: &str, params: Option<Value>) -> Result<T, ErrorData> {
    T::deserialize(params.unwrap_or_default()).map_err(|wrong| error(Refusal::invalid(format!("the parameters of {method}: {wrong}"))))
}

fn json<T: Serialize>(answer: Result<T, Refusal>) -> Result<Value, ErrorData> {
    answer.and_then(|answer| serde_json::to_value(answer).map_err(Refusal::failed("writing an answer"))).map_err(error)
}

fn error(refusal: Refusal) -> ErrorData {
    ErrorData::new(ErrorCode(refusal.code), refusal.message, None)
}
