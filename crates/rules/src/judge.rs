//! All rules over one Snapshot, with their memory: since when a condition holds, and when it was last seen.

use std::collections::BTreeMap;

use muster_model::snapshot::{Part, Reach, ServerView};
use muster_model::{Finding, Health, Severity, Snapshot, Span, Thresholds, Time};
use serde::{Deserialize, Serialize};

use crate::rules;

/// A part that was not read for so long is no picture of the present: three rounds of the slowest cadence.
const OLD: Span = Span::from_mins(3);

/// How the rules are used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// By the daemon, again and again.
    Watch,
    /// Once, by `muster check`: conditions that would need a longer look are reported as pending.
    Check,
}

/// Since when a condition holds, and when it was last seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Held {
    /// Since when.
    pub since: Time,
    /// Last seen.
    pub last: Time,
}

/// The memory of all rules of one cluster.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct RuleState {
    /// By condition.
    pub held: BTreeMap<String, Held>,
}

/// A rule that could not decide.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Unknown {
    /// Kind of the rule.
    pub kind: String,
    /// Address of the target.
    pub target: String,
    /// What it lacks.
    pub why: String,
}

/// What the rules say.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Judgement {
    /// Findings, sorted by severity and kind.
    pub findings: Vec<Finding>,
    /// Rules that could not decide.
    pub unknown: Vec<Unknown>,
    /// Health of every component.
    pub health: Vec<(String, Health)>,
}

/// What a rule works with.
pub(crate) struct Context<'a> {
    pub(crate) snapshot: &'a Snapshot,
    pub(crate) thresholds: &'a Thresholds,
    pub(crate) mode: Mode,
    previous: &'a RuleState,
    next: RuleState,
    pub(crate) findings: Vec<Finding>,
    pub(crate) unknown: Vec<Unknown>,
}

impl Context<'_> {
    pub(crate) fn now(&self) -> Time {
        self.snapshot.taken_at
    }

    pub(crate) fn span(&self, kind: &str, key: &str) -> Span {
        self.thresholds.span(kind, key, Span::ZERO)
    }

    pub(crate) fn number(&self, kind: &str, key: &str) -> f64 {
        self.thresholds.number(kind, key, f64::MAX)
    }

    /// Notes that a condition holds now; for how long it has held without a gap of more than 5 s.
    pub(crate) fn held(&mut self, condition: &str) -> Span {
        let now = self.now();
        let known = self
            .previous
            .held
            .get(condition)
            .filter(|h| now.since(h.last) <= Span::from_secs(5));
        let since = known.map_or(now, |h| h.since.min(now));
        self.next
            .held
            .insert(condition.to_owned(), Held { since, last: now });
        now.since(since)
    }

    /// Whether a condition held at the last look: what was found goes on until it is clearly over.
    pub(crate) fn held_before(&self, condition: &str) -> bool {
        let known = self.previous.held.get(condition);
        known.is_some_and(|h| self.now().since(h.last) <= Span::from_secs(5))
    }

    /// A part of a server, when it was read and is not old. Otherwise the rule lacks it: unknown is never healthy. A server
    /// that does not answer is `server.down`'s business and lacks nothing here.
    pub(crate) fn part<'s, T>(
        &mut self,
        kind: &str,
        server: &'s ServerView,
        part: &'s Option<Part<T>>,
        what: &str,
    ) -> Option<&'s T> {
        if !server.answers() {
            return None;
        }
        self.near(kind, server, part, what)
    }

    /// The same of a part that is read whether or not the server answers: on its host.
    pub(crate) fn near<'s, T>(
        &mut self,
        kind: &str,
        server: &'s ServerView,
        part: &'s Option<Part<T>>,
        what: &str,
    ) -> Option<&'s T> {
        match part {
            Some(p) if self.now().since(p.taken_at) <= OLD => Some(&p.value),
            Some(p) => {
                let age = self.now().since(p.taken_at).human();
                self.lacks(kind, &server.address, format!("{what}: last read {age} ago"));
                None
            }
            None => {
                self.lacks(kind, &server.address, format!("{what}: not read"));
                None
            }
        }
    }

    /// Whether a server started so recently that its rates and shares say nothing yet.
    pub(crate) fn warming(&self, server: &ServerView) -> bool {
        let warm_up = self.span("rates", "warm_up");
        server
            .identity
            .as_ref()
            .is_none_or(|i| self.now().since(i.value.started_at) < warm_up)
    }

    pub(crate) fn lacks(&mut self, kind: &str, target: &str, why: impl Into<String>) {
        self.unknown.push(Unknown {
            kind: kind.to_owned(),
            target: target.to_owned(),
            why: why.into(),
        });
    }
}

/// Runs all rules.
#[must_use]
pub fn judge(
    state: &RuleState,
    snapshot: &Snapshot,
    thresholds: &Thresholds,
    mode: Mode,
) -> (RuleState, Judgement) {
    let mut context = Context {
        snapshot,
        thresholds,
        mode,
        previous: state,
        next: RuleState::default(),
        findings: Vec::new(),
        unknown: Vec::new(),
    };
    for rule in rules::ALL {
        rule(&mut context);
    }
    let Context {
        mut findings,
        unknown,
        next,
        ..
    } = context;
    findings.sort_by(|a, b| {
        (std::cmp::Reverse(a.severity), &a.kind, &a.target, &a.subject).cmp(&(
            std::cmp::Reverse(b.severity),
            &b.kind,
            &b.target,
            &b.subject,
        ))
    });
    let health = health(snapshot, &findings, &unknown);
    (
        next,
        Judgement {
            findings,
            unknown,
            health,
        },
    )
}

fn health(snapshot: &Snapshot, findings: &[Finding], unknown: &[Unknown]) -> Vec<(String, Health)> {
    let parts = snapshot
        .servers
        .iter()
        .map(|s| (&s.address, &s.reach))
        .chain(snapshot.poolers.iter().map(|p| (&p.address, &p.reach)))
        .chain(snapshot.caches.iter().map(|c| (&c.address, &c.reach)));
    parts
        .map(|(address, reach)| {
            let worst = findings
                .iter()
                .filter(|f| f.target == *address && !f.pending)
                .map(|f| f.severity)
                .max();
            let blind = unknown.iter().any(|u| u.target == *address)
                || matches!(
                    reach,
                    Reach::Unknown | Reach::Down { .. } | Reach::Starting { .. }
                );
            let health = match worst {
                Some(Severity::Critical) => Health::Critical,
                _ if blind => Health::Unknown,
                Some(Severity::Warning) => Health::Warning,
                _ => Health::Ok,
            };
            (address.clone(), health)
        })
        .collect()
}
