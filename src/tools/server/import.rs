//! `reeve/import`: a packed workspace comes in chunks, is checked as a whole, unpacked and committed as the base.

use std::fs::{File, OpenOptions};
use std::io::{Seek as _, Write as _};
use std::path::PathBuf;
use std::sync::PoisonError;

use base64::Engine as _;
use reeve_core::Digest;
use reeve_core::limits::MAX_WORKSPACE_BYTES;
use reeve_core::tool::wire::{Import, Imported, Packing};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::Sandbox;
use super::git::{ATTRIBUTES, BASE, Given, MAIN, clear_locks};
use super::perform::blocking;
use super::scratch;
use super::unpack::unpack;
use crate::refusal::Refusal;

const STATE: &str = "workspace.json";
const STAGED: &str = "import.part";

/// A workspace on its way in.
#[derive(Debug)]
pub(crate) struct Staging {
    digest: Digest,
    file: File,
    received: u64,
    hasher: Sha256,
}

/// What is on the volumes, kept beside the ledger so that a server that starts again knows.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "phase", rename_all = "kebab-case")]
enum State {
    /// Unpacking began. Found at start, it means that it never ended: clear and begin again.
    Unpacking,
    /// Everything is there.
    Loaded(Loaded),
}

/// A loaded workspace.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Loaded {
    digest: Digest,
    bytes: u64,
    pub(super) base_commit: String,
    pub(super) head_commit: String,
    files: u64,
}

impl Loaded {
    pub(super) fn imported(&self) -> Imported {
        Imported {
            digest: self.digest,
            received: self.bytes,
            base_commit: Some(self.base_commit.clone()),
            head_commit: Some(self.head_commit.clone()),
            files: self.files,
        }
    }
}

impl Sandbox {
    /// Takes one chunk; with the last, loads the workspace.
    ///
    /// # Errors
    /// INVALID when chunks do not follow each other, the digest is wrong, the content is refused, or another workspace is loaded.
    pub(crate) async fn import(&self, chunk: Import) -> Result<Imported, Refusal> {
        let mut staging = self.staging.lock().await;
        if let Some(loaded) = self.loaded() {
            if loaded.digest == chunk.digest {
                return Ok(loaded.imported());
            }
            return Err(Refusal::invalid(format!("expected no second workspace: {} is loaded, found {}", loaded.digest, chunk.digest)));
        }
        if chunk.offset == 0 {
            *staging = Some(self.stage(chunk.digest)?);
        }
        let received = match staging.as_mut() {
            Some(staged) => staged.take_in(&chunk),
            None => Err(Refusal::invalid(format!("expected the first chunk at offset 0, found one at {}", chunk.offset))),
        };
        let received = match received {
            Ok(received) => received,
            Err(refusal) => {
                *staging = None;
                return Err(refusal);
            }
        };
        if !chunk.last {
            return Ok(Imported { digest: chunk.digest, received, base_commit: None, head_commit: None, files: 0 });
        }
        let Some(staged) = staging.take() else { return Err(Refusal::internal("the staged workspace is gone")) };
        self.load(staged, &chunk).await
    }

    /// Before the first session: what an earlier server left behind.
    pub(super) async fn restore_workspace(&self) -> Result<(), Refusal> {
        let state = match std::fs::read(self.state_path()) {
            Ok(bytes) => serde_json::from_slice(&bytes).map_err(Refusal::failed("reading the workspace's state"))?,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(Refusal::failed("reading the workspace's state")(error)),
        };
        match state {
            State::Unpacking => self.clear_volumes().await,
            State::Loaded(mut loaded) => {
                // A git that was cut off leaves its lock, and nobody else is there to hold it.
                clear_locks(&self.options.git_dir).map_err(Refusal::failed("clearing git's locks"))?;
                loaded.head_commit = self.commit_of(MAIN).await?;
                *self.loaded.lock().unwrap_or_else(PoisonError::into_inner) = Some(loaded);
                Ok(())
            }
        }
    }

