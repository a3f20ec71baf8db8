//! All rules over one Snapshot, with their memory: since when a condition holds, and when it was last seen.

use std::collections::BTreeMap;
use std::sync::Arc;

use muster_model::lock_graph::{self, LockGraph};
use muster_model::snapshot::{Part, Reach, ServerView};
use muster_model::{Finding, Health, Severity, Snapshot, Span, Thresholds, Time};
use serde::{Deserialize, Serialize};

use crate::rules;

/// A part that was not read for so long is no picture of the present: three rounds of the slowest cadence.
const OLD: Span = Span::from_mins(3);

/// Looks that are farther apart prove nothing of the time between them. The daemon looks every second; when looking itself
/// takes long it slows down, to ten seconds and the pass itself, and just then a condition must not be forgotten.
const UNBROKEN: Span = Span::from_secs(30);

/// How long a condition that no longer holds is remembered.
const STILL_KNOWN: Span = Span::from_secs(60);

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

/// A fact as it was last seen, and what it was before.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fact {
    /// What it is.
    pub value: String,
    /// Since when it is so; the first look counts as no change.
    pub since: Time,
    /// Last seen.
    pub last: Time,
    /// What it was before that.
    pub before: Option<String>,
}

/// A fact that is no longer seen is remembered for so long: a server may be away for a while.
const REMEMBERED: Span = Span::from_mins(24 * 60);

/// The memory of all rules of one cluster.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct RuleState {
    /// By condition.
    pub held: BTreeMap<String, Held>,
    /// When the rules looked last.
    #[serde(default)]
    pub looked: Option<Time>,
    /// What was seen, by name.
    #[serde(default)]
    pub facts: BTreeMap<String, Fact>,
}

/// A fact that is not what it was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Changed {
    pub(crate) from: String,
    pub(crate) at: Time,
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
    /// Who waits for whom, by server: five rules ask.
    graphs: BTreeMap<&'a str, Arc<LockGraph<'a>>>,
}

impl<'a> Context<'a> {
    fn new(previous: &'a RuleState, snapshot: &'a Snapshot, thresholds: &'a Thresholds, mode: Mode) -> Self {
        Self {
            snapshot,
            thresholds,
            mode,
            previous,
            next: RuleState::default(),
            findings: Vec::new(),
            unknown: Vec::new(),
            graphs: BTreeMap::new(),
        }
    }

