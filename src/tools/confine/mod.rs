//! What the kernel lets a process do: Landlock (files, TCP, signals), seccomp (system calls) and resource limits.
//!
//! Each layer is required, none best effort: a layer that cannot be put on fails the call.

mod landlock;
mod limits;
mod seccomp;

pub(crate) use self::landlock::{Access, MIN_ABI, SYSTEM_DIRS, enter_kill_scope, restrict_server, restrict_tool};
pub(crate) use self::limits::restrict_resources;
pub(crate) use self::seccomp::{filter_server, filter_tool};
