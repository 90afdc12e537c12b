//! A journal in memory: the same rules, and nothing to wait for. Every call is done when it is first polled, and starts no thread.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use reeve_core::budget::{Balance, Limits};
use reeve_core::journal::{Epoch, Event, Head, Row, RowDraft, Stream};

use super::audit::{BudgetRow, Tables, made_by_no_row};
use super::books::{Moved, Reservation};
use super::columns::signed;
use super::judge::{Needs, Seen, Tail, Verdict, judge};
use super::ledger::Posting;
use super::read::{Answer, FoundRun, OpenReservation, Reads, StreamBrief};
use super::request::Request;
use super::writer::{APPENDING, Outcome};
use super::{Backing, Journal};
use crate::{StoreError, VerifyError};

/// What journals in memory lie in. It outlives them: a process that starts again opens another on the same rows, and two that live at the
/// same time are two writers, whom only their epochs tell apart. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct MemoryDatabase(Arc<Mutex<State>>);

/// Stands where appends come by, in a simulation. What it holds back is never answered, as if its sender or the way had died.
pub trait Gate: Send + Sync + fmt::Debug {
    /// Whether these drafts go on to the rows. False: nothing is written, and the append never ends.
    fn before(&self, stream: &Stream, drafts: &[RowDraft]) -> bool;

    /// Whether the sender hears of these rows, which are durable. False: the append never ends.
    fn after(&self, rows: &[Row]) -> bool;

    /// What is written in place of these drafts, where their sender is to be wrong. Nothing, and they are written as they are.
    fn bent(&self, _: &[RowDraft]) -> Vec<RowDraft> {
        Vec::new()
    }

    /// What a journal is to take on trust, so that something else has to find it.
    fn trust(&self) -> Trust {
        Trust::default()
    }
}

/// Rules that are not asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Trust {
    /// Nobody's epoch is too low.
    pub epochs: bool,
    /// What was spent and held is what it was when nothing had been: every reservation fits.
    pub sums: bool,
}

/// Where an append's answer is lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lost {
    /// Before anything was written.
    BeforeCommit,
    /// After it is durable: the head alone tells.
    AfterCommit,
}

impl MemoryDatabase {
    /// An empty one.
    #[must_use]
    pub fn new() -> MemoryDatabase {
        MemoryDatabase::default()
    }

    /// Opens the journal that lies in it, empty or not.
    #[must_use]
    pub fn open(&self) -> Journal {
        let memory = Memory { database: self.clone(), closed: Arc::default() };
        Journal { backing: Backing::Memory(memory), writer: None }
    }

    /// The next append that has drafts is answered [`StoreError::Unavailable`], whoever makes it.
    pub fn lose_next_append(&self, lost: Lost) {
        self.state().lost = Some(lost);
    }

    /// The last rows are lost, though they were said to be durable: what a disk does that lies.
    pub fn forget(&self, rows: usize) {
        let mut state = self.state();
        for row in (0..rows).filter_map(|_| state.rows.pop()).collect::<Vec<_>>() {
            state.streams.entry(row.stream).or_default().pop();
        }
    }

    /// From here on, every append that has drafts comes by this gate.
    pub fn set_gate(&self, gate: Arc<dyn Gate>) {
        self.state().gate = Some(gate);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing that panics is done while it is held; if it were, the rows would still be whole: they are pushed after they are judged.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Debug, Default)]
struct State {
    rows: Vec<Row>,
    /// Positions of each stream's rows in `rows`.
    streams: BTreeMap<Stream, Vec<usize>>,
    accounts: BTreeMap<String, Balance>,
    reservations: BTreeMap<String, Reservation>,
    lost: Option<Lost>,
    gate: Option<Arc<dyn Gate>>,
}

/// One process's way to the database.
#[derive(Clone, Debug)]
pub(super) struct Memory {
    database: MemoryDatabase,
    closed: Arc<AtomicBool>,
}

impl Memory {
    /// As a writer does it, past the gate if there is one.
    pub(super) async fn append(&self, mut request: Request) -> Outcome {
        let gate = self.state()?.gate.clone();
        let trust = self.trust()?;
        let bent = gate.as_ref().map(|gate| gate.bent(&request.drafts)).unwrap_or_default();
        if !bent.is_empty() {
            request = Request::checked(request.epoch, &request.stream, request.after, bent)?;
        }
        if gate.as_ref().is_some_and(|gate| !gate.before(&request.stream, &request.drafts)) {
            return std::future::pending().await;
        }
        let lost = self.state()?.lost.take();
        let unavailable = || Err(StoreError::Unavailable { doing: APPENDING, why: "the answer was lost".to_owned() });
        if lost == Some(Lost::BeforeCommit) {
            return unavailable();
        }
        let outcome = self.write(request, trust);
        if let (Some(gate), Ok(rows)) = (&gate, &outcome)
            && !gate.after(rows)
        {
            return std::future::pending().await;
        }
        if lost == Some(Lost::AfterCommit) { unavailable() } else { outcome }
    }

