//! What a run takes with it when it starts: [`snapshot`] reads spec, profile and providers once, and nothing of them afterwards.

use reeve_api::{AgentProfile, AgentRun, AgentRunSpec, ModelProvider};

use crate::Digest;
use crate::journal::{AcceptanceCommand, PackedWorkspace, RunLimits, SandboxShape, SpecSnapshot};
use crate::limits;
use crate::tool::{Role, ToolName, catalog};

/// Instructions for a planner whose profile has none.
pub const PLANNER_PROMPT: &str = "You plan software work. Look at the workspace with the tools you have, then call `finish` with a short summary and the tasks: \
as few as the objective needs, each small enough for one agent, in the order in which they are to be done. You change nothing yourself.";

/// Instructions for a coder whose profile has none.
pub const CODER_PROMPT: &str = "You are a careful software engineer. Work only through the tools. Read before you write; reproduce a defect with a test before you fix it; \
make the smallest change that does the task; run the tests; look at the diff; commit; then call `finish` with a short summary. There is no network and no shell.";

/// What a run waits for. Not an end: it starts when this is mended.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct NotReady {
    /// Reason of condition Ready.
    pub reason: &'static str,
    /// For a person: what is missing and what to do.
    pub message: String,
    /// Whether nothing is known to be wrong: the cluster did not answer, and may when it is asked again.
    pub unanswered: bool,
}

impl NotReady {
    /// A reason and a sentence.
    pub fn new(reason: &'static str, message: impl Into<String>) -> NotReady {
        NotReady { reason, message: message.into(), unanswered: false }
    }

    /// The cluster did not answer.
    pub fn unanswered(reason: &'static str, message: impl Into<String>) -> NotReady {
        NotReady { reason, message: message.into(), unanswered: true }
    }
}

/// The role in core's words.
pub const fn role(role: reeve_api::Role) -> Role {
    match role {
        reeve_api::Role::Planner => Role::Planner,
        reeve_api::Role::Coder => Role::Coder,
        reeve_api::Role::Acceptance => Role::Acceptance,
    }
}

/// The tool in core's words.
pub const fn tool(name: reeve_api::ToolName) -> ToolName {
    match name {
        reeve_api::ToolName::FsRead => ToolName::FsRead,
        reeve_api::ToolName::FsWrite => ToolName::FsWrite,
        reeve_api::ToolName::FsEdit => ToolName::FsEdit,
        reeve_api::ToolName::FsList => ToolName::FsList,
        reeve_api::ToolName::FsSearch => ToolName::FsSearch,
        reeve_api::ToolName::ShellRun => ToolName::ShellRun,
        reeve_api::ToolName::TestsRun => ToolName::TestsRun,
        reeve_api::ToolName::GitDiff => ToolName::GitDiff,
        reeve_api::ToolName::GitCommit => ToolName::GitCommit,
        reeve_api::ToolName::Ask => ToolName::Ask,
        reeve_api::ToolName::Finish => ToolName::Finish,
    }
}

/// The digest of a profile: of its canonical spec.
///
/// # Errors
/// Never for a spec that came from the API server; canonical JSON has no form for other numbers.
pub fn profile_digest(profile: &AgentProfile) -> Result<Digest, serde_json::Error> {
    Digest::of_canonical(&profile.spec)
}

