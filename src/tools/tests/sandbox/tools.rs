//! What each tool does for a model.

use reeve_core::tool::ToolName;
use reeve_core::tool::wire::{Status, TouchedPath, code};
use serde_json::json;

use crate::harness::{Sandbox, usual};

#[tokio::test]
async fn a_file_is_read_with_numbered_lines() {
    let (_sandbox, session) = Sandbox::with(&[("a.txt", "one\ntwo\nthree\n"), ("bin", "\0\u{1}"), ("latin", "caf\n")]).await;
    let whole = session.run(ToolName::FsRead, json!({ "path": "a.txt" })).await.unwrap();
    assert_eq!((whole.status, whole.content.as_str()), (Status::Ok, "     1\tone\n     2\ttwo\n     3\tthree\n"));
    let part = session.run(ToolName::FsRead, json!({ "path": "./a.txt", "start_line": 2, "end_line": 2 })).await.unwrap();
    assert_eq!(part.content, "     2\ttwo\n");
    let beyond = session.run(ToolName::FsRead, json!({ "path": "a.txt", "start_line": 9 })).await.unwrap();
    assert_eq!((beyond.status, beyond.content.as_str()), (Status::Error, "the file has 3 lines; line 9 is beyond its end"));
    let binary = session.run(ToolName::FsRead, json!({ "path": "bin" })).await.unwrap();
    assert!(binary.status == Status::Error && binary.content.contains("binary"), "{binary:?}");
    let absent = session.run(ToolName::FsRead, json!({ "path": "none" })).await.unwrap_err();
    assert_eq!(absent.code, code::INVALID);
}

#[tokio::test]
async fn a_write_makes_its_directories_and_says_which_before() {
    let (sandbox, session) = Sandbox::with(&[("a.sh+x", "#!/bin/sh\n")]).await;
    let resolved = session.resolve("k", ToolName::FsWrite, json!({ "path": "x/y/z.txt", "content": "hi" })).await.unwrap();
    let path = |path: &str| TouchedPath { path: path.into(), write: true, exists: false };
    assert_eq!(resolved.canonical.paths, [path("x"), path("x/y"), path("x/y/z.txt")]);
    assert_eq!(session.call("k", &resolved.handle, usual()).await.unwrap().status, Status::Ok);
    assert_eq!(std::fs::read_to_string(sandbox.path("workspace/x/y/z.txt")).unwrap(), "hi");
    session.run(ToolName::FsWrite, json!({ "path": "a.sh", "content": "#!/bin/sh\necho ran\n" })).await.unwrap();
    let ran = session.shell(&["./a.sh"]).await;
    assert_eq!(ran.content, "ran\nexit code 0", "the mode was kept");
}

#[tokio::test]
async fn an_edit_that_fits_more_than_once_changes_nothing() {
    let (sandbox, session) = Sandbox::with(&[("a.txt", "ab ab\naaa\n")]).await;
    for (old, says) in [("ab", "2 times"), ("aa", "2 times"), ("zz", "0 times")] {
        let outcome = session.run(ToolName::FsEdit, json!({ "path": "a.txt", "old": old, "new": "x" })).await.unwrap();
        assert!(outcome.status == Status::Error && outcome.content.contains(says), "{outcome:?}");
    }
    assert_eq!(std::fs::read_to_string(sandbox.path("workspace/a.txt")).unwrap(), "ab ab\naaa\n");
    let outcome = session.run(ToolName::FsEdit, json!({ "path": "a.txt", "old": "aaa", "new": "b" })).await.unwrap();
    assert_eq!(outcome.status, Status::Ok, "{outcome:?}");
    assert_eq!(std::fs::read_to_string(sandbox.path("workspace/a.txt")).unwrap(), "ab ab\nb\n");
}

#[tokio::test]
async fn listing_and_searching_are_sorted_and_skip_what_is_not_text() {
    let files = [("b/two.rs", "fn two() {}\n"), ("a.rs", "// fn\nfn one() {}\n"), ("c.bin", "fn\0"), ("b/deep/x", "nothing\n")];
    let (_sandbox, session) = Sandbox::with(&files).await;
    assert_eq!(session.run(ToolName::FsList, json!({})).await.unwrap().content, "a.rs\nb/\nc.bin\n");
    let deep = session.run(ToolName::FsList, json!({ "depth": 3 })).await.unwrap();
    assert_eq!(deep.content, "a.rs\nb/\nb/deep/\nb/deep/x\nb/two.rs\nc.bin\n");
    let found = session.run(ToolName::FsSearch, json!({ "pattern": r"^fn \w+" })).await.unwrap();
    assert_eq!(found.content, "a.rs:2:fn one() {}\nb/two.rs:1:fn two() {}\n(1 binary or large files were skipped)\n");
    let below = session.run(ToolName::FsSearch, json!({ "pattern": "two", "path": "b" })).await.unwrap();
    assert_eq!(below.content, "b/two.rs:1:fn two() {}\n");
    let broken = session.run(ToolName::FsSearch, json!({ "pattern": "(" })).await.unwrap_err();
    assert!(broken.code == code::INVALID && broken.message.contains("regular expression"), "{broken:?}");
}

