//! What an argument vector says, read as the program reads it.

/// Programs that are many: which one is decided by the name they are called by.
const MULTI_CALL: [&str; 5] = ["busybox", "coreutils", "git", "rustup", "toybox"];
/// Flags before a subcommand that take no value, of git, cargo, go and npm.
const BARE_FLAGS: [&str; 12] =
    ["--frozen", "--locked", "--no-optional-locks", "--no-pager", "--offline", "--quiet", "--silent", "--verbose", "-P", "-q", "-s", "-v"];

/// The program's name: the file name of its path after links, or of a multi-call program the name it is called by.
pub(super) fn name<'a>(path: &'a str, asked: Option<&'a str>) -> &'a str {
    let name = file_name(path);
    match asked {
        Some(asked) if MULTI_CALL.contains(&name) => file_name(asked),
        Some(_) | None => name,
    }
}

fn file_name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

/// The first argument behind flags that take no value, if it is a word.
pub(super) fn subcommand(argv: &[String]) -> Option<&str> {
    argv.iter().skip(1).map(String::as_str).find(|argument| !BARE_FLAGS.contains(argument))
}

/// What a Python interpreter would run.
#[derive(Debug, PartialEq, Eq, Default)]
pub(super) struct Python<'a> {
    /// X of `-m X`.
    pub(super) module: Option<&'a str>,
    /// The script's path as it was asked for.
    pub(super) script: Option<&'a str>,
}

/// Reads an argument vector as CPython's `_PyOS_GetOpt` does: flags may stand together, the value of `-m` may follow at once, options end
/// at `-c`, `-m`, `--` or the first word.
pub(super) fn python<'a>(name: &str, argv: &'a [String]) -> Option<Python<'a>> {
    let version = ["python", "pypy"].iter().find_map(|stem| name.strip_prefix(stem))?;
    if !(version.is_empty() || version.starts_with(|c: char| c.is_ascii_digit())) {
        return None;
    }
    let mut rest = argv.iter().skip(1).map(String::as_str);
    while let Some(argument) = rest.next() {
        match argument {
            "--" => return Some(Python { script: rest.next(), ..Python::default() }),
            "--check-hash-based-pycs" => {
                rest.next();
            }
            "-" => return Some(Python::default()),
            long if long.starts_with("--") => {}
            short if short.starts_with('-') => match cluster(&short[1..]) {
                Cluster::Flags => {}
                Cluster::ValueFollows => {
                    rest.next();
                }
                Cluster::Command => return Some(Python::default()),
                Cluster::Module(inline) => {
                    let module = if inline.is_empty() { rest.next() } else { Some(inline) };
                    return Some(Python { module, script: None });
                }
            },
            script => return Some(Python { script: Some(script), module: None }),
        }
    }
    Some(Python::default())
}

enum Cluster<'a> {
    /// Flags only.
    Flags,
    /// The last flag takes the next argument.
    ValueFollows,
    /// `-c`: the rest is the program's.
    Command,
    /// `-m`, with what stands behind it in the same argument.
    Module(&'a str),
}

fn cluster(flags: &str) -> Cluster<'_> {
    for (at, flag) in flags.char_indices() {
        let behind = &flags[at + flag.len_utf8()..];
        match flag {
            'c' => return Cluster::Command,
            'm' => return Cluster::Module(behind),
            'W' | 'X' if behind.is_empty() => return Cluster::ValueFollows,
            'W' | 'X' => return Cluster::Flags,
            _ => {}
        }
    }
    Cluster::Flags
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failing test should stop")]

    use super::*;

    fn argv(line: &str) -> Vec<String> {
        line.split(' ').map(str::to_owned).collect()
    }

    #[test]
    fn a_python_module_is_found_behind_any_options() {
        for (line, module, script) in [
            ("python3 -m pip install x", Some("pip"), None),
            ("python3 -mpip", Some("pip"), None),
            ("python3 -B -m pip", Some("pip"), None),
            ("python3 -Bm pip", Some("pip"), None),
            ("python3 -IBmpip", Some("pip"), None),
            ("python3 -W ignore -X dev -m pip", Some("pip"), None),
            ("python3 -Wignore -Xdev -m pip", Some("pip"), None),
            ("python3 -BW ignore -m pip", Some("pip"), None),
            ("python3 --check-hash-based-pycs never -m pip", Some("pip"), None),
            ("python3 -m", None, None),
            ("python3", None, None),
            ("python3 -", None, None),
            ("python3 -c import_pip -m pip", None, None),
            ("python3 -Bc import_pip", None, None),
            ("python3 a.py -m pip", None, Some("a.py")),
            ("python3 -- -m", None, Some("-m")),
            ("python3 -W -m pip", None, Some("pip")),
            ("python3 -u /usr/bin/pip install", None, Some("/usr/bin/pip")),
        ] {
            assert_eq!(python("python3.11", &argv(line)), Some(Python { module, script }), "{line}");
        }
    }

    #[test]
    fn only_python_is_read_as_python() {
        for name in ["python", "python3", "python3.11", "python3.13t", "pypy", "pypy3.10", "python3.11-dbg"] {
            assert!(python(name, &argv("x -m pip")).is_some(), "{name}");
        }
        for name in ["ls", "pythonista", "python-config", "pip3", "ipython"] {
            assert!(python(name, &argv("x -m pip")).is_none(), "{name}");
        }
    }

    #[test]
    fn a_multi_call_program_is_what_it_is_called() {
        assert_eq!(name("/usr/bin/python3.11", Some("python3")), "python3.11");
        assert_eq!(name("/usr/bin/python3.11", Some("./ls")), "python3.11");
        assert_eq!(name("/bin/busybox", Some("ls")), "ls");
        assert_eq!(name("/bin/busybox", Some("/bin/busybox")), "busybox");
        assert_eq!(name("/usr/bin/git", Some("git-receive-pack")), "git-receive-pack");
        assert_eq!(name("/usr/local/cargo/bin/rustup", Some("cargo")), "cargo");
        assert_eq!(name("/bin/busybox", None), "busybox");
    }

    #[test]
    fn a_subcommand_stands_behind_flags_without_value() {
        assert_eq!(subcommand(&argv("git --no-pager log -1")), Some("log"));
        assert_eq!(subcommand(&argv("git -C log push")), Some("-C"));
        assert_eq!(subcommand(&argv("git -c log push")), Some("-c"));
        assert_eq!(subcommand(&argv("cargo +nightly install x")), Some("+nightly"));
        assert_eq!(subcommand(&argv("git")), None);
        assert_eq!(subcommand(&argv("npm -q")), None);
    }
}
