//! The Job that a run's sandbox is: one Pod, once, with nothing in it that is worth stealing.
//!
//! Architecture invariant: the Pod meets Pod Security `restricted`, has no token, no Secret, no environment and no way to run twice.
//! (`the_pod_meets_pod_security_restricted`, `nothing_of_the_cluster_leaks_into_the_pod`)

use std::collections::BTreeMap;

use k8s_openapi::api::batch::v1::{Job, JobSpec};
use k8s_openapi::api::core::v1::{
    Capabilities, Container, EmptyDirVolumeSource, PodSecurityContext, PodSpec, PodTemplateSpec, ResourceRequirements, SeccompProfile,
    SecurityContext, Volume, VolumeMount,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use kube::{Resource as _, ResourceExt as _};
use reeve_api::{AgentRun, label};
use reeve_core::journal::SandboxShape;
use reeve_core::{Digest, names};

/// The container that serves the tools.
pub const CONTAINER: &str = "sandbox";
/// Where the server lies in it.
pub const PROGRAM: &str = "/reeve/bin/reeve";

/// The users of sandboxes start here: far above any that an image or a node gives a name to.
const FIRST_USER: i64 = 1_000_000_000;
/// A finished Job stays this long: enough to look at it, and gone before a day's runs pile up.
const KEEP_SECONDS: i32 = 600;
/// From SIGTERM to SIGKILL. Everything worth keeping is in the journal, so nothing needs longer.
const GRACE_SECONDS: i64 = 2;
/// What the operator has, after the run's own limit, to take a last checkpoint and end the sandbox itself.
const MARGIN_SECONDS: i64 = 120;
/// Room for the binary, unstripped too.
const BIN_BYTES: u64 = 512 * MIB;
/// Room for the ledger, one packed workspace and the blobs of one checkpoint.
const LEDGER_BYTES: u64 = 1024 * MIB;
/// Room for what tools leave in their scratch directories.
const SCRATCH_BYTES: u64 = 1024 * MIB;
const MIB: u64 = 1024 * 1024;

/// Scheduled for at least this; the limits are the profile's. An agent mostly waits for its model.
const REQUESTED_MILLICPU: u64 = 50;
const REQUESTED_MEMORY_BYTES: u64 = 256 * MIB;
const REQUESTED_STORAGE_BYTES: u64 = 256 * MIB;

/// What a sandbox is made from.
#[derive(Clone, Copy, Debug)]
pub struct SandboxSpec<'a> {
    /// The run, which will own the Job.
    pub run: &'a AgentRun,
    /// Deterministic name of the Job.
    pub job_name: &'a str,
    /// What the run's profile asked for when the run started.
    pub shape: &'a SandboxShape,
    /// Image that holds `/reeve`.
    pub installer_image: &'a str,
    /// `imagePullPolicy` of both containers.
    pub pull_policy: &'a str,
    /// The run's own limit. The cluster ends the sandbox some time after it, should nobody else.
    pub deadline_seconds: i64,
}

/// Why no Job can be made of a [`SandboxSpec`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field}: expected {expected}, found {found:?}")]
pub struct InvalidSandbox {
    field: &'static str,
    expected: &'static str,
    found: String,
}

/// The deterministic name of a run's only Job.
pub fn job_name(run: &AgentRun) -> String {
    job_name_of(&run.name_any())
}

/// The name of the Job of the run of this name.
pub fn job_name_of(run: &str) -> String {
    names::join(&[run], names::MAX_JOB)
}

/// The Job of a sandbox. The same spec always makes the same Job.
///
/// # Errors
/// [`InvalidSandbox`] when a size is not one. The schema of AgentProfile lets none through.
pub fn job(spec: &SandboxSpec<'_>) -> Result<Job, InvalidSandbox> {
    let owner = owner(spec.run)?;
    let sizes = Sizes::of(spec.shape)?;
    let labels: BTreeMap<String, String> = [
        (label::SANDBOX, "true"),
        (label::RUN, owner.name.as_str()),
        (label::RUN_UID, owner.uid.as_str()),
        ("app.kubernetes.io/managed-by", reeve_api::FIELD_MANAGER),
    ]
    .map(|(key, value)| (key.to_owned(), value.to_owned()))
    .into();
    Ok(Job {
        metadata: ObjectMeta {
            name: Some(spec.job_name.to_owned()),
            namespace: spec.run.namespace(),
            labels: Some(labels.clone()),
            owner_references: Some(vec![owner.clone()]),
            ..ObjectMeta::default()
        },
        spec: Some(JobSpec {
            active_deadline_seconds: Some(spec.deadline_seconds.saturating_add(MARGIN_SECONDS)),
            backoff_limit: Some(0),
            // Never two at a time, whatever ends the first.
            pod_replacement_policy: Some("Failed".to_owned()),
            ttl_seconds_after_finished: Some(KEEP_SECONDS),
            template: PodTemplateSpec {
                metadata: Some(ObjectMeta {
                    labels: Some(labels),
                    // A run does not survive a move, so an autoscaler shall not start one.
                    annotations: Some([("cluster-autoscaler.kubernetes.io/safe-to-evict".to_owned(), "false".to_owned())].into()),
                    ..ObjectMeta::default()
                }),
                spec: Some(pod(spec, &owner.uid, &sizes)),
            },
            ..JobSpec::default()
        }),
        status: None,
    })
}

