//! Runs that go on from a place in another one.

use proptest::prelude::*;

use super::*;
use crate::journal::{Actor, BudgetReserved, BudgetSettled, ChainError, Epoch, ForkLinks, Row, RowDraft, Stream, Verified, Verifier};
use crate::policy::Texts;

/// A database in which runs were written one after the other.
#[derive(Default)]
struct Database {
    rows: Vec<Row>,
}

impl Database {
    fn write(&mut self, uid: &str, rows: &[(Timestamp, Event)]) -> &mut Database {
        for ((at, event), seq) in rows.iter().zip(1..) {
            let prev = self.rows.last().map_or(Digest::ZERO, |row| row.hash);
            let draft = RowDraft::of(event, &Actor::Operator, *at).unwrap();
            let row = draft.place(Stream::run(uid), self.rows.len() as u64 + 1, Seq(seq), Epoch(1), prev).unwrap();
            self.rows.push(row);
        }
        self
    }

    fn of(&self, uid: &str) -> Vec<Row> {
        self.rows.iter().filter(|row| row.stream == Stream::run(uid)).cloned().collect()
    }

    fn verify(&self) -> Result<Verified, ChainError> {
        let mut verifier = Verifier::new([]);
        self.rows.iter().try_for_each(|row| verifier.row(row))?;
        verifier.finish()
    }
}

/// Keeps the workspace after each commit, as a coder that begins today does.
fn keeping() -> SpecSnapshot {
    SpecSnapshot { keeps_commits: true, ..spec(Role::Coder) }
}

fn write(path: &str) -> ToolCall {
    call("fs.write", json!({ "path": path, "content": "x" }))
}

fn commit() -> ToolCall {
    call("git.commit", json!({ "message": "m" }))
}

/// Reads, writes, commits, reads and finishes.
fn parent() -> Shell {
    let script = [vec![read("a")], vec![write("b"), read("b")], vec![commit()], vec![read("c")], vec![finish()]];
    Shell::new(keeping(), script.into_iter().map(answer).collect()).run()
}

/// A trunk after these rows.
fn trunk(uid: &str, branch: Option<Branch>, rows: &[Row]) -> Trunk {
    let mut trunk = Trunk::new(uid, branch);
    rows.iter().for_each(|row| trunk.row(row).unwrap());
    trunk
}

/// A run that goes on from after these rows.
fn fork(uid: &str, of: &Trunk, script: Vec<ModelAnswered>) -> Shell {
    let branch = of.branch().unwrap();
    let spec = SpecSnapshot { workspace: branch.workspace.clone(), ..keeping() };
    let state = RunState::with(uid, Some(branch.clone()));
    Shell { state, branch: Some(branch), ..Shell::new(spec, script) }
}

fn replayed(branch: Option<Branch>, rows: &[Row]) -> Result<Replayed, Stopped> {
    let mut replay = Replay::with(rows[0].stream.as_str(), branch);
    rows.iter().try_for_each(|row| replay.row(&Texts::default(), row))?;
    Ok(replay.finish())
}

