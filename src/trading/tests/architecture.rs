//! What the header of the crate promises, read from its sources.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::path::{Path, PathBuf};

fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let apart = path.ends_with("tests") || path.ends_with("benches") || path.ends_with("tests.rs");
        if path.is_dir() && !apart {
            found.extend(sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") && !apart {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// Lines that are code: no comments, nothing of a test module.
fn code(path: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(path).unwrap();
    let lines = text.lines().take_while(|line| line.trim() != "#[cfg(test)]");
    lines.filter(|line| !line.trim_start().starts_with("//")).map(str::to_owned).collect()
}

fn crate_folder() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

#[test]
fn the_engine_takes_time_chance_and_the_world_as_arguments() {
    let words =
        ["async ", ".await", "tokio", "SystemTime", "Instant", "std::fs", "std::net", "std::env", "rand::", "fastrand", "std::process"];
    for path in sources(crate_folder()) {
        for line in code(&path) {
            let found = words.iter().find(|word| line.contains(**word));
            assert_eq!(found, None, "{}: {line}", path.display());
        }
    }
}

#[test]
fn floats_are_only_where_nothing_is_owed() {
    // `spec.rs` holds the two thresholds of mean reversion, which are deviations and no money.
    let allowed = ["indicator", "judge", "output", "strategy/mean_reversion.rs", "spec.rs", "backtest/judged.rs", "backtest/sweep.rs"];
    for path in sources(crate_folder()) {
        let inside = path.strip_prefix(crate_folder()).unwrap();
        if allowed.iter().any(|place| inside.starts_with(place)) {
            continue;
        }
        for line in code(&path) {
            let float = line.split(|c: char| !c.is_alphanumeric()).any(|word| word == "f32" || word == "f64");
            // The one way out of the ledger, for charts and statistics.
            let way_out = inside.ends_with("number/money.rs") && (line.contains("fn to_f64") || line.contains("as f64"));
            assert!(!float || way_out, "{}: {line}", path.display());
        }
    }
}

#[test]
fn each_control_has_a_file_of_its_own() {
    let files = sources(&crate_folder().join("risk/checks"));
    assert_eq!(files.len(), 28 + 1, "28 controls, and the chain");
    for path in files.iter().filter(|path| !path.ends_with("mod.rs")) {
        let judges = code(path).iter().filter(|line| line.contains("pub(super) fn judge(")).count();
        assert_eq!(judges, 1, "{}", path.display());
    }
}

#[test]
fn the_crate_depends_on_nothing_of_ours() {
    let manifest = std::fs::read_to_string(crate_folder().join("Cargo.toml")).unwrap();
    assert!(!manifest.lines().any(|line| line.starts_with("reeve-")), "{manifest}");
}
