//! `reeve/resolve`: what a call would touch, opened and held.

use std::os::fd::OwnedFd;

use reeve_core::tool::ToolName;
use reeve_core::tool::wire::{Canonical, Program, TouchedPath};
use rustix::fs::{FileType, OFlags};
use serde::Serialize;
use serde_json::Value;

use super::Sandbox;
use super::handles::Prepared;
use crate::files;
use crate::refusal::Refusal;
use crate::schema::{
    CommitArguments, DiffArguments, EditArguments, ListArguments, ReadArguments, RunArguments, SearchArguments, WriteArguments,
};
use crate::workspace::Place;

impl Sandbox {
    /// Opens what the call names. Nothing is changed by it.
    ///
    /// # Errors
    /// INVALID and ESCAPE with words for the model; INTERNAL when the sandbox itself fails.
    pub(crate) fn resolve(&self, tool: ToolName, arguments: &Value) -> Result<(Canonical, Prepared), Refusal> {
        match tool {
            ToolName::FsRead => self.resolve_read(self.schemas.read(tool, arguments)?),
            ToolName::FsWrite => self.resolve_write(self.schemas.read(tool, arguments)?),
            ToolName::FsEdit => self.resolve_edit(self.schemas.read(tool, arguments)?),
            ToolName::FsList => self.resolve_list(self.schemas.read(tool, arguments)?),
            ToolName::FsSearch => self.resolve_search(self.schemas.read(tool, arguments)?),
            ToolName::ShellRun | ToolName::TestsRun => self.resolve_run(tool, self.schemas.read(tool, arguments)?),
            ToolName::GitDiff => {
                let arguments: DiffArguments = self.schemas.read(tool, arguments)?;
                Ok((canonical(tool, &arguments, vec![touched(".", false)])?, Prepared::Diff))
            }
            ToolName::GitCommit => {
                let arguments: CommitArguments = self.schemas.read(tool, arguments)?;
                if arguments.message.trim().is_empty() || arguments.message.contains('\0') {
                    return Err(Refusal::invalid("expected a commit message, found one without words or with a NUL byte"));
                }
                let canonical = canonical(tool, &arguments, vec![touched(".", false)])?;
                Ok((canonical, Prepared::Commit { message: arguments.message }))
            }
            ToolName::Ask | ToolName::Finish | ToolName::Merge => {
                self.schemas.read::<Value>(tool, arguments).and(Err(Refusal::invalid("not a tool of the sandbox")))
            }
        }
    }

    fn resolve_read(&self, mut arguments: ReadArguments) -> Result<(Canonical, Prepared), Refusal> {
        if let Some(end) = arguments.end_line.filter(|end| *end < arguments.start_line) {
            return Err(Refusal::invalid(format!("expected end_line at or after start_line {}, found {end}", arguments.start_line)));
        }
        let file = self.workspace.file(&arguments.path)?;
        arguments.path.clone_from(&file.path);
        let canonical = canonical(ToolName::FsRead, &arguments, vec![touched(&file.path, false)])?;
        Ok((canonical, Prepared::Read { file, arguments }))
    }

    fn resolve_write(&self, mut arguments: WriteArguments) -> Result<(Canonical, Prepared), Refusal> {
        let place = self.workspace.place(&arguments.path)?;
        arguments.path = place.path();
        let canonical = canonical(ToolName::FsWrite, &arguments, written(&place))?;
        Ok((canonical, Prepared::Write { place, content: arguments.content }))
    }

    fn resolve_edit(&self, mut arguments: EditArguments) -> Result<(Canonical, Prepared), Refusal> {
        let file = self.workspace.file(&arguments.path)?;
        let place = self.workspace.place(&file.path)?;
        if place.existing != Some((file.stat.st_dev, file.stat.st_ino)) {
            return Err(Refusal::invalid(format!("{:?} changes while it is looked at", arguments.path)));
        }
        arguments.path = place.path();
        let canonical = canonical(ToolName::FsEdit, &arguments, written(&place))?;
        Ok((canonical, Prepared::Edit { place, file, old: arguments.old, new: arguments.new }))
    }

    fn resolve_list(&self, mut arguments: ListArguments) -> Result<(Canonical, Prepared), Refusal> {
        let directory = self.workspace.directory(&arguments.path, OFlags::RDONLY)?;
        arguments.path.clone_from(&directory.path);
        let canonical = canonical(ToolName::FsList, &arguments, vec![touched(&directory.path, false)])?;
        Ok((canonical, Prepared::List { directory, depth: arguments.depth }))
    }

    fn resolve_search(&self, mut arguments: SearchArguments) -> Result<(Canonical, Prepared), Refusal> {
        let pattern = files::pattern(&arguments.pattern).map_err(Refusal::invalid)?;
        let start = self.workspace.existing(&arguments.path, OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY)?;
        let found = FileType::from_raw_mode(start.stat.st_mode);
        let is_dir = found == FileType::Directory;
        if !is_dir && found != FileType::RegularFile {
            let what = crate::workspace::kind(found);
            return Err(Refusal::invalid(format!("expected a file or directory, found a {what} at {:?}", arguments.path)));
        }
        arguments.path.clone_from(&start.path);
        let canonical = canonical(ToolName::FsSearch, &arguments, vec![touched(&start.path, false)])?;
        Ok((canonical, Prepared::Search { start, is_dir, pattern }))
    }

    fn resolve_run(&self, tool: ToolName, mut arguments: RunArguments) -> Result<(Canonical, Prepared), Refusal> {
        if let Some(argument) = arguments.argv.iter().find(|argument| argument.contains('\0')) {
            return Err(Refusal::invalid(format!("expected arguments without NUL bytes, found {argument:?}")));
        }
        let cwd = self.workspace.directory(&arguments.cwd, OFlags::PATH)?;
        arguments.cwd.clone_from(&cwd.path);
        let name = arguments.argv.first().ok_or_else(|| Refusal::invalid("expected a program in argv, found none"))?;
        let program = self.programs.find(&self.workspace, &cwd.path, name)?;
        let mut paths = vec![touched(&cwd.path, false)];
        paths.extend(program.in_workspace.as_deref().map(|path| touched(path, false)));
        let mut canonical = canonical(tool, &arguments, paths)?;
        canonical.program = Some(Program { path: program.path.clone(), digest: program.digest });
        canonical.argv.clone_from(&arguments.argv);
        let RunArguments { argv, cwd: _, stdin, timeout_seconds } = arguments;
        let cwd: OwnedFd = cwd.fd;
        Ok((canonical, Prepared::Run { program: Box::new(program), cwd, argv, stdin, timeout_ms: timeout_seconds.saturating_mul(1000) }))
    }
}

fn canonical(tool: ToolName, arguments: &impl Serialize, paths: Vec<TouchedPath>) -> Result<Canonical, Refusal> {
    let arguments = serde_json::to_value(arguments).map_err(Refusal::failed("writing canonical arguments"))?;
    Ok(Canonical { tool, arguments, paths, program: None, argv: Vec::new() })
}

fn touched(path: &str, write: bool) -> TouchedPath {
    TouchedPath { path: path.to_owned(), write, exists: true }
}

/// The file itself, and the directories that would be made for it.
fn written(place: &Place) -> Vec<TouchedPath> {
    let new = |path: String| TouchedPath { path, write: true, exists: false };
    let mut paths: Vec<TouchedPath> = place.new_directories().into_iter().map(new).collect();
    paths.push(TouchedPath { path: place.path(), write: true, exists: place.existing.is_some() });
    paths
}
