//! What a tool is, and the words that operator and sandbox exchange about one.
//!
//! A call goes in two steps over one MCP session: `resolve` opens what the call names inside the sandbox and answers with canonical
//! arguments and a handle; the operator judges those; `call` executes on the very handle that was judged.

mod catalog;
pub mod wire;

pub use catalog::{Annotations, Role, Tool, ToolName, catalog};
pub(crate) use catalog::{names, tool};
