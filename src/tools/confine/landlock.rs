//! Landlock rulesets. Hard requirement throughout: a right that the kernel does not know is an error, not a silent gap.

use std::os::fd::{AsFd, BorrowedFd};

use landlock::{
    ABI, Access as _, AccessFs, AccessNet, BitFlags, CompatLevel, Compatible as _, PathBeneath, PathFd, Ruleset, RulesetAttr as _,
    RulesetCreated, RulesetCreatedAttr as _, RulesetStatus, Scope,
};
use serde::{Deserialize, Serialize};

use crate::Error;

/// Signal and abstract-socket scopes came with ABI 6 (Linux 6.12). Without them a tool could end or talk to the server, which has its uid.
pub(crate) const MIN_ABI: u32 = 6;
const RIGHTS: ABI = ABI::V6;

/// Where an image keeps its programs and libraries: read and execute.
pub(crate) const SYSTEM_DIRS: [&str; 8] = ["/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/etc", "/opt"];
/// Read only. `/sys/devices/system/cpu` tells a program how many CPUs there are.
const READ_DIRS: [&str; 2] = ["/proc", "/sys/devices/system/cpu"];
const READ_WRITE_DEVICES: [&str; 3] = ["/dev/null", "/dev/zero", "/dev/full"];
const READ_DEVICES: [&str; 2] = ["/dev/random", "/dev/urandom"];
/// POSIX semaphores and shared memory, which `multiprocessing` needs. Nothing in it can be executed.
const SHARED_MEMORY: &str = "/dev/shm";

/// What a process may do below a directory (or with a file) that is handed to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Access {
    /// Read files and list directories.
    Read,
    /// The same, and execute.
    ReadExecute,
    /// Everything but devices.
    Full,
}

impl Access {
    fn rights(self) -> BitFlags<AccessFs> {
        match self {
            Access::Read => AccessFs::ReadFile | AccessFs::ReadDir,
            Access::ReadExecute => AccessFs::ReadFile | AccessFs::ReadDir | AccessFs::Execute,
            Access::Full => AccessFs::from_all(RIGHTS) & !(AccessFs::IoctlDev | AccessFs::MakeChar | AccessFs::MakeBlock),
        }
    }
}

/// Puts the calling process into a domain of its own that only limits whom it may signal and which abstract sockets it may reach:
/// itself and what is started below it. Its `kill(-1)` then ends exactly one tool's process tree.
pub(crate) fn enter_kill_scope() -> Result<(), Error> {
    // Every domain denies moving files between directories unless it grants that by name.
    let rules = hard()
        .handle_access(AccessFs::Refer)
        .and_then(|rules| rules.scope(Scope::Signal | Scope::AbstractUnixSocket))
        .and_then(Ruleset::create)
        .map_err(|e| confinement(&e))?;
    enforce(grant_path(rules, "/", AccessFs::Refer.into())?)
}

/// Confines a tool process: the grants, the system's programs read-only, no TCP, no signal or abstract socket outside its own tree.
pub(crate) fn restrict_tool<'a>(grants: impl IntoIterator<Item = (BorrowedFd<'a>, Access)>) -> Result<(), Error> {
    let mut rules = all_rights()?;
    for dir in SYSTEM_DIRS {
        rules = grant_path(rules, dir, Access::ReadExecute.rights())?;
    }
    for dir in READ_DIRS {
        rules = grant_path(rules, dir, Access::Read.rights())?;
    }
    for device in READ_WRITE_DEVICES {
        rules = grant_path(rules, device, AccessFs::ReadFile | AccessFs::WriteFile | AccessFs::Truncate)?;
    }
    for device in READ_DEVICES {
        rules = grant_path(rules, device, AccessFs::ReadFile.into())?;
    }
    let shared =
        AccessFs::ReadFile | AccessFs::WriteFile | AccessFs::ReadDir | AccessFs::MakeReg | AccessFs::RemoveFile | AccessFs::Truncate;
    rules = grant_path(rules, SHARED_MEMORY, shared)?;
    for (fd, access) in grants {
        rules = grant(rules, fd, access.rights())?;
    }
    enforce(rules)
}

/// Confines the server: it reads what the image holds, writes the volumes given, executes nothing, connects nowhere.
pub(crate) fn restrict_server<'a>(volumes: impl IntoIterator<Item = BorrowedFd<'a>>) -> Result<(), Error> {
    let mut rules = grant_path(all_rights()?, "/", Access::Read.rights())?;
    rules = grant_path(rules, "/dev/null", AccessFs::ReadFile | AccessFs::WriteFile)?;
    for volume in volumes {
        rules = grant(rules, volume, Access::Full.rights() & !BitFlags::from(AccessFs::Execute))?;
    }
    enforce(rules)
}

fn hard() -> Ruleset {
    Ruleset::default().set_compatibility(CompatLevel::HardRequirement)
}

fn all_rights() -> Result<RulesetCreated, Error> {
    hard()
        .handle_access(AccessFs::from_all(RIGHTS))
        .and_then(|rules| rules.handle_access(AccessNet::BindTcp | AccessNet::ConnectTcp))
        .and_then(|rules| rules.scope(Scope::Signal | Scope::AbstractUnixSocket))
        .and_then(Ruleset::create)
        .map_err(|e| confinement(&e))
}

/// Grants below a path of the image, if the image has it.
fn grant_path(rules: RulesetCreated, path: &str, rights: BitFlags<AccessFs>) -> Result<RulesetCreated, Error> {
    match PathFd::new(path) {
        Ok(fd) => grant(rules, fd.as_fd(), rights),
        Err(_) => Ok(rules),
    }
}

fn grant(rules: RulesetCreated, fd: BorrowedFd<'_>, rights: BitFlags<AccessFs>) -> Result<RulesetCreated, Error> {
    let stat = rustix::fs::fstat(fd).map_err(Error::errno("looking at a granted path"))?;
    let is_dir = rustix::fs::FileType::from_raw_mode(stat.st_mode) == rustix::fs::FileType::Directory;
    // Rights over directories have no meaning on a file, and the kernel refuses a rule that names them there.
    let rights = if is_dir { rights } else { rights & AccessFs::from_file(RIGHTS) };
    rules.add_rule(PathBeneath::new(fd, rights)).map_err(|e| confinement(&e))
}

fn enforce(rules: RulesetCreated) -> Result<(), Error> {
    let status = rules.restrict_self().map_err(|e| confinement(&e))?;
    match status.ruleset {
        RulesetStatus::FullyEnforced => Ok(()),
        RulesetStatus::PartiallyEnforced | RulesetStatus::NotEnforced => {
            Err(Error::confinement("entering a Landlock domain")(format!("only {:?}", status.ruleset)))
        }
    }
}

fn confinement(error: &dyn std::fmt::Display) -> Error {
    Error::confinement("entering a Landlock domain")(error.to_string())
}
