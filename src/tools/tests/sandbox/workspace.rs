//! Loading a workspace and packing its commits.

use reeve_core::Digest;
use reeve_core::tool::ToolName;
use reeve_core::tool::wire::{Import, Imported, Packing, Status, code, method};
use serde_json::json;
use tar::EntryType;

use crate::harness::{Sandbox, tar_gz};

#[tokio::test]
async fn the_same_workspace_gives_the_same_base_commit() {
    let packed = tar_gz(&[("a.txt", "one\n"), ("bin/run+x", "#!/bin/sh\n"), (".gitignore", "ignored\n"), ("ignored", "kept\n")]);
    let mut commits = Vec::new();
    for _ in 0..2 {
        let sandbox = Sandbox::empty().await;
        let session = sandbox.session(1).await;
        let loaded = session.import(&packed, Packing::TarGz).await.unwrap();
        assert_eq!((loaded.files, loaded.received), (4, packed.len() as u64));
        assert_eq!(loaded.base_commit, loaded.head_commit);
        let listed = session.shell(&["git", "ls-files", "-s"]).await;
        assert!(listed.content.contains("100755") && listed.content.contains("ignored"), "{}", listed.content);
        commits.push(loaded.base_commit.unwrap());
    }
    assert_eq!(commits[0], commits[1]);
}

#[tokio::test]
async fn a_workspace_is_loaded_once() {
    let (sandbox, session) = Sandbox::with(&[("a", "one\n")]).await;
    session.run(ToolName::FsWrite, json!({ "path": "a", "content": "two\n" })).await.unwrap();
    let again = session.import(&tar_gz(&[("a", "one\n")]), Packing::TarGz).await.unwrap();
    assert!(again.base_commit.is_some());
    assert_eq!(std::fs::read_to_string(sandbox.path("workspace/a")).unwrap(), "two\n", "answered, not unpacked again");
    let other = session.import(&tar_gz(&[("b", "")]), Packing::TarGz).await.unwrap_err();
    assert!(other.code == code::INVALID && other.message.contains("no second workspace"), "{other:?}");
}

#[tokio::test]
async fn chunks_must_follow_each_other_and_have_the_digest() {
    let sandbox = Sandbox::empty().await;
    let session = sandbox.session(1).await;
    let packed = tar_gz(&[("a", "one\n")]);
    let chunk = |offset, last| Import {
        digest: Digest::of("something else"),
        packing: Packing::TarGz,
        strip_components: 0,
        offset,
        data: base64::Engine::encode(&base64::engine::general_purpose::STANDARD, &packed),
        last,
    };
    let gap = session.request::<Imported>(method::IMPORT, chunk(7, false)).await.unwrap_err();
    assert!(gap.code == code::INVALID && gap.message.contains("at offset 0"), "{gap:?}");
    let wrong = session.request::<Imported>(method::IMPORT, chunk(0, true)).await.unwrap_err();
    assert!(wrong.code == code::INVALID && wrong.message.contains("digest"), "{wrong:?}");
    assert_eq!(std::fs::read_dir(sandbox.path("workspace")).unwrap().count(), 0, "checked before it is unpacked");
    session.import(&packed, Packing::TarGz).await.unwrap();
}

#[tokio::test]
async fn a_malicious_tar_is_refused_and_leaves_nothing() {
    let sandbox = Sandbox::empty().await;
    let session = sandbox.session(1).await;
    let file = |name: &str, kind: EntryType, link: &str| {
        let mut header = tar::Header::new_old();
        header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
        header.as_old_mut().linkname[..link.len()].copy_from_slice(link.as_bytes());
        header.set_entry_type(kind);
        header.set_mode(0o4755);
        header.set_size(0);
        header.set_cksum();
        header
    };
    let regular = EntryType::Regular;
    let archives = [
        vec![file("../out", regular, "")],
        vec![file("a/../../out", regular, "")],
        vec![file("/etc/out", regular, "")],
        vec![file("link", EntryType::Symlink, "/etc"), file("link/out", regular, "")],
        vec![file("hard", EntryType::Link, "/etc/passwd")],
        vec![file("dev", EntryType::Char, "")],
        vec![file("dev", EntryType::Block, "")],
        vec![file("pipe", EntryType::Fifo, "")],
        vec![file(".git/config", regular, "")],
        vec![file("a/.GIT/hooks/pre-commit", regular, "")],
        vec![file("twice", regular, ""), file("twice", regular, "")],
        vec![file("f", regular, ""), file("f/g", regular, "")],
    ];
    for headers in archives {
        let mut archive = tar::Builder::new(flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast()));
        archive.append(&file("fine", regular, ""), &b""[..]).unwrap();
        for header in &headers {
            archive.append(header, &b""[..]).unwrap();
        }
        let packed = archive.into_inner().unwrap().finish().unwrap();
        let refused = session.import(&packed, Packing::TarGz).await.unwrap_err();
        assert_eq!(refused.code, code::INVALID, "{headers:?}: {refused:?}");
        assert_eq!(std::fs::read_dir(sandbox.path("workspace")).unwrap().count(), 0);
    }
    for bytes in [&b"not a gzip"[..], b""] {
        assert_eq!(session.import(bytes, Packing::TarGz).await.unwrap_err().code, code::INVALID);
    }
    let after = session.import(&tar_gz(&[("a", "")]), Packing::TarGz).await.unwrap();
    assert_eq!(after.files, 1);
}

