//! The engine's clock: the real one, or the one of a test.

use async_trait::async_trait;
use muster_model::{Span, Time};
use rustix::time::{ClockId, clock_gettime};

/// Says what time it is and waits.
#[async_trait]
pub trait Clock: Send + Sync {
    /// Now, by the clock on the wall. People and time servers set it.
    fn now(&self) -> Time;
    /// How long since some fixed moment, by a clock that nobody sets and that goes on while the machine sleeps.
    fn elapsed(&self) -> Span;
    /// Waits.
    async fn wait(&self, span: Span);
}

/// How long the machine has been up, asleep or not: nobody sets this clock.
pub(crate) fn since_boot() -> Span {
    #[cfg(target_os = "linux")]
    let clock = ClockId::Boottime;
    #[cfg(not(target_os = "linux"))]
    let clock = ClockId::Monotonic;
    let now = clock_gettime(clock);
    let part = |n: i64| u64::try_from(n).unwrap_or(0);
    Span::from_millis(part(now.tv_sec) * 1000 + part(now.tv_nsec) / 1_000_000)
}

/// The machine's clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

#[async_trait]
impl Clock for SystemClock {
    fn now(&self) -> Time {
        Time::from_micros(jiff::Timestamp::now().as_microsecond())
    }

    fn elapsed(&self) -> Span {
        since_boot()
    }

    async fn wait(&self, span: Span) {
        tokio::time::sleep(span.duration()).await;
    }
}
