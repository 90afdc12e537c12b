//! Driving a run: [`reeve_core::run::next`] says the step, this does it.

mod approvals;
mod budget;
mod crash;
mod driver;
mod effects;
mod fork;
mod log;
mod pause;
mod registry;
mod sandbox;
mod status;
mod workspace;

pub(crate) use log::RunLog;
pub(crate) use registry::Registry;
