//! Every bound of Reeve that is not a user's to set: its unit and why that number.

/// A run's steps when its spec names none. A small fix takes 10 to 30 model answers; 50 leaves room without hiding a loop.
pub const DEFAULT_MAX_STEPS: u32 = 50;
/// The most steps a spec may ask for; at one journal row of about 1 KiB each and five rows a step a run stays under 5 MiB.
pub const CEILING_MAX_STEPS: u32 = 1_000;
/// A run's wall time when its spec names none.
pub const DEFAULT_MAX_SECONDS: u32 = 1_800;
/// The longest a run may be asked to take: a day.
pub const CEILING_MAX_SECONDS: u32 = 86_400;
/// A run's tool calls when its spec names none: a model may ask for several in one step.
pub const DEFAULT_MAX_TOOL_CALLS: u32 = 200;
/// The most tool calls a spec may ask for.
pub const CEILING_MAX_TOOL_CALLS: u32 = 5_000;
/// Bytes that a run's conversation may grow to when its spec names none: about a million tokens.
pub const DEFAULT_MAX_OUTPUT_BYTES: u64 = 4 * 1024 * 1024;
/// The most output bytes a spec may ask for: several times what any model reads at once, and ten such runs fit the operator's memory.
pub const CEILING_MAX_OUTPUT_BYTES: u64 = 16 * 1024 * 1024;
/// The same call with the same arguments this often in a row ends the run: a third answer would be no different.
pub const IDENTICAL_CALLS_IN_A_ROW: u32 = 3;
/// Model answers in a row that call no tool, or none that can be understood, before the run ends.
pub const USELESS_ANSWERS_IN_A_ROW: u32 = 3;
/// Tool calls in one model answer; more are refused as a whole, since no provider asks for as many on purpose.
pub const MAX_CALLS_PER_ANSWER: usize = 32;
/// Kept of a tool's output from its start, bytes.
pub const OUTPUT_HEAD_BYTES: usize = 16 * 1024;
/// Kept of a tool's output from its end, bytes; errors stand last.
pub const OUTPUT_TAIL_BYTES: usize = 16 * 1024;
/// A tool call without a timeout of its own, milliseconds.
pub const DEFAULT_TOOL_TIMEOUT_MS: u64 = 120_000;
/// The longest timeout that a call may ask for, milliseconds.
pub const CEILING_TOOL_TIMEOUT_MS: u64 = 1_800_000;
/// A file that `fs.read` opens or `fs.write` writes, bytes: what a model can use is far smaller.
pub const MAX_FILE_BYTES: u64 = 8 * 1024 * 1024;
/// One chunk of a workspace or blob on the stream, bytes before base64.
pub const STREAM_CHUNK_BYTES: usize = 256 * 1024;
/// A packed workspace that can be loaded, bytes.
pub const MAX_WORKSPACE_BYTES: u64 = 256 * 1024 * 1024;
/// An event's body in its row, bytes; a larger one is kept in the artifact store if its kind may be large, and refused if not.
pub const MAX_EVENT_BODY_BYTES: usize = 256 * 1024;
/// Ancestors of a run that was forked: each of them is read and folded when the run begins, and after each restart.
pub const MAX_FORKS_DEEP: u32 = 16;
/// A body that is kept in the artifact store, bytes. A call's arguments come to the sandbox in a frame of 2 MiB, and its body holds them
/// twice; of a model's answer, 8 MiB are twice what a run's conversation may grow to when its spec names no bound.
pub const MAX_KEPT_BODY_BYTES: usize = 8 * 1024 * 1024;
/// Steps that a run's status shows.
pub const STATUS_STEPS: usize = 20;
/// A call's argument vector and paths together, bytes, that policy judges; more is denied. The kernel takes 128 KiB for one argument, and
/// matching stays below a few milliseconds.
pub const MAX_JUDGED_BYTES: usize = 128 * 1024;
/// A policy text, bytes: the bound of `PolicySet.spec.cedar`.
pub const MAX_POLICY_BYTES: usize = 64 * 1024;
/// Brackets inside brackets, prefix operators in a row and `if`s of one policy. Cedar's parser recurses; more is not read by people either.
pub const MAX_POLICY_DEPTH: usize = 24;
/// Operators and member accesses of one policy; a chain of them is a recursion as deep as it is long.
pub const MAX_POLICY_OPERATORS: usize = 512;
/// Stack for reading and judging by policy, bytes, of which only what is used is ever resident. A debug build was measured to need at most
/// 64 KiB for a bracket or an operator: 34 MiB at the two bounds above.
pub const POLICY_STACK_BYTES: usize = 64 * 1024 * 1024;
/// What is said of a text that is no policy set, characters: it stands in a condition.
pub const MAX_POLICY_COMPLAINT_CHARS: usize = 2_000;
/// A policy's `@reason`, characters: it goes to a model with every denial.
pub const MAX_POLICY_REASON_CHARS: usize = 600;
/// Why a call was judged as it was, characters.
pub const MAX_JUDGEMENT_REASON_CHARS: usize = 1_500;
/// An approval without a timeout of its own expires after this, seconds: a day, so that it can be slept over.
pub const DEFAULT_APPROVAL_SECONDS: u32 = 86_400;
/// What an approval shows a person, characters: the bound of `Approval.spec.delta`.
pub const MAX_DELTA_CHARS: usize = 32_768;
/// The most people whose keys a policy can ask for: the bound of `Approval.spec.quorum`.
pub const MAX_HUMAN_KEYS: u32 = 16;
/// How often people are asked anew for the same action, after admission was not in force: then the answer is no.
pub const MAX_APPROVAL_ATTEMPTS: u32 = 5;
/// The longest that a run may stand still in one piece, seconds: a week. Its sandbox is kept for it all that time.
pub const MAX_PAUSE_SECONDS: u32 = 604_800;
/// A price other than 0 is refused when somebody last looked at it so many days ago: providers change theirs a few times a year.
pub const MAX_PRICE_AGE_DAYS: i32 = 90;
/// How often a model is asked again on the same route after an answer that was cut or came too late. Each may be charged.
pub const MAX_UNCERTAIN_REQUESTS: u32 = 2;

/// Rows that may come between a row and the one in which it is signed, rows. A head is signed within seconds of being written, and the
/// verifier holds so many rows' hashes (56 bytes each) to find it; the last row of a stream is found however long ago it was written.
pub const SIGNED_WITHIN_ROWS: usize = 16_384;

/// Places between those of others in which the rows of one run stand that is archived, places: each takes some 210 bytes of a row. A run of
/// 50 steps beside others has some 150.
pub const MAX_ARCHIVED_PLACES: usize = 1_000;

/// Heads in one `journal.anchored`, heads: each takes some 250 bytes of a row that may have 256 KiB.
pub const MAX_ANCHORED_HEADS: usize = 256;
