//! Leases in a folder of one machine, without any lock: a process that is stopped can never keep the others waiting.
//!
//! Each owner of a key has a file of its own, `KEY.EPOCH`, and taking a lease is making the next file, which only one can
//! (hard link). A renewal rewrites one's own file and then looks whether there is a next one. Who makes the next file looks
//! once more whether the one before it was renewed meanwhile, and steps back if so. Ends are on the machine's clock since
//! its start: setting the wall clock changes nothing, and a restart of the machine frees everything.

use std::io::{ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use async_trait::async_trait;
use muster_model::Span;
use serde::{Deserialize, Serialize};

use super::{Dead, Lease, LeaseError, LeaseStore};

/// What a file says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Written {
    owner: String,
    /// Which start of the machine.
    boot: String,
    /// End, in milliseconds since that start; 0 when it was given back.
    until_ms: u64,
    /// Made too late: its owner stepped back and never held anything.
    #[serde(default)]
    void: bool,
}

/// Leases in a folder.
#[derive(Debug)]
pub struct FileLeases {
    dir: PathBuf,
    boot: String,
    dead: Dead,
}

impl FileLeases {
    /// In this folder, which is made when it is missing.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn new(dir: &Path) -> std::io::Result<Self> {
        std::fs::create_dir_all(dir)?;
        let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
        Ok(Self {
            dir: dir.to_owned(),
            boot: boot.trim().to_owned(),
            dead: Dead::default(),
        })
    }

    /// Notes that an owner is known to be dead.
    pub fn mark_dead(&self, owner: &str) {
        self.dead.mark(owner);
    }

    /// Who has a lease, ended or not.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub fn owner_of(&self, key: &str) -> Result<Option<String>, LeaseError> {
        Ok(self.all(key)?.pop().map(|(_, w)| w.owner))
    }

    fn file(&self, key: &str, epoch: u64) -> PathBuf {
        self.dir.join(format!("{key}.{epoch}"))
    }

    fn epochs(&self, key: &str) -> Result<Vec<u64>, LeaseError> {
        let dir = std::fs::read_dir(&self.dir).map_err(|e| failed(key, &e))?;
        let prefix = format!("{key}.");
        let mut all: Vec<u64> = dir
            .flatten()
            .filter_map(|f| f.file_name().to_str()?.strip_prefix(&prefix)?.parse().ok())
            .collect();
        all.sort_unstable();
        Ok(all)
    }

    fn read(&self, key: &str, epoch: u64) -> Result<Option<Written>, LeaseError> {
        match std::fs::read_to_string(self.file(key, epoch)) {
            Ok(text) => serde_json::from_str(&text)
                .map(Some)
                .map_err(|e| LeaseError::Store {
                    key: key.to_owned(),
                    reason: e.to_string(),
                }),
            Err(e) if e.kind() == ErrorKind::NotFound => Ok(None),
            Err(e) => Err(failed(key, &e)),
        }
    }

    /// Every file of a key, oldest first.
    fn all(&self, key: &str) -> Result<Vec<(u64, Written)>, LeaseError> {
        let mut all = Vec::new();
        for epoch in self.epochs(key)? {
            if let Some(written) = self.read(key, epoch)? {
                all.push((epoch, written));
            }
        }
        Ok(all)
    }

    /// How long a lease lasts still.
    fn left(&self, written: &Written) -> Span {
        if written.boot != self.boot || self.dead.has(&written.owner) {
            return Span::ZERO;
        }
        Span::from_millis(written.until_ms.saturating_sub(self.now().millis()))
    }

    /// A whole file under a name of its own, on disk.
    fn prepare(&self, key: &str, owner: &str, until: Span, void: bool) -> Result<PathBuf, LeaseError> {
        let written = Written {
            owner: owner.to_owned(),
            boot: self.boot.clone(),
            until_ms: until.millis(),
            void,
        };
        let path = self.dir.join(format!(".{owner}.{:08x}", rand::random::<u32>()));
        let write = || -> std::io::Result<()> {
            let mut file = std::fs::OpenOptions::new()
                .write(true)
                .create_new(true)
                .mode(0o600)
                .open(&path)?;
            file.write_all(serde_json::to_string(&written).unwrap_or_default().as_bytes())?;
            file.sync_data()
        };
        write().map_err(|e| {
            let _ = std::fs::remove_file(&path);
            failed(key, &e)
        })?;
        Ok(path)
    }

    fn held(&self, key: &str, written: &Written) -> LeaseError {
        LeaseError::Held {
            key: key.to_owned(),
            owner: written.owner.clone(),
            wait: self.left(written),
        }
    }
}

/// The last one who really had it: who stepped back never did, and who came before has lost it.
fn holder(all: &[(u64, Written)]) -> Option<&Written> {
    all.iter().rev().map(|(_, w)| w).find(|w| !w.void)
}