    fn stage(&self, digest: Digest) -> Result<Staging, Refusal> {
        let options = OpenOptions::new().read(true).write(true).create(true).truncate(true).open(self.options.ledger.join(STAGED));
        let file = options.map_err(Refusal::failed("staging the workspace"))?;
        Ok(Staging { digest, file, received: 0, hasher: Sha256::new() })
    }

    async fn load(&self, staged: Staging, chunk: &Import) -> Result<Imported, Refusal> {
        let Staging { digest, file, received, hasher } = staged;
        let found = Digest::finish(hasher);
        if found != digest {
            return Err(Refusal::invalid(format!("expected a workspace of digest {digest}, received {received} bytes of digest {found}")));
        }
        let (base_commit, head_commit, files) = loop {
            let halts = self.halts.begun();
            match self.unpack_and_commit(&file, chunk).await {
                Ok(unpacked) => break unpacked,
                // From the start again when a halt killed git at it.
                Err(_) if self.halts.cut_since(halts).await => {}
                Err(refusal) => {
                    self.clear_volumes().await?;
                    return Err(refusal);
                }
            }
        };
        let loaded = Loaded { digest, bytes: received, base_commit, head_commit, files };
        self.set_state(&State::Loaded(loaded.clone()))?;
        let imported = loaded.imported();
        *self.loaded.lock().unwrap_or_else(PoisonError::into_inner) = Some(loaded);
        let _ = std::fs::remove_file(self.options.ledger.join(STAGED));
        Ok(imported)
    }

    /// Answers the base commit, the head commit and the number of files.
    async fn unpack_and_commit(&self, file: &File, chunk: &Import) -> Result<(String, String, u64), Refusal> {
        let _turn = self.git_turn.lock().await;
        self.set_state(&State::Unpacking)?;
        self.clear_directories().await?;
        let file = file.try_clone().map_err(Refusal::failed("sharing the staged workspace"))?;
        let (base_commit, files) = match chunk.packing {
            Packing::TarGz => self.load_tar(file, chunk.strip_components).await?,
            Packing::GitBundle => self.load_bundle(file).await?,
        };
        Ok((base_commit, self.commit_of(MAIN).await?, files))
    }

    async fn load_tar(&self, mut file: File, strip_components: u32) -> Result<(String, u64), Refusal> {
        file.rewind().map_err(Refusal::failed("reading the staged workspace"))?;
        let root = self.workspace.root().try_clone().map_err(Refusal::failed("sharing the workspace"))?;
        let files = blocking(move || unpack(file, strip_components, &root)).await??;
        self.init_repository().await?;
        // Forced: what was handed in is the base, whatever its own .gitignore says.
        self.git(&["add", "--all", "--force", "--", "."]).await?;
        self.git(&["commit", "--quiet", "--no-verify", "--allow-empty", "--message=Base"]).await?;
        self.git(&["update-ref", BASE, "HEAD"]).await?;
        Ok((self.commit_of(BASE).await?, files))
    }

    async fn load_bundle(&self, file: File) -> Result<(String, u64), Refusal> {
        self.init_repository().await?;
        let path = self.options.ledger.join(STAGED).to_string_lossy().into_owned();
        let given = Given { readable: Some(file.into()), ..Given::default() };
        let specs = [format!("+{MAIN}:refs/reeve/main"), format!("+{BASE}:refs/reeve/base")];
        let fetched = self.try_git(&["fetch", "--quiet", "--no-tags", &path, &specs[0], &specs[1]], given).await?;
        if fetched.code != 0 {
            return Err(Refusal::invalid(format!("expected a git bundle with {MAIN} and {BASE}: {}", fetched.stderr.trim())));
        }
        let (head, base) = (self.commit_of("refs/reeve/main").await?, self.commit_of("refs/reeve/base").await?);
        let files = self.check_tree(&head).await?;
        self.git(&["update-ref", MAIN, &head]).await?;
        self.git(&["update-ref", BASE, &base]).await?;
        self.git(&["update-ref", "-d", "refs/reeve/main"]).await?;
        self.git(&["update-ref", "-d", "refs/reeve/base"]).await?;
        self.git(&["read-tree", "-u", "--reset", "HEAD"]).await?;
        Ok((base, files))
    }

