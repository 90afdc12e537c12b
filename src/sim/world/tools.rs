//! A workspace whose tools do what a world needs and no more: files are texts, programs do what their name says.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reeve_core::Digest;
use reeve_core::tool::ToolName;
use reeve_core::tool::wire::{self, code};
use serde_json::{Value, json};

/// What is in a sandbox.
#[derive(Default)]
pub(crate) struct Workspace {
    loaded: Option<wire::Imported>,
    received: Vec<u8>,
    files: BTreeMap<String, String>,
    committed: BTreeMap<String, String>,
    base: BTreeMap<String, String>,
    messages: Vec<String>,
    blobs: BTreeMap<Digest, Vec<u8>>,
}

/// A bundle, as this sandbox packs one.
#[derive(serde::Serialize, serde::Deserialize)]
struct Bundle {
    base: BTreeMap<String, String>,
    head: BTreeMap<String, String>,
    messages: Vec<String>,
}

impl Workspace {
    pub(crate) fn loaded(&self) -> Option<wire::Imported> {
        self.loaded.clone()
    }

    /// Takes a chunk; with the last, everything is there. A bundle of another sandbox is unpacked; an archive's files are not looked into.
    pub(crate) fn import(&mut self, import: &wire::Import) -> wire::Imported {
        if let Some(loaded) = self.loaded.clone().filter(|loaded| loaded.digest == import.digest) {
            return loaded;
        }
        if import.offset == 0 {
            self.received.clear();
        }
        self.received.extend(STANDARD.decode(&import.data).unwrap_or_default());
        let received = self.received.len() as u64;
        if !import.last {
            return wire::Imported { digest: import.digest, received, base_commit: None, head_commit: None, files: 0 };
        }
        if let Ok(bundle) = serde_json::from_slice::<Bundle>(&self.received) {
            self.base = bundle.base;
            self.files.clone_from(&bundle.head);
            self.committed = bundle.head;
            self.messages = bundle.messages;
        }
        let loaded = wire::Imported {
            digest: import.digest,
            received,
            base_commit: Some(commit(&self.base, &[])),
            head_commit: Some(commit(&self.committed, &self.messages)),
            files: self.files.len() as u64,
        };
        self.loaded = Some(loaded.clone());
        loaded
    }

    /// What a call would touch; or why it cannot be, with its code.
    pub(crate) fn resolve(&self, resolve: &wire::Resolve) -> Result<wire::Canonical, (i32, String)> {
        let text = |field: &str| resolve.arguments[field].as_str().map(str::to_owned);
        let path = text("path").unwrap_or_else(|| ".".to_owned());
        if path.split('/').any(|part| part == "..") || path.starts_with('/') {
            return Err((code::ESCAPE, format!("{path:?} is outside of the workspace")));
        }
        let exists = self.files.contains_key(&path);
        let touched = |write| wire::TouchedPath { path: path.clone(), write, exists: exists || !write };
        let plain =
            |paths| wire::Canonical { tool: resolve.tool, arguments: resolve.arguments.clone(), paths, program: None, argv: Vec::new() };
        match resolve.tool {
            ToolName::FsWrite => Ok(plain(vec![touched(true)])),
            ToolName::FsEdit | ToolName::FsRead if !exists => Err((code::INVALID, format!("{path:?} is not there"))),
            ToolName::FsEdit => Ok(plain(vec![touched(true)])),
            ToolName::FsRead | ToolName::FsList | ToolName::FsSearch | ToolName::GitDiff | ToolName::GitCommit => {
                Ok(plain(vec![touched(false)]))
            }
            ToolName::ShellRun | ToolName::TestsRun => {
                let argv: Vec<String> = serde_json::from_value(resolve.arguments["argv"].clone()).unwrap_or_default();
                let name = argv.first().cloned().ok_or_else(|| (code::INVALID, "expected a program in argv".to_owned()))?;
                let program = wire::Program { path: format!("/usr/bin/{name}"), digest: Digest::of(&name) };
                Ok(wire::Canonical { program: Some(program), argv, ..plain(vec![touched(false)]) })
            }
            ToolName::Ask | ToolName::Finish | ToolName::Merge => Err((code::INVALID, "not a tool of the sandbox".to_owned())),
        }
    }

