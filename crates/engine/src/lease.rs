//! Leases: who may drive a run, change a cluster, own a state. Not who may be primary: that is never ours to say.
//!
//! A lease has an owner that is random for every start of a process, an end on a clock that nobody can set, and an epoch
//! that grows with every owner. Every append carries the epoch and the journal refuses lower ones; before every effect the
//! remaining time is looked at again, and the effect itself may not happen after the end. So a process that was stopped
//! and wakes up later can neither write nor act. [`files`] keeps leases in a folder of one machine; a store that several
//! machines share implements the same trait.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use async_trait::async_trait;
use muster_model::Span;

pub mod files;
pub mod memory;

pub use files::FileLeases;
pub use memory::MemoryLeases;

/// How long a lease lasts when it is not renewed.
pub const TTL: Span = Span::from_secs(15);
/// Key of the lease on a whole state.
pub const STATE: &str = "state";

/// A lease that was given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lease {
    /// What it is about: `state`, `run-…`, `cluster-…`.
    pub key: String,
    /// Who has it: random for every start of a process.
    pub owner: String,
    /// Grows with every owner of this key; the fencing token.
    pub epoch: u64,
    /// When it ends, on the store's clock.
    pub until: Span,
    /// Whose it was before, when that one never gave it back.
    pub taken_from: Option<String>,
}

/// Why there is no lease.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LeaseError {
    /// Somebody else has it.
    #[error("`{key}` belongs to {owner} for another {}", wait.human())]
    Held {
        /// Which.
        key: String,
        /// Whose.
        owner: String,
        /// How long still, unless it is renewed.
        wait: Span,
    },
    /// Somebody else has taken it over.
    #[error("`{key}` was taken over by {by}")]
    Lost {
        /// Which.
        key: String,
        /// By whom.
        by: String,
    },
    /// The store cannot be read or written.
    #[error("the lease `{key}` cannot be read or written: {reason}")]
    Store {
        /// Which.
        key: String,
        /// What was seen.
        reason: String,
    },
}

/// Keeps leases.
#[async_trait]
pub trait LeaseStore: Send + Sync {
    /// A clock that only goes forward and that nobody can set; leases end on it.
    fn now(&self) -> Span;

    /// Takes a lease that is free, ended, or ours.
    ///
    /// # Errors
    /// [`LeaseError::Held`] when it is somebody else's.
    async fn acquire(&self, key: &str, owner: &str, ttl: Span) -> Result<Lease, LeaseError>;

    /// Makes it last longer.
    ///
    /// # Errors
    /// [`LeaseError::Lost`] when somebody took it over meanwhile.
    async fn renew(&self, lease: &Lease, ttl: Span) -> Result<Lease, LeaseError>;

    /// Gives it back. One that is lost is left alone.
    ///
    /// # Errors
    /// When the store cannot be written; then it ends by itself.
    async fn release(&self, lease: &Lease) -> Result<(), LeaseError>;

    /// Forgets the keys that begin so and that nobody will ever want again. What cannot be forgotten stays.
    async fn forget(&self, prefix: &str, over: &(dyn for<'k> Fn(&'k str) -> bool + Sync));
}

/// A lease that this process holds and renews.
pub struct Held {
    store: Arc<dyn LeaseStore>,
    ttl: Span,
    lease: Mutex<(Lease, Option<String>)>,
    lost: tokio::sync::watch::Sender<bool>,
}

impl std::fmt::Debug for Held {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Held({})", self.lock().0.key)
    }
}

impl Held {
    fn lock(&self) -> MutexGuard<'_, (Lease, Option<String>)> {
        self.lease.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The lease as it was last given.
    #[must_use]
    pub fn lease(&self) -> Lease {
        self.lock().0.clone()
    }

    /// How long it lasts still; zero when it is lost.
    #[must_use]
    pub fn remaining(&self) -> Span {
        let held = self.lock();
        if held.1.is_some() {
            return Span::ZERO;
        }
        Span::from_millis(held.0.until.millis().saturating_sub(self.store.now().millis()))
    }

