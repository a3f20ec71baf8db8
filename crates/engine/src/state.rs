//! The state folder: who owns it, and where the journal lies in it.
//!
//! One process at a time owns a state, by a lock that ends with the process, however it ends.

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use crate::journal::{Journal, JournalError};

/// Why a state folder cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// Another process owns it.
    #[error("the state in {} is in use by process {owner}", dir.display())]
    InUse {
        /// The folder.
        dir: PathBuf,
        /// Number of the process that holds the lock, as it wrote it down.
        owner: String,
    },
    /// The folder cannot be made or written.
    #[error("the state folder {} cannot be used: {reason}", dir.display())]
    Unusable {
        /// The folder.
        dir: PathBuf,
        /// What was seen.
        reason: String,
    },
    /// The journal in it.
    #[error(transparent)]
    Journal(#[from] JournalError),
}

impl StateError {
    /// What to do about it.
    #[must_use]
    pub fn remedy(&self) -> String {
        match self {
            Self::InUse { .. } => {
                "stop the other one, use another state_dir, or start this one with --standby to take over when it ends"
                    .to_owned()
            }
            Self::Unusable { .. } => {
                "free space on that disk and check that the folder belongs to the user who runs Muster".to_owned()
            }
            Self::Journal(e) => e.remedy(),
        }
    }
}

/// An owned state folder.
#[derive(Debug)]
pub struct StateDir {
    /// The folder.
    pub path: PathBuf,
    _lock: File,
}

impl StateDir {
    /// Makes the folder (mode 0700) where it is missing and takes its lock.
    ///
    /// # Errors
    /// [`StateError::InUse`] when another process has it.
    pub fn own(path: &Path) -> Result<Self, StateError> {
        let unusable = |e: std::io::Error| StateError::Unusable {
            dir: path.to_owned(),
            reason: e.to_string(),
        };
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(path)
            .map_err(unusable)?;
        // Also one that was there before: the journal names sessions and people.
        std::fs::set_permissions(path, PermissionsExt::from_mode(0o700)).map_err(unusable)?;
        let mut lock = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(path.join("lock"))
            .map_err(unusable)?;
        if rustix::fs::flock(&lock, rustix::fs::FlockOperation::NonBlockingLockExclusive).is_err() {
            let mut owner = String::new();
            let _ = lock.read_to_string(&mut owner);
            let owner = if owner.trim().is_empty() {
                "unknown".to_owned()
            } else {
                owner.trim().to_owned()
            };
            return Err(StateError::InUse {
                dir: path.to_owned(),
                owner,
            });
        }
        lock.set_len(0).map_err(unusable)?;
        lock.rewind().map_err(unusable)?;
        writeln!(lock, "{}", std::process::id()).map_err(unusable)?;
        lock.sync_all().map_err(unusable)?;
        Ok(Self {
            path: path.to_owned(),
            _lock: lock,
        })
    }

    /// Opens its journal.
    ///
    /// # Errors
    /// See [`JournalError`].
    pub fn journal(&self) -> Result<Journal, StateError> {
        Ok(Journal::open(&self.path.join("journal.db"))?)
    }
}
