//! Measures what a call costs through `attach`, on a sandbox that runs: `round_trip PATH-OF-TOOLS ROOT RUN_UID`.
//!
//! Prints `FIGURE name value unit` lines. Every round trip goes through the attach process's pipes, as under `kubectl exec`; the stream
//! between API server, kubelet and container comes on top.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::io::{BufRead, BufReader, Write};
use std::process::{ChildStdin, ChildStdout, Command, Stdio};
use std::time::Instant;

use serde_json::{Value, json};

struct Line {
    from: BufReader<ChildStdout>,
    to: ChildStdin,
    id: u64,
}

impl Line {
    fn ask(&mut self, method: &str, params: Value) -> Value {
        self.id += 1;
        let mut text = json!({ "jsonrpc": "2.0", "id": self.id, "method": method, "params": params }).to_string();
        text.push('\n');
        self.to.write_all(text.as_bytes()).unwrap();
        let mut answer = String::new();
        self.from.read_line(&mut answer).unwrap();
        let answer: Value = serde_json::from_str(&answer).unwrap();
        assert!(answer["error"].is_null(), "{method}: {answer}");
        answer["result"].clone()
    }
}

fn figure(name: &str, rounds: usize, mut round: impl FnMut(usize)) {
    let mut times: Vec<f64> = (0..rounds)
        .map(|number| {
            let started = Instant::now();
            round(number);
            started.elapsed().as_secs_f64() * 1e3
        })
        .collect();
    times.sort_by(f64::total_cmp);
    println!("FIGURE {name}_p50 {:.3} ms", times[times.len() / 2]);
    println!("FIGURE {name}_p99 {:.3} ms", times[times.len() * 99 / 100]);
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [tools, root, run] = &arguments[..] else { panic!("expected: PATH-OF-TOOLS ROOT RUN_UID") };
    let mut attach = Command::new(tools).args(["attach", root]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut line = Line { from: BufReader::new(attach.stdout.take().unwrap()), to: attach.stdin.take().unwrap(), id: 0 };
    let client = json!({ "protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": { "name": "round_trip", "version": "0" } });
    line.ask("initialize", client);
    line.to.write_all(b"{\"jsonrpc\":\"2.0\",\"method\":\"notifications/initialized\"}\n").unwrap();
    line.ask("reeve/hello", json!({ "epoch": 1, "run_uid": run }));
    let packed =
        tar::Builder::new(flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast())).into_inner().unwrap().finish().unwrap();
    let data = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, &packed);
    let digest = reeve_core::Digest::of(&packed);
    line.ask(
        "reeve/import",
        json!({ "digest": digest, "packing": "tar-gz", "strip_components": 0, "offset": 0, "data": data, "last": true }),
    );
    figure("ping", 3000, |_| drop(line.ask("ping", json!({}))));
    figure("lookup", 3000, |_| drop(line.ask("reeve/lookup", json!({ "key": "none", "wait_ms": 0 }))));
    let confinement = json!({ "network": "none", "workspace_writable": true, "timeout_ms": 10000, "output_head_bytes": 16384, "output_tail_bytes": 16384 });
    let mut call = |kind: &str, tool: &str, arguments: Value, rounds: usize| {
        figure(kind, rounds, |number| {
            let key = format!("{}/{kind}/{number}", std::process::id());
            let resolved = line.ask("reeve/resolve", json!({ "key": key, "tool": tool, "arguments": arguments }));
            line.ask("reeve/call", json!({ "key": key, "handle": resolved["handle"], "confinement": confinement }));
        });
    };
    call("fs_list", "fs.list", json!({}), 1000);
    call("shell_true", "shell.run", json!({ "argv": ["true"] }), 300);
    call("git_diff", "git.diff", json!({}), 30);
    attach.kill().unwrap();
    attach.wait().unwrap();
}
