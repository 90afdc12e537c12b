//! Walls that the compiler does not hold.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test ends by panicking")]

use std::path::{Path, PathBuf};

use reeve_tests::repository;

/// Longest file of Rust, lines. Past it a file is a room that wants a wall.
const MAX_LINES: usize = 560;

fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display())) {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(rust_files(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// The lines of a file that are code: no comments, nothing of its test module.
fn code(path: &Path) -> Vec<(usize, String)> {
    let text = std::fs::read_to_string(path).unwrap();
    let lines = text.lines().take_while(|line| line.trim() != "#[cfg(test)]");
    lines.enumerate().filter(|(_, line)| !line.trim_start().starts_with("//")).map(|(number, line)| (number + 1, line.to_owned())).collect()
}

fn is_test(path: &Path) -> bool {
    path.components().any(|part| part.as_os_str() == "tests") || path.file_name().is_some_and(|name| name == "tests.rs")
}

#[test]
fn the_core_is_pure() {
    let core = repository().join("src/core");
    let forbidden = [
        "async ",
        ".await",
        "tokio",
        "reqwest",
        "kube::Client",
        "SystemTime",
        "Instant::now",
        "Timestamp::now",
        "fastrand",
        "rand::",
        "std::fs",
        "std::net",
        "std::env",
    ];
    let mut found = Vec::new();
    for path in rust_files(&core).into_iter().filter(|path| !is_test(path)) {
        for (number, line) in code(&path) {
            found.extend(forbidden.iter().filter(|word| line.contains(*word)).map(|word| format!("{}:{number}: {word}", path.display())));
            let float = line.split(|c: char| !c.is_alphanumeric()).any(|word| word == "f32" || word == "f64");
            if float {
                found.push(format!("{}:{number}: a float", path.display()));
            }
        }
    }
    assert!(found.is_empty(), "src/core takes time, randomness and the world as arguments:\n{}", found.join("\n"));
    let manifest = std::fs::read_to_string(core.join("Cargo.toml")).unwrap();
    for dependency in ["tokio", "reqwest", "sqlx", "fastrand", "rand"] {
        assert!(!manifest.lines().any(|line| line.starts_with(dependency)), "src/core/Cargo.toml depends on {dependency}");
    }
}

#[test]
fn time_and_chance_come_from_the_surroundings() {
    let operator = repository().join("src/operator");
    // The Lease's own writer stands outside of what a simulation drives: it carries a time for people and reads none.
    let outside = ["surroundings.rs", "lease.rs"];
    let forbidden = ["Timestamp::now", "SystemTime", "std::time::Instant", "RandomState", "fastrand", "spawn_blocking", "thread::"];
    let mut found = Vec::new();
    for path in rust_files(&operator).into_iter().filter(|path| !is_test(path) && !path.starts_with(operator.join("examples"))) {
        if outside.iter().any(|name| path.ends_with(name)) {
            continue;
        }
        let lines = code(&path);
        for (number, line) in &lines {
            found.extend(forbidden.iter().filter(|word| line.contains(*word)).map(|word| format!("{}:{number}: {word}", path.display())));
            let chosen_by_chance =
                line.contains("select! {") && lines.iter().all(|(next, line)| *next != number + 1 || line.trim() != "biased;");
            if chosen_by_chance {
                found.push(format!("{}:{number}: select! without biased", path.display()));
            }
        }
    }
    assert!(found.is_empty(), "src/operator takes time and chance from surroundings.rs:\n{}", found.join("\n"));
}

#[test]
fn data_flows_downward_only() {
    let below = [
        ("api", &["reeve-core", "reeve-store", "reeve-gateway", "reeve-tools", "reeve-operator", "reeve-cli"][..]),
        ("trading", &["reeve-api", "reeve-core", "reeve-store", "reeve-gateway", "reeve-tools", "reeve-operator", "reeve-cli"]),
        ("core", &["reeve-store", "reeve-gateway", "reeve-tools", "reeve-operator", "reeve-cli"]),
        ("store", &["reeve-gateway", "reeve-tools", "reeve-operator", "reeve-cli"]),
        ("gateway", &["reeve-store", "reeve-tools", "reeve-operator", "reeve-cli"]),
        ("tools", &["reeve-store", "reeve-gateway", "reeve-operator", "reeve-cli"]),
        ("operator", &["reeve-tools", "reeve-cli"]),
    ];
    for (folder, above) in below {
        let manifest = std::fs::read_to_string(repository().join("src").join(folder).join("Cargo.toml")).unwrap();
        let dependencies = manifest.split("[dev-dependencies]").next().unwrap();
        for name in above {
            assert!(!dependencies.lines().any(|line| line.starts_with(name)), "src/{folder} depends on {name}, which is above it");
        }
    }
}

#[test]
fn unsafe_code_is_forbidden_but_where_the_kernel_forces_it() {
    for entry in std::fs::read_dir(repository().join("src")).unwrap() {
        let library = entry.unwrap().path().join("lib.rs");
        let text = std::fs::read_to_string(&library).unwrap_or_else(|error| panic!("{}: {error}", library.display()));
        let kernel = library.parent().unwrap().ends_with("tools");
        assert!(kernel || text.contains("#![forbid(unsafe_code)]"), "{} does not forbid unsafe code", library.display());
    }
}

#[test]
fn no_file_is_too_long_to_read() {
    let mut found = Vec::new();
    for folder in ["src", "tests"] {
        for path in rust_files(&repository().join(folder)) {
            let lines = std::fs::read_to_string(&path).unwrap().lines().count();
            if lines > MAX_LINES {
                found.push(format!("{}: {lines} lines", path.display()));
            }
        }
    }
    assert!(found.is_empty(), "files of more than {MAX_LINES} lines:\n{}", found.join("\n"));
}

#[test]
fn no_test_sleeps() {
    let sleeps = ["thread::", "sleep("].concat();
    for path in rust_files(&repository().join("tests")) {
        let own = path.file_name().is_some_and(|name| name == "architecture.rs");
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(own || !text.contains(&sleeps) && !text.contains("tokio::time::sleep"), "{} sleeps", path.display());
    }
}

/// The profile of tests switches off what other crates assert of themselves, so each of ours must be named in it.
#[test]
fn every_crate_of_ours_is_tested_with_checked_arithmetic() {
    let manifest = std::fs::read_to_string(repository().join("Cargo.toml")).unwrap();
    let members = manifest.lines().find_map(|line| line.strip_prefix("members = [")).expect("the workspace has members");
    let members: Vec<&str> = members.split('"').filter(|part| part.contains("src/") || *part == "tests").collect();
    assert!(members.len() > 5, "{members:?}");
    for member in members {
        let own = std::fs::read_to_string(repository().join(member).join("Cargo.toml")).unwrap();
        let name = own.lines().find_map(|line| line.strip_prefix("name = ")).unwrap().trim_matches('"').to_owned();
        let profile = manifest.split(&format!("[profile.dev.package.{name}]")).nth(1).unwrap_or_default();
        let profile = profile.split("\n[").next().unwrap_or_default();
        assert!(profile.contains("overflow-checks = true"), "Cargo.toml has no [profile.dev.package.{name}] with overflow-checks = true");
    }
}
