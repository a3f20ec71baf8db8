//! Which messages are due. Pure: alarms, outbox, levels and the clock -> what is put into the outbox.

use muster_engine::journal::{Notice, Notification};
use muster_model::{IncidentSeverity, Time, digest_of_bytes};

use super::board::{Alarm, Board};
use super::{Level, Notify};

/// What is to be queued now.
#[must_use]
pub fn due(board: &Board, alarms: &[Alarm], notify: &Notify, now: Time) -> Vec<Notification> {
    let mut out: Vec<Notification> = Vec::new();
    for alarm in alarms.iter().filter(|a| !a.taken) {
        out.extend(raised(board, alarm, notify, now));
    }
    for (thread, at, sentence) in board.acknowledgements() {
        let key = format!("taken {thread} {}", at.millis());
        // Only who was told before, and only of what is not over.
        if alarms.iter().any(|a| a.thread == *thread) {
            out.extend(word(board, thread, &key, Notice::Acknowledged, &sentence, at));
        }
    }
    for (thread, why) in board.ended(alarms) {
        let key = format!("over {thread}");
        out.extend(word(board, &thread, &key, Notice::Over, &why, now));
    }
    out.retain(|n| !board.knows(&n.id));
    out
}

fn raised(board: &Board, alarm: &Alarm, notify: &Notify, now: Time) -> Vec<Notification> {
    let mut out = Vec::new();
    // The level before, with when it was told: the next one gets as long to answer as the times say.
    let mut before: Option<(&Level, Time)> = None;
    for level in &notify.levels {
        let waited = match before {
            None => now.since(alarm.since) >= level.after,
            Some((last, told)) => {
                alarm.escalates
                    && !alarm.held
                    && now.since(told).millis() + last.after.millis() >= level.after.millis()
            }
        };
        if !waited {
            break;
        }
        let Some(told) = board.about(&alarm.key, level.name).map(|q| q.at).next() else {
            out.extend(level.to.iter().map(|c| message(alarm, level, c, 0, notify)));
            break;
        };
        before = Some((level, told));
    }
    // Everybody was called, and nobody has it.
    let last = before.filter(|(l, _)| notify.levels.last() == Some(l));
    if let Some((level, _)) = last
        && alarm.escalates
        && !alarm.held
        && notify.repeat.millis() > 0
    {
        let told: Vec<Time> = board.about(&alarm.key, level.name).map(|q| q.at).collect();
        if told.last().is_some_and(|t| now.since(*t) >= notify.repeat) {
            let round = told.len() / level.to.len().max(1);
            out.extend(
                level
                    .to
                    .iter()
                    .map(|c| message(alarm, level, c, round.max(1), notify)),
            );
        }
    }
    out
}

fn message(alarm: &Alarm, level: &Level, channel: &str, round: usize, notify: &Notify) -> Notification {
    let again = if round > 0 { "Still: " } else { "" };
    let page = notify
        .page
        .as_ref()
        .map(|p| format!("\nThe page: {p}"))
        .unwrap_or_default();
    Notification {
        id: digest_of_bytes(format!("{}\n{}\n{channel}\n{round}", alarm.key, level.name).as_bytes()),
        about: alarm.key.clone(),
        thread: alarm.thread.clone(),
        level: level.name.to_owned(),
        channel: channel.to_owned(),
        notice: Notice::Raised,
        severity: alarm.severity,
        title: format!("{again}{}", alarm.title),
        text: format!("{}{page}", alarm.text),
    }
}

/// The same word to everybody who was told before it.
fn word(
    board: &Board,
    thread: &str,
    key: &str,
    notice: Notice,
    sentence: &str,
    before: Time,
) -> Vec<Notification> {
    let first = |channel: &str| {
        board.outbox().iter().find(|q| {
            let n = &q.notification;
            n.thread == thread && n.channel == channel && n.notice == Notice::Raised && q.at <= before
        })
    };
    let told = board.told(thread);
    let to = told.iter().filter_map(|channel| Some((channel, first(channel)?)));
    to.map(|(channel, raised)| {
        let title = raised.notification.title.clone();
        Notification {
            id: digest_of_bytes(format!("{key}\n{channel}").as_bytes()),
            about: key.to_owned(),
            thread: thread.to_owned(),
            level: raised.notification.level.clone(),
            channel: channel.clone(),
            notice,
            severity: raised.notification.severity,
            title: match notice {
                Notice::Over => format!("Over: {title}"),
                Notice::Acknowledged => format!("Somebody has it: {title}"),
                Notice::Raised => title,
            },
            text: format!("{}.", sentence.trim_end_matches('.')),
        }
    })
    .collect()
}

