//! Trouble put around probes and actions: done twice, failing, lost answers. What happens then is up to the engine.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use async_trait::async_trait;
use muster_engine::clock::{Clock, SystemClock};
use muster_engine::{Action, ActionPlan, Catalogue, CodeError, Permit, Probe};
use muster_model::{FrozenTarget, Observation, Outcome, Record, Scope, Signature, Span, Time};

/// Which trouble.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// Every effect and every undo is done twice.
    Twice,
    /// This probe, by the order in which they are read, cannot be read.
    Probe(u32),
    /// This effect, by its order, fails and nothing happens.
    Before(u32),
    /// This effect happens, and says that it failed.
    After(u32),
    /// This effect happens, and the answer is lost.
    Lost(u32),
    /// In this effect somebody sets the clock on the wall an hour forward.
    Forward(u32),
    /// The same, an hour back.
    Back(u32),
}

impl Trouble {
    /// The same at an earlier effect, where a run had fewer of them than the one that they were counted in: how many
    /// sessions are ended depends on how many are there.
    pub(super) fn earlier(self, last: u32) -> Option<Self> {
        let at = |n: u32| (last > 0 && last < n).then_some(last);
        match self {
            Self::Twice | Self::Probe(_) => None,
            Self::Before(n) => at(n).map(Self::Before),
            Self::After(n) => at(n).map(Self::After),
            Self::Lost(n) => at(n).map(Self::Lost),
            Self::Forward(n) => at(n).map(Self::Forward),
            Self::Back(n) => at(n).map(Self::Back),
        }
    }
}

impl std::fmt::Display for Trouble {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Twice => f.write_str("everything is done twice"),
            Self::Probe(n) => write!(f, "probe {n} cannot be read"),
            Self::Before(n) => write!(f, "effect {n} fails"),
            Self::After(n) => write!(f, "effect {n} happens and says that it failed"),
            Self::Lost(n) => write!(f, "effect {n} happens and its answer is lost"),
            Self::Forward(n) => write!(f, "the clock is set an hour forward in effect {n}"),
            Self::Back(n) => write!(f, "the clock is set an hour back in effect {n}"),
        }
    }
}

/// What was called so far.
#[derive(Debug)]
pub struct Maker {
    trouble: Trouble,
    armed: AtomicBool,
    reads: AtomicU32,
    effects: AtomicU32,
    again: AtomicU32,
    struck: AtomicBool,
}

impl Maker {
    /// Makes no trouble until it is armed.
    #[must_use]
    pub fn new(trouble: Trouble) -> Arc<Self> {
        Arc::new(Self {
            trouble,
            armed: AtomicBool::new(false),
            reads: AtomicU32::new(0),
            effects: AtomicU32::new(0),
            again: AtomicU32::new(0),
            struck: AtomicBool::new(false),
        })
    }

    /// From here on.
    pub fn arm(&self) {
        self.armed.store(true, Ordering::SeqCst);
    }

    /// Probes that were read.
    #[must_use]
    pub fn reads(&self) -> u32 {
        self.reads.load(Ordering::SeqCst)
    }

    /// Effects that were asked for.
    #[must_use]
    pub fn effects(&self) -> u32 {
        self.effects.load(Ordering::SeqCst)
    }

    /// Whether the trouble was met.
    #[must_use]
    pub fn struck(&self) -> bool {
        self.struck.load(Ordering::SeqCst)
    }

    /// Effects that happened once more when they were done twice: none may.
    #[must_use]
    pub fn again(&self) -> u32 {
        self.again.load(Ordering::SeqCst)
    }

    /// Puts itself around everything.
    #[must_use]
    pub fn around(self: &Arc<Self>, code: Catalogue) -> Catalogue {
        let (p, a) = (self.clone(), self.clone());
        code.around(
            move |inner| {
                Arc::new(Around {
                    inner,
                    maker: p.clone(),
                })
            },
            move |inner| {
                Arc::new(Around {
                    inner,
                    maker: a.clone(),
                })
            },
        )
    }

