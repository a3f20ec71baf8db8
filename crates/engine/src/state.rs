//! The state folder: who owns it, and where the journal lies in it.
//!
//! One process at a time owns a state, by a lock that ends with the process, however it ends.

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use std::sync::{Arc, Mutex, PoisonError};

use muster_model::Span;

use crate::journal::{Journal, JournalError};
use crate::lease::{FileLeases, Held, LeaseError, LeaseStore, Leases, STATE};
use crate::planner::new_id;

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
    /// Its lease.
    #[error(transparent)]
    Lease(#[from] LeaseError),
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
            Self::Unusable { .. } | Self::Lease(_) => {
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
    /// Who we are: random for every start of a process.
    owner: String,
    /// Ends with the process; missing while a process that we took the state over from still has it.
    lock: Mutex<Option<File>>,
    /// From whom it was taken although it is not dead.
    pub taken_from: Option<String>,
}

impl StateDir {
    /// Whether another process owns it; nothing is taken.
    #[must_use]
    pub fn in_use(path: &Path) -> bool {
        File::open(path.join("lock")).is_ok_and(|file| {
            rustix::fs::flock(&file, rustix::fs::FlockOperation::NonBlockingLockShared).is_err()
        })
    }

    /// Makes the folder (mode 0700) where it is missing, and takes its lock and its lease.
    ///
    /// # Errors
    /// [`StateError::InUse`] when another process has it.
    pub async fn own(path: &Path, ttl: Span) -> Result<(Self, Leases, Arc<Held>), StateError> {
        Self::claim(path, ttl, false).await
    }

    /// As [`StateDir::own`], and also from a process that is stopped or hangs: when it has not renewed its lease in time.
    ///
    /// # Errors
    /// [`StateError::InUse`] while another process has it.
    pub async fn stand_in(path: &Path, ttl: Span) -> Result<(Self, Leases, Arc<Held>), StateError> {
        Self::claim(path, ttl, true).await
    }

    async fn claim(
        path: &Path,
        ttl: Span,
        from_the_living: bool,
    ) -> Result<(Self, Leases, Arc<Held>), StateError> {
        let unusable = |e: std::io::Error| unusable(path, &e);
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(path)
            .map_err(unusable)?;
        // Also one that was there before: the journal names sessions and people.
        std::fs::set_permissions(path, PermissionsExt::from_mode(0o700)).map_err(unusable)?;
        let store = FileLeases::new(&path.join("leases")).map_err(unusable)?;
        let owner = new_id("m");
        let mut state = Self {
            path: path.to_owned(),
            owner: owner.clone(),
            lock: Mutex::new(None),
            taken_from: None,
        };
        let before = state.try_lock()?;
        match &before {
            // The lock is free, so who had it last is dead, and holds nothing.
            Ok(last) => last.owners.iter().for_each(|o| store.mark_dead(o)),
            Err(last) if !from_the_living => {
                return Err(StateError::InUse {
                    dir: path.to_owned(),
                    owner: last.number.clone(),
                });
            }
            Err(_) => {}
        }
        let store: Arc<dyn LeaseStore> = Arc::new(store);
        let leases = Leases::new(store, &owner, ttl);
        match leases.take(STATE).await {
            Ok(held) => {
                state.sign(&[])?;
                if before.is_err() {
                    state.taken_from = held.lease().taken_from;
                }
                Ok((state, leases, held))
            }
            Err(LeaseError::Held { owner, .. }) => Err(StateError::InUse {
                dir: path.to_owned(),
                owner: before.map_or_else(|last| last.number, |_| owner),
            }),
            Err(e) => Err(e.into()),
        }
    }

    /// Takes the lock, when it is free; who had it last.
    fn try_lock(&self) -> Result<Result<Last, Last>, StateError> {
        let unusable = |e: std::io::Error| unusable(&self.path, &e);
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(self.path.join("lock"))
            .map_err(unusable)?;
        let locked = rustix::fs::flock(&file, rustix::fs::FlockOperation::NonBlockingLockExclusive).is_ok();
        let mut text = String::new();
        let _ = file.read_to_string(&mut text);
        let mut lines = text.lines().map(str::to_owned);
        let last = Last {
            number: lines
                .next()
                .filter(|l| !l.is_empty())
                .unwrap_or_else(|| "unknown".to_owned()),
            owners: lines
                .next()
                .unwrap_or_default()
                .split_whitespace()
                .map(str::to_owned)
                .collect(),
        };
        if !locked {
            return Ok(Err(last));
        }
        *self.lock.lock().unwrap_or_else(PoisonError::into_inner) = Some(file);
        // Until we have the lease, those before us are named too: should we fail now, they are still known to be dead.
        self.sign(&last.owners)?;
        Ok(Ok(last))
    }

    /// Writes into the lock, where we have it, who we are and who may still be thought to be alive. In place: that works on
    /// a full disk too.
    fn sign(&self, before: &[String]) -> Result<(), StateError> {
        let unusable = |e: std::io::Error| unusable(&self.path, &e);
        let mut lock = self.lock.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(file) = lock.as_mut() else { return Ok(()) };
        let owners: Vec<&str> = std::iter::once(self.owner.as_str())
            .chain(before.iter().map(String::as_str))
            .take(8)
            .collect();
        let text = format!("{}\n{}\n", std::process::id(), owners.join(" "));
        file.rewind().map_err(unusable)?;
        file.write_all(text.as_bytes()).map_err(unusable)?;
        file.set_len(text.len() as u64).map_err(unusable)?;
        file.sync_all().map_err(unusable)
    }

    /// Whether we have the lock; where we took over from a process that is not dead, it is tried again.
    #[must_use]
    pub fn locked(&self) -> bool {
        let have = self.lock.lock().unwrap_or_else(PoisonError::into_inner).is_some();
        have || matches!(self.try_lock(), Ok(Ok(_)))
    }

    /// Opens its journal.
    ///
    /// # Errors
    /// See [`JournalError`].
    pub fn journal(&self) -> Result<Journal, StateError> {
        Ok(Journal::open(&self.path.join("journal.db"))?)
    }
}

/// Who wrote itself into the lock file last.
struct Last {
    number: String,
    owners: Vec<String>,
}

fn unusable(path: &Path, e: &std::io::Error) -> StateError {
    StateError::Unusable {
        dir: path.to_owned(),
        reason: e.to_string(),
    }
}
