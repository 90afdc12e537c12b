//! `reeve journal replay` and `what-if` as a user meets them, over runs that a real operator recorded.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;

fn histories() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/histories")
}

fn history(name: &str) -> PathBuf {
    histories().join(format!("{name}.jsonl"))
}

/// An artifact store that holds the policy texts which the first release kept only there.
fn artifacts(directory: &Path) -> PathBuf {
    let store = directory.join("artifacts");
    for entry in std::fs::read_dir(histories().join("policies")).unwrap() {
        let path = entry.unwrap().path();
        let hex = path.file_stem().unwrap().to_str().unwrap().to_owned();
        let (folder, file) = hex.split_at(2);
        std::fs::create_dir_all(store.join(folder)).unwrap();
        std::fs::copy(&path, store.join(folder).join(file)).unwrap();
    }
    store
}

/// The set that `name` was judged by, with more policies, as a PolicySet in a file.
fn policy(directory: &Path, more: &str) -> PathBuf {
    let texts = std::fs::read_dir(histories().join("policies")).unwrap().map(|entry| std::fs::read(entry.unwrap().path()).unwrap());
    let mut spec: Value = texts
        .map(|text| serde_json::from_slice::<Value>(&text).unwrap())
        .find(|spec| spec.to_string().contains("merge-with-a-person"))
        .unwrap();
    spec["cedar"] = Value::from(format!("{}\n{more}", spec["cedar"].as_str().unwrap()));
    spec["cases"] = Value::Array(Vec::new());
    let set = serde_json::json!({"apiVersion": "reeve.dev/v1alpha1", "kind": "PolicySet", "metadata": {"name": "default"}, "spec": spec});
    let file = directory.join("policy.yaml");
    std::fs::write(&file, serde_saphyr::to_string(&set).unwrap()).unwrap();
    file
}

fn journal(verb: &str, file: &Path, more: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_reeve"));
    command.args(["journal", verb, "--file"]).arg(file).args(more).env_clear().stdin(Stdio::null()).output().unwrap()
}

