//! Paths that decide what runs elsewhere: on a person's machine, in CI, in the next agent.
//!
//! The same file has many names on the file systems that a commit may be checked out on, so names are folded before they are compared:
//! case (APFS, NTFS), characters that HFS+ ignores, trailing dots and spaces and streams (NTFS), backslashes (Windows). Folding too much
//! costs a question to a person; folding too little costs the promise.

/// Why a path is protected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Protection {
    /// It tells CI what to run.
    Ci,
    /// It instructs an agent, or configures an editor, a shell or a hook that runs by itself on a person's machine.
    Configuration,
    /// It is git's own, `.gitignore` and `.gitkeep` excepted: those decide only what a commit leaves out, and a person sees the commit.
    Git,
    /// It decides which packages are installed.
    Lockfile,
}

impl Protection {
    /// As shown to people.
    pub const fn as_str(self) -> &'static str {
        match self {
            Protection::Ci => "CI",
            Protection::Configuration => "agent or editor configuration",
            Protection::Git => "git's own",
            Protection::Lockfile => "lockfile",
        }
    }
}

impl std::fmt::Display for Protection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Names that are exempt from the prefixes below.
const OPEN: [&str; 2] = [".gitignore", ".gitkeep"];

/// Names, folded, of a file or directory at any depth.
const NAMES: [(&str, Protection); 62] = [
    (".appveyor.yml", Protection::Ci),
    (".buildkite", Protection::Ci),
    (".circleci", Protection::Ci),
    (".cirrus.yml", Protection::Ci),
    (".drone.yml", Protection::Ci),
    (".semaphore", Protection::Ci),
    (".teamcity", Protection::Ci),
    (".tekton", Protection::Ci),
    (".travis.yml", Protection::Ci),
    ("appveyor.yml", Protection::Ci),
    ("bitbucket-pipelines.yml", Protection::Ci),
    ("codeowners", Protection::Ci),
    (".amazonq", Protection::Configuration),
    (".claude", Protection::Configuration),
    (".clinerules", Protection::Configuration),
    (".codex", Protection::Configuration),
    (".continue", Protection::Configuration),
    (".devcontainer", Protection::Configuration),
    (".devcontainer.json", Protection::Configuration),
    (".envrc", Protection::Configuration),
    (".fleet", Protection::Configuration),
    (".gemini", Protection::Configuration),
    (".husky", Protection::Configuration),
    (".idea", Protection::Configuration),
    (".junie", Protection::Configuration),
    (".kiro", Protection::Configuration),
    (".mcp.json", Protection::Configuration),
    (".opencode", Protection::Configuration),
    (".pre-commit-config.yaml", Protection::Configuration),
    (".qwen", Protection::Configuration),
    (".vscode", Protection::Configuration),
    (".zed", Protection::Configuration),
    ("agents.md", Protection::Configuration),
    ("agents.override.md", Protection::Configuration),
    ("claude.local.md", Protection::Configuration),
    ("claude.md", Protection::Configuration),
    ("gemini.md", Protection::Configuration),
    ("lefthook.yml", Protection::Configuration),
    ("opencode.json", Protection::Configuration),
    ("qwen.md", Protection::Configuration),
    ("bun.lock", Protection::Lockfile),
    ("bun.lockb", Protection::Lockfile),
    ("cargo.lock", Protection::Lockfile),
    ("composer.lock", Protection::Lockfile),
    ("conda-lock.yml", Protection::Lockfile),
    ("deno.lock", Protection::Lockfile),
    ("flake.lock", Protection::Lockfile),
    ("gemfile.lock", Protection::Lockfile),
    ("go.sum", Protection::Lockfile),
    ("go.work.sum", Protection::Lockfile),
    ("gradle.lockfile", Protection::Lockfile),
    ("mix.lock", Protection::Lockfile),
    ("npm-shrinkwrap.json", Protection::Lockfile),
    ("package-lock.json", Protection::Lockfile),
    ("packages.lock.json", Protection::Lockfile),
    ("pdm.lock", Protection::Lockfile),
    ("pipfile.lock", Protection::Lockfile),
    ("pnpm-lock.yaml", Protection::Lockfile),
    ("poetry.lock", Protection::Lockfile),
    ("pubspec.lock", Protection::Lockfile),
    ("uv.lock", Protection::Lockfile),
    ("yarn.lock", Protection::Lockfile),
];