#[test]
fn a_run_can_be_forked_where_nothing_is_in_flight_and_its_workspace_is_kept() {
    let shell = parent();
    let mut database = Database::default();
    let rows = database.write("u1", &shell.rows).of("u1");
    let mut trunk = Trunk::new("u1", None);
    let mut told = String::new();
    for row in &rows {
        trunk.row(row).unwrap();
        let said = trunk.point().map_or_else(|why| why.to_string(), |point| format!("as of {}", point.kept_at));
        told.push_str(&format!("{} {}: {said}\n", row.seq.0, row.kind));
    }
    let changed = "its workspace was last kept in row 5 and changed since, in row";
    let expected = format!(
        "1 run.started: its workspace is not loaded there: it has done nothing yet
2 sandbox.requested: its workspace is not loaded there: it has done nothing yet
3 sandbox.ready: its workspace is not loaded there: it has done nothing yet
4 workspace.requested: its workspace is not loaded there: it has done nothing yet
5 workspace.loaded: as of 5
6 model.request: a model was asked there, and had not answered
7 model.response: as of 5
8 tool.requested: a tool call is in hand there
9 policy.decision: a tool call is in hand there
10 tool.result: as of 5
11 reflect: as of 5
12 model.request: a model was asked there, and had not answered
13 model.response: as of 5
14 tool.requested: a tool call is in hand there
15 policy.decision: a tool call is in hand there
16 tool.result: {changed} 16
17 tool.requested: a tool call is in hand there
18 policy.decision: a tool call is in hand there
19 tool.result: {changed} 16
20 reflect: {changed} 16
21 model.request: a model was asked there, and had not answered
22 model.response: {changed} 16
23 tool.requested: a tool call is in hand there
24 policy.decision: a tool call is in hand there
25 tool.result: a commit was made there that is not kept yet
26 checkpoint.requested: its workspace is being kept there
27 checkpoint: as of 27
28 reflect: as of 27
29 model.request: a model was asked there, and had not answered
30 model.response: as of 27
31 tool.requested: a tool call is in hand there
32 policy.decision: a tool call is in hand there
33 tool.result: as of 27
34 reflect: as of 27
35 model.request: a model was asked there, and had not answered
36 model.response: as of 27
37 tool.requested: a tool call is in hand there
38 policy.decision: a tool call is in hand there
39 checkpoint.requested: its workspace is being kept there
40 checkpoint: a tool call is in hand there
41 run.finished: it has ended there
"
    );
    assert_eq!(told, expected);
}

#[test]
fn a_checkpoint_with_uncommitted_files_is_not_all_of_the_workspace() {
    let script = vec![answer(vec![write("b"), finish()]), answer(vec![commit()]), answer(vec![finish()])];
    let mut shell = Shell::new(spec(Role::Coder), script);
    shell.uncommitted = vec!["b".to_owned()];
    let rows = Database::default().write("u1", &shell.run().rows).of("u1");
    let refused = rows.iter().rposition(|row| row.kind == "reflect").unwrap();
    let first = rows.iter().position(|row| row.kind == "checkpoint").unwrap();
    let taken = trunk("u1", None, &rows[..first + 2]);
    assert_eq!(taken.point(), Err(NoFork::Changed { kept_at: first as u64 + 1, changed_at: first as u64 + 1 }), "{}", rows[first + 1].kind);
    // The first release kept nothing after a commit.
    assert!(matches!(trunk("u1", None, &rows[..=refused]).point(), Err(NoFork::Changed { .. })));
}

#[test]
fn a_fork_has_the_conversation_and_nothing_that_was_held_spent_or_approved() {
    let shell = parent();
    let rows = Database::default().write("u1", &shell.rows).of("u1");
    // The second answer asked for two calls; none was begun.
    let at = trunk("u1", None, &rows[..13]);
    let branch = at.branch().unwrap();
    let mut child = fork("u2", &at, vec![answer(vec![finish()])]);
    assert!(child.step(), "it begins");
    let state = &child.state;
    assert_eq!(state.messages.len(), 3, "an answer, a result, an answer");
    let keys: Vec<&str> = state.pending.iter().map(|call| call.key.as_str()).collect();
    assert_eq!(keys, ["u2/2/0", "u2/2/1"], "what was not begun is the fork's, under keys of its own");
    assert_eq!((state.step, state.answers, state.tool_calls), (2, 2, 1), "what bounds the conversation counts on");
    assert_eq!(usage(state).model_answers + usage(state).tool_calls + usage(state).input_tokens, 0, "what the parent used is the parent's");
    assert_eq!((state.sandbox.clone(), state.workspace.clone(), state.gates.clone()), (Sandbox::None, None, Gates::default()));
    assert_eq!(state.worked_ms(at_start(&child)), 0, "its clock is its own");
    assert_eq!((branch.from.kept_at, branch.workspace.packing), (Seq(5), wire::Packing::TarGz), "as it was loaded");
    let child = child.run();
    assert_eq!(child.reason(), EndReason::Finished);
    assert!(child.kinds().iter().filter(|kind| **kind == "tool.result").count() == 2, "{:?}", child.kinds());
    assert_eq!((usage(&child.state).model_answers, usage(&child.state).tool_calls), (1, 3));
}

