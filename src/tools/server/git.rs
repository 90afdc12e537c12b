//! Git, run by the server on the one repository. It is confined like a tool, but for the git directory, which it may write.
//!
//! Nothing that lies in the work tree may make it execute anything: no hooks, no system or user configuration, no filters, no external or
//! textual diff drivers, no file-system monitor, no signing, no submodules.

use std::os::fd::{AsFd as _, OwnedFd};
use std::path::Path;

use rustix::pipe::{PipeFlags, pipe_with};
use tokio::io::AsyncReadExt as _;

use super::Sandbox;
use super::perform::null;
use super::scratch::Scratch;
use super::stages::{Start, in_memory};
use crate::confine::Access;
use crate::instructions::Report;
use crate::program;
use crate::refusal::Refusal;

/// The branch that work is committed to.
pub(super) const MAIN: &str = "refs/heads/main";
/// The tag on the commit that was loaded.
pub(super) const BASE: &str = "refs/tags/reeve/base";
/// One git command, milliseconds: a checkout of the largest workspace on a slow disk.
const TIMEOUT_MS: u64 = 300_000;
/// Output that is kept in memory, bytes. Patches and bundles go to files.
const MAX_CAPTURED_BYTES: u64 = 64 * 1024 * 1024;
/// Every commit has this date, so that the same work gives the same commit. The journal knows when it was done.
const DATE: &str = "2000-01-01T00:00:00Z";
const NAME: &str = "Reeve";
const EMAIL: &str = "reeve@reeve.invalid";

/// Above anything a work tree's `.gitattributes` says: files are stored byte for byte.
pub(super) const ATTRIBUTES: &str = "* -text -filter -ident !eol !working-tree-encoding !diff !merge\n";

const SETTINGS: &[&str] = &[
    "core.hooksPath=/dev/null",
    "core.fsmonitor=false",
    "core.untrackedCache=false",
    "core.attributesFile=/dev/null",
    "core.excludesFile=/dev/null",
    "core.autocrlf=false",
    "core.fileMode=true",
    "core.symlinks=true",
    "core.quotePath=false",
    "core.bare=false",
    "commit.gpgSign=false",
    "tag.gpgSign=false",
    "diff.ignoreSubmodules=all",
    "submodule.recurse=false",
    "gc.auto=0",
    "maintenance.auto=false",
    "advice.detachedHead=false",
    "pack.threads=1",
    "protocol.allow=never",
    "protocol.file.allow=always",
    "transfer.fsckObjects=true",
    // Harmless slips of old tools, which stand in the history of well-known projects.
    "fetch.fsck.zeroPaddedFilemode=ignore",
    "fetch.fsck.badTimezone=ignore",
    "fetch.fsck.missingSpaceBeforeDate=ignore",
    "init.defaultBranch=main",
    "safe.directory=*",
];

/// What one git command is given besides its arguments.
#[derive(Debug, Default)]
pub(super) struct Given<'a> {
    pub(super) stdin: Option<&'a [u8]>,
    /// Where standard output goes instead of into memory.
    pub(super) stdout: Option<OwnedFd>,
    /// A file that it may read besides the volumes.
    pub(super) readable: Option<OwnedFd>,
    /// The index to use instead of the repository's.
    pub(super) index: Option<&'a Path>,
}

/// What came of one git command.
#[derive(Debug)]
pub(super) struct Ran {
    pub(super) code: i32,
    pub(super) stdout: Vec<u8>,
    pub(super) stderr: String,
}

impl Ran {
    /// The first line of standard output.
    pub(super) fn line(&self) -> String {
        String::from_utf8_lossy(&self.stdout).lines().next().unwrap_or_default().to_owned()
    }

    /// Standard output as names that end with NUL.
    pub(super) fn names(&self) -> Vec<String> {
        self.stdout
            .split(|byte| *byte == 0)
            .filter(|name| !name.is_empty())
            .map(|name| String::from_utf8_lossy(name).into_owned())
            .collect()
    }
}

impl Sandbox {
    /// Runs git and demands that it succeeds.
    pub(super) async fn git(&self, arguments: &[&str]) -> Result<Ran, Refusal> {
        self.git_with(arguments, Given::default()).await
    }

    /// Runs git with more than arguments and demands that it succeeds.
    pub(super) async fn git_with(&self, arguments: &[&str], given: Given<'_>) -> Result<Ran, Refusal> {
        let ran = self.try_git(arguments, given).await?;
        if ran.code == 0 {
            return Ok(ran);
        }
        let command = arguments.first().unwrap_or(&"");
        Err(Refusal::internal(format!("git {command} answered {}: {}", ran.code, ran.stderr.trim())))
    }