    /// By how many seconds the clock on the wall was set.
    fn skew(&self) -> i64 {
        match self.trouble {
            Trouble::Forward(_) if self.struck() => 3600,
            Trouble::Back(_) if self.struck() => -3600,
            _ => 0,
        }
    }

    /// The number of this call, from 1; 0 while not armed.
    fn count(&self, counter: &AtomicU32) -> u32 {
        if self.armed.load(Ordering::SeqCst) {
            counter.fetch_add(1, Ordering::SeqCst) + 1
        } else {
            0
        }
    }

    fn strike(&self) {
        self.struck.store(true, Ordering::SeqCst);
    }

    fn second(&self, outcome: &Outcome) {
        if matches!(outcome, Outcome::Done { .. }) {
            self.again.fetch_add(1, Ordering::SeqCst);
        }
    }
}

/// The clock on the wall is set when trouble strikes; the one that nobody sets goes on.
#[async_trait]
impl Clock for Maker {
    fn now(&self) -> Time {
        Time::from_micros(SystemClock.now().micros() + self.skew() * 1_000_000)
    }

    fn elapsed(&self) -> Span {
        SystemClock.elapsed()
    }

    async fn wait(&self, span: Span) {
        SystemClock.wait(span).await;
    }
}

/// A probe or an action with trouble around it.
struct Around<T: ?Sized> {
    inner: Arc<T>,
    maker: Arc<Maker>,
}

#[async_trait]
impl Probe for Around<dyn Probe> {
    fn signature(&self) -> &Signature {
        self.inner.signature()
    }

    async fn read(&self, scope: &Scope, with: &Record) -> Result<Record, CodeError> {
        let n = self.maker.count(&self.maker.reads);
        if n > 0 && self.maker.trouble == Trouble::Probe(n) {
            self.maker.strike();
            return Err(CodeError::Unreadable {
                target: scope.target.clone(),
                reason: "the harness says so".to_owned(),
            });
        }
        self.inner.read(scope, with).await
    }
}

#[async_trait]
impl Action for Around<dyn Action> {
    fn signature(&self) -> &Signature {
        self.inner.signature()
    }

    async fn plan(
        &self,
        scope: &Scope,
        step: &str,
        with: &Record,
        targets: &[FrozenTarget],
    ) -> Result<ActionPlan, CodeError> {
        self.inner.plan(scope, step, with, targets).await
    }

    async fn apply(&self, scope: &Scope, with: &Record, target: &FrozenTarget, permit: &Permit) -> Outcome {
        let n = self.maker.count(&self.maker.effects);
        let failed = || Outcome::Failed {
            error: "the harness says so".to_owned(),
        };
        if n > 0 && self.maker.trouble == Trouble::Before(n) {
            self.maker.strike();
            return failed();
        }
        if n > 0 && [Trouble::Forward(n), Trouble::Back(n)].contains(&self.maker.trouble) {
            self.maker.strike();
        }
        let outcome = self.inner.apply(scope, with, target, permit).await;
        match self.maker.trouble {
            Trouble::Twice if n > 0 => {
                self.maker.strike();
                let again = self.inner.apply(scope, with, target, permit).await;
                self.maker.second(&again);
                outcome
            }
            Trouble::After(k) if k == n => {
                self.maker.strike();
                failed()
            }
            Trouble::Lost(k) if k == n => {
                self.maker.strike();
                Outcome::Indeterminate {
                    why: "the harness lost the answer".to_owned(),
                }
            }
            _ => outcome,
        }
    }

    async fn observe(&self, scope: &Scope, with: &Record, target: &FrozenTarget) -> Observation {
        self.inner.observe(scope, with, target).await
    }

    async fn undo(&self, scope: &Scope, with: &Record, target: &FrozenTarget, permit: &Permit) -> Outcome {
        let outcome = self.inner.undo(scope, with, target, permit).await;
        if self.maker.trouble == Trouble::Twice {
            let again = self.inner.undo(scope, with, target, permit).await;
            self.maker.second(&again);
        }
        outcome
    }
}