/// The snapshot that `run.started` holds.
///
/// `provider` looks a ModelProvider of the run's namespace up by name.
///
/// # Errors
/// [`NotReady`] when a route names a provider that is not there, or a model that the provider does not have.
pub fn snapshot(
    run: &AgentRun,
    profile: &AgentProfile,
    provider: impl Fn(&str) -> Option<ModelProvider>,
    workspace: PackedWorkspace,
) -> Result<SpecSnapshot, NotReady> {
    let spec = &run.spec;
    let role = role(spec.role);
    let routes = match role {
        Role::Planner => &profile.spec.routes.planner[..],
        Role::Coder => &profile.spec.routes.coder[..],
        Role::Acceptance => &[][..],
    };
    for route in routes {
        let name = &route.provider_ref.name;
        let found = provider(name).ok_or_else(|| {
            NotReady::new(
                "ProviderNotFound",
                format!("ModelProvider {name:?}, named by AgentProfile {:?}, is not there; create it.", spec.profile_ref.name),
            )
        })?;
        if !found.spec.models.iter().any(|model| model.name == route.model) {
            let has = found.spec.models.iter().map(|model| model.name.as_str()).collect::<Vec<_>>().join(", ");
            return Err(NotReady::new("ModelNotFound", format!("ModelProvider {name:?} has no model {:?}; it has: {has}.", route.model)));
        }
    }
    let digest = profile_digest(profile).map_err(|error| NotReady::new("ProfileInvalid", error.to_string()))?;
    let prompts = profile.spec.prompts.clone().unwrap_or_default();
    let system_prompt = match role {
        Role::Planner => prompts.planner.unwrap_or_else(|| PLANNER_PROMPT.to_owned()),
        Role::Coder => prompts.coder.unwrap_or_else(|| CODER_PROMPT.to_owned()),
        Role::Acceptance => String::new(),
    };
    Ok(SpecSnapshot {
        role,
        objective: spec.objective.clone().unwrap_or_default(),
        task: spec.task.clone(),
        autonomy: u8::try_from(spec.autonomy_level).unwrap_or(1),
        system_prompt,
        profile_digest: digest,
        routes: routes.iter().map(|route| (route.provider_ref.name.clone(), route.model.clone())).collect(),
        max_output_tokens: u32::try_from(profile.spec.max_output_tokens).unwrap_or(16),
        tools: tools(role, profile),
        commands: commands(spec),
        workspace,
        sandbox: sandbox(&profile.spec.sandbox),
        limits: bounds(spec),
    })
}

fn sandbox(sandbox: &reeve_api::Sandbox) -> SandboxShape {
    let reeve_api::Sandbox { image, resources, runtime_class_name } = sandbox;
    SandboxShape {
        image: image.clone(),
        cpu: resources.cpu.clone(),
        memory: resources.memory.clone(),
        workspace: resources.workspace.clone(),
        runtime_class: runtime_class_name.clone(),
    }
}

fn tools(role: Role, profile: &AgentProfile) -> Vec<ToolName> {
    let wanted = profile.spec.tools.as_ref().map(|names| names.iter().copied().map(tool).collect::<Vec<_>>());
    catalog(role)
        .into_iter()
        .map(|tool| tool.name)
        .filter(|name| *name == ToolName::Finish || role == Role::Acceptance || wanted.as_ref().is_none_or(|wanted| wanted.contains(name)))
        .collect()
}

fn commands(spec: &AgentRunSpec) -> Vec<AcceptanceCommand> {
    let command = |command: &reeve_api::Command| AcceptanceCommand {
        argv: command.argv.clone(),
        timeout_seconds: u32::try_from(command.timeout_seconds).unwrap_or(1),
    };
    spec.commands.iter().flatten().map(command).collect()
}

fn bounds(spec: &AgentRunSpec) -> RunLimits {
    let limits = spec.limits.clone().unwrap_or_default();
    let pick = |value: Option<i32>, default: u32, ceiling: u32| value.and_then(|n| u32::try_from(n).ok()).unwrap_or(default).min(ceiling);
    let output = limits.output_bytes.and_then(|n| u64::try_from(n).ok()).unwrap_or(limits::DEFAULT_MAX_OUTPUT_BYTES);
    RunLimits {
        steps: pick(limits.steps, limits::DEFAULT_MAX_STEPS, limits::CEILING_MAX_STEPS),
        seconds: pick(limits.seconds, limits::DEFAULT_MAX_SECONDS, limits::CEILING_MAX_SECONDS),
        tool_calls: pick(limits.tool_calls, limits::DEFAULT_MAX_TOOL_CALLS, limits::CEILING_MAX_TOOL_CALLS),
        output_bytes: output.min(limits::CEILING_MAX_OUTPUT_BYTES),
    }
}
