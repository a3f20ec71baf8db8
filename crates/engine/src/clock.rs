//! The engine's clock: the real one, or the one of a test.

use async_trait::async_trait;
use muster_model::{Span, Time};

/// Says what time it is and waits.
#[async_trait]
pub trait Clock: Send + Sync {
    /// Now.
    fn now(&self) -> Time;
    /// Waits.
    async fn wait(&self, span: Span);
}

/// The machine's clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

#[async_trait]
impl Clock for SystemClock {
    fn now(&self) -> Time {
        Time::from_micros(jiff::Timestamp::now().as_microsecond())
    }

    async fn wait(&self, span: Span) {
        tokio::time::sleep(span.duration()).await;
    }
}
