//! What forks among a journal's runs go on from.

use std::collections::BTreeMap;
use std::path::PathBuf;

use reeve_core::journal::{ForkedFrom, Seq, Stream};
use reeve_core::run::{Branch, Trunk};
use reeve_store::{Artifacts, ForkError, ForkPlace, Journal};

use super::of_store;
use super::rows::{Exported, whole};
use crate::exit::Failure;
use crate::lineage::{branch_at, forked_from};

/// What each fork goes on from, by fork. One whose parent is not there has nothing, which is said when its first row comes.
pub(crate) type Branches = BTreeMap<Stream, Branch>;

/// Of the forks in an export. It is read twice more where there are any.
///
/// # Errors
/// [`Failure::No`] where a parent's rows are not what its fork names.
pub(super) async fn of_export(file: &PathBuf, artifacts: Option<&Artifacts>) -> Result<Branches, Failure> {
    let mut forks: BTreeMap<Stream, ForkedFrom> = BTreeMap::new();
    let mut rows = Exported::open(file).await?;
    while let Some(row) = rows.next().await? {
        if row.seq == Seq(1) {
            forks.extend(forked_from(&row).map(|from| (row.stream.clone(), from)));
        }
    }
    let mut branches = Branches::new();
    if forks.is_empty() {
        return Ok(branches);
    }
    let mut by_parent: BTreeMap<Stream, Vec<(&Stream, &ForkedFrom)>> = BTreeMap::new();
    forks.iter().for_each(|(fork, from)| by_parent.entry(Stream::run(&from.uid)).or_default().push((fork, from)));
    // A parent's rows come before its forks', so one look is enough for forks of forks too.
    let mut trunks: BTreeMap<Stream, Trunk> = BTreeMap::new();
    let mut rows = Exported::open(file).await?;
    while let Some(row) = rows.next().await? {
        let Some(wanted) = by_parent.get(&row.stream).filter(|wanted| wanted.iter().any(|(_, from)| from.seq >= row.seq)) else {
            continue;
        };
        let trunk = trunks.entry(row.stream.clone()).or_insert_with(|| Trunk::new(row.stream.as_str(), branches.get(&row.stream).cloned()));
        trunk.row_with_body(&row, &whole(artifacts, row.clone()).await?).map_err(Failure::no)?;
        for (fork, from) in wanted.iter().filter(|(_, from)| from.seq == row.seq) {
            branches.insert((*fork).clone(), branch_at(trunk, from)?);
        }
    }
    Ok(branches)
}

/// Of the forks among these runs.
///
/// # Errors
/// [`Failure::No`] where a parent's rows are not what its fork names.
pub(super) async fn of_database(journal: &Journal, artifacts: Option<&Artifacts>, streams: &[Stream]) -> Result<Branches, Failure> {
    let mut branches = Branches::new();
    for stream in streams {
        let first = journal.read(stream, Seq(1), 1).await.map_err(of_store)?.pop();
        let Some(from) = first.as_ref().and_then(forked_from) else { continue };
        match journal.branch(artifacts, &ForkPlace::from(&from)).await {
            Ok(branch) => {
                branches.insert(stream.clone(), branch);
            }
            Err(ForkError::NoRun { .. }) => {}
            Err(ForkError::Store(error)) => return Err(of_store(error)),
            Err(error) => return Err(Failure::no(format!("run {}: {error}", stream.as_str()))),
        }
    }
    Ok(branches)
}
