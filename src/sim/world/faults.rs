//! Where the operator is killed, and what is held back from it.

use std::fmt;

mod branches;
mod lasting;
mod text;

pub use branches::Branches;
pub(crate) use lasting::Standing;
pub use lasting::{Asked, Refusal};
pub use text::Fault;
pub(crate) use text::{number, time_ms};

/// What is counted from the start of a world.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Point {
    /// A request of the operator that changes something in the API server.
    Write,
    /// A row or more that the operator appends to the journal.
    Append,
    /// Something that a sandbox does: loading a workspace, a tool call, a checkpoint, its end.
    Effect,
}

impl Point {
    /// All of them.
    pub const ALL: [Point; 3] = [Point::Write, Point::Append, Point::Effect];

    /// As a scenario names it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Point::Write => "write",
            Point::Append => "append",
            Point::Effect => "effect",
        }
    }
}

/// When, around a point.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// It was about to be done.
    Before,
    /// It is done, and the operator never heard.
    Lost,
    /// It is done and the operator has heard, and has done at once what follows.
    After,
}

impl Phase {
    /// All of them.
    pub const ALL: [Phase; 3] = [Phase::Before, Phase::Lost, Phase::After];

    /// As a scenario names it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Phase::Before => "before",
            Phase::Lost => "in",
            Phase::After => "after",
        }
    }
}

/// A kill of the operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Crash {
    /// What is counted.
    pub point: Point,
    /// Which one, from 1.
    pub number: u64,
    /// When.
    pub phase: Phase,
}

impl fmt::Display for Crash {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(to, "crash {} {} {}", self.phase.as_str(), self.point.as_str(), self.number)
    }
}

/// What happens to one event of a watch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WatchFault {
    /// It is lost, and the watch ends with `410 Gone` in its place: the client lists again.
    DroppedThenGone,
    /// It comes twice.
    Twice,
    /// It comes, and then the stream ends.
    ThenCut,
    /// It is lost, the stream ends, and the watch that follows comes to a server that is behind what the client has seen: it refuses with
    /// 504, as a real one does with `Too large resource version`.
    CutThenOlder,
}

/// What the journal does to one append, while the operator lives on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JournalFault {
    /// It is refused, and nothing is written.
    Refused,
    /// It is written, and refused all the same: the connection was lost before the answer.
    Unheard,
    /// It is refused, and so is every other one for so long: the disk is full, or the database is locked.
    RefusedFor {
        /// Milliseconds.
        ms: u64,
    },
}

impl fmt::Display for JournalFault {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            JournalFault::Refused => to.write_str("refused"),
            JournalFault::Unheard => to.write_str("unheard"),
            JournalFault::RefusedFor { ms } => write!(to, "refused for {ms}ms"),
        }
    }
}

impl WatchFault {
    /// All of them.
    pub const ALL: [WatchFault; 4] = [WatchFault::DroppedThenGone, WatchFault::Twice, WatchFault::ThenCut, WatchFault::CutThenOlder];

    /// As a scenario names it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            WatchFault::DroppedThenGone => "dropped",
            WatchFault::Twice => "twice",
            WatchFault::ThenCut => "cut",
            WatchFault::CutThenOlder => "older",
        }
    }
}

/// What becomes of one request of the operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ApiFault {
    /// Refused with this code; nothing was done.
    Refused(u16),
    /// Done, and answered with 504: nobody says that it was.
    GaveUp,
    /// Done, and never answered: the client gives up after half a minute.
    Silent,
    /// Done, and of the answer half arrives.
    Cut,
    /// Somebody else changes the object just before.
    Foreign,
}

impl ApiFault {
    /// All of them.
    pub const ALL: [ApiFault; 14] = [
        ApiFault::Refused(400),
        ApiFault::Refused(401),
        ApiFault::Refused(403),
        ApiFault::Refused(404),
        ApiFault::Refused(409),
        ApiFault::Refused(410),
        ApiFault::Refused(422),
        ApiFault::Refused(429),
        ApiFault::Refused(500),
        ApiFault::Refused(503),
        ApiFault::GaveUp,
        ApiFault::Silent,
        ApiFault::Cut,
        ApiFault::Foreign,
    ];

