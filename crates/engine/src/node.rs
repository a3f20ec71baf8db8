//! The state machine of one node: a step of a plan at one target, or a step that has none.
//!
//! One pure function, [`Node::after`], says what an event makes of a node. A node can only be had by starting at
//! [`Node::new`] and applying events, so a history that cannot have happened is never a node: it is an [`Illegal`], and the
//! run that has it is not driven on. Refuses to know what steps do, and when anything happens.

use std::fmt;

use muster_model::{Observation, Outcome, Verdict, WaitFor};

use crate::journal::{Entry, Event};

/// How often an undo is tried.
pub const UNDO_TRIES: u32 = 3;

/// Where a node stands. A closed set; nothing else can be written into a journal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NodeState {
    /// Nothing of it has happened. With tries: what was tried was seen not to have happened.
    NeverStarted,
    /// The intent is on disk, the result is not.
    Started,
    /// Done.
    Succeeded {
        /// What was seen.
        detail: String,
    },
    /// It was tried and did not work.
    Failed {
        /// Why.
        error: String,
        /// A look has shown that nothing of it is left behind.
        clean: bool,
    },
    /// The intent to take it back is on disk, the result is not.
    UndoStarted,
    /// Taken back.
    Undone,
    /// Taking it back did not work; tried again while tries are left.
    UndoFailed {
        /// Why.
        error: String,
    },
    /// It waits, and nothing runs meanwhile.
    Waiting(WaitFor),
    /// Nobody can say whether it, or its undo, happened.
    Indeterminate {
        /// What is missing to decide.
        why: String,
        /// Whether it is about the undo.
        undo: bool,
    },
    /// Its target changed since the plan: nothing was done and nothing needs to be.
    Skipped {
        /// What had changed.
        why: String,
    },
    /// A person gave up on it.
    Abandoned {
        /// Who.
        who: String,
        /// Why.
        reason: String,
        /// In which state it was left, for who looks later.
        comment: String,
    },
}

impl NodeState {
    /// The name of the state, without its details.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self {
            Self::NeverStarted => "never_started",
            Self::Started => "started",
            Self::Succeeded { .. } => "succeeded",
            Self::Failed { .. } => "failed",
            Self::UndoStarted => "undo_started",
            Self::Undone => "undone",
            Self::UndoFailed { .. } => "undo_failed",
            Self::Waiting(_) => "waiting",
            Self::Indeterminate { .. } => "indeterminate",
            Self::Skipped { .. } => "skipped",
            Self::Abandoned { .. } => "abandoned",
        }
    }

    /// Whether an effect may be under way: an intent without a result.
    #[must_use]
    pub fn open(&self) -> bool {
        matches!(self, Self::Started | Self::UndoStarted)
    }
}

/// What happens to a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NodeEvent {
    /// It is about to be tried, for the nth time.
    Start(u32),
    /// It worked; or a step without an effect passed.
    Succeed(String),
    /// It did not work; or a proof was refuted.
    Fail(String),
    /// The target had changed.
    Skip(String),
    /// The result is not known.
    Lose(String),
    /// A look: the effect is there.
    SeenDone(String),
    /// A look: the effect is not there.
    SeenNotDone,
    /// A look that showed nothing.
    SeenUnknown(String),
    /// It is about to be taken back, for the nth time.
    UndoStart(u32),
    /// It was taken back.
    UndoSucceed,
    /// Taking it back did not work.
    UndoFail(String),
    /// Whether it was taken back is not known.
    UndoLose(String),
    /// It waits.
    Wait(WaitFor),
    /// A person gave up on it.
    Abandon {
        /// Who.
        who: String,
        /// Why.
        reason: String,
    },
}

