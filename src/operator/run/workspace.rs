//! Packs what a run works on, as one file in the artifact store.

use flate2::Compression;
use flate2::write::GzEncoder;
use reeve_api::{Inline, Workspace};
use reeve_core::Digest;
use reeve_core::journal::PackedWorkspace;
use reeve_core::run::NotReady;
use reeve_core::tool::wire::Packing;

use crate::context::Context;
use crate::providers::config_map_bytes;

/// The packed workspace of a spec, in the artifact store. The same files give the same digest.
pub(super) async fn pack(context: &Context, namespace: &str, workspace: Option<&Workspace>) -> Result<PackedWorkspace, NotReady> {
    let workspace = workspace.cloned().unwrap_or_default();
    if let Some(artifact) = &workspace.artifact {
        let digest: Digest = artifact
            .digest
            .parse()
            .map_err(|error| NotReady::new("ArtifactInvalid", format!("spec.workspace.artifact.digest: {error}.")))?;
        return match context.artifacts.renew(&digest).await {
            Ok(true) => Ok(PackedWorkspace { digest, packing: Packing::GitBundle, strip_components: 0 }),
            Ok(false) => Err(NotReady::new("ArtifactNotFound", format!("Artifact {digest} is not in the artifact store."))),
            Err(error) => Err(NotReady::new("ArtifactUnreadable", error.to_string())),
        };
    }
    let (bytes, strip_components) = match &workspace.archive {
        Some(archive) => {
            let bytes = config_map_bytes(&context.client, namespace, &archive.config_map_key_ref).await?;
            (bytes, u32::try_from(archive.strip_components).unwrap_or(0))
        }
        None => (tar_gz(workspace.inline.as_ref())?, 0),
    };
    let digest = Digest::of(&bytes);
    let known = context.artifacts.renew(&digest).await.unwrap_or(false);
    if !known {
        context.artifacts.put(bytes).await.map_err(|error| NotReady::new("ArtifactUnwritable", error.to_string()))?;
    }
    Ok(PackedWorkspace { digest, packing: Packing::TarGz, strip_components })
}

fn tar_gz(inline: Option<&Inline>) -> Result<Vec<u8>, NotReady> {
    let invalid = |path: &str, error: &dyn std::fmt::Display| {
        NotReady::new("WorkspaceInvalid", format!("spec.workspace.inline file {path:?}: {error}."))
    };
    let mut archive = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::fast()));
    let mut files: Vec<_> = inline.map(|inline| inline.files.iter().collect()).unwrap_or_default();
    files.sort_by(|a, b| a.path.cmp(&b.path));
    if let Some(twice) = files.windows(2).find(|pair| pair[0].path == pair[1].path) {
        return Err(invalid(&twice[0].path, &"it stands there twice"));
    }
    for file in files {
        if file.path.split('/').any(|part| matches!(part, "" | "." | "..")) {
            return Err(invalid(&file.path, &"a path has no empty part, no . and no .."));
        }
        let mut header = tar::Header::new_gnu();
        header.set_size(file.content.len() as u64);
        header.set_mode(if file.executable { 0o755 } else { 0o644 });
        header.set_mtime(0);
        archive.append_data(&mut header, &file.path, file.content.as_bytes()).map_err(|error| invalid(&file.path, &error))?;
    }
    archive.into_inner().and_then(GzEncoder::finish).map_err(|error| invalid("", &error))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test")]
    use super::*;
    use reeve_api::InlineFile;

    fn file(path: &str) -> InlineFile {
        InlineFile { path: path.to_owned(), content: "x".to_owned(), executable: false }
    }

    #[test]
    fn the_same_files_in_any_order_pack_alike() {
        let a = tar_gz(Some(&Inline { files: vec![file("a"), file("b/c")] })).unwrap();
        let b = tar_gz(Some(&Inline { files: vec![file("b/c"), file("a")] })).unwrap();
        assert_eq!(a, b);
    }

    #[test]
    fn a_path_that_leaves_or_repeats_is_refused() {
        for paths in [vec!["../x"], vec!["a/./b"], vec!["a", "a"]] {
            let files = paths.iter().map(|path| file(path)).collect();
            assert!(tar_gz(Some(&Inline { files })).is_err(), "{paths:?}");
        }
    }
}