    fn write(&self, request: Request, trust: Trust) -> Outcome {
        let mut state = self.state()?;
        let group = [request];
        let mut seen = state.seen(&Needs::of(&group));
        if trust.epochs {
            seen.tail.epoch = Epoch(0);
        }
        let limits: BTreeMap<String, Balance> = if trust.sums { seen.accounts.clone() } else { BTreeMap::new() };
        for account in seen.accounts.values_mut().filter(|_| trust.sums) {
            account.limits = account.limits.map(|_| Limits::default());
        }
        let mut verdict = judge(seen, &group);
        for moved in verdict.accounts.iter_mut().filter(|moved| moved.balance.limits == Some(Limits::default())) {
            moved.balance.limits = limits.get(&moved.account).map_or(moved.balance.limits, |before| before.limits);
        }
        state.write(&verdict)?;
        verdict.outcomes.pop().unwrap_or(Err(StoreError::Closed))
    }

    /// Asked with nothing in hand: a gate looks at a world of its own.
    fn trust(&self) -> Result<Trust, StoreError> {
        let gate = self.state()?.gate.clone();
        Ok(gate.map(|gate| gate.trust()).unwrap_or_default())
    }

    fn state(&self) -> Result<MutexGuard<'_, State>, StoreError> {
        if self.closed.load(Ordering::SeqCst) {
            return Err(StoreError::Closed);
        }
        Ok(self.database.state())
    }
}

impl State {
    fn seen(&self, needs: &Needs<'_>) -> Seen {
        let Needs { streams, accounts, keys } = needs;
        let head = |stream: &&str| {
            let stream = Stream::run(stream);
            self.last_of(&stream).map(|row| row.seq).map(|seq| (stream, seq))
        };
        let account = |account: &&str| self.accounts.get_key_value(*account).map(|(account, balance)| (account.clone(), *balance));
        Seen {
            tail: self.rows.last().map_or(Tail::NONE, |row| Tail { gseq: row.gseq, hash: row.hash, epoch: row.epoch }),
            heads: streams.iter().filter_map(head).collect(),
            accounts: accounts.iter().filter_map(account).collect(),
            reservations: keys.iter().filter_map(|key| self.reservations.get(*key)).cloned().collect(),
        }
    }

    fn write(&mut self, verdict: &Verdict) -> Result<(), StoreError> {
        for row in verdict.rows() {
            self.streams.entry(row.stream.clone()).or_default().push(self.rows.len());
            self.rows.push(row.clone());
        }
        for Moved { account, balance, exists: _ } in &verdict.accounts {
            self.accounts.insert(account.clone(), *balance);
        }
        for (gseq, reserved) in &verdict.reserved {
            let (key, account, amounts) = (reserved.key.clone(), reserved.account.clone(), reserved.amounts);
            let reservation = Reservation { key: key.clone(), account, amounts, gseq: signed(*gseq)?, settled_gseq: None };
            self.reservations.insert(key, reservation);
        }
        for (gseq, key) in &verdict.settled {
            if let Some(reservation) = self.reservations.get_mut(key) {
                reservation.settled_gseq = Some(signed(*gseq)?);
            }
        }
        Ok(())
    }

    fn last_of(&self, stream: &Stream) -> Option<&Row> {
        self.rows.get(*self.streams.get(stream)?.last()?)
    }
}

impl Reads for Memory {
    async fn head(&self, stream: &Stream) -> Result<Option<Head>, StoreError> {
        Ok(self.state()?.last_of(stream).map(Row::head))
    }

    async fn rows_of(&self, stream: &Stream, from: i64, limit: u32) -> Result<Vec<Row>, StoreError> {
        let state = self.state()?;
        let places = state.streams.get(stream).into_iter().flatten();
        let rows = places.filter_map(|place| state.rows.get(*place)).filter(|row| signed(row.seq.0).is_ok_and(|seq| seq >= from));
        Ok(answer(rows, limit))
    }

