//! What people may have to be told: a fold of the journal, with what is open now. Pure.

use std::collections::{BTreeMap, BTreeSet};

use muster_engine::journal::{Entry, Event, Notice, Notification};
use muster_model::{Digest, Incident, IncidentSeverity, IncidentState, RunOutcome, Span, Time};

/// The kinds of entries that [`Board::take`] wants to see.
pub const KINDS: [&str; 8] = [
    "incident_opened",
    "incident_changed",
    "incident_closed",
    "ended",
    "acknowledged",
    "notification_queued",
    "notification_sent",
    "notification_failed",
];

/// For how long a run that ended badly is news to who was never told.
const NEWS_FOR: Span = Span::from_mins(24 * 60);

/// One thing that people are told.
#[derive(Clone, Debug, PartialEq)]
pub struct Alarm {
    /// What it is, for ever the same.
    pub key: String,
    /// Incident, or run without one, to which it belongs.
    pub thread: String,
    /// Since when.
    pub since: Time,
    /// How bad.
    pub severity: IncidentSeverity,
    /// One line.
    pub title: String,
    /// What happened, and what to do.
    pub text: String,
    /// Whether more people are called while nobody has it.
    pub escalates: bool,
    /// Somebody has it.
    pub taken: bool,
    /// A run is at work on it: until that ends nobody further is called.
    pub held: bool,
}

/// A run that is not over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Live {
    /// Run.
    pub run: String,
    /// Its runbook.
    pub runbook: String,
    /// At what.
    pub target: String,
    /// Incident that it answers.
    pub incident: Option<String>,
    /// When it was planned.
    pub since: Time,
    /// Whether it changes things now.
    pub at_work: bool,
    /// What it asks, by a key of the question.
    pub asks: Option<(String, String)>,
    /// Since when it does not get on, and why.
    pub stuck: Option<(Time, String)>,
}

impl Live {
    fn thread(&self) -> String {
        self.incident.clone().unwrap_or_else(|| self.run.clone())
    }
}

/// How far a message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Sending {
    /// To be sent, or sent again.
    Waits,
    /// The channel took it.
    Sent,
    /// It is not tried again.
    GivenUp,
}

/// A message in the outbox.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Queued {
    /// The message.
    pub notification: Notification,
    /// When it was queued.
    pub at: Time,
    /// How far it is.
    pub sending: Sending,
    /// Why not, the last time that was written down.
    pub why: String,
}

#[derive(Clone, Debug)]
struct Failed {
    incident: String,
    outcome: RunOutcome,
    detail: String,
    at: Time,
}

#[derive(Clone, Debug)]
struct Taken {
    at: Time,
    by: String,
    why: String,
}

/// Everything, as of the last entry taken in.
#[derive(Clone, Debug, Default)]
pub struct Board {
    /// The last entry taken in.
    pub through: u64,
    incidents: BTreeMap<String, Incident>,
    failed: BTreeMap<String, Failed>,
    taken: BTreeMap<String, Vec<Taken>>,
    /// In the order in which they were queued.
    outbox: Vec<Queued>,
    known: BTreeMap<Digest, usize>,
}

impl Board {
    /// Takes in one entry.
    pub fn take(&mut self, entry: Entry) {
        self.through = self.through.max(entry.seq);
        let (at, by, place) = (entry.at, entry.who, entry.place);
        match entry.event {
            Event::IncidentOpened { incident }
            | Event::IncidentChanged { incident, .. }
            | Event::IncidentClosed { incident, .. } => {
                self.incidents.insert(incident.id.clone(), incident);
            }
            Event::Ended { outcome, detail } if outcome.needs_human() => {
                let failed = Failed {
                    incident: place.incident,
                    outcome,
                    detail,
                    at,
                };
                self.failed.insert(place.run, failed);
            }
            Event::Acknowledged { why } => {
                let thread = if place.incident.is_empty() {
                    place.run
                } else {
                    place.incident
                };
                self.taken.entry(thread).or_default().push(Taken { at, by, why });
            }
            Event::NotificationQueued { notification } => self.queue(notification, at),
            Event::NotificationSent { id } => self.sent(&id),
            Event::NotificationFailed { id, why, gave_up } => self.refused(&id, &why, gave_up),
            _ => {}
        }
    }

    /// Puts a message into the outbox, once.
    pub fn queue(&mut self, notification: Notification, at: Time) {
        if self.known.contains_key(&notification.id) {
            return;
        }
        self.known.insert(notification.id.clone(), self.outbox.len());
        self.outbox.push(Queued {
            notification,
            at,
            sending: Sending::Waits,
            why: String::new(),
        });
    }

    /// A channel took it.
    pub fn sent(&mut self, id: &str) {
        if let Some(q) = self.known.get(id).and_then(|n| self.outbox.get_mut(*n)) {
            q.sending = Sending::Sent;
            q.why.clear();
        }
    }

    /// A channel did not take it.
    pub fn refused(&mut self, id: &str, why: &str, gave_up: bool) {
        if let Some(q) = self.known.get(id).and_then(|n| self.outbox.get_mut(*n)) {
            why.clone_into(&mut q.why);
            if gave_up {
                q.sending = Sending::GivenUp;
            }
        }
    }

    /// All messages, oldest first.
    #[must_use]
    pub fn outbox(&self) -> &[Queued] {
        &self.outbox
    }

    /// Whether a message is in the outbox, or was.
    #[must_use]
    pub fn knows(&self, id: &str) -> bool {
        self.known.contains_key(id)
    }

