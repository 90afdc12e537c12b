//! Plays a scenario: one world from its first object to a state in which nothing happens any more.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;
use http::Request;
use reeve_core::journal::Row;
use reeve_core::journal::sign::Signer;
use reeve_operator::Keys;
use serde_json::{Value, json};

use super::faults::{ApiFault, Asked, Branches, Counts, Crash, Fault, JournalFault, LAG_ENDS_MS, Lag, Plan, Refusal, Standing, WatchFault};
use super::fork;
use super::objects::{self, shown};
use super::operator::{Life, NAMESPACE as OWN, Woke, restart_ms};
use super::oracle::{anchors, rows_of, writes_too_late};
use super::requests::{PUT_OFF_MS, Requests, Struck};
use super::sabotage::Sabotage;
use super::scenario::{ELSEWHERE, Expected, NAMESPACE, Named, Scenario, Verb, Wanted};
use super::sim::{BEGAN, Shared, Sim};
use crate::api::{Answer, ApiServer, Caller, Kinds};

/// What every world has.
const WORLD: &str = include_str!("world.yaml");

/// The number of a world, and what goes wrong in it beside what its text says.
#[derive(Clone, Debug)]
pub struct Setting {
    /// Decides all order and delay.
    pub seed: u64,
    /// Kills.
    pub crashes: Vec<Crash>,
    /// How far caches are behind.
    pub lag: Lag,
    /// What happens to events of watches, by number from 1.
    pub events: Vec<(u64, WatchFault)>,
    /// What the journal does to appends, by number from 1.
    pub journal: Vec<(u64, JournalFault)>,
    /// What becomes of requests, by number from 1.
    pub requests: Vec<(u64, ApiFault)>,
    /// What the server refuses for longer.
    pub refusals: Vec<Refusal>,
    /// A mistake in the operator.
    pub sabotage: Option<Sabotage>,
    /// How long nothing may be written at the end, milliseconds.
    pub quiet_ms: u64,
}

impl Setting {
    /// Nothing goes wrong, and ten minutes are quiet.
    #[must_use]
    pub fn of(seed: u64) -> Setting {
        Setting {
            seed,
            crashes: Vec::new(),
            lag: Lag::default(),
            events: Vec::new(),
            journal: Vec::new(),
            requests: Vec::new(),
            refusals: Vec::new(),
            sabotage: None,
            quiet_ms: 600_000,
        }
    }

    /// All that goes wrong, each as a line of a scenario has it.
    #[must_use]
    pub fn faults(&self) -> Vec<Fault> {
        let Setting { crashes, lag, events, journal, requests, refusals, .. } = self;
        let lag = Some(*lag).filter(|lag| *lag != Lag::default());
        let crashes = crashes.iter().map(|crash| Fault::Crash(*crash));
        let events = events.iter().map(|(number, fault)| Fault::Event(*number, *fault));
        let journal = journal.iter().map(|(number, fault)| Fault::Append(*number, *fault));
        let requests = requests.iter().map(|(number, fault)| Fault::Request(*number, *fault));
        let refusals = refusals.iter().cloned().map(Fault::Refusal);
        lag.map(Fault::Lag).into_iter().chain(crashes).chain(events).chain(journal).chain(requests).chain(refusals).collect()
    }
}

/// What came of a world.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// What happened, line by line.
    pub tale: Vec<String>,
    /// How often each point was passed until the text ended.
    pub counts: Counts,
    /// Everything that was counted, until all was quiet.
    pub steps: u64,
    /// Requests of the operator by verb and kind, with how often each was made.
    pub asked: BTreeMap<(&'static str, String), u64>,
    /// Requests that something happened to, in order.
    pub struck: Vec<Struck>,
    /// The most requests about one thing that something happened to within a minute.
    pub busiest: Option<(u64, Asked)>,
    /// Objects whose status has named such a refusal, by the same keys as [`Outcome::end`].
    pub named: BTreeSet<String>,
    /// What is there at the end, each object in brief.
    pub end: BTreeMap<String, String>,
    /// What must not be, with the line of the text if one says so.
    pub wrong: Vec<String>,
}

/// A world while it is played.
struct Play {
    shared: Arc<Shared>,
    life: Life,
    lives: u64,
    /// How many of them gave up, up to now, one after the other.
    gave_up: u32,
    seed: u64,
    /// Writes of the operator when the last wait began.
    written: u64,
}