impl NodeEvent {
    /// The name of the event, without its details.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self {
            Self::Start(_) => "start",
            Self::Succeed(_) => "succeed",
            Self::Fail(_) => "fail",
            Self::Skip(_) => "skip",
            Self::Lose(_) => "lose",
            Self::SeenDone(_) => "seen_done",
            Self::SeenNotDone => "seen_not_done",
            Self::SeenUnknown(_) => "seen_unknown",
            Self::UndoStart(_) => "undo_start",
            Self::UndoSucceed => "undo_succeed",
            Self::UndoFail(_) => "undo_fail",
            Self::UndoLose(_) => "undo_lose",
            Self::Wait(_) => "wait",
            Self::Abandon { .. } => "abandon",
        }
    }

    /// What an entry of the journal means to the node at whose place it stands; `None` when it is not about nodes.
    #[must_use]
    pub fn of(entry: &Entry) -> Option<Self> {
        let n = entry.place.attempt;
        Some(match &entry.event {
            Event::Intent { undo: false, .. } => Self::Start(n),
            Event::Intent { undo: true, .. } => Self::UndoStart(n),
            Event::Tried { outcome, undo: false } => match outcome {
                Outcome::Done { detail } => Self::Succeed(detail.clone()),
                Outcome::NotDone { why } => Self::Skip(why.clone()),
                Outcome::Failed { error } => Self::Fail(error.clone()),
                Outcome::Indeterminate { why } => Self::Lose(why.clone()),
            },
            Event::Tried { outcome, undo: true } => match outcome {
                // "There is nothing to take back" is as good as taken back.
                Outcome::Done { .. } | Outcome::NotDone { .. } => Self::UndoSucceed,
                Outcome::Failed { error } => Self::UndoFail(error.clone()),
                Outcome::Indeterminate { why } => Self::UndoLose(why.clone()),
            },
            // What is observed is always the effect of the action, also when its undo was lost.
            Event::Observed { observation, .. } => match observation {
                Observation::Done { detail } => Self::SeenDone(detail.clone()),
                Observation::NotDone { .. } => Self::SeenNotDone,
                Observation::Unknown { why } => Self::SeenUnknown(why.clone()),
            },
            Event::ProbeRead { .. }
            | Event::Approved { .. }
            | Event::Waited
            | Event::Recorded { .. }
            | Event::Verified {
                verdict: Verdict::Proven { .. },
                ..
            } => Self::Succeed(String::new()),
            Event::Verified {
                verdict: Verdict::Refuted { why } | Verdict::Unknown { why },
                ..
            } => Self::Fail(why.clone()),
            Event::Waits { what, .. } => Self::Wait(*what),
            _ => return None,
        })
    }
}

/// A history that cannot have happened.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{event}` cannot happen to a step that is `{state}`")]
pub struct Illegal {
    /// State.
    pub state: &'static str,
    /// Event.
    pub event: &'static str,
}

/// One node with what it went through.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    state: NodeState,
    tries: u32,
    undo_tries: u32,
}

impl Default for Node {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Display for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.state.word())
    }
}

impl Node {
    /// A node of which nothing has happened.
    #[must_use]
    pub fn new() -> Self {
        Self {
            state: NodeState::NeverStarted,
            tries: 0,
            undo_tries: 0,
        }
    }

    /// Where it stands.
    #[must_use]
    pub fn state(&self) -> &NodeState {
        &self.state
    }

    /// How often it was tried.
    #[must_use]
    pub fn tries(&self) -> u32 {
        self.tries
    }

    /// How often its undo was tried.
    #[must_use]
    pub fn undo_tries(&self) -> u32 {
        self.undo_tries
    }

    /// Whether an undo may be tried (again).
    #[must_use]
    pub fn can_undo(&self) -> bool {
        self.undo_tries < UNDO_TRIES
            && matches!(
                self.state,
                NodeState::Succeeded { .. } | NodeState::UndoFailed { .. }
            )
    }