fn failed(key: &str, e: &std::io::Error) -> LeaseError {
    LeaseError::Store {
        key: key.to_owned(),
        reason: e.to_string(),
    }
}

#[async_trait]
impl LeaseStore for FileLeases {
    fn now(&self) -> Span {
        crate::clock::since_boot()
    }

    async fn acquire(&self, key: &str, owner: &str, ttl: Span) -> Result<Lease, LeaseError> {
        let before = self.all(key)?;
        let ours = before
            .iter()
            .rfind(|(_, w)| !w.void)
            .filter(|(_, w)| w.owner == owner && w.boot == self.boot && w.until_ms > 0);
        if let Some((epoch, _)) = ours {
            let lease = Lease {
                key: key.to_owned(),
                owner: owner.to_owned(),
                epoch: *epoch,
                until: Span::ZERO,
                taken_from: None,
            };
            return self.renew(&lease, ttl).await;
        }
        if let Some(written) = holder(&before).filter(|w| self.left(w) > Span::ZERO) {
            return Err(self.held(key, written));
        }
        let epoch = before.last().map_or(1, |(epoch, _)| epoch + 1);
        let until = Span::from_millis(self.now().millis() + ttl.millis());
        let prepared = self.prepare(key, owner, until, false)?;
        let linked = std::fs::hard_link(&prepared, self.file(key, epoch));
        let _ = std::fs::remove_file(&prepared);
        match linked {
            Ok(()) => {}
            Err(e) if e.kind() == ErrorKind::AlreadyExists => {
                return match self.all(key)?.pop() {
                    Some((_, written)) => Err(self.held(key, &written)),
                    None => Err(failed(key, &e)),
                };
            }
            Err(e) => return Err(failed(key, &e)),
        }
        // Was one before us renewed while we (perhaps stopped in between) made our file? Then it is alive, and we step back.
        let mut again = self.all(key)?;
        again.retain(|(old, _)| *old < epoch);
        if let Some(alive) = holder(&again).filter(|w| self.left(w) > Span::ZERO) {
            let prepared = self.prepare(key, owner, Span::ZERO, true)?;
            std::fs::rename(&prepared, self.file(key, epoch)).map_err(|e| failed(key, &e))?;
            return Err(self.held(key, alive));
        }
        for old in self.epochs(key)?.into_iter().filter(|e| e + 1 < epoch) {
            let _ = std::fs::remove_file(self.file(key, old));
        }
        Ok(Lease {
            key: key.to_owned(),
            owner: owner.to_owned(),
            epoch,
            until,
            taken_from: holder(&before)
                .filter(|w| w.until_ms > 0)
                .map(|w| w.owner.clone()),
        })
    }

    async fn renew(&self, lease: &Lease, ttl: Span) -> Result<Lease, LeaseError> {
        let key = &lease.key;
        let until = Span::from_millis(self.now().millis() + ttl.millis());
        let prepared = self.prepare(key, &lease.owner, until, false)?;
        std::fs::rename(&prepared, self.file(key, lease.epoch)).map_err(|e| failed(key, &e))?;
        // Only now: who made the next file before this point has the lease, who makes it after this point sees our renewal.
        for epoch in self.epochs(key)?.into_iter().filter(|e| *e > lease.epoch) {
            if let Some(next) = self.read(key, epoch)?
                && !next.void
            {
                return Err(LeaseError::Lost {
                    key: key.clone(),
                    by: next.owner,
                });
            }
        }
        Ok(Lease {
            until,
            ..lease.clone()
        })
    }

    async fn release(&self, lease: &Lease) -> Result<(), LeaseError> {
        let key = &lease.key;
        let prepared = self.prepare(key, &lease.owner, Span::ZERO, false)?;
        std::fs::rename(&prepared, self.file(key, lease.epoch)).map_err(|e| failed(key, &e))
    }

