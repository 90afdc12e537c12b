//! The words of the two programs.

mod kubectl_reeve;
mod reeve;

pub use kubectl_reeve::main as kubectl_reeve;
pub use reeve::main as reeve;