    /// What an event makes of it: the one transition function.
    ///
    /// # Errors
    /// [`Illegal`], when the event cannot happen to a node in this state.
    pub fn after(&self, event: &NodeEvent) -> Result<Self, Illegal> {
        use NodeEvent as E;
        use NodeState as S;
        let mut tries = self.tries;
        let mut undo_tries = self.undo_tries;
        let state = match (&self.state, event) {
            // A wait holds nothing and changes nothing; what it waits before goes on from it.
            (S::NeverStarted | S::Waiting(_), E::Wait(what)) => S::Waiting(*what),
            (S::NeverStarted | S::Waiting(_), E::Start(n)) if *n == tries + 1 => {
                tries = *n;
                S::Started
            }
            // Steps without an effect pass or fail at once.
            (S::NeverStarted | S::Waiting(_) | S::Started, E::Succeed(detail)) => S::Succeeded {
                detail: detail.clone(),
            },
            (S::NeverStarted | S::Waiting(_) | S::Started, E::Fail(error)) => S::Failed {
                error: error.clone(),
                clean: false,
            },
            (S::Started, E::Skip(why)) => S::Skipped { why: why.clone() },
            (S::Started, E::Lose(why)) => S::Indeterminate {
                why: why.clone(),
                undo: false,
            },
            // After a crash a look decides, and after a failure too: half of it may have happened.
            (S::Started | S::Failed { clean: false, .. }, E::SeenDone(detail)) => S::Succeeded {
                detail: detail.clone(),
            },
            (S::Started, E::SeenNotDone) => S::NeverStarted,
            (S::Failed { error, clean: false }, E::SeenNotDone) => S::Failed {
                error: error.clone(),
                clean: true,
            },
            (S::Started | S::Failed { clean: false, .. }, E::SeenUnknown(why)) => S::Indeterminate {
                why: why.clone(),
                undo: false,
            },
            (S::Succeeded { .. } | S::UndoFailed { .. }, E::UndoStart(n))
                if *n == undo_tries + 1 && self.can_undo() =>
            {
                undo_tries = *n;
                S::UndoStarted
            }
            (S::UndoStarted, E::UndoSucceed | E::SeenNotDone) => S::Undone,
            (S::UndoStarted, E::UndoFail(error)) => S::UndoFailed { error: error.clone() },
            (S::UndoStarted, E::SeenDone(detail)) => S::UndoFailed {
                error: format!("it is still there: {detail}"),
            },
            (S::UndoStarted, E::UndoLose(why) | E::SeenUnknown(why)) => S::Indeterminate {
                why: why.clone(),
                undo: true,
            },
            (state, E::Abandon { who, reason }) if !matches!(state, S::Abandoned { .. }) => S::Abandoned {
                who: who.clone(),
                reason: reason.clone(),
                comment: format!("left as {}", state.word()),
            },
            (state, event) => {
                return Err(Illegal {
                    state: state.word(),
                    event: event.word(),
                });
            }
        };
        Ok(Self {
            state,
            tries,
            undo_tries,
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The reference: the same machine written as a table of words, by hand, without looking at the code above.
    const TABLE: [(&str, &str, &str); 40] = [
        ("never_started", "wait", "waiting"),
        ("never_started", "start", "started"),
        ("never_started", "succeed", "succeeded"),
        ("never_started", "fail", "failed"),
        ("never_started", "abandon", "abandoned"),
        ("waiting", "wait", "waiting"),
        ("waiting", "start", "started"),
        ("waiting", "succeed", "succeeded"),
        ("waiting", "fail", "failed"),
        ("waiting", "abandon", "abandoned"),
        ("started", "succeed", "succeeded"),
        ("started", "fail", "failed"),
        ("started", "skip", "skipped"),
        ("started", "lose", "indeterminate"),
        ("started", "seen_done", "succeeded"),
        ("started", "seen_not_done", "never_started"),
        ("started", "seen_unknown", "indeterminate"),
        ("started", "abandon", "abandoned"),
        ("succeeded", "undo_start", "undo_started"),
        ("succeeded", "abandon", "abandoned"),
        ("failed", "seen_done", "succeeded"),
        ("failed", "seen_not_done", "failed_clean"),
        ("failed", "seen_unknown", "indeterminate"),
        ("failed", "abandon", "abandoned"),
        ("failed_clean", "abandon", "abandoned"),
        ("undo_started", "undo_succeed", "undone"),
        ("undo_started", "undo_fail", "undo_failed"),
        ("undo_started", "undo_lose", "indeterminate"),
        ("undo_started", "seen_done", "undo_failed"),
        ("undo_started", "seen_not_done", "undone"),
        ("undo_started", "seen_unknown", "indeterminate"),
        ("undo_started", "abandon", "abandoned"),
        ("undo_failed", "undo_start", "undo_started"),
        ("undo_failed", "abandon", "abandoned"),
        ("undone", "abandon", "abandoned"),
        ("indeterminate", "abandon", "abandoned"),
        ("skipped", "abandon", "abandoned"),
        // Not states, but what the counters allow: asked for by the model below.
        ("tries", "start", "one more than before"),
        ("undo_tries", "undo_start", "one more than before"),
        ("undo_tries", "at most", "3"),
    ];

    struct Model {
        word: &'static str,
        tries: u32,
        undo_tries: u32,
    }

    impl Model {
        fn after(&mut self, event: &NodeEvent) -> bool {
            let row = TABLE
                .iter()
                .find(|(state, word, _)| *state == self.word && *word == event.word());
            let Some((_, _, to)) = row else { return false };
            match event {
                NodeEvent::Start(n) if *n != self.tries + 1 => return false,
                NodeEvent::UndoStart(n) if *n != self.undo_tries + 1 || *n > 3 => return false,
                NodeEvent::Start(n) => self.tries = *n,
                NodeEvent::UndoStart(n) => self.undo_tries = *n,
                _ => {}
            }
            self.word = to;
            true
        }
    }

    fn word(node: &Node) -> &'static str {
        match node.state() {
            NodeState::Failed { clean: true, .. } => "failed_clean",
            other => other.word(),
        }
    }

    fn event() -> impl Strategy<Value = NodeEvent> {
        let text = || Just(String::from("x"));
        prop_oneof![
            6 => (1_u32..4).prop_map(NodeEvent::Start),
            4 => text().prop_map(NodeEvent::Succeed),
            4 => text().prop_map(NodeEvent::Fail),
            1 => text().prop_map(NodeEvent::Skip),
            1 => text().prop_map(NodeEvent::Lose),
            3 => text().prop_map(NodeEvent::SeenDone),
            4 => Just(NodeEvent::SeenNotDone),
            1 => text().prop_map(NodeEvent::SeenUnknown),
            6 => (1_u32..5).prop_map(NodeEvent::UndoStart),
            2 => Just(NodeEvent::UndoSucceed),
            5 => text().prop_map(NodeEvent::UndoFail),
            1 => text().prop_map(NodeEvent::UndoLose),
            2 => Just(NodeEvent::Wait(WaitFor::Window)),
            1 => Just(NodeEvent::Abandon { who: "ana".into(), reason: "tired".into() }),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]
        #[test]
        fn it_does_what_the_table_says(events in prop::collection::vec(event(), 0..60)) {
            let mut node = Node::new();
            let mut model = Model { word: "never_started", tries: 0, undo_tries: 0 };
            for e in &events {
                let legal = model.after(e);
                match node.after(e) {
                    Ok(next) => {
                        prop_assert!(legal, "the table refuses {} after {}", e.word(), node);
                        node = next;
                    }
                    Err(refused) => {
                        prop_assert!(!legal, "{refused}, but the table allows it");
                        prop_assert_eq!(refused.event, e.word());
                    }
                }
                prop_assert_eq!(word(&node), model.word);
                prop_assert_eq!((node.tries(), node.undo_tries()), (model.tries, model.undo_tries));
                prop_assert!(node.undo_tries() <= UNDO_TRIES);
            }
        }
    }

    #[test]
    fn nothing_is_tried_twice_without_a_look() {
        let started = Node::new().after(&NodeEvent::Start(1)).expect("starts");
        assert!(started.after(&NodeEvent::Start(2)).is_err());
        let seen = started.after(&NodeEvent::SeenNotDone).expect("seen");
        assert!(
            seen.after(&NodeEvent::Start(1)).is_err(),
            "a try has its own number"
        );
        assert!(seen.after(&NodeEvent::Start(2)).is_ok());
    }

    #[test]
    fn an_undo_that_fails_three_times_is_not_tried_a_fourth_time() {
        let mut node = Node::new().after(&NodeEvent::Start(1)).expect("starts");
        node = node.after(&NodeEvent::Succeed(String::new())).expect("works");
        for n in 1..=UNDO_TRIES {
            assert!(node.can_undo());
            node = node.after(&NodeEvent::UndoStart(n)).expect("starts");
            node = node.after(&NodeEvent::UndoFail("no".into())).expect("fails");
        }
        assert!(!node.can_undo());
        let refused = node.after(&NodeEvent::UndoStart(4)).expect_err("no fourth time");
        assert_eq!(
            refused.to_string(),
            "`undo_start` cannot happen to a step that is `undo_failed`"
        );
    }
}