    /// Who took it over, when somebody did.
    #[must_use]
    pub fn lost_to(&self) -> Option<String> {
        self.lock().1.clone()
    }

    /// Resolves when somebody took it over.
    pub async fn lost(&self) {
        // The sender lives as long as we do.
        let _ = self.lost.subscribe().wait_for(|lost| *lost).await;
    }

    /// Renews it once.
    ///
    /// # Errors
    /// When it is lost, or the store cannot be written.
    pub async fn renew(&self) -> Result<(), LeaseError> {
        let lease = self.lease();
        if let Some(by) = self.lost_to() {
            return Err(LeaseError::Lost { key: lease.key, by });
        }
        match self.store.renew(&lease, self.ttl).await {
            Ok(renewed) => {
                self.lock().0 = renewed;
                Ok(())
            }
            Err(e) => {
                if let LeaseError::Lost { by, .. } = &e {
                    self.lock().1 = Some(by.clone());
                    self.lost.send_replace(true);
                }
                Err(e)
            }
        }
    }

    /// Gives it back, whoever else in this process still looks at it; nothing can be done under it any more.
    pub async fn end(&self) {
        let lease = self.lease();
        let lost = self.lock().1.replace("nobody: it was given back".to_owned());
        if lost.is_none()
            && let Err(e) = self.store.release(&lease).await
        {
            tracing::warn!("{e}; it ends by itself");
        }
    }

    /// Renews it until nobody holds it any more, three times as often as needed.
    fn keep(held: &Arc<Self>) {
        let pause = held.ttl.duration() / 3;
        let weak: Weak<Self> = Arc::downgrade(held);
        tokio::spawn(async move {
            loop {
                tokio::time::sleep(pause).await;
                let Some(held) = weak.upgrade() else { return };
                if held.lost_to().is_some() {
                    return;
                }
                match held.renew().await {
                    Ok(()) => {}
                    Err(e @ LeaseError::Lost { .. }) => {
                        tracing::error!("{e}; this process does not act on it any more");
                        return;
                    }
                    Err(e) => tracing::warn!("{e}; tried again"),
                }
            }
        });
    }
}

/// All leases of this process.
pub struct Leases {
    store: Arc<dyn LeaseStore>,
    owner: String,
    ttl: Span,
    held: Mutex<BTreeMap<String, Weak<Held>>>,
    /// Keys that one of this process wants for itself.
    alone: Arc<Mutex<BTreeSet<String>>>,
    one_at_a_time: tokio::sync::Mutex<()>,
}

impl Leases {
    /// Of a process that calls itself `owner`.
    #[must_use]
    pub fn new(store: Arc<dyn LeaseStore>, owner: &str, ttl: Span) -> Self {
        Self {
            store,
            owner: owner.to_owned(),
            ttl,
            held: Mutex::default(),
            alone: Arc::default(),
            one_at_a_time: tokio::sync::Mutex::default(),
        }
    }

    /// Who we are.
    #[must_use]
    pub fn owner(&self) -> &str {
        &self.owner
    }

    /// How long a lease lasts unrenewed.
    #[must_use]
    pub fn ttl(&self) -> Span {
        self.ttl
    }

    /// Takes a lease and keeps it; one that this process has already is shared.
    ///
    /// # Errors
    /// When it is somebody else's, or the store cannot be written.
    pub async fn take(&self, key: &str) -> Result<Arc<Held>, LeaseError> {
        let _one = self.one_at_a_time.lock().await;
        let known = self.known().get(key).and_then(Weak::upgrade);
        if let Some(held) = known.filter(|h| h.lost_to().is_none()) {
            // What the store says counts, also when this process slept.
            held.renew().await?;
            return Ok(held);
        }
        let lease = self.store.acquire(key, &self.owner, self.ttl).await?;
        let held = Arc::new(Held {
            store: self.store.clone(),
            ttl: self.ttl,
            lease: Mutex::new((lease, None)),
            lost: tokio::sync::watch::Sender::new(false),
        });
        Held::keep(&held);
        self.known().insert(key.to_owned(), Arc::downgrade(&held));
        Ok(held)
    }