#[tokio::test]
async fn a_bomb_of_a_tar_is_refused() {
    let sandbox = Sandbox::empty().await;
    let session = sandbox.session(1).await;
    let mut archive = tar::Builder::new(flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best()));
    let mut header = tar::Header::new_gnu();
    header.set_size(300 << 20);
    header.set_mode(0o644);
    archive.append_data(&mut header, "zeros", std::io::Read::take(std::io::repeat(0), 300 << 20)).unwrap();
    let packed = archive.into_inner().unwrap().finish().unwrap();
    let refused = session.import(&packed, Packing::TarGz).await.unwrap_err();
    assert!(refused.code == code::INVALID && refused.message.contains("at most"), "{refused:?}");
    assert_eq!(std::fs::read_dir(sandbox.path("workspace")).unwrap().count(), 0);
}

#[tokio::test]
async fn leading_directories_are_dropped_and_modes_made_plain() {
    let sandbox = Sandbox::empty().await;
    let session = sandbox.session(1).await;
    let packed = tar_gz(&[("project-1.0/src/a+x", "one\n"), ("project-1.0/b", "two\n"), ("project-1.0", "")]);
    let loaded = session.import_stripped(&packed, Packing::TarGz, 1).await.unwrap();
    assert_eq!(loaded.files, 2);
    let modes = session.shell(&["stat", "-c", "%a %n", "src", "src/a", "b"]).await;
    assert_eq!(modes.content, "755 src\n755 src/a\n644 b\nexit code 0");
}

#[tokio::test]
async fn a_half_finished_import_is_cleared_and_done_again() {
    let mut sandbox = Sandbox::empty().await;
    let session = sandbox.session(1).await;
    let packed = tar_gz(&[("a", "one\n")]);
    drop(session);
    sandbox.kill().await;
    // What a server that ended in the middle of unpacking leaves.
    std::fs::write(sandbox.path("ledger/workspace.json"), r#"{"phase":"unpacking"}"#).unwrap();
    std::fs::write(sandbox.path("workspace/half"), "").unwrap();
    std::fs::write(sandbox.path("git/HEAD.lock"), "").unwrap();
    sandbox.restart();
    let session = sandbox.session(1).await;
    let loaded = session.import(&packed, Packing::TarGz).await.unwrap();
    assert_eq!(loaded.files, 1);
    assert!(!sandbox.path("workspace/half").exists());
}

#[tokio::test]
async fn a_checkpoint_loads_again_at_the_same_head() {
    let (_first, session) = Sandbox::with(&[("a.txt", "one\n"), ("gone", "x\n")]).await;
    session.run(ToolName::FsWrite, json!({ "path": "a.txt", "content": "two\n" })).await.unwrap();
    session.shell(&["sh", "-c", "rm gone; printf '\\0\\1' > bin; ln -s a.txt link"]).await;
    session.run(ToolName::GitCommit, json!({ "message": "work" })).await.unwrap();
    session.run(ToolName::FsWrite, json!({ "path": "loose.txt", "content": "not committed\n" })).await.unwrap();
    let checkpoint = session.checkpoint().await;
    assert_eq!(checkpoint.uncommitted, ["loose.txt"]);
    assert_eq!(checkpoint.changed, ["a.txt", "bin", "gone", "link"]);
    assert_ne!(checkpoint.base_commit, checkpoint.head_commit);
    let patch = String::from_utf8(session.blob(&checkpoint.patch).await).unwrap();
    assert!(patch.contains("+two") && patch.contains("GIT binary patch"), "{patch}");
    let bundle = session.blob(&checkpoint.bundle).await;

    let second = Sandbox::empty().await;
    let session = second.session(1).await;
    let loaded = session.import(&bundle, Packing::GitBundle).await.unwrap();
    assert_eq!(loaded.base_commit, Some(checkpoint.base_commit));
    assert_eq!(loaded.head_commit, Some(checkpoint.head_commit));
    assert_eq!(loaded.files, 3);
    assert_eq!(session.run(ToolName::FsRead, json!({ "path": "link" })).await.unwrap().content, "     1\ttwo\n");
    assert!(session.shell(&["git", "status", "--short"]).await.content.starts_with("exit code"));
    let again = session.checkpoint().await;
    assert_eq!((again.changed, again.uncommitted), (checkpoint.changed, vec![]));
    session.run(ToolName::FsWrite, json!({ "path": "b.txt", "content": "more\n" })).await.unwrap();
    assert_eq!(session.run(ToolName::GitCommit, json!({ "message": "more" })).await.unwrap().status, Status::Ok);
    let foreign = Sandbox::empty().await;
    let refused = foreign.session(1).await.import(b"# v2 git bundle\n\n", Packing::GitBundle).await.unwrap_err();
    assert_eq!(refused.code, code::INVALID, "{refused:?}");
}