fn at_start(shell: &Shell) -> Timestamp {
    shell.state.started_at.unwrap()
}

#[test]
fn after_a_commit_a_fork_gets_the_bundle_that_was_kept_then() {
    let shell = parent();
    let rows = Database::default().write("u1", &shell.rows).of("u1");
    let Branch { from, workspace, .. } = trunk("u1", None, &rows[..28]).branch().unwrap();
    assert_eq!((from.seq, from.hash, from.kept_at), (Seq(28), rows[27].hash, Seq(27)));
    assert_eq!((from.base_commit.as_str(), from.head_commit.as_str()), ("b", "h"));
    assert_eq!((workspace.digest, workspace.packing), (Digest::of("blob"), wire::Packing::GitBundle));
}

#[test]
fn a_workspace_that_is_not_the_one_that_was_forked_is_not_taken_in() {
    let rows = Database::default().write("u1", &parent().rows).of("u1");
    let mut child = fork("u2", &trunk("u1", None, &rows[..28]), Vec::new());
    (0..2).for_each(|_| assert!(child.step()));
    let loaded = WorkspaceLoaded { digest: Digest::of("blob"), base_commit: "b".to_owned(), head_commit: "other".to_owned(), files: 1 };
    assert!(!child.state.is_what_was_forked(&loaded));
    let refused = child.state.clone().apply(Seq(4), at(0), &Event::WorkspaceLoaded(loaded.clone())).unwrap_err();
    assert!(refused.to_string().contains("not the one that was forked"), "{refused}");
    assert!(child.state.is_what_was_forked(&WorkspaceLoaded { head_commit: "h".to_owned(), ..loaded }));
}

#[test]
fn a_fork_begins_with_nothing_but_the_place_that_it_names() {
    let rows = Database::default().write("u1", &parent().rows).of("u1");
    let (here, there) = (trunk("u1", None, &rows[..28]), trunk("u1", None, &rows[..11]));
    let mut child = fork("u2", &here, Vec::new());
    child.step();
    let first = child.rows[0].1.clone();
    let begun =
        |branch: Option<Branch>, event: &Event| RunState::with("u2", branch).apply(Seq(1), at(0), event).map_err(|error| error.to_string());
    assert_eq!(begun(here.branch().ok(), &first), Ok(()));
    for (branch, event, why) in [
        (None, first.clone(), "whose rows were not read before it"),
        (there.branch().ok(), first.clone(), "another place"),
        (here.branch().ok(), changed(&first, |started| started.forked_from = None), "it was not forked"),
        (here.branch().ok(), changed(&first, |started| started.namespace = "other".to_owned()), "another place"),
        (here.branch().ok(), changed(&first, |started| started.spec.workspace.digest = Digest::of("other")), "another place"),
        (here.branch().ok(), changed(&first, |started| started.spec.role = Role::Planner), "another place"),
    ] {
        let refused = begun(branch, &event).unwrap_err();
        assert!(refused.contains(why), "{refused} lacks {why}");
    }
}

fn changed(event: &Event, change: impl FnOnce(&mut RunStarted)) -> Event {
    let Event::RunStarted(mut started) = event.clone() else { panic!("{event:?}") };
    change(&mut started);
    Event::RunStarted(started)
}

