//! `kubectl reeve fork`: a new run that goes on from a row of another.

use clap::{Args, ValueEnum};
use kube::api::PostParams;
use kube::{Api, Client, ResourceExt as _};
use reeve_api::{AgentProfile, AgentRun, AgentRunSpec, LocalRef};
use reeve_core::journal::Row;
use reeve_core::names;
use reeve_core::run::{Branch, ForkPoint, NoFork, Trunk};

use crate::cluster::{Connection, refused};
use crate::exit::Failure;
use crate::govern::whoami;
use crate::lineage;
use crate::name;
use crate::output::{self, ObjectFormat, OutputFormat, Table};
use crate::read_api::{ReadApi, Reeve};

pub(crate) const EXAMPLES: &str = "\
Examples:
  # At which rows can it be forked?
  kubectl reeve fork say-hello

  # The same conversation from row 17 on, in a workspace as it was there, under another profile
  kubectl reeve fork say-hello --at 17 --profile careful

  # What would be created, to be changed and applied
  kubectl reeve fork say-hello --at 17 --name say-hello-again --dry-run=client -o yaml >again.yaml

The new run spends its own budget and asks for every approval anew. What the parent had committed and what it had loaded is restored; a file
that .gitignore hides is not kept.

Exit codes: 0 done; 1 it cannot be forked there, or the cluster refused; 2 it could not be tried.";

/// Forks a run: another one goes on from a row of its journal, with its conversation and its workspace as of there.
#[derive(Args, Debug)]
pub(crate) struct Fork {
    /// Name of the AgentRun
    #[arg(value_parser = name::of::<AgentRun>)]
    run: String,
    /// Row of its journal to go on from: the last one that both runs have. Left out: lists the rows at which it can be forked
    #[arg(long, value_name = "SEQ", value_parser = clap::value_parser!(u64).range(1..))]
    at: Option<u64>,
    /// Name of the new AgentRun; default RUN-at-SEQ
    #[arg(long, value_name = "NAME", requires = "at", value_parser = name::of::<AgentRun>)]
    name: Option<String>,
    /// AgentProfile of the new run, default the same: other prompts, models, tools
    #[arg(long, value_name = "NAME", requires = "at", value_parser = name::of::<AgentProfile>)]
    profile: Option<String>,
    /// Whether it is created: `client` only prints it, `server` lets the API server check it too
    #[arg(long, value_name = "WHERE", value_enum, default_value_t, requires = "at")]
    dry_run: DryRun,
    /// Form of the output
    #[arg(short, long, value_enum, default_value_t)]
    output: ObjectFormat,
    #[command(flatten)]
    reeve: Reeve,
}

/// As kubectl has it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum DryRun {
    /// It is created.
    #[default]
    None,
    /// It is printed.
    Client,
    /// It is checked, and not kept.
    Server,
}

/// A run's rows, folded.
struct Folded {
    /// Where it can be forked.
    points: Vec<ForkPoint>,
    /// What came of the row that was asked for.
    at: Option<Result<Branch, NoFork>>,
    last: u64,
}

impl Fork {
    /// Creates the fork, or lists where one can be made.
    pub(crate) async fn run(self, connection: &Connection) -> Result<(), Failure> {
        let (client, namespace) = connection.connect().await?;
        let api: Api<AgentRun> = Api::namespaced(client.clone(), &namespace);
        let doing = format!("reading AgentRun {namespace}/{}", self.run);
        let Some(parent) = api.get_opt(&self.run).await.map_err(refused(&doing))? else {
            return Err(Failure::no(format!(
                "expected an AgentRun in namespace {namespace:?}, which is where its forks are too; found none named {:?}. Name another \
                 namespace by -n. Of a run that was deleted the journal stays: an AgentRun that you write yourself can name it in spec.forkOf",
                self.run
            )));
        };
        let mut read = ReadApi::new(client.clone(), &self.reeve);
        let doing = format!("reading the journal of {namespace}/{}", self.run);
        let rows = match lineage::rows(&mut read, &namespace, &self.run, parent.metadata.uid.as_deref()).await {
            Ok(rows) => rows,
            Err(error) if error.is_missing() => {
                return Err(Failure::no(format!("AgentRun {namespace}/{} has not begun: create it again instead", self.run)));
            }
            Err(error) => return Err(Failure::unusable(format!("{doing}: {error}"))),
        };
        let branch = lineage::branch(&mut read, &namespace, &rows).await?;
        let uid = parent.uid().unwrap_or_default();
        let folded = fold(&uid, &rows, branch, self.at)?;
        match self.at {
            None => list(&folded, &rows, self.output),
            Some(at) => {
                let branch = self.chosen(&namespace, &folded, at)?;
                kept(&mut read, &branch).await?;
                self.fork(client, &namespace, parent, folded, branch).await
            }
        }
    }

    /// What a fork takes with it from the row that was asked for.
    fn chosen(&self, namespace: &str, folded: &Folded, at: u64) -> Result<Branch, Failure> {
        let (run, last) = (&self.run, folded.last);
        match &folded.at {
            Some(Ok(branch)) => Ok(branch.clone()),
            Some(Err(why)) => {
                let nearest = nearest(&folded.points, at);
                Err(Failure::no(format!("AgentRun {namespace}/{run} cannot be forked after row {at}: {why}. {nearest}")))
            }
            None => Err(Failure::no(format!(
                "expected --at with a row of AgentRun {namespace}/{run}, which has rows 1 to {last}, found {at}. \
                 To see where it can be forked: kubectl reeve fork {run} -n {namespace}"
            ))),
        }
    }

