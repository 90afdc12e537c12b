//! What became of a sandbox's Pod, told from its status alone.

use std::time::Duration;

use k8s_openapi::api::core::v1::{ContainerState, ContainerStateTerminated, ContainerStatus, Pod, PodStatus};
use kube::ResourceExt as _;
use reeve_core::run::EndReason;

use super::CONTAINER;

/// Why a sandbox does not serve.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// An image cannot be had.
    #[error("the image cannot be had ({reason}): {message}")]
    Image {
        /// The kubelet's reason.
        reason: String,
        /// Its words.
        message: String,
    },
    /// A container cannot be started.
    #[error("the container cannot be started ({reason}): {message}")]
    Container {
        /// The kubelet's reason.
        reason: String,
        /// Its words.
        message: String,
    },
    /// No node takes the Pod.
    #[error("no node takes the Pod: {message}")]
    Unschedulable {
        /// The scheduler's words.
        message: String,
    },
    /// The API server takes no such Pod: a quota, Pod Security, a webhook.
    #[error("the Pod was refused: {message}")]
    Rejected {
        /// The Job controller's words.
        message: String,
    },
    /// It used more memory than its profile allows.
    #[error("the sandbox ran out of memory: raise sandbox.resources.memory in its AgentProfile")]
    OutOfMemory,
    /// The node put it out: pressure, preemption, a drain, too much on a volume.
    #[error("the Pod was evicted: {message}")]
    Evicted {
        /// The cluster's words.
        message: String,
    },
    /// The Pod or its Job is gone, or going.
    #[error("the Pod was deleted")]
    Deleted,
    /// The cluster ended it at the Job's deadline.
    #[error("the cluster ended the Pod at its deadline")]
    DeadlineExceeded,
    /// The kernel lacks what confinement needs.
    #[error("{message}")]
    Degraded {
        /// The server's last words.
        message: String,
    },
    /// The server, or the init container that installs it, ended.
    #[error("{container} ended with exit code {code}: {message}")]
    Ended {
        /// Which container.
        container: String,
        /// Its exit code.
        code: i32,
        /// Its last words.
        message: String,
    },
    /// It took too long to start, for no reason that the cluster names.
    #[error("the Pod does not run after {waited_seconds} s: {message}")]
    Slow {
        /// How long was waited.
        waited_seconds: u64,
        /// What is known.
        message: String,
    },
}

/// A registry that is away for a moment, a pull that a mirror throttles.
const IMAGE_PATIENCE: Duration = Duration::from_secs(60);
/// An autoscaler that brings a node.
const NODE_PATIENCE: Duration = Duration::from_secs(300);

impl Problem {
    /// In one word, as a metric label.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Problem::Image { .. } => "Image",
            Problem::Container { .. } => "Container",
            Problem::Unschedulable { .. } => "Unschedulable",
            Problem::Rejected { .. } => "Rejected",
            Problem::OutOfMemory => "OutOfMemory",
            Problem::Evicted { .. } => "Evicted",
            Problem::Deleted => "Deleted",
            Problem::DeadlineExceeded => "DeadlineExceeded",
            Problem::Degraded { .. } => "Degraded",
            Problem::Ended { .. } => "Ended",
            Problem::Slow { .. } => "Slow",
        }
    }

    /// How long it may last before it is final. Zero: nothing heals it.
    pub fn patience(&self) -> Duration {
        match self {
            Problem::Image { reason, .. } if matches!(reason.as_str(), "InvalidImageName" | "ErrImageNeverPull") => Duration::ZERO,
            Problem::Image { .. } | Problem::Container { .. } => IMAGE_PATIENCE,
            Problem::Unschedulable { .. } => NODE_PATIENCE,
            Problem::Rejected { .. }
            | Problem::OutOfMemory
            | Problem::Evicted { .. }
            | Problem::Deleted
            | Problem::DeadlineExceeded
            | Problem::Degraded { .. }
            | Problem::Ended { .. }
            | Problem::Slow { .. } => Duration::ZERO,
        }
    }
}

/// A sandbox's Pod in brief.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PodView {
    /// Its UID.
    pub uid: String,
    /// Its name.
    pub name: String,
    /// `Pending`, `Running`, `Succeeded`, `Failed` or `Unknown`, as the API says.
    pub phase: String,
    /// Whether the server's container runs.
    pub running: bool,
    /// The image that runs, by digest.
    pub image_id: Option<String>,
    /// Why it does not serve, if it does not. [`Problem::patience`] says whether it may yet.
    pub problem: Option<Problem>,
}

