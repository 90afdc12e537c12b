//! What the room promises, by name.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a failing test should stop and say where")]

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::{Value, json};

use super::*;
use crate::Digest;
use crate::class::Class;
use crate::journal::{Judgement, Verdict};
use crate::limits::{
    MAX_JUDGED_BYTES, MAX_JUDGEMENT_REASON_CHARS, MAX_POLICY_BYTES, MAX_POLICY_COMPLAINT_CHARS, MAX_POLICY_DEPTH, MAX_POLICY_OPERATORS,
};
use crate::tool::wire::{Canonical, Program, TouchedPath};
use crate::tool::{Role, ToolName};

const PERMIT_ALL: &str = r#"@id("all") permit (principal, action, resource);"#;

fn set(name: &str, scope: Scope, cedar: &str) -> ActiveSet {
    let compiled = Arc::new(CompiledSet::parse(cedar).unwrap());
    ActiveSet { name: name.into(), digest: Digest::of(cedar), mode: Mode::Enforce, scope, compiled }
}

fn default_set() -> ActiveSet {
    set("default", Scope::Operator, CEDAR)
}

fn shadow(set: ActiveSet) -> ActiveSet {
    ActiveSet { mode: Mode::Shadow, ..set }
}

fn coder() -> Agent {
    Agent { role: Role::Coder, namespace: "team".into(), autonomy: 2 }
}

fn run(program: &str, argv: &[&str]) -> Canonical {
    Canonical {
        tool: ToolName::ShellRun,
        arguments: json!({ "cwd": "." }),
        paths: vec![TouchedPath { path: ".".into(), write: false, exists: true }],
        program: Some(Program { path: program.into(), digest: Digest::of(program) }),
        argv: argv.iter().map(|&argument| argument.to_owned()).collect(),
    }
}

fn write(path: &str) -> Canonical {
    Canonical {
        tool: ToolName::FsWrite,
        arguments: Value::Null,
        paths: vec![TouchedPath { path: path.into(), write: true, exists: false }],
        program: None,
        argv: Vec::new(),
    }
}

fn ask(sets: &[ActiveSet], call: &Canonical) -> Judgement {
    judge("uid/1/0", sets, &Facts { agent: coder(), call, keys: Keys::default() })
}

fn refused(cedar: &str) -> String {
    let error = CompiledSet::parse(cedar).expect_err("this set should not be taken");
    assert_eq!(error.class(), Class::Invalid, "{error}");
    error.to_string()
}

// ---- the default set

#[test]
fn the_golden_cases_of_the_default_set_hold() {
    let spec = default_spec().unwrap();
    let failed = check_cases(&CompiledSet::parse(&spec.cedar).unwrap(), &spec.cases);
    assert!(failed.is_empty(), "{}", failed.iter().map(|case| format!("\n{case}")).collect::<String>());
    let names: BTreeSet<&str> = spec.cases.iter().map(|case| case.name.as_str()).collect();
    assert_eq!(names.len(), spec.cases.len(), "names are unique: the API server merges by them");
    assert!((40..=100).contains(&spec.cases.len()), "{}", spec.cases.len());
    assert!(spec.cedar.len() <= MAX_POLICY_BYTES);
}

#[test]
fn the_default_set_is_compiled_once_and_an_edit_of_it_is_a_set_of_its_own() {
    let default = default_spec().unwrap();
    let shipped = accepted(default).unwrap();
    assert!(Arc::ptr_eq(&shipped, &accepted(&default.clone()).unwrap()));
    let longer = reeve_api::PolicySetSpec { cedar: format!("{}\n// A word more.\n", default.cedar), ..default.clone() };
    assert!(!Arc::ptr_eq(&shipped, &accepted(&longer).unwrap()));
    let mut wrong = default.clone();
    wrong.cases[0].expect = match wrong.cases[0].expect {
        reeve_api::ExpectedVerdict::Allow => reeve_api::ExpectedVerdict::Deny,
        reeve_api::ExpectedVerdict::Deny => reeve_api::ExpectedVerdict::Allow,
    };
    let why = accepted(&wrong).unwrap_err();
    assert!(why.contains(&format!("case {:?}: expected", wrong.cases[0].name)), "{why}");
}