    async fn fork(self, client: Client, namespace: &str, parent: AgentRun, folded: Folded, branch: Branch) -> Result<(), Failure> {
        let (run, at) = (&self.run, branch.from.seq.0);
        let step = folded.points.iter().find(|point| point.seq == at).map_or(0, |point| point.step);
        let name = self.name.clone().unwrap_or_else(|| names::join(&[run, "at", &at.to_string()], names::MAX_JOB));
        let kept_at = branch.from.kept_at.0;
        let mut child = AgentRun::new(&name, spec_of(parent.spec, &branch, self.profile.as_deref()));
        child.metadata.namespace = Some(namespace.to_owned());
        child.spec.requested_by = Some(whoami(&client).await?);
        let (shown, how) = match self.dry_run {
            DryRun::Client => (child, "would be created (dry run)"),
            DryRun::None | DryRun::Server => {
                let dry_run = self.dry_run == DryRun::Server;
                let api: Api<AgentRun> = Api::namespaced(client, namespace);
                let made = api.create(&PostParams { dry_run, field_manager: None }, &child).await;
                let taken = matches!(&made, Err(kube::Error::Api(said)) if said.reason == "AlreadyExists");
                let doing = format!("creating AgentRun {namespace}/{name}");
                let doing = if taken { format!("{doing}, for which --name can give another name") } else { doing };
                let made = made.map_err(refused(doing))?;
                (made, if dry_run { "would be created (server dry run)" } else { "created" })
            }
        };
        output::object(self.output, &shown, || {
            format!("{} {how}: goes on from row {at} of {run}, step {step}, with its workspace as of row {kept_at}", output::named(&shown))
        })
    }
}

/// Sees to it that the workspace is where the operator will look for it.
async fn kept(read: &mut ReadApi, branch: &Branch) -> Result<(), Failure> {
    let (digest, row) = (branch.workspace.digest, branch.from.kept_at.0);
    match read.has(&format!("artifacts/{digest}")).await {
        Ok(true) => Ok(()),
        Ok(false) => Err(Failure::no(format!(
            "AgentRun {:?} cannot be forked after row {}: its workspace as of row {row} is not in the artifact store any more. Put artifact \
             {digest} back, or fork it at a row whose workspace is as of another row",
            branch.from.name, branch.from.seq.0
        ))),
        Err(error) => Err(Failure::unusable(format!("asking for artifact {digest}: {error}"))),
    }
}

/// The parent's spec, but for what a fork has from the parent's journal and what was asked of the parent alone.
fn spec_of(parent: AgentRunSpec, branch: &Branch, profile: Option<&str>) -> AgentRunSpec {
    let AgentRunSpec { role, autonomy_level, profile_ref, limits, budget_ref, approval, .. } = parent;
    AgentRunSpec {
        requested_by: None,
        suspended: false,
        role,
        objective: None,
        task: None,
        goal_ref: None,
        autonomy_level,
        profile_ref: profile.map_or(profile_ref, |name| LocalRef { name: name.to_owned() }),
        workspace: None,
        fork_of: Some(branch.from.as_spec()),
        commands: None,
        limits,
        budget_ref,
        approval,
        merge: None,
        answers: None,
    }
}

fn fold(uid: &str, rows: &[Row], branch: Option<Branch>, at: Option<u64>) -> Result<Folded, Failure> {
    let mut trunk = Trunk::new(uid, branch);
    let mut folded = Folded { points: Vec::new(), at: None, last: rows.last().map_or(0, |row| row.seq.0) };
    for row in rows {
        trunk.row(row).map_err(|error| Failure::no(format!("its journal is not what was written: {error}")))?;
        folded.points.extend(trunk.point().ok());
        if at == Some(row.seq.0) {
            folded.at = Some(trunk.branch());
        }
    }
    Ok(folded)
}

fn nearest(points: &[ForkPoint], at: u64) -> String {
    let before = points.iter().rev().find(|point| point.seq < at).map(|point| point.seq.to_string());
    let after = points.iter().find(|point| point.seq > at).map(|point| point.seq.to_string());
    match (before, after) {
        (Some(before), Some(after)) => format!("The nearest rows at which it can are {before} and {after}"),
        (Some(only), None) | (None, Some(only)) => format!("The nearest row at which it can is {only}"),
        (None, None) => "There is no row at which it can".to_owned(),
    }
}

fn list(folded: &Folded, rows: &[Row], format: ObjectFormat) -> Result<(), Failure> {
    match format {
        ObjectFormat::Json => return output::value(OutputFormat::Json, &folded.points),
        ObjectFormat::Yaml => return output::value(OutputFormat::Yaml, &folded.points),
        ObjectFormat::Name => return folded.points.iter().try_for_each(|point| output::line(&point.seq.to_string())),
        ObjectFormat::Table => {}
    }
    let mut table = Table::new(&["SEQ", "STEP", "AFTER", "WORKSPACE"]);
    for ForkPoint { seq, step, kept_at } in &folded.points {
        let kind = |seq: u64| rows.iter().find(|row| row.seq.0 == seq).map_or_else(String::new, |row| row.kind.clone());
        table.row([seq.to_string(), step.to_string(), kind(*seq), format!("as of row {kept_at} ({})", kind(*kept_at))]);
    }
    output::write(&table.text())?;
    if folded.points.is_empty() { output::line("There is no row at which it can be forked.") } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_places_are_named() {
        let points = [9, 12, 30].map(|seq| ForkPoint { seq, step: 1, kept_at: 5 });
        assert_eq!(nearest(&points, 20), "The nearest rows at which it can are 12 and 30");
        assert_eq!(nearest(&points, 40), "The nearest row at which it can is 30");
        assert_eq!(nearest(&points, 2), "The nearest row at which it can is 9");
        assert_eq!(nearest(&[], 2), "There is no row at which it can");
    }
}