    /// As a scenario reads it: `refused-503`, `gave-up`, `silent`, `cut`, `foreign`.
    #[must_use]
    pub fn parse(text: &str) -> Option<ApiFault> {
        ApiFault::ALL.into_iter().find(|known| known.to_string() == text)
    }
}

impl fmt::Display for ApiFault {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ApiFault::Refused(code) => write!(to, "refused-{code}"),
            ApiFault::GaveUp => to.write_str("gave-up"),
            ApiFault::Silent => to.write_str("silent"),
            ApiFault::Cut => to.write_str("cut"),
            ApiFault::Foreign => to.write_str("foreign"),
        }
    }
}

/// How long a client waits for an answer, milliseconds.
pub(crate) const CLIENT_WAITS_MS: u64 = 30_000;

/// How far caches are behind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lag {
    /// An event is held back until so many later changes have happened, or two seconds have gone by.
    pub changes: u64,
}

/// How long an event is held back where nothing else happens.
pub(crate) const LAG_ENDS_MS: u64 = 2_000;

/// How often each point was passed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// [`Point::Write`].
    pub writes: u64,
    /// [`Point::Append`].
    pub appends: u64,
    /// [`Point::Effect`].
    pub effects: u64,
    /// Events that watches were given.
    pub events: u64,
    /// Requests of every kind.
    pub requests: u64,
}

impl Counts {
    /// Counts one more, and says which it is.
    pub(crate) fn pass(&mut self, point: Point) -> u64 {
        let count = match point {
            Point::Write => &mut self.writes,
            Point::Append => &mut self.appends,
            Point::Effect => &mut self.effects,
        };
        *count += 1;
        *count
    }

    /// Requests, events, appends and effects.
    #[must_use]
    pub const fn steps(&self) -> u64 {
        self.requests + self.events + self.appends + self.effects
    }

    /// How often this one was passed.
    #[must_use]
    pub const fn of(&self, point: Point) -> u64 {
        match point {
            Point::Write => self.writes,
            Point::Append => self.appends,
            Point::Effect => self.effects,
        }
    }
}

/// What is to go wrong in a world.
#[derive(Debug, Default)]
pub(crate) struct Plan {
    pub(crate) crashes: Vec<Crash>,
    pub(crate) lag: Lag,
    /// By the number of the event, from 1.
    pub(crate) events: Vec<(u64, WatchFault)>,
    /// By the number of the append, from 1.
    pub(crate) journal: Vec<(u64, JournalFault)>,
    /// By the number of the request, from 1.
    pub(crate) requests: Vec<(u64, ApiFault)>,
    /// Refusals that last.
    pub(crate) refusals: Vec<Standing>,
    /// What else may go wrong, in other worlds that are this one up to there.
    pub(crate) branches: Branches,
}

impl Plan {
    /// The code by which a request is refused, if something that lasts refuses it.
    pub(crate) fn refused(&mut self, asked: &Asked, now_ms: u64) -> Option<u16> {
        // Each counts the request, whichever refuses it.
        self.refusals.iter_mut().filter_map(|standing| standing.refuses(asked, now_ms)).fold(None, |first, code| first.or(Some(code)))
    }

    /// The kill at this point, if there is one.
    pub(crate) fn crash(&mut self, point: Point, number: u64) -> Option<Phase> {
        self.part(|fault| matches!(fault, Fault::Crash(crash) if crash.point == point && crash.number == number));
        self.crashes.iter().find(|crash| crash.point == point && crash.number == number).map(|crash| crash.phase)
    }

    pub(crate) fn append(&mut self, number: u64) -> Option<JournalFault> {
        self.part(|fault| matches!(fault, Fault::Append(at, _) if *at == number));
        self.journal.iter().find(|(at, _)| *at == number).map(|(_, fault)| *fault)
    }

    pub(crate) fn request(&mut self, number: u64) -> Option<ApiFault> {
        self.part(|fault| matches!(fault, Fault::Request(at, _) if *at == number));
        self.requests.iter().find(|(at, _)| *at == number).map(|(_, fault)| *fault)
    }

    pub(crate) fn event(&mut self, number: u64) -> Option<WatchFault> {
        self.part(|fault| matches!(fault, Fault::Event(at, _) if *at == number));
        self.events.iter().find(|(at, _)| *at == number).map(|(_, fault)| *fault)
    }
}