    /// Before a tree is checked out: its size, and that all of it is files. Answers their number.
    async fn check_tree(&self, commit: &str) -> Result<u64, Refusal> {
        let listed = self.git(&["ls-tree", "-r", "-l", "-z", "--full-tree", commit]).await?;
        let (mut files, mut bytes) = (0u64, 0u64);
        for entry in listed.names() {
            let (facts, path) = entry.split_once('\t').unwrap_or((&entry, ""));
            let mut facts = facts.split_ascii_whitespace();
            if facts.next() == Some("160000") {
                return Err(Refusal::invalid(format!("expected a tree of files, found a submodule at {path:?}")));
            }
            files += 1;
            bytes += facts.nth(2).and_then(|size| size.parse::<u64>().ok()).unwrap_or(0);
        }
        if bytes > MAX_WORKSPACE_BYTES {
            return Err(Refusal::invalid(format!("expected at most {MAX_WORKSPACE_BYTES} bytes of files, found {bytes}")));
        }
        Ok(files)
    }

    async fn init_repository(&self) -> Result<(), Refusal> {
        self.git(&["init", "--quiet", "--template=", "--initial-branch=main"]).await?;
        let info = self.options.git_dir.join("info");
        std::fs::create_dir_all(&info)
            .and_then(|()| std::fs::write(info.join("attributes"), ATTRIBUTES))
            .map_err(Refusal::failed("writing git's attributes"))
    }

    async fn clear_directories(&self) -> Result<(), Refusal> {
        let directories = [self.options.workspace.clone(), self.options.git_dir.clone()];
        blocking(move || directories.iter().try_for_each(|directory| scratch::clear(directory)))
            .await?
            .map_err(Refusal::failed("clearing a half-loaded workspace"))
    }

    async fn clear_volumes(&self) -> Result<(), Refusal> {
        self.clear_directories().await?;
        std::fs::remove_file(self.state_path()).map_err(Refusal::failed("forgetting a half-loaded workspace"))
    }

    fn set_state(&self, state: &State) -> Result<(), Refusal> {
        let path = self.state_path();
        let staged = path.with_extension("new");
        let bytes = serde_json::to_vec(state).map_err(Refusal::failed("keeping the workspace's state"))?;
        std::fs::write(&staged, bytes)
            .and_then(|()| std::fs::rename(staged, path))
            .map_err(Refusal::failed("keeping the workspace's state"))
    }

    fn state_path(&self) -> PathBuf {
        self.options.ledger.join(STATE)
    }
}

impl Staging {
    fn take_in(&mut self, chunk: &Import) -> Result<u64, Refusal> {
        if chunk.digest != self.digest || chunk.offset != self.received {
            let (digest, received) = (self.digest, self.received);
            let message =
                format!("expected offset {received} of {digest}, found offset {} of {}; begin again at 0", chunk.offset, chunk.digest);
            return Err(Refusal::invalid(message));
        }
        let bytes = base64::engine::general_purpose::STANDARD
            .decode(&chunk.data)
            .map_err(|error| Refusal::invalid(format!("expected a chunk in base64: {error}")))?;
        let received = self.received + bytes.len() as u64;
        if received > MAX_WORKSPACE_BYTES {
            return Err(Refusal::invalid(format!("expected at most {MAX_WORKSPACE_BYTES} bytes of packed workspace, found more")));
        }
        self.file.write_all(&bytes).map_err(Refusal::failed("staging the workspace"))?;
        self.hasher.update(&bytes);
        self.received = received;
        Ok(received)
    }
}
