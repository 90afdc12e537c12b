//! `kubectl reeve`: the plugin.

fn main() -> std::process::ExitCode {
    reeve_cli::kubectl_reeve()
}
