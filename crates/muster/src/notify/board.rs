//! What people may have to be told: a fold of the journal, with what is open now. Pure.

use std::collections::{BTreeMap, BTreeSet};

use muster_engine::incidents::GLASS;
use muster_engine::journal::{DAEMON, Entry, Event, Notice, Notification};
use muster_model::{Digest, Incident, IncidentSeverity, IncidentState, RunOutcome, Span, Subject, Time};

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

/// The question to which a signature is no answer: two people have to break the glass.
pub const GLASSES: &str = "glass";
/// For how long a run that ended badly is news to who was never told.
const NEWS_FOR: Span = Span::from_mins(24 * 60);
/// A plan that is younger may be refused yet.
const ASKS_AFTER: Span = Span::from_secs(5);

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
    /// So many levels are called at once.
    pub at_once: usize,
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

/// An incident, with since when it is as bad as it is.
#[derive(Clone, Debug)]
struct Known {
    incident: Incident,
    since: Time,
    /// How often it became worse or came back: then it calls anew.
    anew: u32,
}

#[derive(Clone, Debug)]
struct Failed {
    incident: String,
    outcome: RunOutcome,
    detail: String,
    at: Time,
}

/// Somebody who has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Taken {
    /// Since when.
    pub at: Time,
    /// Who.
    pub by: String,
    /// The sentence.
    pub says: String,
}

/// Everything, as of the last entry taken in. Of what is over it keeps the messages, and a sentence on how it ended.
#[derive(Clone, Debug, Default)]
pub struct Board {
    /// The last entry taken in.
    pub through: u64,
    open: BTreeMap<String, Known>,
    /// Why incidents were closed.
    closed: BTreeMap<String, String>,
    failed: BTreeMap<String, Failed>,
    taken: BTreeMap<String, Vec<Taken>>,
    /// In the order in which they were queued.
    outbox: Vec<Queued>,
    known: BTreeMap<Digest, usize>,
    /// The messages about each alarm.
    about: BTreeMap<String, Vec<usize>>,
    waiting: BTreeSet<usize>,
    /// Alarms that were raised and not said to be over.
    raised: BTreeSet<String>,
}

impl Board {
    /// Takes in one entry.
    pub fn take(&mut self, entry: Entry) {
        self.through = self.through.max(entry.seq);
        let (at, by, place) = (entry.at, entry.who, entry.place);
        match entry.event {
            Event::IncidentOpened { incident } | Event::IncidentChanged { incident, .. } => {
                self.seen(incident, at);
            }
            Event::IncidentClosed { incident, why } => {
                self.open.remove(&incident.id);
                // A person who closes an incident has what its runs left behind.
                if by != DAEMON {
                    let says = format!("{by} closed it");
                    self.taken
                        .entry(incident.id.clone())
                        .or_default()
                        .push(Taken { at, by, says });
                }
                self.closed.insert(incident.id, why);
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
                let says = format!("{by} has it: {why}");
                for thread in [place.run, place.incident].into_iter().filter(|t| !t.is_empty()) {
                    let taken = Taken {
                        at,
                        by: by.clone(),
                        says: says.clone(),
                    };
                    self.taken.entry(thread).or_default().push(taken);
                }
            }
            Event::NotificationQueued { notification } => self.queue(notification, at),
            Event::NotificationSent { id } => self.sent(&id),
            Event::NotificationFailed { id, why, gave_up } => self.refused(&id, &why, gave_up),
            _ => {}
        }
    }

    fn seen(&mut self, mut incident: Incident, at: Time) {
        // A daemon runs for months: what it does not need is not kept.
        incident.findings.clear();
        if incident.state == IncidentState::Resolved {
            self.open.remove(&incident.id);
            return;
        }
        let before = self.open.remove(&incident.id);
        let (mut since, mut anew) = before
            .as_ref()
            .map_or((incident.detected_at, 0), |k| (k.since, k.anew));
        if let Some(b) = &before {
            let worse = incident.severity < b.incident.severity;
            let again = b.incident.resolution.is_some() && incident.resolution.is_none();
            if worse || again {
                (since, anew) = (at, anew + 1);
            }
        }
        let known = Known {
            since,
            anew,
            incident,
        };
        self.open.insert(known.incident.id.clone(), known);
    }