#[test]
fn the_example_of_a_policy_set_reads_and_narrows() {
    let example: Value = serde_saphyr::from_str(include_str!("../../../hack/examples/policyset-minimal.yaml")).unwrap();
    let sets = [default_set(), set("team/no-shell", Scope::Namespace, example["spec"]["cedar"].as_str().unwrap())];
    assert_eq!(ask(&sets, &write("a.py")).verdict, Verdict::Allow);
    assert_eq!(ask(&sets, &run("/usr/bin/ls", &["ls"])).determining, ["team/no-shell/no-shell"]);
}

#[test]
fn no_field_of_a_golden_case_is_misspelt() {
    let raw: Vec<serde_json::Map<String, Value>> = serde_saphyr::from_str(CASES).unwrap();
    let known = ["name", "role", "autonomyLevel", "tool", "paths", "program", "argv", "humanKeys", "expect"];
    for case in raw {
        assert!(case.keys().all(|key| known.contains(&key.as_str())), "{case:?}");
    }
}

#[test]
fn every_policy_of_the_default_set_decides_a_golden_case() {
    let spec = default_spec().unwrap();
    let full = CompiledSet::parse(&spec.cedar).unwrap();
    for id in full.notes.keys() {
        // Without the forbid, or without the permit, some case must come out otherwise, or be denied for no named reason.
        let without: Vec<_> = full.policies.policies().filter(|policy| policy.id().to_string() != *id).cloned().collect();
        let policies = cedar_policy::PolicySet::from_policies(without).unwrap();
        let rest = CompiledSet { policies, notes: CompiledSet::parse(&spec.cedar).unwrap().notes };
        let decided = spec.cases.iter().any(|case| {
            let flipped = |set: &CompiledSet, expect| check_cases(set, &[reeve_api::PolicyCase { expect, ..case.clone() }]).pop();
            let said = |set: &CompiledSet| {
                flipped(set, reeve_api::ExpectedVerdict::Allow).or_else(|| flipped(set, reeve_api::ExpectedVerdict::Deny)).map(|f| f.reason)
            };
            said(&full) != said(&rest)
        });
        assert!(decided, "no golden case shows what {id} is for");
        assert!(full.notes[id].reason.is_some(), "{id} has a @reason");
    }
}

#[test]
fn a_denial_says_which_rule_and_why() {
    let judgement = ask(&[default_set()], &run("/usr/bin/python3.11", &["python3", "-m", "pip", "install", "x"]));
    assert_eq!(judgement.verdict, Verdict::Deny);
    assert_eq!(judgement.determining, ["default/no-package-installation-python"]);
    assert!(judgement.reason.starts_with("default: no package installation: there is no network; use what the image has"), "{judgement:?}");
    assert_eq!(judgement.key, "uid/1/0");
    assert_eq!(judgement.sets, [("default".to_owned(), Digest::of(CEDAR))]);
}

#[test]
fn a_denial_for_want_of_a_permit_says_what_is_permitted() {
    let judgement = ask(&[default_set()], &run("/usr/bin/gdb", &["gdb"]));
    assert_eq!((judgement.verdict, judgement.determining.len()), (Verdict::Deny, 0));
    assert!(judgement.reason.contains("no policy permits this use of shell.run. Permitted: shell.run runs python3"), "{judgement:?}");
}

#[test]
fn an_allow_names_the_permits() {
    let judgement = ask(&[default_set(), set("team/all", Scope::Namespace, PERMIT_ALL)], &write("a.py"));
    assert_eq!(judgement.verdict, Verdict::Allow);
    assert_eq!(judgement.determining, ["default/coder-writes", "team/all/all"]);
}

#[test]
fn a_protected_path_needs_a_persons_key_and_a_models_is_not_enough() {
    let call = write(".github/workflows/ci.yml");
    let with = |keys| judge("k", &[default_set()], &Facts { agent: coder(), call: &call, keys }).verdict;
    assert_eq!(with(Keys::default()), Verdict::Deny);
    assert_eq!(with(Keys { human: 0, model: 9 }), Verdict::Deny);
    assert_eq!(with(Keys { human: 1, model: 0 }), Verdict::Allow);
}