#[tokio::test]
async fn a_program_is_judged_by_path_and_digest_and_its_exit_code_is_told() {
    let (_sandbox, session) =
        Sandbox::with(&[("sub/run.sh+x", "#!/bin/sh\npwd\ncat\nexit 3\n"), ("plain", "text\n"), ("raw+x", "no shebang\n")]).await;
    let arguments = json!({ "argv": ["./run.sh", "x"], "cwd": "sub", "stdin": "given\n" });
    let resolved = session.resolve("k", ToolName::TestsRun, arguments).await.unwrap();
    let program = resolved.canonical.program.clone().unwrap();
    assert!(program.path.ends_with("/workspace/sub/run.sh"), "{program:?}");
    assert_eq!(program.digest, reeve_core::Digest::of("#!/bin/sh\npwd\ncat\nexit 3\n"));
    assert_eq!(resolved.canonical.argv, ["./run.sh", "x"]);
    assert_eq!(resolved.canonical.arguments["timeout_seconds"], 120);
    let outcome = session.call("k", &resolved.handle, usual()).await.unwrap();
    assert_eq!((outcome.status, outcome.exit_code), (Status::Error, Some(3)));
    assert!(outcome.content.ends_with("/workspace/sub\ngiven\nexit code 3"), "{outcome:?}");
    let system = session.resolve("k2", ToolName::ShellRun, json!({ "argv": ["sh"] })).await.unwrap().canonical.program.unwrap();
    assert!(system.path.starts_with("/usr/bin/"), "links are resolved: {system:?}");
    for (argv, says) in [("nonesuch", "no \"nonesuch\""), ("./plain", "not executable"), ("./none", "existing path")] {
        let refused = session.run(ToolName::ShellRun, json!({ "argv": [argv] })).await.unwrap_err();
        assert!(refused.code == code::INVALID && refused.message.contains(says), "{refused:?}");
    }
    let raw = session.shell(&["./raw"]).await;
    assert!(raw.status == Status::Error && raw.content.contains("not a program"), "{raw:?}");
}

#[tokio::test]
async fn the_environment_is_clean() {
    let (sandbox, session) = Sandbox::with(&[]).await;
    let outcome = session.shell(&["env"]).await;
    let names: Vec<&str> = outcome.content.lines().filter_map(|line| line.split_once('=')).map(|(name, _)| name).collect();
    let expected = [
        "PATH",
        "HOME",
        "TMPDIR",
        "LANG",
        "PYTHONDONTWRITEBYTECODE",
        "PYTHONHASHSEED",
        "GIT_DIR",
        "GIT_WORK_TREE",
        "GIT_OPTIONAL_LOCKS",
        "GIT_CONFIG_NOSYSTEM",
    ];
    assert_eq!(names, expected);
    let fds = session.shell(&["ls", "/proc/self/fd"]).await;
    assert_eq!(fds.content, "0\n1\n2\n3\nexit code 0", "3 is ls's own");
    let scratch = session.shell(&["sh", "-c", "touch $HOME/x && mkdir $TMPDIR/d && chmod 0 $TMPDIR/d && echo ok"]).await;
    assert_eq!(scratch.content, "ok\nexit code 0");
    crate::harness::eventually("the scratch directory is gone", || std::fs::read_dir(sandbox.path("tmp")).unwrap().count() == 0).await;
}

#[tokio::test]
async fn a_test_suite_finds_what_it_needs() {
    let (_sandbox, session) = Sandbox::with(&[("helper.py", "def double(x): return 2 * x\n")]).await;
    let program = r#"
import asyncio, concurrent.futures, multiprocessing, os, sqlite3, subprocess, sys, tempfile, threading
sys.path.insert(0, os.getcwd())
import helper
print(list(multiprocessing.Pool(2).map(helper.double, [1, 2])))
print(list(concurrent.futures.ProcessPoolExecutor(2).map(helper.double, [3])))
with tempfile.TemporaryDirectory() as d:
    db = sqlite3.connect(d + "/x.db"); db.execute("create table t(a)"); db.commit(); print("sqlite")
print(subprocess.run("echo $0 | tr s S", shell=True, capture_output=True, text=True).stdout.strip())
async def child():
    p = await asyncio.create_subprocess_exec("echo", "asyncio", stdout=asyncio.subprocess.PIPE)
    print((await p.communicate())[0].decode().strip())
asyncio.run(child())
t = threading.Thread(target=print, args=("thread",)); t.start(); t.join()
os.nice(1); open("/dev/null", "w").write("x"); open("/dev/urandom", "rb").read(1); print(os.cpu_count() > 0)
os.makedirs("deep/er"); os.rename("deep/er", "moved"); os.symlink("helper.py", "link"); os.chmod("helper.py", 0o755); print("files")
"#;
    let outcome = session.python(program).await;
    assert_eq!(outcome.content, "[2, 4]\n[6]\nsqlite\n/bin/Sh\nasyncio\nthread\nTrue\nfiles\nexit code 0");
}