/// A message that says nothing but that the channel works.
#[must_use]
pub fn trial(channel: &str, who: &str, now: Time) -> Notification {
    Notification {
        id: digest_of_bytes(format!("trial {channel} {}", now.millis()).as_bytes()),
        about: "trial".to_owned(),
        thread: format!("trial-{}", now.millis()),
        level: "L1".to_owned(),
        channel: channel.to_owned(),
        notice: Notice::Raised,
        severity: IncidentSeverity::P2,
        title: "A test of Muster's channel: nothing is wrong".to_owned(),
        text: format!("{who} ran `muster notify test` at {}.", now.clock()),
    }
}

#[cfg(test)]
mod tests {
    use muster_engine::journal::{Entry, Event, GENESIS, Place};
    use muster_model::{
        Cause, Finding, Incident, IncidentState, Record, RunOutcome, Severity, Span, Subject,
    };

    use super::*;
    use crate::notify::board::{Live, Sending};
    use crate::notify::{LEVELS, REPEAT};

    const T0: i64 = 1_790_000_000_000;

    fn at(secs: u64) -> Time {
        Time::from_millis(T0).plus(Span::from_secs(secs))
    }

    fn incident(state: IncidentState) -> Incident {
        let finding = Finding {
            kind: "connections.leak".into(),
            severity: Severity::Critical,
            target: "shop/pool".into(),
            subject: Subject::new("pool", "app"),
            since: at(0),
            summary: "2 sessions hold the pool".into(),
            evidence: Record::new(),
            pending: false,
            incident: true,
            remedy: None,
            cause: true,
            ruled_out: Vec::new(),
        };
        Incident {
            format: muster_model::FORMAT,
            id: "i-1".into(),
            state,
            severity: IncidentSeverity::P1,
            cluster: "shop".into(),
            identity: "7".into(),
            target: "shop/pool".into(),
            cause: Cause {
                kind: finding.kind.clone(),
                subject: finding.subject.clone(),
            },
            symptoms: Vec::new(),
            findings: vec![finding.clone()],
            finding,
            opened_at: at(0),
            detected_at: at(0),
            last_seen_at: at(0),
            first_action_at: None,
            resolved_at: None,
            resolution: (state == IncidentState::Resolved).then(|| "repaired".to_owned()),
            runs: Vec::new(),
        }
    }

    /// A board with a clock: what is due is queued, as the daemon does it.
    struct World {
        board: Board,
        live: Vec<Live>,
        notify: Notify,
        seq: u64,
    }

    impl World {
        fn new() -> Self {
            let channel = |n: &str| Level {
                name: LEVELS.iter().find(|l| l.0 == n).map_or("L1", |l| l.0),
                after: LEVELS.iter().find(|l| l.0 == n).map_or(Span::ZERO, |l| l.1),
                to: vec![n.to_lowercase()],
            };
            Self {
                board: Board::default(),
                live: Vec::new(),
                notify: Notify {
                    levels: ["L1", "L2", "L4"].map(channel).into(),
                    repeat: REPEAT,
                    ..Notify::default()
                },
                seq: 0,
            }
        }

        fn happens(&mut self, secs: u64, place: Place, event: Event) {
            self.seq += 1;
            self.board.take(Entry {
                seq: self.seq,
                at: at(secs),
                who: "alice".into(),
                place,
                epoch: 1,
                event,
                prev: GENESIS.into(),
                hash: GENESIS.into(),
            });
        }

        fn opened(&mut self) {
            let incident = incident(IncidentState::Open);
            self.happens(0, Place::incident("i-1"), Event::IncidentOpened { incident });
        }

        /// What is told at this time: level or word, and title.
        fn told(&mut self, secs: u64) -> Vec<(String, String)> {
            let alarms = self.board.alarms(&self.live, at(secs));
            let new = due(&self.board, &alarms, &self.notify, at(secs));
            for n in &new {
                self.board.queue(n.clone(), at(secs));
            }
            let word = |n: Notification| match n.notice {
                Notice::Raised => (format!("{} {}", n.level, n.channel), n.title),
                other => (format!("{other:?} {}", n.channel), n.title),
            };
            new.into_iter().map(word).collect()
        }

        fn levels(&mut self, secs: u64) -> Vec<String> {
            self.told(secs).into_iter().map(|(l, _)| l).collect()
        }
    }

    fn live(asks: bool, at_work: bool) -> Live {
        Live {
            run: "r-1".into(),
            runbook: "pool-exhausted".into(),
            target: "shop/pool".into(),
            incident: Some("i-1".into()),
            since: at(1),
            at_work,
            asks: asks.then(|| ("plan".to_owned(), "Its plan wants a signature.".to_owned())),
            stuck: None,
        }
    }

