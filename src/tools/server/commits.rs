//! `git.diff` and `git.commit`.

use reeve_core::tool::wire::{Confinement, Status};

use super::Sandbox;
use super::git::{Given, MAIN};
use super::perform::{Ended, said};
use crate::output::bounded;
use crate::refusal::Refusal;

impl Sandbox {
    /// What differs from the last commit, new files included. The index stays as it is: new files are noted in a copy.
    pub(super) async fn diff(&self, confinement: &Confinement) -> Result<Ended, Refusal> {
        let _turn = self.git_turn.lock().await;
        let index = self.options.git_dir.join("reeve-diff-index");
        std::fs::copy(self.options.git_dir.join("index"), &index).map_err(Refusal::failed("copying git's index"))?;
        let given = || Given { index: Some(&index), ..Given::default() };
        let mut ran = self.try_git(&["add", "--intent-to-add", "--all", "--", "."], given()).await?;
        if ran.code == 0 {
            ran = self.try_git(&["diff", "--no-ext-diff", "--no-textconv", "--no-color", "HEAD", "--"], given()).await?;
        }
        if ran.code != 0 {
            return Ok(said(Err(format!("git: {}", ran.stderr.trim())), confinement));
        }
        let text =
            if ran.stdout.is_empty() { "(nothing changed since the last commit)".into() } else { String::from_utf8_lossy(&ran.stdout) };
        Ok(said(Ok(text.into_owned()), confinement))
    }

    /// Commits everything that is not ignored. An answer, not a failure, when there is nothing to commit.
    pub(super) async fn commit(&self, message: &str, confinement: &Confinement) -> Result<Ended, Refusal> {
        let _turn = self.git_turn.lock().await;
        let added = self.try_git(&["add", "--all", "--", "."], Given::default()).await?;
        if added.code != 0 {
            return Ok(said(Err(format!("git add: {}", added.stderr.trim())), confinement));
        }
        if let Some(nested) = self.staged_repository().await? {
            self.git(&["read-tree", "HEAD"]).await?;
            let text =
                format!("{nested} holds a git repository of its own, whose files would be left out. Remove {nested}/.git, then commit");
            return Ok(said(Err(text), confinement));
        }
        if self.try_git(&["diff", "--cached", "--quiet", "HEAD", "--"], Given::default()).await?.code == 0 {
            return Ok(said(Err("nothing changed since the last commit".to_owned()), confinement));
        }
        let given = Given { stdin: Some(message.as_bytes()), ..Given::default() };
        self.git_with(&["commit", "--quiet", "--no-verify", "--cleanup=whitespace", "--file=-"], given).await?;
        let commit = self.commit_of(MAIN).await?;
        self.set_head(&commit);
        let summary = self.git(&["diff", "--shortstat", "HEAD~1", "HEAD", "--"]).await?.line();
        let kept = bounded(&format!("committed {commit}:{summary}"), confinement);
        Ok(Ended { status: Status::Ok, kept, exit_code: None, commit: Some(commit) })
    }

    /// The first staged path that is a repository inside the repository.
    async fn staged_repository(&self) -> Result<Option<String>, Refusal> {
        let staged = self.git(&["ls-files", "--stage", "-z"]).await?;
        Ok(staged.names().into_iter().find_map(|line| line.strip_prefix("160000 ")?.split_once('\t').map(|(_, path)| path.to_owned())))
    }
}
