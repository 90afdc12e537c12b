#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

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