    /// Puts a message into the outbox, once.
    pub fn queue(&mut self, notification: Notification, at: Time) {
        if self.known.contains_key(&notification.id) {
            return;
        }
        let n = self.outbox.len();
        self.known.insert(notification.id.clone(), n);
        self.about.entry(notification.about.clone()).or_default().push(n);
        match notification.notice {
            Notice::Raised => drop(self.raised.insert(notification.about.clone())),
            Notice::Over => drop(self.raised.remove(&notification.about)),
            Notice::Acknowledged => {}
        }
        self.waiting.insert(n);
        self.outbox.push(Queued {
            notification,
            at,
            sending: Sending::Waits,
            why: String::new(),
        });
    }

    /// A channel took it.
    pub fn sent(&mut self, id: &str) {
        self.became(id, Sending::Sent, "");
    }

    /// A channel did not take it.
    pub fn refused(&mut self, id: &str, why: &str, gave_up: bool) {
        let sending = if gave_up { Sending::GivenUp } else { Sending::Waits };
        self.became(id, sending, why);
    }

    fn became(&mut self, id: &str, sending: Sending, why: &str) {
        let Some(n) = self.known.get(id) else { return };
        if let Some(q) = self.outbox.get_mut(*n) {
            why.clone_into(&mut q.why);
            q.sending = sending;
        }
        if sending != Sending::Waits {
            self.waiting.remove(n);
        }
    }

    /// All messages, oldest first.
    #[must_use]
    pub fn outbox(&self) -> &[Queued] {
        &self.outbox
    }

    /// The messages that are still to be sent, oldest first.
    pub fn waiting(&self) -> impl Iterator<Item = &Notification> {
        self.waiting.iter().map(|n| &self.outbox[*n].notification)
    }

    /// Whether a message is in the outbox, or was.
    #[must_use]
    pub fn knows(&self, id: &str) -> bool {
        self.known.contains_key(id)
    }

    /// The messages about one alarm, oldest first.
    pub fn about(&self, key: &str) -> impl Iterator<Item = &Queued> {
        let numbers = self.about.get(key).map(Vec::as_slice).unwrap_or_default();
        numbers.iter().map(|n| &self.outbox[*n])
    }

    /// Who said that they have what belongs to this, after it began.
    pub fn taken(&self, thread: &str, since: Time) -> impl Iterator<Item = &Taken> {
        let all = self.taken.get(thread).map(Vec::as_slice).unwrap_or_default();
        // Who broke the glass has it anyway: a second person is called.
        let glass = |k: &&Known| k.incident.cause.kind == GLASS;
        let breaker = self
            .open
            .get(thread)
            .filter(glass)
            .map(|k| k.incident.cause.subject.clone());
        all.iter().filter(move |t| {
            t.at >= since
                && breaker
                    .as_ref()
                    .is_none_or(|b| *b != Subject::new("person", &t.by))
        })
    }

    fn is_taken(&self, thread: &str, since: Time) -> bool {
        self.taken(thread, since).next().is_some()
    }

    /// Everything that people should know now.
    #[must_use]
    pub fn alarms(&self, live: &[Live], now: Time) -> Vec<Alarm> {
        let mut out: Vec<Alarm> = self.open.values().map(|k| self.of_incident(k, live)).collect();
        for (run, f) in &self.failed {
            let alarm = self.of_failed(run, f);
            let told = self.about.contains_key(&alarm.key);
            // Who has it has all that Muster knows: it is over then.
            if !alarm.taken && (told || now.since(f.at) <= NEWS_FOR) {
                out.push(alarm);
            }
        }
        for l in live {
            out.extend(self.of_stuck(l));
            out.extend(self.of_question(l, now));
        }
        out
    }

