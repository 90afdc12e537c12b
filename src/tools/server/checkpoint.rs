//! `reeve/checkpoint` and `reeve/fetch`: the workspace's commits, packed and handed out.

use std::fs::File;
use std::io::Read as _;
use std::os::unix::fs::FileExt as _;

use base64::Engine as _;
use reeve_core::Digest;
use reeve_core::limits::STREAM_CHUNK_BYTES;
use reeve_core::tool::wire::{Blob, Checkpointed, Chunk, Fetch};
use sha2::{Digest as _, Sha256};

use super::Sandbox;
use super::git::{BASE, Given, MAIN};
use super::perform::blocking;
use super::scratch;
use crate::refusal::Refusal;

pub(super) const BLOBS: &str = "blobs";
/// Uncommitted files that are named.
const MAX_UNCOMMITTED: usize = 50;
/// Names of changed files, bytes. They must all be there, since policy looks at each, and they must fit one frame.
const MAX_CHANGED_BYTES: usize = 1024 * 1024;

impl Sandbox {
    /// Packs the commits, from the start again when a halt kills git at it. Blobs of the checkpoint before are gone.
    ///
    /// # Errors
    /// INVALID when nothing is loaded or more changed than can be named.
    pub(crate) async fn checkpoint(&self) -> Result<Checkpointed, Refusal> {
        self.require_workspace()?;
        loop {
            let halts = self.halts.begun();
            let packed = self.pack().await;
            if packed.is_ok() || !self.halts.cut_since(halts).await {
                return packed;
            }
        }
    }

    async fn pack(&self) -> Result<Checkpointed, Refusal> {
        let _turn = self.git_turn.lock().await;
        scratch::clear(&self.options.ledger.join(BLOBS)).map_err(Refusal::failed("clearing blobs"))?;
        let (base_commit, head_commit) = (self.commit_of(BASE).await?, self.commit_of(MAIN).await?);
        // A commit that was halted may have been made all the same.
        self.set_head(&head_commit);
        let status = ["status", "--porcelain", "-z", "--no-renames", "--untracked-files=all", "--ignore-submodules=all"];
        let mut uncommitted: Vec<String> =
            self.git(&status).await?.names().into_iter().filter_map(|line| line.get(3..).map(str::to_owned)).collect();
        uncommitted.truncate(MAX_UNCOMMITTED);
        let changed = self.git(&["diff", "--name-only", "-z", "--no-renames", &base_commit, &head_commit, "--"]).await?.names();
        if changed.iter().map(|name| name.len() + 4).sum::<usize>() > MAX_CHANGED_BYTES {
            return Err(Refusal::invalid(format!("{} files changed, too many to name", changed.len())));
        }
        let patch = [
            "diff",
            "--binary",
            "--full-index",
            "--no-renames",
            "--no-ext-diff",
            "--no-textconv",
            "--no-color",
            &base_commit,
            &head_commit,
            "--",
        ];
        let patch = self.blob(&patch).await?;
        let bundle = self.blob(&["bundle", "create", "--quiet", "-", MAIN, BASE]).await?;
        Ok(Checkpointed { base_commit, head_commit, uncommitted, changed, patch, bundle })
    }

    /// Part of a blob.
    ///
    /// # Errors
    /// INVALID for a digest that is none of the last checkpoint's, or an offset beyond its end.
    pub(crate) fn fetch(&self, wanted: &Fetch) -> Result<Chunk, Refusal> {
        let unknown = |_| Refusal::invalid(format!("no blob {} since the last checkpoint", wanted.digest));
        let file = File::open(self.options.ledger.join(BLOBS).join(wanted.digest.hex())).map_err(unknown)?;
        let length = file.metadata().map_err(Refusal::failed("reading a blob"))?.len();
        let left = length.checked_sub(wanted.offset);
        let left = left.ok_or_else(|| Refusal::invalid(format!("expected an offset up to {length}, found {}", wanted.offset)))?;
        let most = usize::try_from(left.min(wanted.max_bytes)).unwrap_or(usize::MAX).min(STREAM_CHUNK_BYTES);
        let mut bytes = vec![0; most];
        file.read_exact_at(&mut bytes, wanted.offset).map_err(Refusal::failed("reading a blob"))?;
        Ok(Chunk { data: base64::engine::general_purpose::STANDARD.encode(bytes) })
    }

    /// Keeps what a git command writes.
    async fn blob(&self, arguments: &[&str]) -> Result<Blob, Refusal> {
        let blobs = self.options.ledger.join(BLOBS);
        let staged = blobs.join("staged");
        let file =
            File::options().read(true).write(true).create(true).truncate(true).open(&staged).map_err(Refusal::failed("making a blob"))?;
        let given = Given { stdout: Some(file.into()), ..Given::default() };
        self.git_with(arguments, given).await?;
        let keep = move || -> std::io::Result<Blob> {
            let mut file = File::open(&staged)?;
            let (mut hasher, mut bytes) = (Sha256::new(), 0u64);
            let mut buffer = vec![0u8; 256 * 1024];
            loop {
                let read = file.read(&mut buffer)?;
                if read == 0 {
                    break;
                }
                hasher.update(&buffer[..read]);
                bytes += read as u64;
            }
            let digest = Digest::finish(hasher);
            std::fs::rename(&staged, blobs.join(digest.hex()))?;
            Ok(Blob { digest, bytes })
        };
        blocking(keep).await?.map_err(Refusal::failed("keeping a blob"))
    }
}