    async fn page(&self, from: i64, upto: i64, limit: u32) -> Result<Vec<Row>, StoreError> {
        let state = self.state()?;
        // Row n is at n - 1.
        let skipped = usize::try_from(from.saturating_sub(1)).unwrap_or(0);
        let rows = state.rows.iter().skip(skipped).take_while(|row| signed(row.gseq).is_ok_and(|gseq| gseq <= upto));
        Ok(answer(rows, limit))
    }

    async fn upto(&self) -> Result<i64, StoreError> {
        signed(self.state()?.rows.last().map_or(0, |row| row.gseq))
    }

    async fn last(&self) -> Result<Option<Row>, StoreError> {
        Ok(self.state()?.rows.last().cloned())
    }

    async fn streams(&self) -> Result<Vec<StreamBrief>, StoreError> {
        let state = self.state()?;
        let mut briefs = Vec::new();
        for (stream, places) in &state.streams {
            let ends = places.first().and_then(|first| state.rows.get(*first)).zip(state.last_of(stream));
            let Some((first, last)) = ends else { continue };
            let (head, last_kind, since) = (last.head(), last.kind.clone(), first.time.clone());
            briefs.push(StreamBrief { stream: stream.clone(), head, last_kind, since, run: run_of(first)? });
        }
        Ok(briefs)
    }

    async fn find_runs(&self, namespace: &str, name: &str) -> Result<Vec<FoundRun>, StoreError> {
        let state = self.state()?;
        let mut found = Vec::new();
        for row in &state.rows {
            if run_of(row)?.is_some_and(|run| run.0 == namespace && run.1 == name) {
                found.push(FoundRun { stream: row.stream.clone(), started: row.time.clone() });
            }
        }
        Ok(found)
    }

    async fn account(&self, account: &str) -> Result<Option<Balance>, StoreError> {
        let sums = self.trust()?.sums;
        let found = self.state()?.accounts.get(account).copied();
        Ok(found.map(|found| if sums { Balance { limits: found.limits, ..Balance::default() } } else { found }))
    }

    async fn accounts(&self) -> Result<Vec<(String, Balance)>, StoreError> {
        Ok(self.state()?.accounts.iter().map(|(account, balance)| (account.clone(), *balance)).collect())
    }

    async fn open_reservations(&self, account: &str) -> Result<Vec<OpenReservation>, StoreError> {
        let state = self.state()?;
        let held = state.reservations.values().filter(|held| held.account == account && held.settled_gseq.is_none());
        let mut open: Vec<OpenReservation> =
            held.map(|held| OpenReservation { key: held.key.clone(), amounts: held.amounts, gseq: held.gseq.unsigned_abs() }).collect();
        open.sort_by_key(|held| held.gseq);
        Ok(open)
    }

    async fn tables(&self) -> Result<Tables, VerifyError> {
        let state = self.state()?;
        let mut tables = Tables::default();
        for row in &state.rows {
            let bad = |error: serde_json::Error| StoreError::BadRow { gseq: 0, why: error.to_string() };
            let Some(posting) = Posting::read(&row.kind, &row.body).map_err(bad)? else { continue };
            let reservation = posting.key().and_then(|key| state.reservations.get(key)).cloned();
            tables.row(&BudgetRow { gseq: signed(row.gseq)?, kind: &row.kind, body: &row.body, reservation })?;
        }
        for Reservation { key, account, gseq, .. } in state.reservations.values() {
            let place = usize::try_from(gseq.saturating_sub(1)).ok();
            if place.and_then(|place| state.rows.get(place)).is_none_or(|row| row.kind != "budget.reserved") {
                return Err(made_by_no_row(key, account));
            }
        }
        Ok(tables.with_accounts(state.accounts.clone()))
    }

    async fn close(&self) {
        self.closed.store(true, Ordering::SeqCst);
    }
}

fn answer<'a>(rows: impl Iterator<Item = &'a Row>, limit: u32) -> Vec<Row> {
    let mut answer = Answer::default();
    for row in rows.take(usize::try_from(limit).unwrap_or(usize::MAX)) {
        if !answer.takes(row.clone()) {
            break;
        }
    }
    answer.rows()
}

/// Namespace and name of the run that this row starts, if it does.
fn run_of(row: &Row) -> Result<Option<(String, String)>, StoreError> {
    if row.kind != "run.started" {
        return Ok(None);
    }
    let event = row.event().map_err(|error| StoreError::Damaged { why: error.to_string() })?;
    if let Event::RunStarted(started) = event {
        return Ok(Some((started.namespace, started.name)));
    }
    Ok(None)
}