    /// Who waits for whom on a server that answers, built once a look.
    pub(crate) fn graph(&mut self, server: &'a ServerView) -> Option<Arc<LockGraph<'a>>> {
        let sessions = &server
            .activity
            .as_ref()
            .filter(|_| server.answers())?
            .value
            .sessions;
        let graph = self.graphs.entry(&server.address).or_insert_with(|| {
            let waits = server.locks.as_ref().map(|l| l.value.waits.as_slice());
            Arc::new(lock_graph::build(sessions, waits.unwrap_or_default()))
        });
        Some(Arc::clone(graph))
    }

    pub(crate) fn now(&self) -> Time {
        self.snapshot.taken_at
    }

    pub(crate) fn span(&self, kind: &str, key: &str) -> Span {
        self.thresholds.span(kind, key, Span::ZERO)
    }

    pub(crate) fn number(&self, kind: &str, key: &str) -> f64 {
        self.thresholds.number(kind, key, f64::MAX)
    }

    /// Notes that a condition holds now; for how long it has held at every look.
    pub(crate) fn held(&mut self, condition: &str) -> Span {
        let now = self.now();
        let known = self
            .previous
            .held
            .get(condition)
            // It held at the last look, and that look is not long ago.
            .filter(|h| self.previous.looked == Some(h.last) && now.since(h.last) <= UNBROKEN);
        let since = known.map_or(now, |h| h.since.min(now));
        self.next
            .held
            .insert(condition.to_owned(), Held { since, last: now });
        now.since(since)
    }

    /// Since when what a window shows has been going on: the beginning of the window in which it was first seen. The window
    /// itself moves on, and a trouble does not get younger by it.
    pub(crate) fn onset(&mut self, condition: &str, over: Span) -> Time {
        let held = self.held(condition);
        self.now().minus(held).minus(over)
    }

    /// Whether a condition was noted by [`Self::held`] at some earlier look of so long ago.
    pub(crate) fn seen_within(&self, condition: &str, span: Span) -> bool {
        let known = self.previous.held.get(condition);
        known.is_some_and(|h| self.now().since(h.last) <= span)
    }

    /// Notes what a fact is now; what it was before, and when it changed, when it ever did.
    pub(crate) fn fact(&mut self, name: &str, value: &str) -> Option<Changed> {
        let now = self.now();
        let fact = match self.previous.facts.get(name) {
            Some(known) if known.value == value => Fact {
                last: now,
                ..known.clone()
            },
            known => Fact {
                value: value.to_owned(),
                since: now,
                last: now,
                before: known.map(|k| k.value.clone()),
            },
        };
        let changed = fact.before.clone().map(|from| Changed { from, at: fact.since });
        self.next.facts.insert(name.to_owned(), fact);
        changed
    }

    /// Whether a condition held at the last look: what was found goes on until it is clearly over.
    pub(crate) fn held_before(&self, condition: &str) -> bool {
        let known = self.previous.held.get(condition);
        known.is_some_and(|h| self.previous.looked == Some(h.last) && self.now().since(h.last) <= UNBROKEN)
    }

    /// What a fact was when it was last noted.
    pub(crate) fn known(&self, name: &str) -> Option<String> {
        self.previous.facts.get(name).map(|f| f.value.clone())
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
        self.fresh(kind, &server.address, part, what)
    }

    /// The same of anything else that was read.
    pub(crate) fn fresh<'s, T>(
        &mut self,
        kind: &str,
        address: &str,
        part: &'s Option<Part<T>>,
        what: &str,
    ) -> Option<&'s T> {
        match part {
            Some(p) if self.now().since(p.taken_at) <= OLD => Some(&p.value),
            Some(p) => {
                let age = self.now().since(p.taken_at).human();
                self.lacks(kind, address, format!("{what}: last read {age} ago"));
                None
            }
            None => {
                self.lacks(kind, address, format!("{what}: not read"));
                None
            }
        }
    }

    /// The same of a part that is read whether or not the server answers: on its host.
    pub(crate) fn near<'s, T>(
        &mut self,
        kind: &str,
        server: &'s ServerView,
        part: &'s Option<Part<T>>,
        what: &str,
    ) -> Option<&'s T> {
        self.fresh(kind, &server.address, part, what)
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
    judge_by(&rules::all(), state, snapshot, thresholds, mode)
}