/// Beginnings of names, folded, the first that fits. `git~1` is what NTFS calls `.git` for programs of 1993, and git refuses it too.
const PREFIXES: [(&str, Protection); 14] = [
    (".github", Protection::Ci),
    (".gitlab", Protection::Ci),
    (".gitea", Protection::Ci),
    (".git", Protection::Git),
    ("git~", Protection::Git),
    (".woodpecker", Protection::Ci),
    (".zuul", Protection::Ci),
    ("azure-pipelines", Protection::Ci),
    ("jenkinsfile", Protection::Ci),
    ("cloudbuild.", Protection::Ci),
    (".aider", Protection::Configuration),
    (".cursor", Protection::Configuration),
    (".windsurf", Protection::Configuration),
    (".roo", Protection::Configuration),
];

/// Why this path is protected, if it is. Any component counts, at any depth: `web/.github/x`, `.git/hooks`, `sub/Cargo.lock`.
pub fn protection(path: &str) -> Option<Protection> {
    path.split(['/', '\\']).find_map(component)
}

fn component(name: &str) -> Option<Protection> {
    let name = folded(name);
    if OPEN.contains(&name.as_str()) {
        return None;
    }
    let exact = NAMES.iter().find(|(known, _)| *known == name);
    let begins = || PREFIXES.iter().find(|(prefix, _)| name.starts_with(prefix));
    exact.or_else(begins).map(|(_, protection)| *protection)
}

/// The name as the most forgiving file system reads it.
fn folded(name: &str) -> String {
    let seen: String = name.chars().filter(|c| !is_ignored(*c)).collect();
    // To capitals and back: a long s or a dotless i has a plain letter as its capital.
    let seen = seen.to_uppercase().to_lowercase();
    // NTFS: a name ends at the colon of a stream (`.git::$INDEX_ALLOCATION`), dots and spaces at its end do not count.
    let seen = match seen.find(':') {
        Some(colon) if colon > 0 => &seen[..colon],
        Some(_) | None => &seen,
    };
    seen.trim_end_matches(['.', ' ']).to_owned()
}

