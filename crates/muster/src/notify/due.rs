//! Which messages are due. Pure: alarms, outbox, levels and the clock -> what is put into the outbox.

use std::collections::BTreeMap;

use muster_engine::journal::{Notice, Notification};
use muster_model::{IncidentSeverity, Time, digest_of_bytes};

use super::board::{Alarm, Board};
use super::{Level, Notify};

/// What is to be queued now.
#[must_use]
pub fn due(board: &Board, alarms: &[Alarm], notify: &Notify, now: Time) -> Vec<Notification> {
    let mut out: Vec<Notification> = Vec::new();
    for alarm in alarms {
        if !alarm.taken {
            out.extend(raised(board, alarm, notify, now));
            continue;
        }
        for taken in board.taken(&alarm.thread, alarm.since) {
            let key = format!("taken {}", taken.at.millis());
            out.extend(word(
                board,
                &alarm.key,
                &key,
                Notice::Acknowledged,
                &taken.says,
                taken.at,
            ));
        }
    }
    for (about, why) in board.ended(alarms) {
        out.extend(word(board, &about, "over", Notice::Over, &why, now));
    }
    out.retain(|n| !board.knows(&n.id));
    out
}

fn raised(board: &Board, alarm: &Alarm, notify: &Notify, now: Time) -> Vec<Notification> {
    let mut out = Vec::new();
    let told = |level: &Level, channel: Option<&String>| -> Vec<Time> {
        let of = board.about(&alarm.key).filter(|q| {
            let n = &q.notification;
            n.level == level.name && channel.is_none_or(|c| n.channel == *c) && n.notice == Notice::Raised
        });
        of.map(|q| q.at).collect()
    };
    // The level before, with when it was told: the next one gets as long to answer as the times say.
    let mut before: Option<(&Level, Time)> = None;
    let mut all = true;
    for (n, level) in notify.levels.iter().enumerate() {
        let waited = (alarm.at_once > 1 && n < alarm.at_once)
            || match before {
                None => now.since(alarm.since) >= level.after,
                Some((last, told)) => {
                    alarm.escalates
                        && !alarm.held
                        && now.since(told).millis() + last.after.millis() >= level.after.millis()
                }
            };
        if !waited {
            all = false;
            break;
        }
        // All of them each time: what is in the outbox is not queued again, and nobody is left out by a crash in between.
        out.extend(level.to.iter().map(|c| message(alarm, level, c, 0, notify)));
        match told(level, None).first().copied() {
            Some(first) => before = Some((level, first)),
            None if n + 1 < alarm.at_once => all = false,
            None => {
                all = false;
                break;
            }
        }
    }
    // Everybody was called, and nobody has it.
    if let Some((level, _)) = before
        && all
        && alarm.escalates
        && !alarm.held
        && notify.repeat.millis() > 0
    {
        for channel in &level.to {
            let times = told(level, Some(channel));
            if times.last().is_some_and(|t| now.since(*t) >= notify.repeat) {
                out.push(message(alarm, level, channel, times.len(), notify));
            }
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

/// The same word to everybody who was told of this before it.
fn word(
    board: &Board,
    about: &str,
    key: &str,
    notice: Notice,
    sentence: &str,
    before: Time,
) -> Vec<Notification> {
    let mut first: BTreeMap<&String, &Notification> = BTreeMap::new();
    for q in board.about(about) {
        let n = &q.notification;
        if n.notice == Notice::Raised && q.at <= before {
            first.entry(&n.channel).or_insert(n);
        }
    }
    let to_all = first.into_iter().map(|(channel, raised)| Notification {
        id: digest_of_bytes(format!("{about}\n{key}\n{channel}").as_bytes()),
        about: about.to_owned(),
        thread: raised.thread.clone(),
        level: raised.level.clone(),
        channel: channel.clone(),
        notice,
        severity: raised.severity,
        title: match notice {
            Notice::Over => format!("Over: {}", raised.title),
            Notice::Acknowledged => format!("Somebody has it: {}", raised.title),
            Notice::Raised => raised.title.clone(),
        },
        text: format!("{}.", sentence.trim_end_matches('.')),
    });
    to_all.collect()
}

/// A message that says nothing but that the channel works.
#[must_use]
pub fn trial(channel: &str, who: &str, now: Time) -> Notification {
    Notification {
        id: digest_of_bytes(format!("trial {channel} {}", now.millis()).as_bytes()),
        about: format!("trial {}", now.millis()),
        thread: "trial".to_owned(),
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
    use muster_engine::incidents::{Root, Sight, opened};
    use muster_engine::journal::{Entry, Event, GENESIS, Place};
    use muster_model::{Finding, Incident, IncidentState, Record, RunOutcome, Severity, Span, Subject};

    use super::*;
    use crate::notify::board::Live;
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
        let root = Root {
            cause: finding,
            symptoms: Vec::new(),
            severity: IncidentSeverity::P1,
            opens: true,
        };
        let sight = Sight {
            cluster: "shop".into(),
            identity: "7".into(),
            at: at(0),
            roots: Vec::new(),
            blind: Vec::new(),
            unsure: Vec::new(),
            early: Vec::new(),
        };
        Incident {
            state,
            resolution: (state == IncidentState::Resolved).then(|| "repaired".to_owned()),
            ..opened(&root, &sight, "i-1".into())
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
            self.said("alice", secs, place, event);
        }

        fn said(&mut self, who: &str, secs: u64, place: Place, event: Event) {
            self.seq += 1;
            self.board.take(Entry {
                seq: self.seq,
                at: at(secs),
                who: who.into(),
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

        fn has_it(&mut self, secs: u64, place: Place) {
            let why = "looking".to_owned();
            self.happens(secs, place, Event::Acknowledged { why });
        }

        fn closed(&mut self, secs: u64, who: &str) {
            let incident = incident(IncidentState::Resolved);
            let why = "repaired".to_owned();
            let event = Event::IncidentClosed { incident, why };
            self.said(who, secs, Place::incident("i-1"), event);
        }

        fn ended(&mut self, secs: u64, place: Place) {
            let event = Event::Ended {
                outcome: RunOutcome::Indeterminate,
                detail: "nobody can say".to_owned(),
            };
            self.happens(secs, place, event);
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
        w.has_it(5401, Place::incident("i-1"));
        assert_eq!(
            w.levels(5402),
            ["Acknowledged l1", "Acknowledged l2", "Acknowledged l4"]
        );
        assert_eq!(w.levels(20_000), [""; 0], "nobody further");
        w.closed(20_001, "daemon");
        assert_eq!(w.levels(20_002), ["Over l1", "Over l2", "Over l4"]);
        assert_eq!(w.levels(90_000), [""; 0]);
    }

    #[test]
    fn what_becomes_worse_or_comes_back_calls_anew() {
        let mut w = World::new();
        w.opened();
        assert_eq!(w.levels(0), ["L1 l1"]);
        w.has_it(1, Place::incident("i-1"));
        assert_eq!(w.levels(2), ["Acknowledged l1"]);
        let mut now = incident(IncidentState::Open);
        let changes = |w: &mut World, secs, incident: &Incident| {
            let (incident, what) = (incident.clone(), "severity".to_owned());
            w.happens(
                secs,
                Place::incident("i-1"),
                Event::IncidentChanged { incident, what },
            );
        };
        now.severity = IncidentSeverity::P0;
        changes(&mut w, 10, &now);
        let told = w.told(11);
        assert_eq!(told.len(), 1, "{told:?}");
        assert!(told[0].1.starts_with("[P0]"), "{told:?}");
        now.resolution = Some("watched for a relapse".into());
        changes(&mut w, 20, &now);
        assert_eq!(w.levels(21), [""; 0]);
        now.resolution = None;
        changes(&mut w, 30, &now);
        assert_eq!(w.levels(31), ["L1 l1"]);
        w.closed(40, "daemon");
        assert_eq!(w.levels(41), ["Over l1"; 3], "each alert ends");
    }

    #[test]
    fn after_a_night_without_muster_each_level_still_gets_its_time() {
        let mut w = World::new();
        w.opened();
        assert_eq!(w.levels(30_000), ["L1 l1"]);
        assert_eq!(w.levels(30_001), [""; 0]);
        assert_eq!(w.levels(30_300), ["L2 l2"]);
        // The next daemon reads the same outbox.
        let mut next = World::new();
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
        assert_eq!(
            next.board.waiting().count(),
            2,
            "what was queued is sent by whoever goes on"
        );
    }

    #[test]
    fn a_broken_glass_calls_two_levels_at_once_until_a_second_person_has_it() {
        let mut w = World::new();
        let mut incident = incident(IncidentState::Open);
        incident.cause.kind = muster_engine::incidents::GLASS.into();
        incident.cause.subject = Subject::new("person", "bo");
        w.happens(0, Place::incident("i-1"), Event::IncidentOpened { incident });
        w.live = vec![live(false, true)];
        assert_eq!(w.levels(0), ["L1 l1", "L2 l2"], "also while its run is at work");
        let why = "mine".to_owned();
        w.said("bo", 10, Place::incident("i-1"), Event::Acknowledged { why });
        w.live.clear();
        assert_eq!(w.levels(11), [""; 0], "who broke it is not the second person");
        assert_eq!(w.levels(1800), ["L4 l4"], "who broke it is not the second person");
        w.has_it(1801, Place::incident("i-1"));
        assert_eq!(w.levels(1802).len(), 3);
        assert_eq!(w.levels(9000), [""; 0]);
    }

    #[test]
    fn no_channel_of_a_level_is_left_out() {
        let mut w = World::new();
        w.notify.levels[0].to = vec!["a".into(), "b".into()];
        w.notify.levels.truncate(1);
        w.opened();
        // Killed between the two.
        let alarms = w.board.alarms(&[], at(0));
        let first = due(&w.board, &alarms, &w.notify, at(0)).remove(0);
        assert_eq!(first.channel, "a");
        w.board.queue(first, at(0));
        assert_eq!(w.levels(1), ["L1 b"]);
        // Renamed meanwhile; and repeats go on for both.
        w.notify.levels[0].to = vec!["a".into(), "c".into()];
        assert_eq!(w.levels(2), ["L1 c"]);
        assert_eq!(w.levels(1802), ["L1 a", "L1 c"]);
        assert_eq!(w.levels(3602), ["L1 a", "L1 c"]);
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
        assert_eq!(w.levels(901), ["L2 l2"], "it escalates by itself too");
        w.live[0].stuck = None;
        assert_eq!(w.levels(902), ["Over l1", "Over l2"], "it gets on");
        w.live.clear();
        assert_eq!(w.levels(2402), ["L4 l4"]);
    }

    #[test]
    fn a_question_calls_the_first_level_only_and_a_plan_made_anew_asks_it_no_second_time() {
        let mut w = World::new();
        w.opened();
        assert_eq!(w.levels(0), ["L1 l1"]);
        w.live = vec![live(true, false)];
        assert_eq!(w.levels(2), [""; 0], "a guard may refuse it yet");
        let told = w.told(7);
        assert_eq!(told.len(), 1, "{told:?}");
        assert!(told[0].1.contains("waits for a person"), "{told:?}");
        // The command works for the next plan as well.
        let alarms = w.board.alarms(&w.live, at(7));
        let asked = alarms.iter().find(|a| a.key.starts_with("asks "));
        let text = asked.map(|a| a.text.clone()).unwrap_or_default();
        assert!(
            text.contains("muster approve i-1\n") && text.ends_with("muster reject i-1"),
            "{text}"
        );
        // It ran out; another is made.
        w.live.clear();
        assert_eq!(w.levels(8), [""; 0]);
        let mut second = live(true, false);
        (second.run, second.since) = ("r-2".into(), at(100));
        w.live = vec![second];
        assert_eq!(w.levels(200), [""; 0]);
        w.closed(201, "daemon");
        w.live.clear();
        assert_eq!(w.levels(202), ["Over l1", "Over l1"]);
    }

    #[test]
    fn a_run_that_ended_badly_calls_until_somebody_has_it_also_when_its_incident_is_over() {
        let mut w = World::new();
        w.opened();
        assert_eq!(w.levels(0), ["L1 l1"]);
        w.has_it(1, Place::incident("i-1"));
        assert_eq!(w.levels(2), ["Acknowledged l1"]);
        // In one and the same second.
        w.ended(100, Place::run("r-1", Some("i-1")));
        w.closed(100, "daemon");
        let told = w.told(101);
        let levels: Vec<&str> = told.iter().map(|(l, _)| l.as_str()).collect();
        assert_eq!(levels, ["L1 l1", "Over l1"], "{told:?}");
        assert!(told[0].1.contains("ended indeterminate"), "{told:?}");
        assert_eq!(w.levels(401), ["L2 l2"]);
        w.has_it(402, Place::run("r-1", Some("i-1")));
        assert_eq!(w.levels(403), ["Over l1", "Over l2"]);
        // Closed by a person: they have what its runs left behind.
        let mut w = World::new();
        w.opened();
        w.ended(100, Place::run("r-1", Some("i-1")));
        w.closed(101, "bo");
        assert_eq!(w.levels(102), [""; 0]);
    }

    #[test]
    fn a_run_of_no_incident_is_over_when_somebody_has_it_and_old_ones_are_no_news() {
        let mut w = World::new();
        w.ended(0, Place::run("r-old", None));
        w.ended(100_000, Place::run("r-new", None));
        assert_eq!(w.levels(100_001), ["L1 l1"]);
        w.has_it(100_002, Place::run("r-new", None));
        assert_eq!(w.levels(100_003), ["Over l1"]);
        assert_eq!(w.levels(200_000), [""; 0]);
    }
}