/// Plays a scenario. The same scenario and setting give the same outcome, to the byte.
///
/// # Errors
/// What kept the world from being set up.
pub fn play(kinds: &Arc<Kinds>, scenario: &Scenario, setting: &Setting) -> Result<Outcome, String> {
    play_branching(kinds, scenario, setting, Branches::default())
}

/// As [`play`], in a world that may become one of others where these part from it. The outcome is that of the world that it became, and the
/// same as if that had been played by itself.
///
/// # Errors
/// As [`play`].
pub fn play_branching(kinds: &Arc<Kinds>, scenario: &Scenario, setting: &Setting, branches: Branches) -> Result<Outcome, String> {
    // The client's backoff draws from here.
    let seed = scenario.seed.unwrap_or(setting.seed);
    fastrand::seed(seed);
    let mut api = ApiServer::new(seed, BEGAN, Arc::clone(kinds));
    for namespace in [NAMESPACE, OWN] {
        api.add_namespace(BEGAN, namespace);
    }
    if !scenario.installed.watches.is_empty() {
        api.add_namespace(BEGAN, ELSEWHERE);
    }
    // Which key it is says nothing: the same one in every world.
    let keys = scenario.installed.signed.then(|| Keys::only(Signer::from_seed(&[7; 32])));
    let mut plan = Plan { branches, ..Plan::default() };
    setting.faults().into_iter().for_each(|fault| plan.add(&Counts::default(), fault));
    let shared = Shared::new(seed, api, plan, keys, &scenario.installed.watches);
    shared.lock().sabotage = setting.sabotage;
    shared.watch_journal();
    let life = Life::begin(&shared, 0, 1).map_err(|error| error.to_string())?;
    let mut play = Play { shared, life, lives: 1, gave_up: 0, seed, written: 0 };
    let base: Vec<Value> = serde_saphyr::from_multiple(WORLD).map_err(|error| error.to_string())?;
    for object in base {
        play.apply(&object)?;
    }
    let mut wrong = Vec::new();
    for step in &scenario.steps {
        if let Err(why) = play.step(&step.verb) {
            wrong.push(format!("{}:{}: {why}", scenario.name, step.line));
            // A write too many keeps nothing from going on.
            if !matches!(step.verb, Verb::Expect(Expected::Writes(_))) {
                break;
            }
        }
    }
    let counts = play.shared.lock().counts;
    play.settle(setting.quiet_ms, &mut wrong)?;
    play.end(counts, wrong)
}