#[test]
fn a_row_that_was_edited_is_named() {
    let mut rows = Database::default().write("u1", &parent().rows).of("u1");
    let whole = rows.clone();
    rows[6].body = rows[6].body.replace("fs.read", "fs.list");
    let mut edited = Trunk::new("u1", None);
    let found = rows.iter().try_for_each(|row| edited.row(row)).unwrap_err();
    assert!(matches!(found, Withered::Changed { seq: 7, .. }), "{found}");
    rows[6].hash = rows[6].computed_hash().unwrap();
    let mut written_anew = Trunk::new("u1", None);
    let found = rows.iter().try_for_each(|row| written_anew.row(row)).unwrap_err();
    assert!(matches!(found, Withered::Rewritten { seq: 7, .. }), "{found}");
    let mut gap = Trunk::new("u1", None);
    gap.row(&whole[0]).unwrap();
    assert!(matches!(gap.row(&whole[2]), Err(Withered::Unreadable { seq: 3, .. })));
}

#[test]
fn a_fork_of_a_fork_goes_on_from_both() {
    let mut database = Database::default();
    let rows = database.write("u1", &parent().rows).of("u1");
    let first = trunk("u1", None, &rows[..28]);
    let child = fork("u2", &first, vec![answer(vec![read("d")]), answer(vec![finish()])]).run();
    let rows = database.write("u2", &child.rows).of("u2");
    let kinds: Vec<&str> = rows.iter().map(|row| row.kind.as_str()).collect();
    let reflect = kinds.iter().position(|kind| *kind == "reflect").unwrap();
    let second = trunk("u2", first.branch().ok(), &rows[..=reflect]);
    let grandchild = fork("u3", &second, vec![answer(vec![finish()])]).run();
    assert_eq!(grandchild.reason(), EndReason::Finished);
    assert_eq!(grandchild.state.inherited.forks_deep, 2);
    assert_eq!(grandchild.state.messages.len(), second.branch().unwrap().parent().map_or(0, |_| first_messages() + 2 + 1));
    let rows = database.write("u3", &grandchild.rows).of("u3");
    let verified = database.verify().unwrap();
    assert_eq!(verified.links, ForkLinks { met: 2, ..ForkLinks::default() });
    let texts = replayed(second.branch().ok(), &rows).unwrap();
    assert!(texts.finished && texts.commands > 0);
}

/// Messages of [`parent`] up to its commit's checkpoint: three answers, four results.
fn first_messages() -> usize {
    7
}

#[test]
fn forks_are_only_so_deep() {
    let mut branch = None;
    let mut uid = "u1".to_owned();
    for deep in 0..=limits_deep() {
        let mut shell = Shell::new(keeping(), vec![answer(vec![finish()])]);
        shell.spec.workspace = branch.as_ref().map_or(shell.spec.workspace.clone(), |branch: &Branch| branch.workspace.clone());
        shell.state = RunState::with(&uid, branch.clone());
        shell.branch = branch.clone();
        (0..3).for_each(|_| assert!(shell.step()));
        let rows = Database::default().write(&uid, &shell.rows).of(&uid);
        let trunk = trunk(&uid, branch.clone(), &rows);
        if deep == limits_deep() {
            assert_eq!(trunk.branch().unwrap_err(), NoFork::TooDeep);
        } else {
            branch = trunk.branch().ok();
            assert!(branch.is_some(), "{deep}");
        }
        uid = format!("u{}", deep + 2);
    }
}

fn limits_deep() -> u32 {
    crate::limits::MAX_FORKS_DEEP
}

#[test]
fn what_asks_no_model_is_not_forked() {
    let mut acceptance = spec(Role::Acceptance);
    acceptance.routes.clear();
    acceptance.commands = vec![AcceptanceCommand { argv: vec!["true".to_owned()], timeout_seconds: 9 }];
    let rows = Database::default().write("u1", &Shell::new(acceptance, Vec::new()).run().rows).of("u1");
    assert_eq!(trunk("u1", None, &rows[..5]).point(), Err(NoFork::AsksNoModel("Acceptance")));
}