#[tokio::test]
async fn a_program_that_crashes_is_told_from_one_that_says_no() {
    let (_sandbox, session) = Sandbox::with(&[]).await;
    let outcome = session.shell(&["sh", "-c", "echo before; kill -SEGV $$"]).await;
    assert_eq!((outcome.status, outcome.exit_code, outcome.content.as_str()), (Status::Killed, None, "before\nended by signal 11"));
}

#[tokio::test]
async fn a_gibibyte_of_output_is_drained_in_bounded_memory() {
    let (_sandbox, session) = Sandbox::with(&[]).await;
    let program = "head -c 1073741824 /dev/zero | tr '\\0' x; echo end";
    let outcome = session.shell(&["sh", "-c", program]).await;
    assert_eq!((outcome.status, outcome.output_bytes, outcome.truncated), (Status::Ok, 1_073_741_828, true));
    assert!(outcome.content.contains("bytes left out") && outcome.content.ends_with("xend\nexit code 0"), "{}", outcome.content.len());
    let peak = session.python("print(max(int(l.split()[1]) for p in __import__('os').listdir('/proc') if p.isdigit() and p != str(__import__('os').getpid()) for l in open(f'/proc/{p}/status') if l.startswith('VmHWM')))").await;
    let peak_kib: u64 = peak.content.lines().next().unwrap().parse().unwrap();
    assert!(peak_kib < 128 * 1024, "a process here once had {peak_kib} KiB");
}

#[tokio::test]
async fn git_can_be_read_by_tools_and_committed_by_the_sandbox_alone() {
    let (sandbox, session) = Sandbox::with(&[("a.txt", "one\n")]).await;
    let nothing = session.run(ToolName::GitCommit, json!({ "message": "none" })).await.unwrap();
    assert_eq!((nothing.status, nothing.content.as_str()), (Status::Error, "nothing changed since the last commit"));
    session.run(ToolName::FsWrite, json!({ "path": "a.txt", "content": "two\n" })).await.unwrap();
    session.run(ToolName::FsWrite, json!({ "path": "new.txt", "content": "new\n" })).await.unwrap();
    let diff = session.run(ToolName::GitDiff, json!({})).await.unwrap();
    for line in ["-one", "+two", "+++ b/new.txt", "+new"] {
        assert!(diff.content.contains(line), "{}", diff.content);
    }
    let commit = session.run(ToolName::GitCommit, json!({ "message": "Change a\n\nand add new" })).await.unwrap();
    assert_eq!(commit.status, Status::Ok, "{commit:?}");
    let hash = commit.commit.unwrap();
    let log = session.shell(&["git", "log", "--format=%H %an <%ae> %aI %s"]).await;
    let first = log.content.lines().next().unwrap();
    assert_eq!(first, format!("{hash} Reeve <reeve@reeve.invalid> 2000-01-01T00:00:00+00:00 Change a"));
    assert!(session.shell(&["git", "status", "--short"]).await.content.starts_with("exit code 0"));
    let tried = session.shell(&["git", "commit", "--allow-empty", "-m", "mine"]).await;
    assert_ne!(tried.exit_code, Some(0), "{tried:?}");
    assert_eq!(session.hello(1).await.unwrap().workspace.unwrap().head_commit, Some(hash));
    drop(sandbox);
}

#[tokio::test]
async fn nothing_in_the_work_tree_makes_git_execute_anything() {
    let files = [
        (".gitattributes", "*.txt filter=evil diff=evil merge=evil\n"),
        (".gitconfig", "[core]\n\tfsmonitor = \"touch pwned\"\n[filter \"evil\"]\n\tclean = touch pwned\n"),
        (".gitmodules", "[submodule \"x\"]\n\tpath = x\n\turl = ./x\n\tupdate = !touch pwned\n"),
        ("a.txt", "one\r\n"),
    ];
    let (sandbox, session) = Sandbox::with(&files).await;
    // A repository inside the work tree, whose own configuration runs a command whenever git looks at it.
    let nested = "unset GIT_DIR GIT_WORK_TREE; git init -q sub && cd sub && git config user.email a@b && git config user.name a \
                  && git commit -q --allow-empty -m x && git config core.fsmonitor 'touch ../pwned' && echo 'two' > ../a.txt";
    assert_eq!(session.shell(&["sh", "-c", nested]).await.exit_code, Some(0));
    session.run(ToolName::GitDiff, json!({})).await.unwrap();
    let refused = session.run(ToolName::GitCommit, json!({ "message": "m" })).await.unwrap();
    assert!(refused.status == Status::Error && refused.content.contains("sub"), "{refused:?}");
    session.checkpoint().await;
    assert_eq!(session.shell(&["rm", "-rf", "sub"]).await.exit_code, Some(0));
    assert_eq!(session.run(ToolName::GitCommit, json!({ "message": "m" })).await.unwrap().status, Status::Ok);
    assert!(!sandbox.path("workspace/pwned").exists());
}