#[test]
fn a_protected_directory_as_working_directory_protects_bare_names() {
    let mut call = run("/usr/bin/rm", &["rm", "ci.yml"]);
    assert_eq!(ask(&[default_set()], &call).verdict, Verdict::Allow);
    call.arguments = json!({ "cwd": ".github/workflows" });
    assert_eq!(ask(&[default_set()], &call).verdict, Verdict::Deny);
}

#[test]
fn code_given_to_an_interpreter_passes_and_the_sandbox_must_hold() {
    // No rule on arguments stops this. What does: the sandbox has no network, by seccomp and by NetworkPolicy.
    let call = run("/usr/bin/python3.11", &["python3", "-c", "import pip; pip.main(['install', 'x'])"]);
    assert_eq!(ask(&[default_set()], &call).verdict, Verdict::Allow);
}

// ---- composition

#[test]
fn without_a_set_nothing_is_allowed() {
    let judgement = ask(&[], &write("a.py"));
    assert_eq!(judgement.verdict, Verdict::Deny);
    assert!(judgement.reason.contains("no policy is in force"), "{judgement:?}");
    for sets in [
        vec![set("team/all", Scope::Namespace, PERMIT_ALL)],
        vec![shadow(set("all", Scope::Operator, PERMIT_ALL))],
        vec![shadow(set("all", Scope::Operator, PERMIT_ALL)), set("team/all", Scope::Namespace, PERMIT_ALL)],
    ] {
        let judgement = ask(&sets, &write("a.py"));
        assert_eq!(judgement.verdict, Verdict::Deny, "{judgement:?}");
        assert!(judgement.reason.contains("no policy is in force"), "{judgement:?}");
    }
}

#[test]
fn a_namespace_that_forbids_wins() {
    let narrow = r#"@id("all") permit (principal, action, resource);
        @id("no-vendor") @reason("vendor is not ours") forbid (principal, action, resource) when { context.under.contains("vendor") && !resource.readOnly };"#;
    let sets = [default_set(), set("team/narrow", Scope::Namespace, narrow)];
    assert_eq!(ask(&sets, &write("src/a.py")).verdict, Verdict::Allow);
    let judgement = ask(&sets, &write("vendor/deep/a.py"));
    assert_eq!((judgement.verdict, judgement.determining), (Verdict::Deny, vec!["team/narrow/no-vendor".to_owned()]));
    assert_eq!(judgement.reason, "team/narrow: vendor is not ours (no-vendor)");
}

#[test]
fn a_namespace_that_permits_everything_widens_nothing() {
    let sets = [default_set(), set("team/all", Scope::Namespace, PERMIT_ALL)];
    for call in [write(".git/config"), run("/usr/bin/curl", &["curl"]), run("/usr/bin/gdb", &["gdb"])] {
        assert_eq!(ask(&sets, &call).verdict, Verdict::Deny, "{call:?}");
    }
}

#[test]
fn a_set_that_permits_nothing_denies() {
    let forbids_only = r#"@id("no-shell") forbid (principal, action, resource == Tool::"shell.run");"#;
    let judgement = ask(&[default_set(), set("team/x", Scope::Namespace, forbids_only)], &write("a.py"));
    assert_eq!(judgement.verdict, Verdict::Deny);
    assert!(judgement.reason.contains("team/x: no policy permits"), "{judgement:?}");
}

#[test]
fn a_shadow_set_only_says_what_it_would_have_said() {
    let strict = r#"@id("nothing") @reason("a trial") forbid (principal, action, resource);"#;
    let judgement = ask(&[default_set(), shadow(set("trial", Scope::Operator, strict))], &write("a.py"));
    assert_eq!(judgement.verdict, Verdict::Allow);
    assert_eq!(judgement.shadow, ["trial would deny: a trial (nothing)"]);
    assert_eq!(judgement.sets.len(), 2);
    let wide = ask(&[default_set(), shadow(set("wide", Scope::Operator, PERMIT_ALL))], &run("/usr/bin/curl", &["curl"]));
    assert_eq!((wide.verdict, wide.shadow), (Verdict::Deny, vec!["wide would allow: all".to_owned()]));
    let same = ask(&[default_set(), shadow(set("wide", Scope::Operator, PERMIT_ALL))], &write("a.py"));
    assert_eq!(same.shadow, Vec::<String>::new());
}