#[test]
fn what_is_reserved_or_failed_is_in_flight() {
    let account = "ns/default".to_owned();
    let key = "u1/m1".to_owned();
    let amounts = crate::budget::Amounts { tokens: 9, ..crate::budget::Amounts::default() };
    let mut shell = Shell::new(keeping(), Vec::new());
    (0..3).for_each(|_| assert!(shell.step()));
    let point = |shell: &Shell| trunk("u1", None, &Database::default().write("u1", &shell.rows).of("u1")).point();
    assert!(point(&shell).is_ok());
    shell.push(Event::BudgetReserved(BudgetReserved { account: account.clone(), key: key.clone(), amounts }));
    assert!(point(&shell).unwrap_err().to_string().contains("reserved"));
    shell.push(Event::BudgetSettled(BudgetSettled { account, key, used: amounts, in_full: true }));
    assert!(point(&shell).is_ok());
    shell.push(Event::RunSuspended(Suspension::default()));
    assert!(point(&shell).is_ok(), "that the parent was stopped is the parent's");
    shell.push(Event::RunResumed(Resumption::default()));
    let failure = ModelAnswered::Failure { failure: ModelFailure::Unavailable, message: "no".to_owned(), attempts: 1, sent: false };
    shell.script = vec![failure];
    assert!(shell.step());
    assert!(point(&shell).unwrap_err().to_string().contains("did not answer"));
}

#[test]
fn verify_holds_a_fork_to_the_row_that_it_names() {
    let mut database = Database::default();
    let rows = database.write("u1", &parent().rows).of("u1");
    let child = fork("u2", &trunk("u1", None, &rows[..28]), vec![answer(vec![finish()])]).run();
    database.write("u2", &child.rows);
    assert_eq!(database.verify().unwrap().links.met, 1);
    let begun = rows.len();
    let with = |change: fn(&mut crate::journal::ForkedFrom)| {
        let mut child = child.rows.clone();
        child[0].1 = changed(&child[0].1, |started| change(started.forked_from.as_mut().unwrap()));
        let mut database = Database { rows: rows.clone() };
        database.write("u2", &child).verify()
    };
    let other = with(|from| from.hash = Digest::of("other")).unwrap_err();
    assert!(matches!(&other, ChainError::Fork { gseq, seq: 28, .. } if *gseq == begun as u64 + 1), "{other}");
    let beyond = with(|from| from.seq = Seq(99)).unwrap_err();
    assert!(beyond.to_string().contains("had only 41 rows by then"), "{beyond}");
    let absent = with(|from| from.uid = "gone".to_owned()).unwrap().links;
    assert_eq!((absent.met, absent.absent.len()), (0, 1), "it is said, and not taken for true");
    // The parent written anew as a whole, by somebody who forgot its fork.
    let mut forged = rows.clone();
    forged[6].body = forged[6].body.replace("fs.read", "fs.list");
    let mut all = Database { rows: forged };
    all.write("u2", &child.rows);
    let mut prev = Digest::ZERO;
    for row in &mut all.rows {
        row.prev = prev;
        row.hash = row.computed_hash().unwrap();
        prev = row.hash;
    }
    let found = all.verify().unwrap_err();
    assert!(matches!(&found, ChainError::Fork { seq: 28, .. }), "{found}");
}

#[test]
fn a_row_too_far_back_to_be_remembered_is_left_to_be_looked_at() {
    let mut database = Database::default();
    let rows = database.write("u1", &parent().rows).of("u1");
    let child = fork("u2", &trunk("u1", None, &rows[..28]), Vec::new()).run();
    let between: Vec<(Timestamp, Event)> =
        (0..crate::limits::SIGNED_WITHIN_ROWS).map(|_| (at(0), Event::ThoughtSummary { text: "t".to_owned() })).collect();
    database.write("long", &between).write("u2", &child.rows);
    let links = database.verify().unwrap().links;
    assert_eq!((links.met, links.far.len()), (0, 1));
    let link = &links.far[0];
    assert_eq!(link.meet(Some(&rows[27])), Ok(()));
    assert!(matches!(link.meet(Some(&rows[26])), Err(ChainError::Fork { .. })));
    assert!(matches!(link.meet(None), Err(ChainError::Fork { .. })));
}