impl Play {
    fn step(&mut self, verb: &Verb) -> Result<(), String> {
        match verb {
            Verb::Model(transcript) => self.apply(&json!({
                "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": "answers" }, "data": { "transcript.yaml": transcript },
            })),
            Verb::Apply(objects) => objects.iter().try_for_each(|object| self.apply(object)),
            Verb::Fork(fork) => {
                let rows = self.rows()?;
                self.apply(&fork::object(fork, &rows)?)
            }
            Verb::Until { wanted, within_ms } => {
                let wanted = wanted.clone();
                self.wait(*within_ms, |sim| shows(sim, &wanted).is_ok())?;
                self.check(&wanted)
            }
            Verb::Expect(expected) => self.expect(expected),
            Verb::Tick(ms) => {
                self.come_level()?;
                self.wait(*ms, |_| false)
            }
            Verb::Patch(object, patch) => self.ask("alice", "PATCH", object, patch).map(|_| ()),
            Verb::Delete(object) => self.ask("alice", "DELETE", object, &json!({})).map(|_| ()),
            Verb::Vote { approval, who, verdict } => {
                let votes = json!({ "spec": { "votes": { who: { "verdict": verdict, "reason": "as the scenario says" } } } });
                let voted = self.ask(who, "PATCH", approval, &votes)?;
                self.life.meanwhile(|sim| sim.oracle.voted(who, &voted, sim.now_ms()));
                Ok(())
            }
            Verb::Evict(run) => self.evict(run),
            Verb::CrashNow => self.restart(),
            Verb::Fault(fault) => {
                let mut sim = self.shared.lock();
                // Counted from here on.
                let counts = sim.counts;
                sim.plan.add(&counts, fault.clone());
                Ok(())
            }
            Verb::Allow(verb, kind) => {
                let is_it = |refusal: &Refusal| (&refusal.verb, &refusal.kind) == (verb, kind);
                self.shared.lock().plan.refusals.retain(|standing| !is_it(&standing.refusal));
                Ok(())
            }
        }
    }

    /// What the journal has, while nobody writes: everything waits for what is done here.
    fn rows(&self) -> Result<Vec<Row>, String> {
        let runtime = tokio::runtime::Builder::new_current_thread().build().map_err(|error| error.to_string())?;
        runtime.block_on(rows_of(&self.shared.journal.open(), &self.shared.artifacts))
    }

    /// Applies an object as its user does.
    fn apply(&mut self, object: &Value) -> Result<(), String> {
        let word = objects::word_of(object).ok_or_else(|| format!("no such kind: {}", object["kind"]))?;
        let text = |field: &str| object["metadata"][field].as_str();
        let named = Named {
            word: word.to_owned(),
            namespace: text("namespace").unwrap_or(NAMESPACE).to_owned(),
            name: text("name").unwrap_or_default().to_owned(),
        };
        self.ask("alice", "APPLY", &named, object).map(|_| ())
    }

    fn ask(&mut self, who: &str, verb: &str, object: &Named, body: &Value) -> Result<Value, String> {
        let path = objects::path(&object.word, &object.namespace, &object.name).ok_or("no such kind")?;
        let (method, path, kind) = match verb {
            "APPLY" => ("PATCH", format!("{path}?fieldManager=kubectl&force=true"), "application/apply-patch+yaml"),
            other => (other, path, "application/merge-patch+json"),
        };
        let request = Request::builder().method(method).uri(path).header(http::header::CONTENT_TYPE, kind);
        let request = request.body(Bytes::from(body.to_string())).map_err(|error| error.to_string())?;
        let told = format!("{who:<9} {} {}/{}", verb.to_lowercase(), object.word, object.name);
        self.life.meanwhile(|sim| {
            let now = sim.now();
            match sim.api.handle(now, &Caller::user(who), &request) {
                Answer::Whole(code, body) if code < 300 => {
                    sim.tale.tell(told);
                    Ok((*body).clone())
                }
                Answer::Whole(code, body) => Err(format!("{told}: {code} {}", body["message"].as_str().unwrap_or_default())),
                Answer::Watch(_) => Err("a watch was not asked for".to_owned()),
            }
        })
    }

    fn evict(&mut self, run: &Named) -> Result<(), String> {
        let job = run.name.clone();
        let namespace = run.namespace.clone();
        self.life.meanwhile(|sim| {
            let pod = sim.api.object("", "pods", &namespace, &format!("{job}-0")).cloned().ok_or("it has no Pod")?;
            sim.tale.tell(format!("cluster   the node of run/{job} goes away"));
            sim.evict(&pod);
            Ok(())
        })
    }

    /// Lets late caches hear of all that has happened, and what that brings about be written, before writes are counted: whoever writes
    /// from then on knows all there is to know.
    fn come_level(&mut self) -> Result<(), String> {
        let late = self.shared.lock().plan.lag.changes > 0;
        if late { self.wait(5 * LAG_ENDS_MS, |_| false) } else { Ok(()) }
    }

    /// Waits until it holds, or so long.
    fn wait(&mut self, ms: u64, holds: impl Fn(&Sim) -> bool) -> Result<(), String> {
        let now = self.life.meanwhile(|sim| sim.now_ms());
        self.written = self.shared.lock().requests.writes.len() as u64;
        let until = now.saturating_add(ms);
        while self.life.live(until, |shared| holds(&shared.lock())) == Woke::Dead {
            self.restart()?;
        }
        Ok(())
    }

    fn restart(&mut self) -> Result<(), String> {
        let at = self.life.meanwhile(|sim| {
            sim.tale.tell("operator  is killed");
            sim.now_ms()
        });
        let gave_up = std::mem::take(&mut self.shared.lock().gave_up);
        self.gave_up = if gave_up { self.gave_up + 1 } else { 0 };
        let lied = {
            let mut sim = self.shared.lock();
            let lies = sim.sabotage == Some(Sabotage::WrittenTooSoon);
            let rows = if lies { std::mem::take(&mut sim.mind.last_rows) } else { 0 };
            sim.oracle.forgotten(rows as u64);
            rows
        };
        self.shared.journal.forget(lied);
        self.lives += 1;
        let at = at + restart_ms(self.seed, self.lives, self.gave_up);
        self.life = Life::begin(&self.shared, at, self.lives).map_err(|error| error.to_string())?;
        let mut sim = self.shared.lock();
        sim.oracle.restarted(at);
        sim.tale.tell("operator  starts");
        Ok(())
    }

    fn check(&self, wanted: &Wanted) -> Result<(), String> {
        shows(&self.shared.lock(), wanted)
    }

    fn expect(&self, expected: &Expected) -> Result<(), String> {
        let (unaccounted, begun) = {
            let sim = self.shared.lock();
            let begun = sim.sandboxes.begun().values().map(|times| u64::from(*times)).sum::<u64>();
            (sim.requests.unaccounted(self.written), begun)
        };
        let (what, wanted, found) = match expected {
            Expected::Object(wanted) => return self.check(wanted),
            Expected::Writes(wanted) => ("writes", *wanted, unaccounted),
            Expected::Effects(wanted) => ("effects", *wanted, begun),
        };
        if wanted == found { Ok(()) } else { Err(format!("expected {wanted} {what}, found {found}")) }
    }

    /// Lets everything come to rest, once what is refused for a while is granted again, and holds that it stays so.
    fn settle(&mut self, quiet_ms: u64, wrong: &mut Vec<String>) -> Result<(), String> {
        self.wait(90_000, |_| false)?;
        let (now, granted) = {
            let sim = self.shared.lock();
            (sim.now_ms(), sim.plan.refusals.iter().filter_map(Standing::granted_ms).max())
        };
        if let Some(granted) = granted.map(|at| at + PUT_OFF_MS).filter(|at| *at > now) {
            self.wait(granted - now, |_| false)?;
        }
        self.wait(quiet_ms, |_| false)?;
        let written = self.shared.lock().requests.unaccounted(self.written);
        if written > 0 {
            wrong.push(format!("{written} writes in {} s in which nothing happened", quiet_ms / 1000));
        }
        Ok(())
    }

    fn end(self, counts: Counts, mut wrong: Vec<String>) -> Result<Outcome, String> {
        let rows = self.rows();
        wrong.extend(anchors::unanchored(&self.shared)?);
        let Play { shared, life, lives, .. } = self;
        drop(life);
        if lives > 1 {
            let runtime = tokio::runtime::Builder::new_current_thread().build().map_err(|error| error.to_string())?;
            if runtime.block_on(writes_too_late(&shared)) {
                wrong.push("an operator that leads no more has written to the journal".to_owned());
            }
        }
        let mut sim = shared.lock();
        match rows {
            Ok(rows) => wrong.extend(sim.verdict(&rows)),
            Err(why) => wrong.push(why),
        }
        let ours = sim.api.objects().filter(|(key, _)| key.starts_with("reeve.dev/"));
        let end = ours.map(|(key, object)| (key.trim_start_matches("reeve.dev/").to_owned(), shown(object))).collect();
        let busiest = sim.requests.busiest();
        let (Requests { asked, struck, .. }, named) = (std::mem::take(&mut sim.requests), std::mem::take(&mut sim.oracle.named));
        let steps = sim.counts.steps();
        Ok(Outcome { tale: sim.tale.lines().to_vec(), counts, steps, asked, struck, busiest, named, end, wrong })
    }
}

/// Whether an object shows this, or what it shows instead.
fn shows(sim: &Sim, wanted: &Wanted) -> Result<(), String> {
    let Named { word, namespace, name } = &wanted.object;
    let (_, group, _, plural) = objects::KINDS.iter().find(|(known, ..)| known == word).ok_or("no such kind")?;
    let found = sim.api.object(group, plural, namespace, name);
    let Some(object) = found else {
        return if wanted.absent { Ok(()) } else { Err(format!("{word}/{name} is not there")) };
    };
    let phase = object["status"]["phase"].as_str();
    let fits = |wanted: &Option<String>, found: Option<&str>| wanted.is_none() || wanted.as_deref() == found;
    if !wanted.absent && fits(&wanted.phase, phase) && fits(&wanted.reason, objects::reason(object)) {
        return Ok(());
    }
    Err(format!("{word}/{name} shows {:?}", shown(object)))
}