#[test]
fn a_policy_that_fails_while_judging_denies() {
    let overflow = r#"@id("all") permit (principal, action, resource);
        @id("too-large") forbid (principal, action, resource) when { principal.autonomy * 9223372036854775807 > 0 };"#;
    let judgement = ask(&[set("broken", Scope::Operator, overflow)], &write("a.py"));
    assert_eq!((judgement.verdict, judgement.determining), (Verdict::Deny, vec!["broken/too-large".to_owned()]));
    assert!(judgement.reason.contains("policy too-large failed while judging"), "{}", judgement.reason);
    let shadowed = ask(&[default_set(), shadow(set("broken", Scope::Operator, overflow))], &write("a.py"));
    assert_eq!(shadowed.verdict, Verdict::Allow);
    assert!(shadowed.shadow[0].contains("failed while judging"), "{shadowed:?}");
}

// ---- odd calls

#[test]
fn a_call_too_long_to_judge_is_denied() {
    let long = "x".repeat(MAX_JUDGED_BYTES);
    let judgement = ask(&[set("all", Scope::Operator, PERMIT_ALL)], &run("/usr/bin/python3", &["python3", "-c", &long]));
    assert_eq!(judgement.verdict, Verdict::Deny);
    assert!(judgement.reason.contains("put long text in a file or in stdin"), "{}", judgement.reason);
    assert!(judgement.reason.chars().count() <= MAX_JUDGEMENT_REASON_CHARS);
}

#[test]
fn padding_hides_nothing() {
    let padding: Vec<String> = std::iter::repeat_n("-B".to_owned(), 200).collect();
    let mut argv = vec!["python3"];
    argv.extend(padding.iter().map(String::as_str));
    argv.extend(["-m", "pip"]);
    assert_eq!(ask(&[default_set()], &run("/usr/bin/python3.11", &argv)).determining, ["default/no-package-installation-python"]);
    let long = format!("s/{}/b/", "*".repeat(100_000));
    let judgement = ask(&[default_set()], &run("/usr/bin/sed", &["sed", &long, "-i", "Cargo.lock"]));
    assert_eq!(judgement.determining, ["default/protected-arguments"]);
}

#[test]
fn a_call_without_program_or_arguments_is_denied() {
    let mut call = run("/usr/bin/ls", &[]);
    assert_eq!(ask(&[default_set()], &call).verdict, Verdict::Allow, "argv may be empty; the program is what is judged");
    call.program = None;
    assert_eq!(ask(&[default_set()], &call).verdict, Verdict::Deny);
}

#[test]
fn text_of_any_script_is_judged() {
    for path in ["日本語/файл.py", "a\u{0}b", "tab\there", "\"quoted\"", "new\nline"] {
        assert_eq!(ask(&[default_set()], &write(path)).verdict, Verdict::Allow, "{path:?}");
    }
}

#[test]
fn every_tool_can_be_judged_for_every_role() {
    for role in [Role::Planner, Role::Coder, Role::Acceptance] {
        for tool in ToolName::ALL {
            let call = Canonical { tool, arguments: Value::Null, paths: Vec::new(), program: None, argv: Vec::new() };
            let agent = Agent { role, ..coder() };
            let judgement = judge("k", &[set("all", Scope::Operator, PERMIT_ALL)], &Facts { agent, call: &call, keys: Keys::default() });
            assert_eq!(judgement.verdict, Verdict::Allow, "{role:?} {tool}: {}", judgement.reason);
        }
    }
}

// ---- texts