    /// Takes a lease that nobody else shall have, in this process neither, until the second part is dropped.
    ///
    /// # Errors
    /// As [`Leases::take`]; [`LeaseError::Held`] also when this process has it.
    pub async fn take_alone(&self, key: &str) -> Result<(Arc<Held>, Alone), LeaseError> {
        let alone = Alone::of(&self.alone, key).ok_or_else(|| LeaseError::Held {
            key: key.to_owned(),
            owner: "another run of this Muster".to_owned(),
            wait: self.ttl,
        })?;
        Ok((self.take(key).await?, alone))
    }

    /// Gives one back, when nobody else in this process uses it. Failing that it ends by itself.
    pub async fn give_back(&self, held: Arc<Held>) {
        let _one = self.one_at_a_time.lock().await;
        let lease = held.lease();
        if Arc::strong_count(&held) > 1 || held.lost_to().is_some() {
            return;
        }
        self.known().remove(&lease.key);
        if let Err(e) = self.store.release(&lease).await {
            tracing::warn!("{e}; it ends by itself");
        }
    }

    /// Forgets the keys that begin so and that are over, here and in the store. Who slept and wakes up must learn from another
    /// key that it lost its right: so only the keys of runs that have ended, which act under that of their cluster as well.
    pub async fn forget(&self, prefix: &str, over: &(dyn for<'k> Fn(&'k str) -> bool + Sync)) {
        let _one = self.one_at_a_time.lock().await;
        self.known().retain(|_, held| held.strong_count() > 0);
        self.store.forget(prefix, over).await;
    }

    fn known(&self) -> MutexGuard<'_, BTreeMap<String, Weak<Held>>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A key is one's own among all of this process, until this is dropped.
#[derive(Debug)]
pub struct Alone {
    key: String,
    taken: Arc<Mutex<BTreeSet<String>>>,
}

impl Alone {
    /// `None` while somebody of this process has it.
    fn of(all: &Arc<Mutex<BTreeSet<String>>>, key: &str) -> Option<Self> {
        let mut taken = all.lock().unwrap_or_else(PoisonError::into_inner);
        taken.insert(key.to_owned()).then(|| Self {
            key: key.to_owned(),
            taken: all.clone(),
        })
    }
}

impl Drop for Alone {
    fn drop(&mut self) {
        self.taken
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(&self.key);
    }
}

/// The right to have an effect now, given out by the engine alone, after the guards and with leases in hand.
#[derive(Clone, Debug)]
pub struct Permit {
    held: Vec<Arc<Held>>,
}

impl Permit {
    /// From the leases that the effect needs.
    pub(crate) fn new(held: Vec<Arc<Held>>) -> Self {
        Self { held }
    }

    /// How long it lasts still. An effect must not happen after it: the statement that acts carries this as its deadline.
    #[must_use]
    pub fn remaining(&self) -> Span {
        self.held
            .iter()
            .map(|h| h.remaining())
            .min()
            .unwrap_or(Span::ZERO)
    }

    /// For tests of actions: a permit that lasts as long as its store says.
    ///
    /// # Errors
    /// When the lease is somebody else's.
    pub async fn practice(leases: &Leases, key: &str) -> Result<Self, LeaseError> {
        Ok(Self::new(vec![leases.take(key).await?]))
    }
}

/// Owners that are known to be dead: what they held is free at once.
#[derive(Debug, Default)]
pub struct Dead(Mutex<BTreeSet<String>>);

impl Dead {
    /// Notes a death.
    pub fn mark(&self, owner: &str) {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(owner.to_owned());
    }

    /// Whether this owner is known to be dead.
    #[must_use]
    pub fn has(&self, owner: &str) -> bool {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .contains(owner)
    }
}
