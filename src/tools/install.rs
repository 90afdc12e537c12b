//! `reeve tools install`: the init container's one deed.

use std::fs::{File, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use crate::Error;

/// Copies the running binary to `to`, readable and executable for all, writable for none. Whoever looks sees all of it or nothing.
///
/// # Errors
/// [`Error::Io`] when the volume cannot be written.
pub fn install(to: &Path) -> Result<(), Error> {
    let io = |doing: &str| Error::io(format!("{doing} {}", to.display()));
    let mut from = File::open("/proc/self/exe").map_err(Error::io("opening /proc/self/exe"))?;
    let mut name = to.as_os_str().to_owned();
    name.push(format!(".{}", std::process::id()));
    let staged = Path::new(&name);
    let mut file = File::create(staged).map_err(io("creating a copy beside"))?;
    std::io::copy(&mut from, &mut file).map_err(io("copying the binary to"))?;
    file.set_permissions(Permissions::from_mode(0o555)).map_err(io("setting the mode of"))?;
    drop(file);
    std::fs::rename(staged, to).map_err(io("renaming the copy to"))
}