fn owner(run: &AgentRun) -> Result<OwnerReference, InvalidSandbox> {
    let missing = |field| InvalidSandbox { field, expected: "a run as the API server keeps it", found: String::new() };
    Ok(OwnerReference {
        api_version: AgentRun::api_version(&()).into_owned(),
        kind: AgentRun::kind(&()).into_owned(),
        name: run.meta().name.clone().ok_or_else(|| missing("metadata.name"))?,
        uid: run.uid().ok_or_else(|| missing("metadata.uid"))?,
        controller: Some(true),
        block_owner_deletion: Some(true),
    })
}

/// A user of its own for every run: the kernel counts processes (RLIMIT_NPROC) by user over the whole node, so with one user for all a
/// fork bomb in one sandbox would starve the others.
fn user(run_uid: &str) -> i64 {
    FIRST_USER + i64::from_str_radix(&Digest::of(run_uid).hex()[..7], 16).unwrap_or(0)
}

fn pod(spec: &SandboxSpec<'_>, run_uid: &str, sizes: &Sizes) -> PodSpec {
    let user = user(run_uid);
    PodSpec {
        automount_service_account_token: Some(false),
        containers: vec![serving(spec, run_uid, sizes)],
        // The node's own resolver: the names of the cluster are no business of a sandbox.
        dns_policy: Some("Default".to_owned()),
        enable_service_links: Some(false),
        hostname: Some(CONTAINER.to_owned()),
        init_containers: Some(vec![installing(spec)]),
        restart_policy: Some("Never".to_owned()),
        runtime_class_name: spec.shape.runtime_class.clone(),
        security_context: Some(PodSecurityContext {
            fs_group: Some(user),
            run_as_group: Some(user),
            run_as_non_root: Some(true),
            run_as_user: Some(user),
            seccomp_profile: Some(SeccompProfile { type_: "RuntimeDefault".to_owned(), ..SeccompProfile::default() }),
            ..PodSecurityContext::default()
        }),
        termination_grace_period_seconds: Some(GRACE_SECONDS),
        volumes: Some(vec![
            volume("workspace", sizes.workspace),
            volume("git", sizes.workspace),
            volume("ledger", LEDGER_BYTES),
            volume("bin", BIN_BYTES),
            volume("scratch", SCRATCH_BYTES),
        ]),
        ..PodSpec::default()
    }
}

/// The main container: the user's image, our server.
fn serving(spec: &SandboxSpec<'_>, run_uid: &str, sizes: &Sizes) -> Container {
    let limits = [("cpu", sizes.cpu.clone()), ("memory", bytes(sizes.memory)), ("ephemeral-storage", bytes(sizes.storage()))];
    let requests = [
        ("cpu", Quantity(format!("{}m", sizes.millicpu.min(REQUESTED_MILLICPU)))),
        ("memory", bytes(sizes.memory.min(REQUESTED_MEMORY_BYTES))),
        ("ephemeral-storage", bytes(sizes.storage().min(REQUESTED_STORAGE_BYTES))),
    ];
    Container {
        name: CONTAINER.to_owned(),
        image: Some(spec.shape.image.clone()),
        image_pull_policy: Some(spec.pull_policy.to_owned()),
        command: Some([PROGRAM, "tools", "serve", "--run-uid", run_uid].map(str::to_owned).into()),
        resources: Some(resources(limits, requests)),
        security_context: Some(confined()),
        // What PID 1 said last is how a refusal to serve reaches the run's condition.
        termination_message_policy: Some("FallbackToLogsOnError".to_owned()),
        volume_mounts: Some(vec![
            mount("workspace", "/workspace", false),
            mount("git", "/reeve/git", false),
            mount("ledger", "/reeve/ledger", false),
            mount("bin", "/reeve/bin", true),
            mount("scratch", "/tmp", false),
        ]),
        working_dir: Some("/workspace".to_owned()),
        ..Container::default()
    }
}

