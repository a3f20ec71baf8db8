//! Leases of one process, on a clock that is set by hand: what tests and practice use.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use muster_model::Span;

use super::{Lease, LeaseError, LeaseStore};

#[derive(Debug, Default)]
struct Inner {
    now: Span,
    away: bool,
    leases: BTreeMap<String, Lease>,
}

/// Leases in memory.
#[derive(Debug, Default)]
pub struct MemoryLeases(Mutex<Inner>);

impl MemoryLeases {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the store does not answer.
    pub fn fail(&self, away: bool) {
        self.lock().away = away;
    }

    fn there(&self, key: &str) -> Result<MutexGuard<'_, Inner>, LeaseError> {
        let inner = self.lock();
        if inner.away {
            return Err(LeaseError::Store {
                key: key.to_owned(),
                reason: "no answer".to_owned(),
            });
        }
        Ok(inner)
    }

    /// Lets time pass.
    pub fn pass(&self, span: Span) {
        let mut inner = self.lock();
        inner.now = Span::from_millis(inner.now.millis() + span.millis());
    }
}

#[async_trait]
impl LeaseStore for MemoryLeases {
    fn now(&self) -> Span {
        self.lock().now
    }

    async fn acquire(&self, key: &str, owner: &str, ttl: Span) -> Result<Lease, LeaseError> {
        let mut inner = self.there(key)?;
        let now = inner.now;
        let before = inner.leases.get(key).cloned();
        if let Some(b) = before.as_ref().filter(|b| b.until > now) {
            return Err(LeaseError::Held {
                key: key.to_owned(),
                owner: b.owner.clone(),
                wait: Span::from_millis(b.until.millis() - now.millis()),
            });
        }
        let lease = Lease {
            key: key.to_owned(),
            owner: owner.to_owned(),
            epoch: before.as_ref().map_or(1, |b| b.epoch + 1),
            until: Span::from_millis(now.millis() + ttl.millis()),
            taken_from: before.filter(|b| b.until > Span::ZERO).map(|b| b.owner),
        };
        inner.leases.insert(key.to_owned(), lease.clone());
        Ok(lease)
    }

    async fn renew(&self, lease: &Lease, ttl: Span) -> Result<Lease, LeaseError> {
        let mut inner = self.there(&lease.key)?;
        let until = Span::from_millis(inner.now.millis() + ttl.millis());
        match inner.leases.get_mut(&lease.key) {
            Some(known) if known.epoch == lease.epoch => {
                known.until = until;
                Ok(Lease {
                    until,
                    ..lease.clone()
                })
            }
            other => Err(LeaseError::Lost {
                key: lease.key.clone(),
                by: other.map(|o| o.owner.clone()).unwrap_or_default(),
            }),
        }
    }

    async fn release(&self, lease: &Lease) -> Result<(), LeaseError> {
        if let Some(known) = self.there(&lease.key)?.leases.get_mut(&lease.key)
            && known.epoch == lease.epoch
        {
            known.until = Span::ZERO;
        }
        Ok(())
    }

    async fn forget(&self, prefix: &str, over: &(dyn for<'k> Fn(&'k str) -> bool + Sync)) {
        self.lock()
            .leases
            .retain(|key, _| !(key.starts_with(prefix) && over(key)));
    }
}