/// Runs these rules.
pub(crate) fn judge_by(
    rules: &[rules::Rule],
    state: &RuleState,
    snapshot: &Snapshot,
    thresholds: &Thresholds,
    mode: Mode,
) -> (RuleState, Judgement) {
    let mut context = Context::new(state, snapshot, thresholds, mode);
    for rule in rules {
        rule(&mut context);
    }
    undecided(&mut context);
    let Context {
        mut findings,
        unknown,
        mut next,
        ..
    } = context;
    // What held a while ago is remembered for a minute, for the rules that ask.
    for (condition, held) in &state.held {
        if snapshot.taken_at.since(held.last) <= STILL_KNOWN {
            next.held.entry(condition.clone()).or_insert(*held);
        }
    }
    next.looked = Some(snapshot.taken_at);
    remember(state, &mut next, snapshot.taken_at);
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

/// A rule could not decide at a server that answers when its collector was refused there, or read less than there is, whether or
/// not the rule noticed.
fn undecided(c: &mut Context<'_>) {
    let snapshot = c.snapshot;
    let mut lacking: Vec<(&str, &str, String)> = Vec::new();
    for server in snapshot.servers.iter().filter(|s| s.answers()) {
        for gap in snapshot.gaps.iter().filter(|g| g.target == server.address) {
            if was_read(server, &gap.collector) == Some(false) {
                lacking.push((
                    &server.address,
                    &gap.collector,
                    format!("{}: {}", gap.collector, gap.reason),
                ));
            }
        }
        for (collector, why) in half_seen(server) {
            lacking.push((&server.address, collector, why.to_owned()));
        }
    }
    if lacking.is_empty() {
        return;
    }
    for rule in rules::catalogue() {
        for (address, _, why) in lacking.iter().filter(|(_, need, _)| rule.needs.contains(need)) {
            let said = |kind: &str, target: &str| kind == rule.kind && target == *address;
            if !c.findings.iter().any(|f| said(&f.kind, &f.target))
                && !c.unknown.iter().any(|u| said(&u.kind, &u.target))
            {
                c.lacks(rule.kind, address, why.clone());
            }
        }
    }
}

/// What a role without `pg_monitor` gets rows of, but not what stands in them.
fn half_seen(server: &ServerView) -> Vec<(&'static str, &'static str)> {
    const SESSIONS: &str = "the state of other roles' sessions is not seen";
    const REPLICATION: &str = "the state of replication is not seen";
    let mut out = Vec::new();
    if server.activity.as_ref().is_some_and(|a| !a.value.sees_all) {
        out.extend([("activity", SESSIONS), ("locks", SESSIONS)]);
    }
    if server.replication.as_ref().is_some_and(|r| !r.value.sees_all) {
        out.push(("replication", REPLICATION));
    }
    if server.waits.as_ref().is_some_and(|w| !w.value.sees_all) {
        out.push(("waits", SESSIONS));
    }
    out
}

/// Whether a collector of the pass has left its part; `None` for one that fills none of its own.
fn was_read(server: &ServerView, collector: &str) -> Option<bool> {
    Some(match collector {
        "identity" => server.identity.is_some(),
        "activity" => server.activity.is_some(),
        "locks" => server.locks.is_some(),
        "replication" => server.replication.is_some(),
        "settings" => server.settings.is_some(),
        "traffic" => server.traffic.is_some(),
        "wal" => server.wal.is_some(),
        "login" => server.login.is_some(),
        "waits" => server.waits.is_some(),
        "limits" => server.limits.is_some(),
        "horizons" => server.horizons.is_some(),
        "prepared" => server.prepared.is_some(),
        "vacuuming" => server.vacuuming.is_some(),
        "slru" => server.slrus.is_some(),
        "statements" => server.statements.is_some(),
        "files" => server.files.is_some(),
        _ => return None,
    })
}

/// Carries over what nobody saw this time.
fn remember(state: &RuleState, next: &mut RuleState, now: Time) {
    for (name, fact) in &state.facts {
        if now.since(fact.last) <= REMEMBERED && !next.facts.contains_key(name) {
            next.facts.insert(name.clone(), fact.clone());
        }
    }
}

fn health(snapshot: &Snapshot, findings: &[Finding], unknown: &[Unknown]) -> Vec<(String, Health)> {
    snapshot
        .components()
        .map(|(address, reach)| {
            let worst = findings
                .iter()
                .filter(|f| {
                    // What befalls the whole cluster befalls each of its servers.
                    let whole = f.target == snapshot.cluster && snapshot.server(address).is_some();
                    (f.target == *address || whole) && !f.pending
                })
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_condition_outlives_slow_looks_and_no_look_at_which_it_did_not_hold() {
        let thresholds = crate::defaults();
        let held = |looks: &[(i64, bool)]| {
            let mut state = RuleState::default();
            let mut last = Span::ZERO;
            for (at, holds) in looks {
                let snapshot = Snapshot::new("shop", Time::from_millis(*at * 1000));
                let mut c = Context::new(&state, &snapshot, &thresholds, Mode::Watch);
                if *holds {
                    last = c.held("x");
                }
                let mut next = c.next;
                next.looked = Some(snapshot.taken_at);
                state = next;
            }
            last
        };
        // The daemon's own cost is bounded by looking every 10 s and more.
        assert_eq!(held(&[(0, true), (12, true), (25, true)]), Span::from_secs(25));
        assert_eq!(
            held(&[(0, true), (1, false), (2, true), (3, true)]),
            Span::from_secs(1)
        );
        assert_eq!(held(&[(0, true), (31, true)]), Span::ZERO);
    }

    #[test]
    fn a_fact_is_remembered_while_nobody_sees_it_and_forgotten_after_a_day() {
        let mut state = RuleState::default();
        let thresholds = crate::defaults();
        let mut look = |at: i64, value: Option<&str>| {
            let snapshot = Snapshot::new("shop", Time::from_millis(at));
            let mut c = Context::new(&state, &snapshot, &thresholds, Mode::Watch);
            let changed = value.map(|v| c.fact("role", v));
            let mut next = c.next;
            remember(&state, &mut next, snapshot.taken_at);
            state = next;
            changed
        };
        assert_eq!(
            look(0, Some("primary")),
            Some(None),
            "the first look is no change"
        );
        assert_eq!(look(1000, None), None);
        let changed = Changed {
            from: "primary".into(),
            at: Time::from_millis(2000),
        };
        assert_eq!(look(2000, Some("standby")), Some(Some(changed.clone())));
        assert_eq!(look(9000, Some("standby")), Some(Some(changed)), "it stays known");
        assert_eq!(look(25 * 3_600_000 + 9000, None), None);
        assert_eq!(
            look(25 * 3_600_000 + 9001, Some("primary")),
            Some(None),
            "a day is enough"
        );
    }
}