#[test]
fn every_attribute_of_the_schema_can_be_asked_about() {
    let all = r#"@id("all") permit (principal, action == Action::"call", resource) when {
        principal.role == Role::"Coder" && principal.namespace == "team" && principal.autonomy == 2 && principal == Agent::"team/Coder" &&
        !resource.readOnly && resource.destructive && !resource.idempotent && resource == Tool::"shell.run" &&
        context.paths.contains(".") && context.writes.isEmpty() && context.under.contains(".") && !context.protected &&
        context.keys.human == 0 && context.keys.model == 0 && context has program &&
        context.program.path == "/usr/bin/python3.11" && context.program.name == "python3.11" && context.program.digest like "sha256:*" &&
        context.program.system && !context.program.workspace && context.program.argv.contains("-m") &&
        context.program.command == "python3 -m pip" && context.program has subcommand && context.program.subcommand == "-m" &&
        context.program has module && context.program.module == "pip" && !(context.program has script) && !context.program.namesProtected };"#;
    let judgement = ask(&[set("all", Scope::Operator, all)], &run("/usr/bin/python3.11", &["python3", "-m", "pip"]));
    assert_eq!(judgement.verdict, Verdict::Allow, "{judgement:?}");
    let script = r#"@id("s") permit (principal, action, resource) when { context has program && context.program has script && context.program.script == "a.py" };"#;
    assert_eq!(ask(&[set("s", Scope::Operator, script)], &run("/usr/bin/python3", &["python3", "a.py"])).verdict, Verdict::Allow);
}

#[test]
fn a_text_that_is_no_set_is_refused_with_its_line() {
    for (cedar, line, says) in [
        ("@id(\"a\")\npermit (principal, action resource);", 2, "this is not Cedar"),
        ("@id(\"a\")\npermit (principal, action, resource)\nwhen { context.user == \"x\" };", 3, "user"),
        ("@id(\"a\")\npermit (principal, action, resource)\nwhen { context.program.name == \"ls\" };", 3, "program"),
        ("@id(\"a\")\npermit (principal, action, resource)\nwhen { principal.autonomy == \"2\" };", 3, "type"),
        ("@id(\"a\")\npermit (principal, action, resource)\nwhen { principal.role == Role::\"Admin\" };", 3, "Admin"),
        ("@id(\"a\")\npermit (principal, action == Action::\"cal\", resource);", 2, "cal"),
        ("@id(\"a\")\npermit (principal, action, resource)\nwhen { 1 == 2 };", 1, "false"),
        ("@id(\"a\")\npermit (principal, action, resource)\nwhen { context.paths.contains(\"s\u{43e}urce\") };", 3, "script"),
        ("\n\npermit (principal, action, resource);", 3, "expected @id"),
        ("@id(\"A b\")\npermit (principal, action, resource);", 1, "expected an @id of 1 to 63 characters"),
        ("@id(\"a\")\npermit (principal, action, resource);\n@id(\"a\")\nforbid (principal, action, resource);", 3, "twice"),
        ("@id(\"a\")\nforbid (principal, action, resource == Tool::\"shell.rnu\");", 1, "expected a tool of fs.read"),
        ("@id(\"a\") @reason(\"\")\nforbid (principal, action, resource);", 1, "@reason"),
        ("@id(\"a\") @reason(\"x\\ny\")\nforbid (principal, action, resource);", 1, "@reason"),
    ] {
        let error = refused(cedar);
        assert!(error.contains(&format!("line {line}: ")) && error.contains(says), "{cedar}\n{error}");
    }
    assert!(refused("@id(\"a\") permit (principal == ?principal, action, resource);").contains("template"));
}

#[test]
fn what_is_said_of_a_bad_text_is_bounded() {
    let many: String =
        (0..200).map(|n| format!("@id(\"p{n}\") permit (principal, action, resource) when {{ context.nope{n} }};\n")).collect();
    let error = refused(&many);
    assert!(error.contains("line 1:") && error.contains("and 195 more"), "{error}");
    let long = format!("@id(\"a\") permit (principal, action, resource) when {{ context.{} }};", "n".repeat(60_000));
    assert!(refused(&long).chars().count() < MAX_POLICY_COMPLAINT_CHARS + 200);
}

#[test]
fn an_empty_set_reads_and_allows_nothing() {
    let empty = CompiledSet::parse("// nothing\n").unwrap();
    assert!(empty.is_empty());
    assert_eq!(ask(&[set("empty", Scope::Operator, "// nothing\n")], &write("a.py")).verdict, Verdict::Deny);
    assert_eq!(default_set().compiled.len(), 19);
}

