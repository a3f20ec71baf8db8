//! One `provide` at a time for a cache folder, by a lock that the kernel lets go when we end in any way.

use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use anyhow::{Context, Result};

const FILE: &str = ".provide.lock";

/// Makes the folder, readable for the user the servers run as, and waits for the lock.
pub(super) fn take(cache: &Path) -> Result<File> {
    if !cache.is_dir() {
        fs::create_dir_all(cache).with_context(|| {
            format!(
                "{} cannot be made; set MUSTER_CACHE_DIR to a folder you may write",
                cache.display()
            )
        })?;
        // Made under whatever umask: root's may be 077.
        fs::set_permissions(cache, fs::Permissions::from_mode(0o755))?;
    }
    let path = cache.join(FILE);
    let file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&path)
        .with_context(|| format!("{} cannot be written", path.display()))?;
    if file.try_lock().is_err() {
        println!("waiting for another `cargo xtask provide`");
        file.lock()
            .with_context(|| format!("{} cannot be locked", path.display()))?;
    }
    Ok(file)
}
