//! What a run takes with it when it starts: [`snapshot`] reads spec, profile and providers once, and nothing of them afterwards.

use reeve_api::{AgentProfile, AgentRun, AgentRunSpec, MergeProposal, Model, ModelProvider, ProviderKind};

use crate::Digest;
use crate::budget::Price;
use crate::journal::{AcceptanceCommand, ApprovalTerms, PackedWorkspace, Proposal, RunLimits, SandboxShape, SpecSnapshot};
use crate::limits::{self, DEFAULT_APPROVAL_SECONDS, MAX_PRICE_AGE_DAYS};
use crate::tool::{Role, ToolName, catalog, wire};

use super::Branch;

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
        reeve_api::Role::Merge => Role::Merge,
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
        reeve_api::ToolName::Merge => ToolName::Merge,
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
/// `provider` looks a ModelProvider of the run's namespace up by name; `budget` is the account that the run spends from.
///
/// # Errors
/// [`NotReady`] when a route names a provider that is not there, or a model that the provider does not have, or that has no price or an old
/// one; when what is to be merged is not whole.
pub fn snapshot(
    run: &AgentRun,
    profile: &AgentProfile,
    provider: impl Fn(&str) -> Option<ModelProvider>,
    budget: Option<String>,
    workspace: PackedWorkspace,
    today: jiff::civil::Date,
) -> Result<SpecSnapshot, NotReady> {
    let spec = &run.spec;
    let role = role(spec.role);
    let routes = match role {
        Role::Planner => &profile.spec.routes.planner[..],
        Role::Coder => &profile.spec.routes.coder[..],
        Role::Acceptance | Role::Merge => &[][..],
    };
    let mut prices = Vec::with_capacity(routes.len());
    for route in routes {
        let name = &route.provider_ref.name;
        let found = provider(name).ok_or_else(|| {
            NotReady::new(
                "ProviderNotFound",
                format!("ModelProvider {name:?}, named by AgentProfile {:?}, is not there; create it.", spec.profile_ref.name),
            )
        })?;
        let Some(model) = found.spec.models.iter().find(|model| model.name == route.model) else {
            let has = found.spec.models.iter().map(|model| model.name.as_str()).collect::<Vec<_>>().join(", ");
            return Err(NotReady::new("ModelNotFound", format!("ModelProvider {name:?} has no model {:?}; it has: {has}.", route.model)));
        };
        prices.push(price(name, found.spec.kind, model, today)?);
    }
    let digest = profile_digest(profile).map_err(|error| NotReady::new("ProfileInvalid", error.to_string()))?;
    let prompts = profile.spec.prompts.clone().unwrap_or_default();
    let system_prompt = match role {
        Role::Planner => prompts.planner.unwrap_or_else(|| PLANNER_PROMPT.to_owned()),
        Role::Coder => prompts.coder.unwrap_or_else(|| CODER_PROMPT.to_owned()),
        Role::Acceptance | Role::Merge => String::new(),
    };
    Ok(SpecSnapshot {
        role,
        objective: spec.objective.clone().unwrap_or_default(),
        task: spec.task.clone(),
        autonomy: u8::try_from(spec.autonomy_level).unwrap_or(1),
        system_prompt,
        profile_digest: digest,
        routes: routes.iter().map(|route| (route.provider_ref.name.clone(), route.model.clone())).collect(),
        prices,
        budget,
        approval: terms(spec),
        merge: spec.merge.as_ref().map(|merge| proposal(run, merge)).transpose()?,
        max_output_tokens: u32::try_from(profile.spec.max_output_tokens).unwrap_or(16),
        tools: tools(role, profile),
        commands: commands(spec),
        workspace,
        sandbox: sandbox(&profile.spec.sandbox),
        limits: bounds(spec),
        keeps_commits: role == Role::Coder,
    })
}

/// What a fork has from its parent in place of its spec: the objective, with which the conversation opens, and the task.
///
/// # Errors
/// [`NotReady`] when it has another role: with other tools, the conversation would not be its own.
pub fn go_on(spec: &mut SpecSnapshot, branch: &Branch) -> Result<(), NotReady> {
    let Some(parent) = branch.parent().filter(|parent| parent.spec.role == spec.role) else {
        let role = branch.parent().map_or("", |parent| parent.spec.role.as_str());
        let message = format!("spec.role is {}, but spec.forkOf names a run of role {role}: create another run.", spec.role.as_str());
        return Err(NotReady::new("ForkInvalid", message));
    };
    spec.objective.clone_from(&parent.spec.objective);
    spec.task.clone_from(&parent.spec.task);
    Ok(())
}

/// What a model costs.
fn price(provider: &str, kind: ProviderKind, model: &Model, today: jiff::civil::Date) -> Result<Price, NotReady> {
    let Some(told) = &model.price else {
        return Err(NotReady::new(
            "ModelUnpriced",
            format!(
                "Model {:?} of ModelProvider {provider:?} has no price, so what it spends cannot be bounded: set spec.models[].price (\"0\" for what costs nothing).",
                model.name
            ),
        ));
    };
    let invalid =
        |why: String| NotReady::new("ModelPriceInvalid", format!("Price of model {:?} of ModelProvider {provider:?}: {why}.", model.name));
    let price = Price::of(told).map_err(|error| invalid(error.to_string()))?;
    let as_of: jiff::civil::Date = told.as_of.parse().map_err(|error| invalid(format!("asOf {:?}: {error}", told.as_of)))?;
    let days = as_of.until(today).map_err(|error| invalid(error.to_string()))?.get_days();
    if kind != ProviderKind::Recorded && !price.is_free() && days > MAX_PRICE_AGE_DAYS {
        let message = format!(
            "The price of model {:?} of ModelProvider {provider:?} is of {}, more than {MAX_PRICE_AGE_DAYS} days ago: look at the provider's price list and set price.asOf.",
            model.name, told.as_of
        );
        return Err(NotReady::new("ModelPriceOld", message));
    }
    Ok(price)
}

fn terms(spec: &AgentRunSpec) -> ApprovalTerms {
    let rule = spec.approval.clone().unwrap_or_default();
    let timeout_seconds = rule.timeout_seconds.and_then(|seconds| u32::try_from(seconds).ok()).unwrap_or(DEFAULT_APPROVAL_SECONDS);
    ApprovalTerms { groups: rule.groups.unwrap_or_default(), timeout_seconds }
}

fn proposal(run: &AgentRun, merge: &MergeProposal) -> Result<Proposal, NotReady> {
    let invalid = |why: String| NotReady::new("MergeInvalid", format!("spec.merge: {why}."));
    let blob = |name: &str| {
        let artifact = merge.artifacts.iter().find(|artifact| artifact.name == name).ok_or_else(|| invalid(format!("it has no {name}")))?;
        let digest = artifact.digest.parse().map_err(|error: crate::digest::InvalidDigest| invalid(format!("{name}: {error}")))?;
        Ok(wire::Blob { digest, bytes: u64::try_from(artifact.bytes).unwrap_or(0) })
    };
    let owner = run.metadata.owner_references.iter().flatten().find(|owner| owner.controller == Some(true));
    Ok(Proposal {
        goal_uid: owner.map(|owner| owner.uid.clone()).ok_or_else(|| invalid("the run belongs to no Goal".to_owned()))?,
        base_commit: merge.base_commit.clone(),
        head_commit: merge.head_commit.clone(),
        patch: blob("patch")?,
        bundle: blob("bundle")?,
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
        .filter(|name| *name == ToolName::Finish || role.asks_no_model() || wanted.as_ref().is_none_or(|wanted| wanted.contains(name)))
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