#[test]
fn a_fork_is_replayed_after_its_parent_and_not_without_it() {
    let mut database = Database::default();
    let rows = database.write("u1", &parent().rows).of("u1");
    let at = trunk("u1", None, &rows[..28]);
    let child = fork("u2", &at, vec![answer(vec![read("d"), write("e")]), answer(vec![commit()]), answer(vec![finish()])]).run();
    let own = database.write("u2", &child.rows).of("u2");
    let said = replayed(at.branch().ok(), &own).unwrap();
    assert_eq!((said.rows, said.finished), (own.len() as u64, true));
    let Err(Stopped::Diverged(alone)) = replayed(None, &own) else { panic!("replayed without its parent") };
    assert_eq!(alone.seq, 1);
    assert!(alone.today.why.contains("whose rows were not read before it"), "{alone:?}");
}

/// An answer of up to three calls, of which any may be one that is not understood.
fn any_answer() -> impl Strategy<Value = ModelAnswered> {
    let tool = prop_oneof![
        Just(read("a")),
        Just(read("b")),
        Just(write("b")),
        Just(commit()),
        Just(call("tests.run", json!({ "argv": ["false"] }))),
        Just(call("rm", json!({}))),
        Just(call("fs.read", json!({ "path": 3 }))),
    ];
    proptest::collection::vec(tool, 0..=3).prop_map(answer)
}

proptest! {
    /// With the same spec, and where the same is answered, a fork does what its parent did: nothing is counted twice, or left out.
    #[test]
    fn a_fork_that_hears_the_same_does_the_same(script in proptest::collection::vec(any_answer(), 1..12), place in any::<prop::sample::Index>()) {
        let script: Vec<ModelAnswered> = script.into_iter().chain([answer(vec![finish()])]).collect();
        let shell = Shell::new(keeping(), script.clone()).run();
        let mut database = Database::default();
        let rows = database.write("u1", &shell.rows).of("u1");
        let mut parent = Trunk::new("u1", None);
        let mut branches = Vec::new();
        for row in &rows {
            parent.row(row).unwrap();
            branches.extend(parent.branch().map(|branch| (row.seq.0 as usize, branch)));
        }
        let (seq, branch) = &branches[place.index(branches.len())];
        let answered = shell.rows[..*seq].iter().filter(|(_, event)| event.kind() == "model.response").count();
        let trunk = trunk("u1", None, &rows[..*seq]);
        let child = fork("u2", &trunk, script[answered..].to_vec()).run();
        // What its sandbox takes to start is its own.
        prop_assert_eq!(&child.kinds()[5..], &shell.kinds()[*seq..]);
        prop_assert_eq!(&child.state.messages, &shell.state.messages);
        prop_assert_eq!(child.state.finished.as_ref().map(|end| (end.reason, &end.message)), shell.state.finished.as_ref().map(|end| (end.reason, &end.message)));
        prop_assert_eq!((child.state.step, child.state.tool_calls, child.state.output_bytes), (shell.state.step, shell.state.tool_calls, shell.state.output_bytes));
        prop_assert!(child.rows.iter().all(|(_, event)| !serde_json::to_string(event).unwrap().contains("\"u1/")), "a key of the parent's");
        let own = database.write("u2", &child.rows).of("u2");
        prop_assert_eq!(database.verify().unwrap().links.met, 1);
        prop_assert!(replayed(Some(branch.clone()), &own).is_ok());
    }
}
