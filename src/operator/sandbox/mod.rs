//! The sandbox of a run: its Job, what became of its Pod, and the stream to the tools inside.

mod job;
mod network;
mod problem;
mod session;
mod watch;

pub use job::{CONTAINER, InvalidSandbox, PROGRAM, SandboxSpec, job, job_name, job_name_of};
pub use network::{ensure_network_policy, network_policy};
pub use problem::{PodView, Problem};
pub(crate) use session::exec;
pub use session::{Session, SessionError};
pub use watch::{Pods, look, wait_running, watch_pods};