    /// Does it. `sleep N` in an argument list takes so many seconds; the program `false` says no.
    pub(crate) fn run(&mut self, canonical: &wire::Canonical, took_ms: u64, timeout_ms: u64) -> wire::Outcome {
        let text = |field: &str| canonical.arguments[field].as_str().unwrap_or_default().to_owned();
        let path = text("path");
        let mut status = wire::Status::Ok;
        let (mut made, mut exit_code, mut duration_ms) = (None, None, took_ms);
        let content = match canonical.tool {
            ToolName::FsWrite => {
                self.files.insert(path.clone(), text("content"));
                format!("{path} is written")
            }
            ToolName::FsEdit => {
                let edited = self.files.get(&path).map(|before| before.replace(&text("old"), &text("new"))).unwrap_or_default();
                self.files.insert(path.clone(), edited);
                format!("{path} is edited")
            }
            ToolName::FsRead => self.files.get(&path).cloned().unwrap_or_default(),
            ToolName::FsList | ToolName::FsSearch => self.files.keys().cloned().collect::<Vec<_>>().join("\n"),
            ToolName::GitDiff => patch(&self.committed, &self.files),
            ToolName::GitCommit => {
                self.committed.clone_from(&self.files);
                self.messages.push(text("message"));
                made = Some(commit(&self.committed, &self.messages));
                "committed".to_owned()
            }
            ToolName::ShellRun | ToolName::TestsRun => {
                let fails = canonical.argv.first().is_some_and(|name| name == "false");
                let sleeps =
                    canonical.argv.iter().skip_while(|word| *word != "sleep").nth(1).and_then(|seconds| seconds.parse::<u64>().ok());
                duration_ms += sleeps.unwrap_or(0) * 1000;
                exit_code = Some(i32::from(fails));
                status = if fails { wire::Status::Error } else { wire::Status::Ok };
                canonical.argv.join(" ")
            }
            ToolName::Ask | ToolName::Finish | ToolName::Merge => String::new(),
        };
        if duration_ms > timeout_ms {
            (duration_ms, status, exit_code) = (timeout_ms, wire::Status::Timeout, None);
        }
        let output_bytes = content.len() as u64;
        wire::Outcome { status, content, output_bytes, truncated: false, exit_code, duration_ms, commit: made }
    }

    pub(crate) fn checkpoint(&mut self) -> wire::Checkpointed {
        let bundle = Bundle { base: self.base.clone(), head: self.committed.clone(), messages: self.messages.clone() };
        let bundle = serde_json::to_vec(&bundle).unwrap_or_default();
        let patch = patch(&self.base, &self.committed).into_bytes();
        let differing = |from: &BTreeMap<String, String>, to: &BTreeMap<String, String>| -> Vec<String> {
            to.iter().filter(|(path, text)| from.get(*path) != Some(text)).map(|(path, _)| path.clone()).collect()
        };
        let checkpointed = wire::Checkpointed {
            base_commit: commit(&self.base, &[]),
            head_commit: commit(&self.committed, &self.messages),
            uncommitted: differing(&self.committed, &self.files),
            changed: differing(&self.base, &self.committed),
            patch: wire::Blob { digest: Digest::of(&patch), bytes: patch.len() as u64 },
            bundle: wire::Blob { digest: Digest::of(&bundle), bytes: bundle.len() as u64 },
        };
        self.blobs = BTreeMap::from([(checkpointed.patch.digest, patch), (checkpointed.bundle.digest, bundle)]);
        checkpointed
    }

    pub(crate) fn fetch(&self, fetch: &wire::Fetch) -> Option<wire::Chunk> {
        let bytes = self.blobs.get(&fetch.digest)?;
        let from = usize::try_from(fetch.offset).ok()?;
        let upto = from.saturating_add(usize::try_from(fetch.max_bytes).ok()?).min(bytes.len());
        Some(wire::Chunk { data: STANDARD.encode(bytes.get(from..upto)?) })
    }
}

/// A commit's name: what is in it and how it came about.
fn commit(files: &BTreeMap<String, String>, messages: &[String]) -> String {
    let whole: Value = json!([files, messages]);
    Digest::of(whole.to_string()).hex()[..40].to_owned()
}

fn patch(from: &BTreeMap<String, String>, to: &BTreeMap<String, String>) -> String {
    let changed = to.iter().filter(|(path, text)| from.get(*path) != Some(text));
    changed.map(|(path, text)| format!("+++ {path}\n{}", text.lines().map(|line| format!("+{line}\n")).collect::<String>())).collect()
}