/// The init container: copies the server to where the main container finds it.
fn installing(spec: &SandboxSpec<'_>) -> Container {
    let sizes = [("cpu", Quantity("500m".to_owned())), ("memory", bytes(128 * MIB)), ("ephemeral-storage", bytes(64 * MIB))];
    let requests =
        [("cpu", Quantity(format!("{REQUESTED_MILLICPU}m"))), ("memory", bytes(64 * MIB)), ("ephemeral-storage", bytes(64 * MIB))];
    Container {
        name: "install".to_owned(),
        image: Some(spec.installer_image.to_owned()),
        image_pull_policy: Some(spec.pull_policy.to_owned()),
        command: Some(["/reeve", "tools", "install", "/install/reeve"].map(str::to_owned).into()),
        resources: Some(resources(sizes, requests)),
        security_context: Some(confined()),
        termination_message_policy: Some("FallbackToLogsOnError".to_owned()),
        // Not at /reeve/bin: in this image, /reeve is the program.
        volume_mounts: Some(vec![mount("bin", "/install", false)]),
        ..Container::default()
    }
}

fn confined() -> SecurityContext {
    SecurityContext {
        allow_privilege_escalation: Some(false),
        capabilities: Some(Capabilities { add: None, drop: Some(vec!["ALL".to_owned()]) }),
        privileged: Some(false),
        read_only_root_filesystem: Some(true),
        ..SecurityContext::default()
    }
}

fn volume(name: &str, size_bytes: u64) -> Volume {
    Volume {
        name: name.to_owned(),
        empty_dir: Some(EmptyDirVolumeSource { medium: None, size_limit: Some(bytes(size_bytes)) }),
        ..Volume::default()
    }
}

fn mount(name: &str, path: &str, read_only: bool) -> VolumeMount {
    VolumeMount { name: name.to_owned(), mount_path: path.to_owned(), read_only: read_only.then_some(true), ..VolumeMount::default() }
}

fn resources<const L: usize, const R: usize>(limits: [(&str, Quantity); L], requests: [(&str, Quantity); R]) -> ResourceRequirements {
    fn map<const N: usize>(pairs: [(&str, Quantity); N]) -> Option<BTreeMap<String, Quantity>> {
        Some(pairs.map(|(name, quantity)| (name.to_owned(), quantity)).into())
    }
    ResourceRequirements { limits: map(limits), requests: map(requests), ..ResourceRequirements::default() }
}

fn bytes(count: u64) -> Quantity {
    if count.is_multiple_of(MIB) { Quantity(format!("{}Mi", count / MIB)) } else { Quantity(count.to_string()) }
}

/// The profile's sizes, understood.
struct Sizes {
    cpu: Quantity,
    millicpu: u64,
    memory: u64,
    workspace: u64,
}

impl Sizes {
    fn of(shape: &SandboxShape) -> Result<Sizes, InvalidSandbox> {
        Ok(Sizes {
            cpu: Quantity(shape.cpu.clone()),
            millicpu: millicpu(&shape.cpu)?,
            memory: size("sandbox.resources.memory", &shape.memory)?,
            workspace: size("sandbox.resources.workspace", &shape.workspace)?,
        })
    }

    /// All volumes together, and what a container may log.
    fn storage(&self) -> u64 {
        const LOGS: u64 = 64 * MIB;
        self.workspace.saturating_mul(2).saturating_add(BIN_BYTES + LEDGER_BYTES + SCRATCH_BYTES + LOGS)
    }
}

fn size(field: &'static str, text: &str) -> Result<u64, InvalidSandbox> {
    let units = [("Ki", 1024), ("Mi", MIB), ("Gi", 1024 * MIB)];
    let parsed = units.iter().find_map(|(suffix, unit)| text.strip_suffix(suffix)?.parse::<u64>().ok()?.checked_mul(*unit));
    parsed.filter(|count| *count > 0).ok_or_else(|| InvalidSandbox {
        field,
        expected: "a whole number followed by Ki, Mi or Gi",
        found: text.to_owned(),
    })
}

fn millicpu(text: &str) -> Result<u64, InvalidSandbox> {
    let invalid = || InvalidSandbox {
        field: "sandbox.resources.cpu",
        expected: "cores (`2`, `0.5`) or thousandths of one (`500m`)",
        found: text.to_owned(),
    };
    let count = match text.strip_suffix('m') {
        Some(thousandths) => thousandths.parse::<u64>().map_err(|_| invalid())?,
        None => {
            let (whole, part) = text.split_once('.').unwrap_or((text, "0"));
            let digits = |text: &str| text.bytes().all(|digit| digit.is_ascii_digit());
            if part.len() > 3 || part.is_empty() || !digits(part) || !digits(whole) {
                return Err(invalid());
            }
            let whole: u64 = whole.parse().map_err(|_| invalid())?;
            let thousandths: u64 = format!("{part:0<3}").parse().map_err(|_| invalid())?;
            whole.checked_mul(1000).and_then(|whole| whole.checked_add(thousandths)).ok_or_else(invalid)?
        }
    };
    if count == 0 { Err(invalid()) } else { Ok(count) }
}

#[cfg(test)]
mod tests;