    /// Channels that were told that something of this thread is wrong.
    #[must_use]
    pub fn told(&self, thread: &str) -> BTreeSet<String> {
        let raised = self
            .outbox
            .iter()
            .map(|q| &q.notification)
            .filter(|n| n.thread == thread && n.notice == Notice::Raised);
        raised.map(|n| n.channel.clone()).collect()
    }

    /// The messages about one alarm at one level, oldest first.
    pub fn about<'a>(&'a self, key: &'a str, level: &'a str) -> impl Iterator<Item = &'a Queued> {
        self.outbox
            .iter()
            .filter(move |q| q.notification.about == key && q.notification.level == level)
    }

    /// Whether somebody said that they have it, after it began.
    fn is_taken(&self, thread: &str, since: Time) -> bool {
        self.taken
            .get(thread)
            .is_some_and(|all| all.iter().any(|t| t.at >= since))
    }

    /// Who said that they have it: thread, when, sentence.
    pub fn acknowledgements(&self) -> impl Iterator<Item = (&String, Time, String)> {
        self.taken.iter().flat_map(|(thread, all)| {
            all.iter()
                .map(move |t| (thread, t.at, format!("{} has it: {}", t.by, t.why)))
        })
    }

    /// Whether something of this name is known: an incident or a run that ended badly.
    #[must_use]
    pub fn has(&self, id: &str) -> bool {
        self.incidents.contains_key(id) || self.failed.contains_key(id)
    }

    fn open(&self, incident: &str) -> bool {
        self.incidents
            .get(incident)
            .is_some_and(|i| i.state != IncidentState::Resolved)
    }

    /// Everything that people should know now.
    #[must_use]
    pub fn alarms(&self, live: &[Live], now: Time) -> Vec<Alarm> {
        let mut out: Vec<Alarm> = Vec::new();
        for i in self.incidents.values().filter(|i| self.open(&i.id)) {
            let mine = || live.iter().filter(|l| l.incident.as_deref() == Some(&i.id));
            out.push(Alarm {
                key: format!("incident {}", i.id),
                thread: i.id.clone(),
                since: i.detected_at,
                severity: i.severity,
                title: format!("[{:?}] {}: {}", i.severity, i.target, i.finding.summary),
                text: format!(
                    "{} at {} since {}.\nLook at it: muster incident show {}\nSay that you have it: muster ack {}",
                    i.cause.kind,
                    i.target,
                    i.opened_at.clock(),
                    i.id,
                    i.id
                ),
                escalates: true,
                taken: self.is_taken(&i.id, i.detected_at),
                held: mine().any(|l| l.at_work && l.stuck.is_none()),
            });
        }
        for (run, f) in &self.failed {
            let key = format!("run {run}");
            let known = self.outbox.iter().any(|q| q.notification.about == key);
            let of_incident = !f.incident.is_empty();
            let thread = if of_incident { &f.incident } else { run };
            let taken = self.is_taken(thread, f.at);
            // Its incident is over, or nobody has it in hand any more: Muster will learn nothing new about it.
            let done = if of_incident { !self.open(thread) } else { taken };
            if done || (!known && now.since(f.at) > NEWS_FOR) {
                continue;
            }
            let how = f.outcome.word().replace('_', " ");
            out.push(Alarm {
                key,
                thread: thread.clone(),
                since: f.at,
                severity: IncidentSeverity::P1,
                title: format!("[P1] Run {run} ended {how}; a person is needed"),
                text: format!(
                    "{}.\nLook at it: muster runs show {run}\nSay that you have it: muster ack {thread}",
                    f.detail.trim_end_matches('.')
                ),
                escalates: true,
                taken,
                held: false,
            });
        }
        for l in live {
            let thread = l.thread();
            if let Some((since, why)) = &l.stuck {
                out.push(Alarm {
                    key: format!("stuck {} {}", l.run, since.millis()),
                    thread: thread.clone(),
                    since: *since,
                    severity: IncidentSeverity::P1,
                    title: format!(
                        "[P1] Run {} of `{}` at {} does not get on",
                        l.run, l.runbook, l.target
                    ),
                    text: format!(
                        "{why}.\nLook at it: muster runs show {}\nStop it: muster runs cancel {}",
                        l.run, l.run
                    ),
                    escalates: true,
                    taken: self.is_taken(&thread, *since),
                    held: false,
                });
            }
            if let Some((question, text)) = &l.asks {
                out.push(Alarm {
                    key: format!("asks {} {question}", l.run),
                    thread,
                    since: l.since,
                    severity: IncidentSeverity::P2,
                    title: format!(
                        "Run {} of `{}` at {} waits for a person",
                        l.run, l.runbook, l.target
                    ),
                    text: format!(
                        "{}\nShow and sign it: muster approve {}\nSay no: muster reject {}",
                        text, l.run, l.run
                    ),
                    escalates: false,
                    taken: false,
                    held: false,
                });
            }
        }
        out
    }

    /// Threads of which people were told and about which nothing is to be said any more, with the sentence that ends them.
    #[must_use]
    pub fn ended(&self, alarms: &[Alarm]) -> Vec<(String, String)> {
        let mut threads: BTreeSet<&String> = self.outbox.iter().map(|q| &q.notification.thread).collect();
        for a in alarms {
            threads.remove(&a.thread);
        }
        let why = |thread: &str| {
            let closed = self.incidents.get(thread).and_then(|i| i.resolution.clone());
            let taken = || {
                let last = self.taken.get(thread)?.last()?;
                Some(format!("{} has it: {}", last.by, last.why))
            };
            closed
                .or_else(taken)
                .unwrap_or_else(|| "nobody is needed any more".to_owned())
        };
        threads.into_iter().map(|t| (t.clone(), why(t))).collect()
    }
}
