//! When a message that was not taken is tried again, and when it is given up. Pure.

use muster_model::{Span, Time};

/// First pause before another try; doubled up to the longest.
const PAUSE: Span = Span::from_secs(5);
const LONGEST: Span = Span::from_mins(5);
/// A message that was not taken for so long is given up.
const GIVE_UP: Span = Span::from_mins(2 * 60);

/// Tries of one message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tries {
    first: Time,
    pause: Span,
    /// When it is tried again.
    pub next: Time,
}

/// After a try that failed now; `None` when that was the last one.
#[must_use]
pub fn after(before: Option<&Tries>, now: Time) -> Option<Tries> {
    let first = before.map_or(now, |t| t.first);
    let pause = before.map_or(PAUSE, |t| Span::from_millis(t.pause.millis() * 2).min(LONGEST));
    (now.since(first) < GIVE_UP).then(|| Tries {
        first,
        pause,
        next: now.plus(pause),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tries_become_rarer_and_end_after_two_hours() {
        let begin = Time::from_millis(1_790_000_000_000);
        let (mut now, mut tries, mut pauses) = (begin, None, Vec::new());
        while let Some(tried) = after(tries.as_ref(), now) {
            pauses.push(tried.next.since(now).millis() / 1000);
            now = tried.next;
            tries = Some(tried);
        }
        assert_eq!(pauses[..8], [5, 10, 20, 40, 80, 160, 300, 300]);
        assert!(pauses.iter().skip(6).all(|p| *p == 300), "{pauses:?}");
        let over = now.since(begin).millis();
        let end = GIVE_UP.millis();
        assert!(over >= end && over < end + LONGEST.millis(), "{over} ms");
    }
}