    async fn forget(&self, prefix: &str, over: &(dyn for<'k> Fn(&'k str) -> bool + Sync)) {
        let Ok(dir) = std::fs::read_dir(&self.dir) else {
            return;
        };
        for file in dir.flatten() {
            let name = file.file_name();
            let key = name.to_str().and_then(|n| n.rsplit_once('.')).map(|(key, _)| key);
            if key.is_some_and(|k| k.starts_with(prefix) && over(k)) {
                let _ = std::fs::remove_file(file.path());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Span = Span::from_secs(3600);

    #[tokio::test]
    async fn one_has_it_and_the_next_has_a_higher_epoch() {
        let dir = tempfile::tempdir().expect("dir");
        let store = FileLeases::new(dir.path()).expect("store");
        let a = store.acquire("run-1", "a", LONG).await.expect("free");
        assert_eq!((a.epoch, &a.taken_from), (1, &None));
        let again = store.acquire("run-1", "a", LONG).await.expect("ours");
        assert_eq!(again.epoch, 1, "the same lease");
        let held = store.acquire("run-1", "b", LONG).await.expect_err("held");
        assert!(
            matches!(&held, LeaseError::Held { owner, .. } if owner == "a"),
            "{held}"
        );
        assert!(store.acquire("run-2", "b", LONG).await.is_ok(), "another key");
        store.release(&a).await.expect("gives back");
        let b = store.acquire("run-1", "b", LONG).await.expect("given back");
        assert_eq!((b.epoch, &b.taken_from), (2, &None), "nobody was robbed");
    }

    #[tokio::test]
    async fn what_is_over_leaves_no_file_and_the_rest_stays() {
        let dir = tempfile::tempdir().expect("dir");
        let store = FileLeases::new(dir.path()).expect("store");
        for key in ["run-1", "run-12", "cluster-1", "state"] {
            store.acquire(key, "a", Span::ZERO).await.expect("free");
            store.acquire(key, "b", LONG).await.expect("ended");
        }
        store.forget("run-", &|key| key == "run-1").await;
        let left = |key| store.epochs(key).expect("reads");
        assert_eq!(left("run-1"), [0; 0]);
        for key in ["run-12", "cluster-1", "state"] {
            assert_eq!(left(key).last(), Some(&2), "{key}");
        }
    }

    #[tokio::test]
    async fn what_ended_is_taken_over_and_the_old_owner_learns_it() {
        let dir = tempfile::tempdir().expect("dir");
        let store = FileLeases::new(dir.path()).expect("store");
        let a = store.acquire("state", "a", Span::ZERO).await.expect("free");
        let b = store.acquire("state", "b", LONG).await.expect("ended");
        assert_eq!((b.epoch, b.taken_from.as_deref()), (2, Some("a")));
        assert!(store.renew(&b, LONG).await.is_ok());
        store.release(&b).await.expect("gives back");
        let lost = store
            .renew(&a, LONG)
            .await
            .expect_err("lost, also when it was given back meanwhile");
        assert!(
            matches!(&lost, LeaseError::Lost { by, .. } if by == "b"),
            "{lost}"
        );
    }

    #[tokio::test]
    async fn the_dead_and_those_before_a_restart_hold_nothing() {
        let dir = tempfile::tempdir().expect("dir");
        let store = FileLeases::new(dir.path()).expect("store");
        store.acquire("state", "a", LONG).await.expect("free");
        store.mark_dead("a");
        assert_eq!(
            store.acquire("state", "b", LONG).await.expect("a is dead").epoch,
            2
        );
        store.mark_dead("b");
        assert!(
            FileLeases::new(dir.path())
                .expect("store")
                .acquire("state", "c", LONG)
                .await
                .is_err(),
            "b is alive to whoever does not know better"
        );
        let c = store
            .acquire("state", "c", LONG)
            .await
            .expect("whose was it before b does not matter");
        assert_eq!(c.epoch, 3);
        let mut restarted = FileLeases::new(dir.path()).expect("store");
        restarted.boot = "another".into();
        assert_eq!(
            restarted
                .acquire("state", "c", LONG)
                .await
                .expect("restarted")
                .epoch,
            4
        );
    }

    /// Stopped between reading that the lease had ended and making the next file, while the owner renewed it.
    #[tokio::test]
    async fn who_comes_late_steps_back() {
        let dir = tempfile::tempdir().expect("dir");
        let store = FileLeases::new(dir.path()).expect("store");
        let a = store.acquire("state", "a", LONG).await.expect("free");
        // What b does from where it was stopped on: it makes the next file.
        let late = store
            .prepare(
                "state",
                "b",
                Span::from_millis(store.now().millis() + 5000),
                false,
            )
            .expect("file");
        std::fs::hard_link(&late, store.file("state", 2)).expect("makes it");
        let lost = store.renew(&a, LONG).await.expect_err("until b has stepped back");
        assert!(matches!(lost, LeaseError::Lost { .. }));
        let given_back = store.prepare("state", "b", Span::ZERO, true).expect("file");
        std::fs::rename(given_back, store.file("state", 2)).expect("steps back");
        assert!(store.renew(&a, LONG).await.is_ok(), "nobody else has it");
        let held = store.acquire("state", "c", LONG).await.expect_err("a is alive");
        assert!(
            matches!(&held, LeaseError::Held { owner, .. } if owner == "a"),
            "{held}"
        );
    }

    /// Sixteen at once want what has ended: one gets it.
    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn of_many_one_gets_it() {
        let dir = tempfile::tempdir().expect("dir");
        for round in 0..20 {
            let key = format!("run-{round}");
            let mut tasks = tokio::task::JoinSet::new();
            for n in 0..16 {
                let (path, key) = (dir.path().to_owned(), key.clone());
                tasks.spawn(async move {
                    let store = FileLeases::new(&path).expect("store");
                    store.acquire(&key, &format!("p{n}"), LONG).await.is_ok()
                });
            }
            let got = tasks.join_all().await.into_iter().filter(|ok| *ok).count();
            assert_eq!(got, 1, "round {round}");
        }
    }
}
