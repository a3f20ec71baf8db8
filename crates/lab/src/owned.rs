//! Whose a folder or file is. The usual folder of a fleet is in one where everybody may write, so what is found there may
//! have been put there by somebody else: it is looked at before it is believed.
//!
//! Knows owners and modes, not contents. It looks at the entry itself and follows no link: a link may be turned around later.

use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use crate::error::{LabError, at};

/// Whether this entry, and so many folders above it, are our own, and nobody else may change what is in them.
///
/// # Errors
/// [`LabError::NotOurs`] with the first one that is not.
pub fn private(path: &Path, above: usize) -> Result<(), LabError> {
    let me = rustix::process::geteuid().as_raw();
    // From the top: who owns a folder decides what is in it.
    let mut all: Vec<&Path> = path.ancestors().take(above + 1).collect();
    all.reverse();
    for entry in all {
        let meta = entry.symlink_metadata().map_err(at(entry))?;
        let refuse = |why: String| {
            Err(LabError::NotOurs {
                path: entry.to_owned(),
                why,
            })
        };
        if meta.file_type().is_symlink() {
            return refuse("it is a symbolic link".to_owned());
        }
        if meta.uid() != me {
            return refuse(format!("it belongs to the user with the id {}", meta.uid()));
        }
        if meta.permissions().mode() & 0o022 != 0 {
            return refuse("others may write there".to_owned());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs::{Permissions, create_dir, set_permissions, write};

    use super::*;

    #[test]
    fn a_link_or_what_others_may_write_is_not_ours() {
        let dir = tempfile::tempdir().expect("dir");
        let lab = dir.path().join("lab");
        create_dir(&lab).expect("dir");
        let file = lab.join("muster.yaml");
        write(&file, "x").expect("writes");
        let mode = |path: &Path, mode| set_permissions(path, Permissions::from_mode(mode)).expect("sets");
        mode(&lab, 0o711);
        mode(&file, 0o644);
        private(&file, 2).expect("ours");
        mode(&file, 0o664);
        let refused = private(&file, 2).expect_err("others may write it").to_string();
        assert!(
            refused.contains("muster.yaml") && refused.contains("others may write"),
            "{refused}"
        );
        mode(&file, 0o644);
        mode(&lab, 0o777);
        assert!(private(&file, 2).is_err(), "others may put another one there");
        mode(&lab, 0o711);
        let link = dir.path().join("link");
        std::os::unix::fs::symlink(&lab, &link).expect("links");
        let refused = private(&link.join("muster.yaml"), 1)
            .expect_err("a link")
            .to_string();
        assert!(refused.contains("symbolic link"), "{refused}");
    }

    #[test]
    fn what_belongs_to_somebody_else_is_not_ours() {
        let me = rustix::process::geteuid();
        // Whoever runs this, one of these is another's.
        let theirs = if me.is_root() {
            let dir = tempfile::tempdir().expect("dir");
            std::os::unix::fs::chown(dir.path(), Some(12345), None).expect("root may");
            private(dir.path(), 0).expect_err("theirs").to_string()
        } else {
            private(Path::new("/"), 0).expect_err("root's").to_string()
        };
        assert!(theirs.contains("belongs to the user"), "{theirs}");
    }
}
