//! `kubectl reeve trace`: a run's journal, from the operator's read API.

use std::time::Duration;

use clap::Args;
use kube::{Api, Client};
use reeve_api::{AgentRun, AgentRunPhase};
use reeve_core::journal::{Row, Seq, Stream};

use crate::cluster::{Connection, refused};
use crate::exit::Failure;
use crate::output::OutputFormat;
use crate::read_api::{ReadApi, Reeve};
use crate::timeline::Printer;

/// Between two looks while following: what a person sees as at once.
const LOOK_AGAIN: Duration = Duration::from_millis(500);
/// Looks while following that may fail in a row: a minute, in which an operator is restarted.
const AWAY_AT_MOST: u32 = 120;

/// Shows a run's journal as a timeline.
#[derive(Args, Debug)]
#[command(
    after_help = "Examples:\n  kubectl reeve trace say-hello\n  kubectl reeve trace say-hello -f\n  kubectl reeve trace say-hello -n team-a -o json"
)]
pub(crate) struct Trace {
    /// Name of the AgentRun
    run: String,
    /// Goes on until the run has finished
    #[arg(short, long)]
    follow: bool,
    /// The run of this UID, where the name was used again; default the newest
    #[arg(long, value_name = "UID")]
    uid: Option<String>,
    /// Form of the output
    #[arg(short, long, value_enum, default_value_t)]
    output: OutputFormat,
    #[command(flatten)]
    reeve: Reeve,
}

/// Where in a journal the next look starts.
struct Place {
    namespace: String,
    /// The run, once a row of it was seen: a name used again while following must not continue it.
    run: Option<Stream>,
    from: Seq,
    /// Looks in a row that failed.
    away: u32,
}

impl Trace {
    /// Prints the rows, and with `--follow` those that come.
    pub(crate) async fn run(self, connection: &Connection) -> Result<(), Failure> {
        let (client, namespace) = connection.connect().await?;
        let mut api = ReadApi::new(client.clone(), &self.reeve);
        let mut printer = Printer::new(self.output);
        let mut place = Place { namespace, run: self.uid.as_deref().map(Stream::run), from: Seq(1), away: 0 };
        loop {
            let rows = self.look(&client, &mut api, &mut place).await?;
            for row in &rows {
                printer.row(row)?;
            }
            match rows.last() {
                Some(last) if last.kind == "run.finished" => break,
                Some(last) => {
                    place.from = last.seq.next();
                    place.run = Some(last.stream.clone());
                }
                None if self.follow => tokio::time::sleep(LOOK_AGAIN).await,
                None => break,
            }
        }
        printer.end()?;
        Ok(())
    }

    /// The next rows. While following, none where there are none yet, or the operator is away for a moment.
    async fn look(&self, client: &Client, api: &mut ReadApi, place: &mut Place) -> Result<Vec<Row>, Failure> {
        let Place { namespace, run, from, away } = place;
        let doing = format!("reading the journal of {namespace}/{}", self.run);
        let uid = run.as_ref().map_or_else(String::new, |run| format!("&uid={}", run.as_str()));
        match api.get(&format!("namespaces/{namespace}/runs/{}/journal?from={}{uid}", self.run, from.0)).await {
            Ok(text) => {
                *away = 0;
                parse(&text).map_err(|why| Failure::no(format!("{doing}: {why}")))
            }
            Err(error) if self.follow && error.is_away() && *away < AWAY_AT_MOST => {
                *away += 1;
                Ok(Vec::new())
            }
            Err(error) if error.is_missing() && run.is_none() => {
                let failure = error.failure(doing);
                self.not_started(client, namespace, failure).await
            }
            Err(error) => Err(error.failure(doing)),
        }
    }

    /// Tells a run that has no row yet from one that does not exist, and from one whose rows are gone.
    async fn not_started(&self, client: &Client, namespace: &str, failure: Failure) -> Result<Vec<Row>, Failure> {
        let runs: Api<AgentRun> = Api::namespaced(client.clone(), namespace);
        let found = runs.get_opt(&self.run).await.map_err(refused(format!("reading AgentRun {namespace}/{}", self.run)))?;
        let Some(run) = found else { return Err(failure) };
        let status = run.status.unwrap_or_default();
        match status.phase {
            None | Some(AgentRunPhase::Pending | AgentRunPhase::Starting) if self.follow => Ok(Vec::new()),
            None | Some(AgentRunPhase::Pending | AgentRunPhase::Starting) => {
                let ready = status.conditions.iter().find(|condition| condition.type_ == "Ready");
                let why = ready.map_or_else(|| "the operator has not seen it yet".to_owned(), |ready| ready.message.clone());
                Err(Failure::no(format!("AgentRun {namespace}/{} has not started: {why}", self.run)))
            }
            Some(phase @ (AgentRunPhase::Running | AgentRunPhase::Suspended | AgentRunPhase::Succeeded | AgentRunPhase::Failed)) => {
                Err(Failure::no(format!(
                    "AgentRun {namespace}/{} says {phase:?}, but this operator's journal has no such run: it was kept elsewhere, or lost",
                    self.run
                )))
            }
        }
    }
}

/// The rows of an answer, one a line.
pub(crate) fn parse(text: &[u8]) -> Result<Vec<Row>, String> {
    let rows = serde_json::Deserializer::from_slice(text).into_iter::<Row>();
    rows.collect::<Result<_, _>>().map_err(|error| format!("the answer is no journal rows: {error}"))
}
