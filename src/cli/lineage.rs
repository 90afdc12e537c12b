//! A run's rows from the operator's read API, and what it goes on from if it was forked.

use reeve_core::journal::{Event, ForkedFrom, Row, Seq};
use reeve_core::limits::MAX_FORKS_DEEP;
use reeve_core::run::{Branch, Trunk};

use crate::exit::Failure;
use crate::read_api::{ReadApi, ReadError};
use crate::trace::parse;

/// Every row of a run: the one of this UID, or the newest of that name.
///
/// # Errors
/// What the operator said, or that its answer is no rows.
pub(crate) async fn rows(api: &mut ReadApi, namespace: &str, name: &str, uid: Option<&str>) -> Result<Vec<Row>, ReadError> {
    let mut uid = uid.map(str::to_owned);
    let mut rows: Vec<Row> = Vec::new();
    loop {
        let from = rows.last().map_or(Seq(1), |row| row.seq.next()).0;
        let of = uid.as_deref().map(|uid| format!("&uid={uid}")).unwrap_or_default();
        let text = api.get(&format!("namespaces/{namespace}/runs/{name}/journal?from={from}{of}")).await?;
        let more = parse(&text).map_err(ReadError::Broken)?;
        let Some(last) = more.last() else { return Ok(rows) };
        uid = Some(last.stream.as_str().to_owned());
        rows.extend(more);
    }
}

/// Each row, and the row with its body, which is read from the operator's artifacts if the row names one that is kept there.
///
/// # Errors
/// Which body could not be read, and why.
pub(crate) async fn whole(api: &mut ReadApi, rows: Vec<Row>) -> Result<Vec<(Row, Row)>, String> {
    let mut pairs = Vec::with_capacity(rows.len());
    for row in rows {
        let with_body = match row.kept().map_err(|error| error.to_string())? {
            Some(kept) => {
                let body = api.get(&format!("artifacts/{}", kept.digest)).await.map_err(|error| error.to_string())?;
                row.clone().with_kept_body(body).map_err(|error| error.to_string())?
            }
            None => row.clone(),
        };
        pairs.push((row, with_body));
    }
    Ok(pairs)
}

/// What the run with these rows goes on from, if it was forked: its ancestors' rows, each of which hashes to what it says.
///
/// # Errors
/// [`Failure::Unusable`] when they cannot be read, [`Failure::No`] when they are not what the run names.
pub(crate) async fn branch(api: &mut ReadApi, namespace: &str, rows: &[Row]) -> Result<Option<Branch>, Failure> {
    let mut ancestors: Vec<(ForkedFrom, Vec<(Row, Row)>)> = Vec::new();
    let mut from = rows.first().and_then(forked_from);
    while let Some(place) = from.take() {
        if ancestors.len() >= MAX_FORKS_DEEP as usize {
            return Err(Failure::no(format!("it is more than {MAX_FORKS_DEEP} forks deep")));
        }
        let read = self::rows(api, namespace, &place.name, Some(&place.uid)).await;
        let rows = read.map_err(|error| Failure::unusable(format!("reading the journal of {namespace}/{}: {error}", place.name)))?;
        from = rows.first().and_then(forked_from);
        let rows =
            whole(api, rows).await.map_err(|why| Failure::unusable(format!("reading the journal of {namespace}/{}: {why}", place.name)))?;
        ancestors.push((place, rows));
    }
    let mut branch = None;
    for (from, rows) in ancestors.iter().rev() {
        branch = Some(grown(from, rows, branch)?);
    }
    Ok(branch)
}

/// Where the run was forked from that begins with this row. A row that cannot be read is said when it is its turn.
pub(crate) fn forked_from(first: &Row) -> Option<ForkedFrom> {
    if first.kind != "run.started" {
        return None;
    }
    let Ok(Event::RunStarted(started)) = first.event() else { return None };
    started.forked_from
}

fn grown(from: &ForkedFrom, rows: &[(Row, Row)], branch: Option<Branch>) -> Result<Branch, Failure> {
    let mut trunk = Trunk::new(&from.uid, branch);
    let mut before = rows.iter().take_while(|(row, _)| row.seq <= from.seq);
    before.try_for_each(|(row, whole)| trunk.row_with_body(row, whole)).map_err(Failure::no)?;
    branch_at(&trunk, from)
}

/// What a run takes with it that names this place, from its parent's rows up to there.
///
/// # Errors
/// [`Failure::No`] where they end before it, or with another row, or in the midst of something.
pub(crate) fn branch_at(trunk: &Trunk, from: &ForkedFrom) -> Result<Branch, Failure> {
    let ForkedFrom { uid, seq, hash, .. } = from;
    match trunk.head() {
        Some(head) if head.seq == *seq && head.hash == *hash => {}
        Some(head) if head.seq == *seq => {
            return Err(Failure::no(format!("row {} of run {uid} has hash {}, not {hash}, which its fork names", seq.0, head.hash)));
        }
        Some(_) | None => return Err(Failure::no(format!("run {uid} has no row {}, which its fork names", seq.0))),
    }
    trunk.branch().map_err(|why| Failure::no(format!("run {uid} cannot be forked after row {}: {why}", seq.0)))
}
