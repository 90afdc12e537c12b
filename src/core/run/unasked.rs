//! Calls that no model asked for: the commands of an acceptance run, and a merge.

use super::state::{CallStage, PendingCall, RunState};
use crate::model::{Arguments, ToolCall};
use crate::tool::ToolName;

impl RunState {
    /// A merge asks no model: it is its only step.
    pub(super) fn merge(&mut self) {
        let Some(proposal) = self.started.as_ref().and_then(|started| started.spec.merge.clone()) else { return };
        let arguments = serde_json::json!({
            "base": proposal.base_commit, "head": proposal.head_commit,
            "patch": proposal.patch.digest, "bundle": proposal.bundle.digest,
        });
        self.own_call("merge".to_owned(), ToolName::Merge, arguments);
    }

    /// An acceptance run asks no model: its commands are its steps.
    pub(super) fn next_command(&mut self) {
        let Some(command) = self.started.as_ref().and_then(|started| started.spec.commands.get(self.step as usize)) else { return };
        let arguments = serde_json::json!({ "argv": command.argv, "timeout_seconds": command.timeout_seconds });
        self.own_call(format!("command-{}", self.step + 1), ToolName::TestsRun, arguments);
    }

    /// A step whose call no model asked for.
    fn own_call(&mut self, id: String, tool: ToolName, arguments: serde_json::Value) {
        self.step += 1;
        self.pending.push_back(PendingCall {
            index: 0,
            key: self.key(self.step, 0),
            call: ToolCall { id, name: tool.as_str().to_owned(), arguments: Arguments::Json(arguments) },
            stage: CallStage::Wanted,
            approval: None,
        });
        self.begin_step();
    }
}
