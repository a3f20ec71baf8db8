//! Texts of statements: learnt in batches, kept without literals, with an id that is the same on every server.
//!
//! Reading one text costs the server as much as reading all of them, a whole file. So they are asked for together, only when
//! there are new ones, and the less often the longer it took: from every round while it costs nothing to every five
//! minutes. Refuses to keep what a literal was in.

use std::collections::HashMap;
use std::time::Duration;

use muster_model::{Span, Time, fingerprint};
use muster_reach::redact;

/// Texts asked for at a time.
pub(crate) const AT_ONCE: usize = 1000;
/// Characters of one that are asked for.
pub(crate) const LONGEST: usize = 4000;
/// Texts that are kept.
const MOST: usize = 1500;
/// Between two questions, at least and at most.
const OFTEN: Span = Span::from_secs(10);
const SELDOM: Span = Span::from_mins(5);
/// So many times as long as a question took lies between it and the next.
const SHARE: u64 = 600;

/// A text.
#[derive(Clone, Debug)]
pub(crate) struct Text {
    pub(crate) fingerprint: String,
    /// Without literals, cut.
    pub(crate) text: String,
    used: Time,
}

/// All that is known.
#[derive(Default)]
pub(crate) struct Texts {
    known: HashMap<i64, Text>,
    asked: Option<(Time, Duration)>,
}

impl Texts {
    /// Which of these to ask for now; none when none is new, or when it is too early.
    pub(crate) fn wanted(&mut self, now: Time, of: impl Iterator<Item = i64>) -> Vec<i64> {
        let mut wanted = Vec::new();
        for id in of {
            match self.known.get_mut(&id) {
                Some(text) => text.used = now,
                None if wanted.len() < AT_ONCE && !wanted.contains(&id) => wanted.push(id),
                None => {}
            }
        }
        let early = self.asked.is_some_and(|(at, took)| {
            let took = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
            let pause = Span::from_millis(took.saturating_mul(SHARE)).clamp(OFTEN, SELDOM);
            now.since(at) < pause
        });
        if early { Vec::new() } else { wanted }
    }

    /// Notes that it was asked and how long that took.
    pub(crate) fn asked(&mut self, now: Time, took: Duration) {
        self.asked = Some((now, took));
    }

    /// Keeps a text; `bytes` is how long it is on the server, where more than [`LONGEST`] characters are cut off.
    pub(crate) fn learn(&mut self, now: Time, id: i64, sql: &str, bytes: i32) {
        let text = Text {
            fingerprint: fingerprint(sql, bytes),
            text: redact::statement(sql),
            used: now,
        };
        self.known.insert(id, text);
        if self.known.len() > MOST {
            let mut used: Vec<Time> = self.known.values().map(|t| t.used).collect();
            used.sort_unstable();
            let oldest = used[self.known.len() - MOST - 1];
            self.known.retain(|_, t| t.used > oldest);
        }
    }

    pub(crate) fn of(&self, id: i64) -> Option<&Text> {
        self.known.get(&id)
    }
}

/// The id of a text of which the first [`LONGEST`] characters are known; `bytes` is how long it is on the server.
pub(crate) fn fingerprint(sql: &str, bytes: i32) -> String {
    let cut = sql.chars().count() >= LONGEST;
    let mut whole = redact::whole_statement(sql);
    if cut {
        // Two long statements that begin alike are two: their length tells most of them apart.
        whole.push_str(&format!(" … {bytes}"));
    }
    fingerprint::of(&whole)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(s: i64) -> Time {
        Time::from_millis(s * 1000)
    }

    #[test]
    fn new_ones_are_asked_for_together_and_the_less_often_the_dearer() {
        let mut texts = Texts::default();
        assert_eq!(texts.wanted(at(0), [1, 2, 1].into_iter()), [1, 2], "at once");
        texts.asked(at(0), Duration::from_millis(5));
        texts.learn(at(0), 1, "select 1", 8);
        assert_eq!(
            texts.wanted(at(15), [1, 2].into_iter()),
            [2],
            "cheap: the next round"
        );
        texts.asked(at(15), Duration::from_millis(600));
        assert!(
            texts.wanted(at(300), [2].into_iter()).is_empty(),
            "dear: five minutes"
        );
        assert_eq!(texts.wanted(at(316), [2].into_iter()), [2]);
        assert!(texts.wanted(at(316), [1].into_iter()).is_empty(), "it is known");
        assert_eq!(texts.wanted(at(316), 10..5000).len(), AT_ONCE);
    }

    #[test]
    fn literals_are_not_kept_and_long_ones_are_told_apart() {
        let mut texts = Texts::default();
        texts.learn(at(0), 1, "ALTER ROLE a PASSWORD 'geheim'", 30);
        texts.learn(at(0), 2, "alter role a  password $1", 30);
        let (a, b) = (texts.of(1).expect("known"), texts.of(2).expect("known"));
        assert_eq!(a.text, "ALTER ROLE a PASSWORD ?");
        assert_eq!(a.fingerprint, b.fingerprint);
        texts.learn(at(0), 5, "select a from t where b in ($1 /*, ... */)", 40);
        texts.learn(at(0), 6, "SELECT a FROM t WHERE b IN ($1, $2, $3)", 40);
        let of = |id| texts.of(id).map(|t| t.fingerprint.clone());
        assert!(of(5).is_some() && of(5) == of(6), "18 and later squash a list");
        let long = "select a from t where ".to_owned() + &"b and ".repeat(1000);
        let long: String = long.chars().take(LONGEST).collect();
        texts.learn(at(0), 3, &long, 6022);
        texts.learn(at(0), 4, &long, 6023);
        assert_ne!(
            texts.of(3).expect("known").fingerprint,
            texts.of(4).expect("known").fingerprint
        );
    }

    #[test]
    fn only_so_many_are_kept_and_those_that_are_used() {
        let mut texts = Texts::default();
        for id in 0..=i64::try_from(MOST).expect("small") {
            texts.learn(at(id), id, "select 1", 8);
            texts.wanted(at(id), [0].into_iter());
        }
        assert!(texts.of(0).is_some(), "used again and again");
        assert!(texts.of(1).is_none());
        assert!(texts.known.len() <= MOST);
    }
}
