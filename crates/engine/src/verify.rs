//! Proving: symptom and cause must be gone together and stay gone for a window.
//!
//! The window is judged purely ([`Watch`]); reading is the executor's. A reading that fails is neither gone nor there:
//! it breaks the window, and a proof that ends on it is `Unknown`.

use muster_model::{Span, Time, Verdict};

use crate::progress::hold_for;

/// How often a cured condition may come back before the proof is refuted early.
const RELAPSES: u32 = 2;
/// Two looks further apart than this (a suspended machine, a server that hangs) do not hold a window together.
const GAP: Span = Span::from_secs(10);
/// Fewer looks than this prove nothing, however far apart.
const LOOKS: u32 = 3;

/// One look at all conditions.
#[derive(Clone, Debug, PartialEq)]
pub enum Look {
    /// All hold.
    Gone {
        /// The values seen.
        seen: String,
    },
    /// One does not.
    There {
        /// Which, with the values seen.
        seen: String,
    },
    /// One cannot be read.
    Unread {
        /// Why.
        why: String,
    },
}

/// A proof in progress.
#[derive(Clone, Debug)]
pub struct Watch {
    began: Time,
    hold: Span,
    deadline: Time,
    since: Option<Time>,
    relapses: u32,
    refill: Option<Span>,
    last: Option<Look>,
    looked: Option<Time>,
    looks: u32,
}

impl Watch {
    /// Begins.
    #[must_use]
    pub fn new(began: Time, hold: Span, within: Span) -> Self {
        Self {
            began,
            hold,
            deadline: began.plus(within),
            since: None,
            relapses: 0,
            refill: None,
            last: None,
            looked: None,
            looks: 0,
        }
    }

    /// Takes one look; `Some` when the proof is over, with how long the conditions held at its end.
    pub fn see(&mut self, now: Time, look: Look) -> Option<(Verdict, Span)> {
        if self.looked.is_some_and(|t| now.since(t) > GAP) {
            self.since = None;
        }
        self.looked = Some(now);
        let held = self.since.map_or(Span::ZERO, |s| now.since(s));
        if self.since.is_none() {
            self.looks = 0;
        }
        self.looks += 1;
        match &look {
            Look::Gone { .. } => {
                self.since.get_or_insert(now);
            }
            Look::There { .. } => {
                if let Some(since) = self.since.take() {
                    self.relapses += 1;
                    let refill = now.since(since);
                    self.refill = Some(self.refill.map_or(refill, |r| r.max(refill)));
                }
            }
            Look::Unread { .. } => self.since = None,
        }
        self.last = Some(look);
        let hold = hold_for(self.hold, self.refill);
        if let (Some(since), Some(Look::Gone { seen })) = (self.since, &self.last)
            && now.since(since) >= hold
            && self.looks >= LOOKS
        {
            let detail = format!("held for {}: {seen}", now.since(since).human());
            return Some((Verdict::Proven { detail }, now.since(since)));
        }
        if self.relapses >= RELAPSES {
            return Some((
                Verdict::Refuted {
                    why: self.came_back(),
                },
                held,
            ));
        }
        if now >= self.deadline {
            return Some((self.at_deadline(now), held));
        }
        None
    }

    fn came_back(&self) -> String {
        let seen = match &self.last {
            Some(Look::There { seen }) => seen.clone(),
            _ => String::new(),
        };
        format!(
            "it came back {} times, at the latest after {}: {seen}",
            self.relapses,
            self.refill.unwrap_or(Span::ZERO).human()
        )
    }

    fn at_deadline(&self, now: Time) -> Verdict {
        let waited = now.since(self.began).human();
        match &self.last {
            Some(Look::There { seen }) if self.relapses > 0 => Verdict::Refuted {
                why: format!("it came back within {waited}: {seen}"),
            },
            Some(Look::There { seen }) => Verdict::Refuted {
                why: format!("still so after {waited}: {seen}"),
            },
            Some(Look::Gone { seen }) => Verdict::Refuted {
                why: format!("gone, but not for long enough within {waited}: {seen}"),
            },
            Some(Look::Unread { why }) => Verdict::Unknown { why: why.clone() },
            None => Verdict::Unknown {
                why: "nothing was read".to_owned(),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(looks: &[(u64, char)]) -> Option<(Verdict, Span)> {
        let mut watch = Watch::new(Time::from_millis(0), Span::from_secs(10), Span::from_secs(60));
        for (at, look) in looks {
            let look = match look {
                'g' => Look::Gone {
                    seen: "waiting = 0".into(),
                },
                't' => Look::There {
                    seen: "waiting = 3".into(),
                },
                _ => Look::Unread {
                    why: "no answer".into(),
                },
            };
            if let Some(end) = watch.see(Time::from_millis(i64::try_from(at * 1000).expect("small")), look) {
                return Some(end);
            }
        }
        None
    }

    #[test]
    fn gone_for_the_whole_window_is_proven_and_not_a_second_earlier() {
        assert_eq!(run(&[(0, 't'), (2, 'g'), (6, 'g'), (11, 'g')]), None);
        assert!(matches!(
            run(&[(0, 't'), (2, 'g'), (6, 'g'), (12, 'g')]),
            Some((Verdict::Proven { .. }, _))
        ));
    }

    #[test]
    fn two_looks_with_a_hole_between_them_prove_nothing() {
        assert_eq!(
            run(&[(0, 'g'), (12, 'g')]),
            None,
            "it may have been there in between"
        );
        assert_eq!(run(&[(0, 'g'), (10, 'g')]), None, "two looks are too few");
    }

    #[test]
    fn one_relapse_lengthens_the_window_and_two_refute() {
        assert_eq!(
            run(&[(0, 'g'), (8, 't'), (9, 'g'), (17, 'g'), (24, 'g')]),
            None,
            "16 s are asked after a refill of 8 s"
        );
        assert!(matches!(
            run(&[(0, 'g'), (8, 't'), (9, 'g'), (17, 'g'), (25, 'g')]),
            Some((Verdict::Proven { .. }, _))
        ));
        assert!(matches!(
            run(&[(0, 'g'), (3, 't'), (4, 'g'), (6, 't')]),
            Some((Verdict::Refuted { .. }, _))
        ));
    }

    #[test]
    fn what_cannot_be_read_is_never_proven() {
        assert_eq!(
            run(&[(0, 'g'), (5, 'u'), (11, 'g')]),
            None,
            "the window begins again"
        );
        assert!(matches!(
            run(&[(0, 'g'), (5, 'u'), (60, 'u')]),
            Some((Verdict::Unknown { .. }, _))
        ));
        assert!(matches!(
            run(&[(0, 't'), (60, 't')]),
            Some((Verdict::Refuted { .. }, _))
        ));
    }
}