impl PodView {
    /// What a Pod's status says. Reads nothing else: no clock, no memory of what was.
    pub fn of(pod: &Pod) -> PodView {
        let status = pod.status.clone().unwrap_or_default();
        let serving = container(&status);
        let problem = problem(pod, &status);
        let up = serving.and_then(|serving| serving.state.as_ref()).is_some_and(|state| state.running.is_some());
        PodView {
            uid: pod.uid().unwrap_or_default(),
            name: pod.name_any(),
            running: up && problem.is_none(),
            image_id: serving.map(|serving| serving.image_id.clone()).filter(|id| !id.is_empty()),
            problem,
            phase: status.phase.unwrap_or_default(),
        }
    }
}

fn container(status: &PodStatus) -> Option<&ContainerStatus> {
    status.container_statuses.iter().flatten().find(|container| container.name == CONTAINER)
}

/// The first reason is the one that a person sees, so causes come before effects.
fn problem(pod: &Pod, status: &PodStatus) -> Option<Problem> {
    let deleted = || pod.metadata.deletion_timestamp.is_some().then_some(Problem::Deleted);
    put_out(status)
        .or_else(|| own_end(status))
        .or_else(|| disrupted(status))
        .or_else(deleted)
        .or_else(|| ended(status))
        .or_else(|| held_up(status))
        .or_else(|| unschedulable(status))
}

/// The kubelet's verdict on the whole Pod.
fn put_out(status: &PodStatus) -> Option<Problem> {
    let reason = status.reason.as_deref().filter(|reason| !reason.is_empty())?;
    if reason == "DeadlineExceeded" {
        return Some(Problem::DeadlineExceeded);
    }
    let failed = status.phase.as_deref() == Some("Failed");
    let words = status.message.clone().unwrap_or_default();
    (failed || reason == "Evicted" || reason == "NodeLost").then(|| Problem::Evicted { message: format!("{reason}: {words}") })
}

/// Ends that name their cause, even in a Pod that is being deleted.
fn own_end(status: &PodStatus) -> Option<Problem> {
    let (_, end) = terminated(status)?;
    let message = end.message.clone().unwrap_or_default();
    if end.reason.as_deref() == Some("OOMKilled") {
        return Some(Problem::OutOfMemory);
    }
    // The server names the condition in its last words.
    message.contains(EndReason::SandboxDegraded.as_str()).then(|| Problem::Degraded { message: message.trim().to_owned() })
}

fn disrupted(status: &PodStatus) -> Option<Problem> {
    let target =
        status.conditions.iter().flatten().find(|condition| condition.type_ == "DisruptionTarget" && condition.status == "True")?;
    let words = [target.reason.as_deref(), target.message.as_deref()].into_iter().flatten().collect::<Vec<_>>();
    Some(Problem::Evicted { message: words.join(": ") })
}

fn ended(status: &PodStatus) -> Option<Problem> {
    let (container, end) = terminated(status)?;
    let words = [end.reason.as_deref().filter(|reason| *reason != "Error"), end.message.as_deref()];
    let message = words.into_iter().flatten().map(str::trim).collect::<Vec<_>>().join(": ");
    Some(Problem::Ended { container: container.name.clone(), code: end.exit_code, message })
}

/// The server's end, or a failed end of what installs it.
fn terminated(status: &PodStatus) -> Option<(&ContainerStatus, &ContainerStateTerminated)> {
    fn end_of(container: &ContainerStatus) -> Option<&ContainerStateTerminated> {
        container.state.as_ref()?.terminated.as_ref()
    }
    let failed_install = status.init_container_statuses.iter().flatten().find_map(|init| {
        let end = end_of(init)?;
        (end.exit_code != 0).then_some((init, end))
    });
    failed_install.or_else(|| container(status).and_then(|serving| Some((serving, end_of(serving)?))))
}

/// A container that waits for something other than its turn.
fn held_up(status: &PodStatus) -> Option<Problem> {
    let waiting = |state: Option<&ContainerState>| state.and_then(|state| state.waiting.clone());
    let all = status.init_container_statuses.iter().flatten().chain(status.container_statuses.iter().flatten());
    all.filter_map(|container| waiting(container.state.as_ref())).find_map(|waiting| {
        let reason = waiting.reason?;
        let message = waiting.message.unwrap_or_default();
        match reason.as_str() {
            "ContainerCreating" | "PodInitializing" => None,
            "ImagePullBackOff"
            | "ErrImagePull"
            | "InvalidImageName"
            | "ErrImageNeverPull"
            | "ImageInspectError"
            | "RegistryUnavailable"
            | "SignatureValidationFailed" => Some(Problem::Image { reason, message }),
            _ => Some(Problem::Container { reason, message }),
        }
    })
}

fn unschedulable(status: &PodStatus) -> Option<Problem> {
    let condition =
        status.conditions.iter().flatten().find(|condition| condition.type_ == "PodScheduled" && condition.status == "False")?;
    (condition.reason.as_deref() == Some("Unschedulable"))
        .then(|| Problem::Unschedulable { message: condition.message.clone().unwrap_or_default() })
}

#[cfg(test)]
mod tests;
