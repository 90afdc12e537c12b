#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use super::*;

#[test]
fn every_family_is_declared_well() {
    assert_eq!(check().map_err(ToString::to_string), Ok(()));
}

#[test]
fn an_event_shows_in_the_metrics_and_names_no_run() {
    ToolCalled { run: "team/secret-run", tool: "fs.read", status: "ok", took: Duration::from_millis(20) }.emit();
    ModelAsked { run: "team/secret-run", provider: "p", model: "m", took: Duration::from_secs(1), outcome: Ok((10, 3)) }.emit();
    ModelAsked { run: "team/secret-run", provider: "p", model: "m", took: Duration::from_secs(1), outcome: Err("rate_limited") }.emit();
    let text = render().unwrap();
    for line in [
        r#"reeve_tool_seconds_count{gen_ai_tool_name="fs.read",status="ok"} 1"#,
        r#"gen_ai_client_token_usage_total{gen_ai_provider_name="p",gen_ai_request_model="m",gen_ai_token_type="output"} 3"#,
        r#"error_type="rate_limited",gen_ai_operation_name="chat""#,
        "process_resident_memory_bytes ",
        "process_cpu_seconds_total ",
        "process_open_fds ",
    ] {
        assert!(text.contains(line), "no {line} in:\n{text}");
    }
    assert!(!text.contains("secret-run"));
}

#[derive(Clone, Default)]
struct Written(std::sync::Arc<std::sync::Mutex<Vec<u8>>>);

impl std::io::Write for Written {
    fn write(&mut self, line: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[test]
fn the_words_of_a_panic_are_a_line_of_the_log_and_masked_in_it() {
    let canary = "canary-of-a-panic-6604";
    crate::secrets::Secrets::default().learn("panics", canary);
    let (written, before) = (Written::default(), std::panic::take_hook());
    let to = written.clone();
    let log = tracing_subscriber::fmt().with_writer(move || crate::MaskedLog(to.clone())).finish();
    std::panic::set_hook(Box::new(panicked));
    let ended = tracing::subscriber::with_default(log, || std::panic::catch_unwind(|| panic!("the key {canary} is wrong")));
    std::panic::set_hook(before);
    assert!(ended.is_err());
    let said = String::from_utf8(written.0.lock().unwrap().clone()).unwrap();
    assert!(said.contains("panicked: the key [redacted] is wrong") && !said.contains(canary), "{said}");
}