/// Characters that HFS+ ignores in names (as git's `utf8.c` lists them), and the other invisible ones: soft hyphen, tags, variation selectors.
const fn is_ignored(c: char) -> bool {
    matches!(c,
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{e0000}'..='\u{e0fff}')
}

/// Whether an argument vector names a protected path, as far as arguments show: each argument, and what follows an `=` in it, is read
/// as a path from `cwd`.
pub(super) fn names_protected(argv: &[String], cwd: &str) -> bool {
    argv.iter().skip(1).flat_map(|argument| [Some(argument.as_str()), argument.split_once('=').map(|(_, value)| value)]).flatten().any(
        |argument| {
            // In a protected directory a bare name is enough; elsewhere the argument alone decides.
            protection(argument).is_some() || (protection(cwd).is_some() && !argument.starts_with('-') && stays(argument))
        },
    )
}

/// Whether a relative path does not climb.
fn stays(path: &str) -> bool {
    !path.starts_with('/') && !path.split('/').any(|part| part == "..")
}

#[cfg(test)]
mod tests {
    use super::Protection::{Ci, Configuration, Git, Lockfile};
    use super::*;

    #[test]
    fn what_runs_elsewhere_is_protected() {
        for (path, expected) in [
            (".github/workflows/ci.yml", Ci),
            ("./.GitHub/workflows/ci.yml", Ci),
            ("web/.github/x", Ci),
            (".gitlab-ci.yml", Ci),
            (".gitlab/ci/build.yml", Ci),
            (".circleci/config.yml", Ci),
            ("Jenkinsfile", Ci),
            ("Jenkinsfile.release", Ci),
            (".travis.yml", Ci),
            ("azure-pipelines.yml", Ci),
            ("azure-pipelines-nightly.yaml", Ci),
            (".woodpecker.yml", Ci),
            (".woodpecker/build.yaml", Ci),
            ("docs/CODEOWNERS", Ci),
            ("AGENTS.md", Configuration),
            ("sub/agents.MD", Configuration),
            ("CLAUDE.md", Configuration),
            (".cursor/rules/a.mdc", Configuration),
            (".cursorrules", Configuration),
            (".claude/settings.json", Configuration),
            (".aider.conf.yml", Configuration),
            (".mcp.json", Configuration),
            (".vscode/tasks.json", Configuration),
            (".idea/workspace.xml", Configuration),
            (".devcontainer/devcontainer.json", Configuration),
            (".envrc", Configuration),
            (".gitattributes", Git),
            ("deep/down/.gitattributes", Git),
            (".gitmodules", Git),
            (".git/hooks/pre-commit", Git),
            (".git", Git),
            (".GIT/config", Git),
            ("Cargo.lock", Lockfile),
            ("web/package-lock.json", Lockfile),
            ("poetry.lock", Lockfile),
            ("uv.lock", Lockfile),
            ("yarn.lock", Lockfile),
            ("pnpm-lock.yaml", Lockfile),
            ("go.sum", Lockfile),
            ("Pipfile.lock", Lockfile),
        ] {
            assert_eq!(protection(path), Some(expected), "{path}");
        }
    }

    #[test]
    fn another_spelling_of_the_same_file_is_protected() {
        for path in [
            ".g\u{200c}it/config",
            "\u{feff}.github/workflows/x",
            ".git\u{200d}hub/x",
            ".git./config",
            ".git /config",
            ".github . /x",
            ".git::$INDEX_ALLOCATION/config",
            ".gitattributes:stream",
            "git~1/config",
            "GIT~1/config",
            ".github\\workflows\\x.yml",
            "a\\.git\\config",
            ".gıthub/x",
            "AGENT\u{17f}.md",
            "a\u{ad}gents.md",
            "JENKINSFILE",
            "cargo.LOCK ",
        ] {
            assert!(protection(path).is_some(), "{path:?}");
        }
    }

    #[test]
    fn ordinary_work_is_not_protected() {
        for path in [
            ".",
            "",
            "src/main.rs",
            ".gitignore",
            "sub/.GITIGNORE",
            ".gitkeep",
            "git.rs",
            "github/x",
            "docs/agents.md.j2",
            "src/lockfile.rs",
            "Cargo.toml",
            "package.json",
            "go.mod",
            "pyproject.toml",
            "requirements.txt",
            "tests/test_cursor.py",
            "src/cursor/mod.rs",
            "my-agents.md",
            ".env",
            "a:b",
            ":",
            "...",
        ] {
            assert_eq!(protection(path), None, "{path:?}");
        }
    }

    #[test]
    fn an_argument_that_names_a_protected_path_is_seen() {
        let argv = |line: &str| line.split(' ').map(str::to_owned).collect::<Vec<_>>();
        for (line, cwd) in [
            ("rm -rf .github", "."),
            ("cp a /workspace/.gitattributes", "."),
            ("tee --output=.mcp.json", "."),
            ("rm src/../Cargo.lock", "."),
            ("rm workflows/ci.yml", ".github"),
            ("mv x ../.github/x", "src"),
        ] {
            assert!(names_protected(&argv(line), cwd), "{line} in {cwd}");
        }
        for (line, cwd) in [(".github", "."), ("rm a.py", "."), ("rm ../a.py", ".github"), ("ls -l", ".github"), ("rm .gitignore", ".")] {
            assert!(!names_protected(&argv(line), cwd), "{line} in {cwd}");
        }
    }
}