    /// Runs git. Its exit code is the caller's to judge.
    pub(super) async fn try_git(&self, arguments: &[&str], given: Given<'_>) -> Result<Ran, Refusal> {
        let git = self.programs.find(&self.workspace, ".", "git").map_err(|_| {
            Refusal::internal(
                "the sandbox image has no git (/usr/local/bin, /usr/bin, /bin): workspaces and git tools need it. Add git to the image",
            )
        })?;
        let scratch = Scratch::below(&self.options.scratch).map_err(Refusal::failed("making a scratch directory"))?;
        let mut env = self.git_environment(&scratch);
        env.extend(given.index.map(|index| ("GIT_INDEX_FILE".to_owned(), index.to_string_lossy().into_owned())));
        let stdin = match given.stdin {
            Some(bytes) => in_memory(bytes)?,
            None => null()?,
        };
        let pipe = || pipe_with(PipeFlags::CLOEXEC).map_err(Refusal::failed("making a pipe"));
        let ((out_read, out_write), (err_read, err_write)) = (pipe()?, pipe()?);
        let out_write = given.stdout.unwrap_or(out_write);
        let mut grants =
            vec![(self.workspace.root().as_fd(), Access::Full), (self.git_dir.as_fd(), Access::Full), (scratch.fd().as_fd(), Access::Full)];
        grants.extend(given.readable.as_ref().map(|fd| (fd.as_fd(), Access::Read)));
        let mut argv = vec!["git".to_owned(), "--no-pager".to_owned(), "--literal-pathspecs".to_owned()];
        argv.extend(SETTINGS.iter().flat_map(|setting| ["-c".to_owned(), (*setting).to_owned()]));
        argv.extend(arguments.iter().map(|argument| (*argument).to_owned()));
        let running = self.stages.start(Start {
            argv,
            env,
            program: git.fd.as_fd(),
            script: git.script.then(|| git.path.clone()),
            cwd: self.workspace.root().as_fd(),
            stdio: [stdin.as_fd(), out_write.as_fd(), err_write.as_fd()],
            grants,
            timeout_ms: TIMEOUT_MS,
        })?;
        drop((out_write, err_write));
        let (report, stdout, stderr) = tokio::join!(running.report(), captured(out_read), captured(err_read));
        let stderr = String::from_utf8_lossy(&stderr?).into_owned();
        match report {
            Some(Report::Exited(code)) => Ok(Ran { code, stdout: stdout?, stderr }),
            other => {
                clear_locks(&self.options.git_dir).map_err(Refusal::failed("clearing git's locks"))?;
                Err(Refusal::internal(format!("git {} did not end by itself: {other:?} {stderr}", arguments.join(" "))))
            }
        }
    }

    fn git_environment(&self, scratch: &Scratch) -> Vec<(String, String)> {
        let scratch = scratch.path().to_string_lossy().into_owned();
        [
            ("PATH", program::PATH),
            ("HOME", &scratch),
            ("TMPDIR", &scratch),
            ("LANG", "C.UTF-8"),
            ("GIT_DIR", &self.options.git_dir.to_string_lossy()),
            ("GIT_WORK_TREE", self.workspace.path()),
            ("GIT_CONFIG_NOSYSTEM", "1"),
            ("GIT_CONFIG_GLOBAL", "/dev/null"),
            ("GIT_ATTR_NOSYSTEM", "1"),
            ("GIT_TERMINAL_PROMPT", "0"),
            ("GIT_EDITOR", "false"),
            ("GIT_AUTHOR_NAME", NAME),
            ("GIT_AUTHOR_EMAIL", EMAIL),
            ("GIT_AUTHOR_DATE", DATE),
            ("GIT_COMMITTER_NAME", NAME),
            ("GIT_COMMITTER_EMAIL", EMAIL),
            ("GIT_COMMITTER_DATE", DATE),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into()
    }

    /// The commit that a reference names.
    pub(super) async fn commit_of(&self, reference: &str) -> Result<String, Refusal> {
        Ok(self.git(&["rev-parse", "--verify", "--end-of-options", &format!("{reference}^{{commit}}")]).await?.line())
    }
}

/// A git that was killed leaves its locks, and the next one would take them for a living one's. Whoever calls this has git's turn, and
/// every git that had it before is dead.
pub(super) fn clear_locks(directory: &Path) -> std::io::Result<()> {
    for entry in std::fs::read_dir(directory)? {
        let entry = entry?;
        let (path, kind) = (entry.path(), entry.file_type()?);
        if kind.is_dir() && entry.file_name() != "objects" {
            clear_locks(&path)?;
        } else if kind.is_file() && path.extension().is_some_and(|extension| extension == "lock") {
            std::fs::remove_file(&path)?;
        }
    }
    Ok(())
}

async fn captured(read: OwnedFd) -> Result<Vec<u8>, Refusal> {
    let pipe = tokio::net::unix::pipe::Receiver::from_owned_fd(read).map_err(Refusal::failed("reading a pipe"))?;
    let mut bytes = Vec::new();
    pipe.take(MAX_CAPTURED_BYTES + 1).read_to_end(&mut bytes).await.map_err(Refusal::failed("reading git's output"))?;
    if bytes.len() as u64 > MAX_CAPTURED_BYTES {
        return Err(Refusal::internal(format!("git's output has more than {MAX_CAPTURED_BYTES} bytes")));
    }
    Ok(bytes)
}