/// A text that would exhaust a worker thread's stack must be refused before it is parsed.
#[test]
fn no_text_exhausts_the_stack() {
    let body = |condition: String| format!("@id(\"a\") permit (principal, action, resource) when {{ {condition} }};");
    let times = |text: &str| text.repeat(60_000 / text.len());
    for condition in [
        times("("),
        format!("{}true{}", "(".repeat(30_000), ")".repeat(30_000)),
        format!("{}true", times("!")),
        format!("{}true", times("! ")),
        format!("0 == {}1", times("-")),
        format!("{}true", times("if true then true else ")),
        format!("{}true{}", "if ".repeat(10_000), " then true else true".repeat(1_000)),
        format!("{}[]{} == []", "[".repeat(20_000), "]".repeat(20_000)),
        format!("{}1{} == {{a: 1}}", "{a:".repeat(10_000), "}".repeat(10_000)),
        format!("context{}", times(".a")),
        format!("context{}", times("[\"a\"]")),
        format!("true{}", times("&& true")),
        format!("true{}", times("|| true")),
        format!("1{} == 1", times("+1")),
        format!("1{} == 1", times("*1")),
        format!("context{}", times(".a()")),
        format!("true{}", times("} when {true")),
        format!("context has a{}", times(".a")),
        format!("{}\"x\"", times("context.paths.contains(")),
    ] {
        let text = body(condition);
        let worker = std::thread::Builder::new().stack_size(2 * 1024 * 1024);
        let outcome = worker.spawn(move || CompiledSet::parse(&text).map(|set| set.len())).unwrap().join().unwrap();
        assert!(outcome.is_err(), "{outcome:?}");
    }
}

#[test]
fn a_long_but_flat_policy_is_taken() {
    let names: Vec<String> = (0..2_000).map(|n| format!("\"p{n}\"")).collect();
    let list = format!("@id(\"a\") permit (principal, action, resource) when {{ [{}].contains(principal.namespace) }};", names.join(", "));
    assert_eq!(CompiledSet::parse(&list).map(|set| set.len()), Ok(1));
    let many: String =
        (0..300).map(|n| format!("@id(\"p{n}\") permit (principal, action, resource) when {{ !(resource.readOnly) }};\n")).collect();
    assert_eq!(CompiledSet::parse(&many).map(|set| set.len()), Ok(300));
}

/// Cedar's type checker passes, unchecked, what it has no stack for: the bounds must keep a text from getting there.
#[test]
fn a_policy_at_the_bounds_is_still_checked() {
    let when = |condition: String| format!("@id(\"a\") permit (principal, action, resource) when {{ {condition} }};");
    for chain in [".a".repeat(MAX_POLICY_OPERATORS - 2), "[\"a\"]".repeat(MAX_POLICY_OPERATORS - 2)] {
        assert!(refused(&when(format!("context{chain}"))).contains("attribute `a`"));
    }
    let product = when(format!("1{} == 1", "*1".repeat(MAX_POLICY_OPERATORS - 2)));
    assert_eq!(ask(&[set("product", Scope::Operator, &product)], &write("a.py")).verdict, Verdict::Allow);
    let brackets = MAX_POLICY_DEPTH - 1;
    let nested = when(format!("{}context.nope{}", "(".repeat(brackets), ")".repeat(brackets)));
    assert!(refused(&nested).contains("nope"));
}

#[test]
fn what_people_can_open_asks_for_exactly_so_many_keys_and_what_they_cannot_is_denied() {
    let two = set("ops/two", Scope::Operator, "@id(\"two\")\npermit (principal, action, resource) when { context.keys.human >= 2 };");
    let asked = |sets: &[ActiveSet], human: u32| {
        let call = write("a.py");
        let facts = Facts { agent: coder(), call: &call, keys: Keys { human, ..Keys::default() } };
        decide("k", sets, &facts)
    };
    assert_eq!(asked(std::slice::from_ref(&two), 0).verdict, Verdict::Ask { human: 2 });
    assert_eq!(asked(std::slice::from_ref(&two), 2).verdict, Verdict::Allow);
    let never = set("team/never", Scope::Namespace, "@id(\"never\")\nforbid (principal, action, resource);");
    assert_eq!(asked(&[two, never], 0).verdict, Verdict::Deny, "no key opens what another set forbids");
}
