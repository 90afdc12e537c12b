//! `kubectl reeve replay` and `what-if`: a run of the cluster, its rows and policy texts from the operator's read API.

use std::collections::BTreeSet;
use std::path::PathBuf;

use clap::Args;
use kube::{Api, Client};
use reeve_api::PolicySet;
use reeve_core::Digest;
use reeve_core::journal::{Event, Row};
use reeve_core::policy::{Instead, Texts};

use crate::cluster::Connection;
use crate::exit::Failure;
use crate::journal::{Branches, Hypothesis, Replays, read_policy};
use crate::lineage;
use crate::output::OutputFormat;
use crate::read_api::{ReadApi, Reeve};

pub(crate) const EXAMPLES_REPLAY: &str = "\
Examples:
  kubectl reeve replay say-hello
  kubectl reeve replay say-hello -n team-a -o json

Exit codes: 0 the same commands come out; 1 they do not, and the first divergence is shown; 2 it could not be tried.";

pub(crate) const EXAMPLES_WHAT_IF: &str = "\
Examples:
  kubectl reeve what-if say-hello --policy stricter.yaml
  kubectl reeve what-if say-hello --policy-set team -n team-a

The set takes the place of the one of its name that was in force; where there was none, it is added. The others stay in force next to it.

Exit codes: 0 nothing is allowed that was not; 1 a call would go on that was denied, or waited for people; 2 it could not be tried.";

/// Which run.
#[derive(Args, Debug)]
struct Recorded {
    /// Name of the AgentRun
    run: String,
    /// The run of this UID, where the name was used again; default the newest
    #[arg(long, value_name = "UID")]
    uid: Option<String>,
    /// Form of the answer
    #[arg(short, long, value_enum, default_value_t)]
    output: OutputFormat,
    #[command(flatten)]
    reeve: Reeve,
}

/// Folds a recorded run through this version's code, without any effect.
#[derive(Args, Debug)]
pub(crate) struct ReplayRun {
    #[command(flatten)]
    recorded: Recorded,
}

/// Judges a run's tool calls again, under another PolicySet.
#[derive(Args, Debug)]
pub(crate) struct WhatIfRun {
    #[command(flatten)]
    recorded: Recorded,
    /// A PolicySet in YAML or JSON, or Cedar policies as they are in a file that ends in .cedar
    #[arg(long, value_name = "FILE", required_unless_present = "policy_set", conflicts_with = "policy_set")]
    policy: Option<PathBuf>,
    /// Which set the file stands for: [NAMESPACE/]NAME; default what it says, and for Cedar the file's own name
    #[arg(long = "in-place-of", value_name = "SET", requires = "policy")]
    stands_for: Option<String>,
    /// A PolicySet of the cluster, in force or not: [NAMESPACE/]NAME; without a namespace one of the run's
    #[arg(long, value_name = "SET")]
    policy_set: Option<String>,
}

impl ReplayRun {
    /// Replays it.
    pub(crate) async fn run(self, connection: &Connection) -> Result<(), Failure> {
        let (client, namespace) = connection.connect().await?;
        let (rows, texts, branches) = self.recorded.fetch(client, &namespace).await?;
        let mut replays = Replays::of(branches);
        rows.iter().try_for_each(|row| replays.row(&texts, row))?;
        replays.end(self.recorded.output)
    }
}

impl WhatIfRun {
    /// Judges it.
    pub(crate) async fn run(self, connection: &Connection) -> Result<(), Failure> {
        let (client, namespace) = connection.connect().await?;
        let instead = match (&self.policy, &self.policy_set) {
            (Some(file), _) => read_policy(file, self.stands_for.as_deref())?,
            (None, Some(set)) => of_cluster(client.clone(), &namespace, set).await?,
            (None, None) => return Err(Failure::unusable("give --policy or --policy-set")),
        };
        let (rows, texts, branches) = self.recorded.fetch(client, &namespace).await?;
        let mut hypothesis = Hypothesis::new(instead, branches);
        rows.iter().try_for_each(|row| hypothesis.row(&texts, row))?;
        hypothesis.end(self.recorded.output)
    }
}

async fn of_cluster(client: Client, namespace: &str, set: &str) -> Result<Instead, Failure> {
    let (of, name) = set.split_once('/').unwrap_or((namespace, set));
    let found = Api::<PolicySet>::namespaced(client, of).get(name).await;
    let found = found.map_err(|error| Failure::unusable(format!("reading PolicySet {of}/{name}: {error}")))?;
    Instead::of(Some(of.to_owned()), name.to_owned(), &found.spec)
        .map_err(|why| Failure::unusable(format!("PolicySet {of}/{name} would never come into force: {why}")))
}

impl Recorded {
    /// Every row of the run, the texts that its decisions name, and what it goes on from if it was forked.
    async fn fetch(&self, client: Client, namespace: &str) -> Result<(Vec<Row>, Texts, Branches), Failure> {
        let mut api = ReadApi::new(client, &self.reeve);
        let doing = format!("reading the journal of {namespace}/{}", self.run);
        let read = lineage::rows(&mut api, namespace, &self.run, self.uid.as_deref()).await;
        let rows = read.map_err(|error| Failure::unusable(format!("{doing}: {error}")))?;
        let branch = lineage::branch(&mut api, namespace, &rows).await?;
        let whole = lineage::whole(&mut api, rows).await.map_err(|why| Failure::unusable(format!("{doing}: {why}")))?;
        let rows: Vec<Row> = whole.into_iter().map(|(_, whole)| whole).collect();
        let branches = rows.first().zip(branch).map(|(first, branch)| (first.stream.clone(), branch)).into_iter().collect();
        let mut texts = Texts::default();
        for digest in named(&rows) {
            // A text that is not there is said where a decision needs it.
            if let Ok(text) = api.get(&format!("artifacts/{digest}")).await {
                texts.add(digest, &text);
            }
        }
        Ok((rows, texts, branches))
    }
}

/// The texts that decisions name. A row that cannot be read is said when it is its turn.
fn named(rows: &[Row]) -> BTreeSet<Digest> {
    let decisions = rows.iter().filter(|row| row.kind == "policy.decision").filter_map(|row| row.event().ok());
    let sets = decisions.flat_map(|event| if let Event::PolicyDecision(judgement) = event { judgement.sets } else { Vec::new() });
    sets.map(|(_, digest)| digest).collect()
}