fn said(output: &Output) -> (Option<i32>, String, String) {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

#[test]
fn a_recorded_run_is_said_to_come_out_the_same() {
    let directory = tempfile::tempdir().unwrap();
    let store = artifacts(directory.path());
    let store = store.to_str().unwrap();
    let (code, out, err) = said(&journal("replay", &history("merge-approved"), &["--all", "--artifacts", store]));
    assert_eq!((code, err.as_str()), (Some(0), ""), "{out}");
    assert!(out.contains("reeve-demo/parse-fractions-merge") && out.contains("same") && !out.contains("not judged"), "{out}");
    let (code, out, _) = said(&journal("replay", &history("merge-approved"), &["--run", "reeve-demo/parse-fractions-merge", "-o", "json"]));
    let answer: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((code, &answer[0]["same"], &answer[0]["replayed"]["rows"]), (Some(0), &Value::from(true), &Value::from(12)));
    // The texts of that release are not in its rows, and that is said.
    assert_eq!(answer[0]["replayed"]["unjudged"].as_array().unwrap().len(), 2);
}

#[test]
fn a_divergence_is_shown_side_by_side_and_ends_with_1() {
    let directory = tempfile::tempdir().unwrap();
    let text = std::fs::read_to_string(history("acceptance")).unwrap();
    let changed = directory.path().join("changed.jsonl");
    std::fs::write(&changed, text.replacen("acceptance commands passed", "acceptance commands were fine", 1)).unwrap();
    let (code, out, err) = said(&journal("replay", &changed, &["--all"]));
    assert_eq!(code, Some(1), "{out}{err}");
    assert!(err.contains("1 of 1 run would not come out the same"), "{err}");
    let lines: Vec<&str> = out.lines().collect();
    assert!(lines[1].contains("diverges at row 18"), "{out}");
    let message = lines.iter().find(|line| line.starts_with("message ")).unwrap_or_else(|| panic!("{out}"));
    assert!(message.contains("commands were fine.") && message.contains("commands passed."), "{out}");
    let (_, json, _) = said(&journal("replay", &changed, &["--all", "-o", "json"]));
    assert_eq!(serde_json::from_str::<Value>(&json).unwrap()[0]["divergence"]["seq"], 18);
}

#[test]
fn what_cannot_be_replayed_ends_with_2() {
    let directory = tempfile::tempdir().unwrap();
    let broken = directory.path().join("broken.jsonl");
    std::fs::write(&broken, "no row\n").unwrap();
    let gap = directory.path().join("gap.jsonl");
    let text = std::fs::read_to_string(history("planner")).unwrap();
    std::fs::write(&gap, text.lines().filter(|line| !line.contains("\"seq\":3,")).map(|line| format!("{line}\n")).collect::<String>())
        .unwrap();
    for (file, arguments) in [
        (&history("planner"), &["--run", "default/gone"][..]),
        (&history("planner"), &[]),
        (&history("planner"), &["--all", "--run", "default/gone"]),
        (&broken, &["--all"]),
        (&gap, &["--all"]),
        (&directory.path().join("none.jsonl"), &["--all"]),
    ] {
        let (code, _, err) = said(&journal("replay", file, arguments));
        assert!(code == Some(2) && err.starts_with("error: "), "{arguments:?}: {code:?} {err}");
    }
}

#[test]
fn a_stricter_policy_lists_what_it_would_have_stopped() {
    let directory = tempfile::tempdir().unwrap();
    let stricter =
        policy(directory.path(), r#"@id("no-tests") @reason("no tests here") forbid (principal, action, resource == Tool::"tests.run");"#);
    let arguments = ["--all", "--policy", stricter.to_str().unwrap()];
    let (code, out, err) = said(&journal("what-if", &history("acceptance"), &arguments));
    assert_eq!((code, err.as_str()), (Some(0), ""), "{out}");
    assert!(
        out.contains("reeve-system/default/no-tests") && out.contains("2 tool calls judged again: 2 would change, 0 of them to Allow."),
        "{out}"
    );
    let (_, json, _) = said(&journal("what-if", &history("acceptance"), &[&arguments[..], &["-o", "json"]].concat()));
    let answer: Value = serde_json::from_str(&json).unwrap();
    assert_eq!((&answer["changed"], &answer["runs"][0]["changed"][0]["instead"]["verdict"]), (&Value::from(2), &Value::from("Deny")));
}

/// The set that the demo ends with, over a run of the demo's kind.
#[test]
fn the_demos_stricter_policy_stops_calls_that_went_ahead() {
    let directory = tempfile::tempdir().unwrap();
    let store = artifacts(directory.path());
    let stricter = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../hack/goals/parse/stricter.yaml");
    let arguments = ["--all", "--policy", stricter.to_str().unwrap(), "--artifacts", store.to_str().unwrap()];
    let (code, out, err) = said(&journal("what-if", &history("coder-budget-raised"), &arguments));
    assert_eq!((code, err.as_str()), (Some(0), ""), "{out}");
    assert!(!out.contains("not judged again") && out.contains(", 0 of them to Allow."), "{out}");
    let (_, json, _) = said(&journal("what-if", &history("coder-budget-raised"), &[&arguments[..], &["-o", "json"]].concat()));
    let answer: Value = serde_json::from_str(&json).unwrap();
    let changed = answer["runs"][0]["changed"].as_array().unwrap();
    let stopped = |instead: &Value, by: &str| {
        let by = Value::from(vec![format!("reeve-demo/reviewable/{by}")]);
        changed
            .iter()
            .filter(|one| {
                one["recorded"]["verdict"] == "Allow" && one["instead"]["verdict"] == *instead && one["instead"]["determining"] == by
            })
            .count()
    };
    assert_eq!(stopped(&Value::from("Deny"), "no-program-in-an-argument"), 2, "{json}");
    assert_eq!(changed.len(), 3, "{json}");
    assert_eq!(changed.iter().filter(|one| one["instead"]["verdict"] == serde_json::json!({"Ask": {"human": 1}})).count(), 1, "{json}");
}

#[test]
fn a_wider_policy_ends_with_1_and_one_that_cannot_be_in_force_with_2() {
    let directory = tempfile::tempdir().unwrap();
    let wide = directory.path().join("default.cedar");
    std::fs::write(&wide, "@id(\"all\") permit (principal, action, resource);").unwrap();
    let (code, out, err) = said(&journal("what-if", &history("merge-approved"), &["--all", "--policy", wide.to_str().unwrap()]));
    assert_eq!(code, Some(1), "{out}{err}");
    assert!(out.contains("Ask 1") && err.contains("1 call would go on that did not, or waited for people"), "{out}{err}");
    std::fs::write(&wide, "permit (principal, action, resource);").unwrap();
    let (code, _, err) = said(&journal("what-if", &history("merge-approved"), &["--all", "--policy", wide.to_str().unwrap()]));
    assert!(code == Some(2) && err.contains("would never come into force"), "{err}");
}