    #[test]
    fn levels_are_called_one_after_the_other_until_somebody_has_it() {
        let mut w = World::new();
        w.opened();
        assert_eq!(w.levels(0), ["L1 l1"]);
        assert_eq!(w.levels(1), [""; 0], "once");
        assert_eq!(w.levels(299), [""; 0]);
        assert_eq!(w.levels(300), ["L2 l2"]);
        assert_eq!(w.levels(1799), [""; 0]);
        assert_eq!(w.levels(1800), ["L4 l4"]);
        assert_eq!(w.levels(3599), [""; 0]);
        let again = w.told(3600);
        assert_eq!(again.len(), 1, "{again:?}");
        assert!(again[0].1.starts_with("Still: "), "{again:?}");
        assert_eq!(w.levels(5400), ["L4 l4"], "and again");
        let why = "looking".to_owned();
        w.happens(5401, Place::incident("i-1"), Event::Acknowledged { why });
        assert_eq!(
            w.levels(5402),
            ["Acknowledged l1", "Acknowledged l2", "Acknowledged l4"]
        );
        assert_eq!(w.levels(20_000), [""; 0], "nobody further");
        let incident = incident(IncidentState::Resolved);
        let why = "repaired".to_owned();
        w.happens(
            20_001,
            Place::incident("i-1"),
            Event::IncidentClosed { incident, why },
        );
        assert_eq!(w.levels(20_002), ["Over l1", "Over l2", "Over l4"]);
        assert_eq!(w.levels(90_000), [""; 0]);
    }

    #[test]
    fn after_a_night_without_muster_each_level_still_gets_its_time() {
        let mut w = World::new();
        w.opened();
        assert_eq!(w.levels(30_000), ["L1 l1"]);
        assert_eq!(w.levels(30_001), [""; 0]);
        assert_eq!(w.levels(30_300), ["L2 l2"]);
        // The next daemon reads the same outbox.
        let (mut next, _) = (World::new(), ());
        next.opened();
        for q in w.board.outbox() {
            let notification = q.notification.clone();
            let secs = q.at.since(at(0)).millis() / 1000;
            next.happens(
                secs,
                Place::incident("i-1"),
                Event::NotificationQueued { notification },
            );
        }
        assert_eq!(next.levels(30_301), [""; 0], "nothing is queued twice");
        let waits = next.board.outbox().iter().filter(|q| q.sending == Sending::Waits);
        assert_eq!(waits.count(), 2, "what was queued is sent by whoever goes on");
    }

    #[test]
    fn while_a_run_is_at_work_nobody_further_is_called_and_that_ends_with_it() {
        let mut w = World::new();
        w.opened();
        assert_eq!(w.levels(0), ["L1 l1"]);
        w.live = vec![live(false, true)];
        assert_eq!(w.levels(600), [""; 0]);
        w.live[0].stuck = Some((at(601), "nothing has happened".to_owned()));
        let stuck = w.told(601);
        let levels: Vec<&str> = stuck.iter().map(|(l, _)| l.as_str()).collect();
        assert_eq!(levels, ["L2 l2", "L1 l1"], "{stuck:?}");
        w.live.clear();
        assert_eq!(w.levels(602), [""; 0]);
    }

    #[test]
    fn a_run_that_asks_calls_the_first_level_only_and_one_that_ended_badly_calls_anew() {
        let mut w = World::new();
        w.opened();
        w.live = vec![live(true, false)];
        let told = w.told(1);
        assert_eq!(told.len(), 2, "{told:?}");
        assert!(told[1].1.contains("waits for a person"), "{told:?}");
        let why = "mine".to_owned();
        w.happens(2, Place::incident("i-1"), Event::Acknowledged { why });
        assert_eq!(w.levels(3), ["Acknowledged l1"]);
        assert_eq!(w.levels(4000), [""; 0]);
        w.live.clear();
        let ended = Event::Ended {
            outcome: RunOutcome::Indeterminate,
            detail: "nobody can say".to_owned(),
        };
        w.happens(4001, Place::run("r-1", Some("i-1")), ended);
        let told = w.told(4002);
        assert_eq!(told.len(), 1, "{told:?}");
        assert!(told[0].1.contains("ended indeterminate"), "{told:?}");
        assert_eq!(w.levels(4302), ["L2 l2"]);
    }

    #[test]
    fn a_run_of_no_incident_is_over_when_somebody_has_it_and_old_ones_are_no_news() {
        let mut w = World::new();
        let ended = |w: &mut World, secs, run: &str| {
            let event = Event::Ended {
                outcome: RunOutcome::UndoFailed,
                detail: "it stays".to_owned(),
            };
            w.happens(secs, Place::run(run, None), event);
        };
        ended(&mut w, 0, "r-old");
        ended(&mut w, 100_000, "r-new");
        assert_eq!(w.levels(100_001), ["L1 l1"]);
        let why = "mine".to_owned();
        w.happens(100_002, Place::run("r-new", None), Event::Acknowledged { why });
        assert_eq!(w.levels(100_003), ["Over l1"]);
        assert_eq!(w.levels(200_000), [""; 0]);
    }
}
