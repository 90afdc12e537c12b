//! `reeve generate`: what in the repository is written by a program.

mod readme;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use clap::Args;

use crate::exit::Failure;
use crate::output;

/// Folders that hold generated files and nothing else: the CRDs, and the chart's copies of them.
const CRD_FOLDERS: [&str; 2] = ["crds", "charts/reeve/crds"];

/// Writes what is generated: `crds/`, the chart's copies, and the tables of the README.
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  cargo run -p reeve-cli -- generate\n  ./hack/generate --check")]
pub(crate) struct Generate {
    /// Writes nothing; ends with 1 and names the files where one differs
    #[arg(long)]
    check: bool,
    /// The checkout
    #[arg(long, value_name = "DIR", default_value = ".")]
    root: PathBuf,
}

impl Generate {
    /// Writes, or checks.
    pub(crate) fn run(self) -> Result<(), Failure> {
        if !self.root.join("src/api/lib.rs").exists() {
            return Err(Failure::unusable(format!(
                "{} is no checkout of Reeve: run this in its root, or give --root",
                self.root.display()
            )));
        }
        let changes = Changes::find(&self.root)?;
        if self.check {
            return changes.none();
        }
        changes.make(&self.root)
    }
}

/// What has to change so that the checkout holds what it should.
#[derive(Debug, PartialEq, Eq)]
struct Changes {
    /// Texts to write, by path.
    write: BTreeMap<PathBuf, String>,
    /// Files that nothing generates any more.
    remove: Vec<PathBuf>,
}

impl Changes {
    fn find(root: &Path) -> Result<Changes, Failure> {
        let crds = crd_files()?;
        let mut wanted = BTreeMap::new();
        let mut remove = Vec::new();
        for folder in CRD_FOLDERS {
            wanted.extend(crds.iter().map(|(name, text)| (Path::new(folder).join(name), text.clone())));
            remove.extend(files_in(root, folder)?.into_iter().filter(|path| !wanted.contains_key(path)));
        }
        if let Some(text) = readme::text(root)? {
            wanted.insert(PathBuf::from("README.md"), text);
        }
        let mut write = BTreeMap::new();
        for (path, text) in wanted {
            if read(&root.join(&path))?.as_deref() != Some(text.as_str()) {
                write.insert(path, text);
            }
        }
        Ok(Changes { write, remove })
    }

    fn none(&self) -> Result<(), Failure> {
        let differ: Vec<String> = self.write.keys().chain(&self.remove).map(|path| format!("\n  {}", path.display())).collect();
        if differ.is_empty() {
            return Ok(());
        }
        Err(Failure::no(format!("these files are not as generated, run ./hack/generate:{}", differ.concat())))
    }

    fn make(&self, root: &Path) -> Result<(), Failure> {
        for (path, text) in &self.write {
            let file = root.join(path);
            let folder = file.parent().unwrap_or(root);
            std::fs::create_dir_all(folder).map_err(Failure::writing(folder.display()))?;
            std::fs::write(&file, text).map_err(Failure::writing(file.display()))?;
            output::line(&format!("wrote {}", path.display()))?;
        }
        for path in &self.remove {
            std::fs::remove_file(root.join(path)).map_err(Failure::writing(path.display()))?;
            output::line(&format!("removed {}", path.display()))?;
        }
        Ok(())
    }
}

/// The CRDs as files, by name.
fn crd_files() -> Result<BTreeMap<String, String>, Failure> {
    let file = |crd: k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition| {
        let text = output::yaml(&crd)?;
        Ok((format!("{}.yaml", crd.spec.names.plural), format!("# Generated from src/api by ./hack/generate.\n{text}")))
    };
    reeve_api::crds().into_iter().map(file).collect()
}

fn files_in(root: &Path, folder: &str) -> Result<Vec<PathBuf>, Failure> {
    let entries = match std::fs::read_dir(root.join(folder)) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(Failure::reading(folder)(error)),
    };
    let mut files = Vec::new();
    for entry in entries {
        files.push(Path::new(folder).join(entry.map_err(Failure::reading(folder))?.file_name()));
    }
    files.sort();
    Ok(files)
}

fn read(file: &Path) -> Result<Option<String>, Failure> {
    match std::fs::read_to_string(file) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Failure::reading(file.display())(error)),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that cannot read its files has failed")]

    use super::*;

    #[test]
    fn what_is_generated_is_up_to_date() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        Changes::find(&root).unwrap().none().unwrap();
    }

    #[test]
    fn a_file_that_differs_or_that_nothing_generates_is_named_and_mended() {
        let root = tempfile::tempdir().unwrap();
        let crds = root.path().join("crds");
        std::fs::create_dir_all(&crds).unwrap();
        std::fs::write(crds.join("goals.yaml"), "edited by hand").unwrap();
        std::fs::write(crds.join("stale.yaml"), "of a kind that is gone").unwrap();
        let changes = Changes::find(root.path()).unwrap();
        let why = changes.none().map_err(|failure| format!("{failure:?}")).unwrap_err();
        assert!(
            why.contains("crds/goals.yaml") && why.contains("crds/stale.yaml") && why.contains("charts/reeve/crds/agentruns.yaml"),
            "{why}"
        );
        changes.make(root.path()).unwrap();
        assert_eq!(Changes::find(root.path()).unwrap().none(), Ok(()));
    }
}