    fn of_incident(&self, known: &Known, live: &[Live]) -> Alarm {
        let i = &known.incident;
        let mine = live.iter().filter(|l| l.incident.as_deref() == Some(&i.id));
        let glass = i.cause.kind == GLASS;
        let anew = if known.anew == 0 {
            String::new()
        } else {
            format!(" {}", known.anew)
        };
        Alarm {
            key: format!("incident {}{anew}", i.id),
            thread: i.id.clone(),
            since: known.since,
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
            taken: self.is_taken(&i.id, known.since),
            held: !glass && mine.clone().any(|l| l.at_work && l.stuck.is_none()),
            at_once: if glass { 2 } else { 1 },
        }
    }

    fn of_failed(&self, run: &str, f: &Failed) -> Alarm {
        let how = f.outcome.word().replace('_', " ");
        let of_incident = !f.incident.is_empty() && self.is_taken(&f.incident, f.at);
        Alarm {
            key: format!("run {run}"),
            thread: run.to_owned(),
            since: f.at,
            severity: IncidentSeverity::P1,
            title: format!("[P1] Run {run} ended {how}; a person is needed"),
            text: format!(
                "{}.\nLook at it: muster runs show {run}\nSay that you have it: muster ack {run}",
                f.detail.trim_end_matches('.')
            ),
            escalates: true,
            taken: of_incident || self.is_taken(run, f.at),
            held: false,
            at_once: 1,
        }
    }

    fn of_stuck(&self, l: &Live) -> Option<Alarm> {
        let (since, why) = l.stuck.as_ref()?;
        Some(Alarm {
            key: format!("stuck {} {}", l.run, since.millis()),
            thread: l.thread(),
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
            taken: self.is_taken(&l.thread(), *since) || self.is_taken(&l.run, *since),
            held: false,
            at_once: 1,
        })
    }

    fn of_question(&self, l: &Live, now: Time) -> Option<Alarm> {
        let (question, text) = l.asks.as_ref()?;
        if now.since(l.since) < ASKS_AFTER {
            return None;
        }
        // A plan that ran out is made anew: the question of an incident stays the same one.
        let key = match &l.incident {
            Some(i) => format!("asks {i} {} {question}", l.runbook),
            None => format!("asks {} {question}", l.run),
        };
        let detected = l
            .incident
            .as_ref()
            .and_then(|i| self.open.get(i))
            .map_or(l.since, |k| k.since);
        // What is sent once must work later as well: by its incident the plan that there is by then is found.
        let meant = l.incident.as_ref().unwrap_or(&l.run);
        let sign = match question.as_str() {
            GLASSES => String::new(),
            _ => format!("\nShow and sign it: muster approve {meant}"),
        };
        Some(Alarm {
            key,
            thread: l.thread(),
            since: l.since,
            severity: IncidentSeverity::P2,
            title: format!(
                "Run {} of `{}` at {} waits for a person",
                l.run, l.runbook, l.target
            ),
            text: format!("{text}{sign}\nSay no: muster reject {meant}"),
            escalates: false,
            taken: self.is_taken(&l.thread(), detected),
            held: false,
            at_once: 1,
        })
    }

    /// Alarms of which people were told and which are no more, with the sentence that ends them.
    #[must_use]
    pub fn ended(&self, alarms: &[Alarm]) -> Vec<(String, String)> {
        let now: BTreeSet<&String> = alarms.iter().map(|a| &a.key).collect();
        let gone = self.raised.iter().filter(|about| !now.contains(about));
        gone.filter_map(|about| {
            let first = &self.about(about).next()?.notification;
            // What belongs to an incident (its questions, how bad it was before) ends with it.
            let lasts = about.starts_with("asks ") || about.starts_with("incident ");
            if lasts && self.open.contains_key(&first.thread) {
                return None;
            }
            let closed = self.closed.get(&first.thread).cloned();
            let taken = || Some(self.taken.get(&first.thread)?.last()?.says.clone());
            let why = closed
                .or_else(taken)
                .unwrap_or_else(|| "nobody is needed any more".to_owned());
            Some((about.clone(), why))
        })
        .collect()
    }
}
