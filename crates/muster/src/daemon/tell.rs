//! Tells people: fills the outbox from the journal and the clock, and sends what is in it, each channel for itself.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use muster_engine::journal::{DAEMON, Event, Notice, Notification, Place};
use muster_engine::{Engine, EngineError};
use muster_model::{Digest, IncidentSeverity, PlanResult, RunState, Span, Time};
use tokio::task::JoinSet;

use super::watch::{Topic, Watch, read};
use crate::notify::board::{Alarm, Board, GLASSES, KINDS, Live};
use crate::notify::deliver::{Postman, Refused};
use crate::notify::retry::{self, Tries};
use crate::notify::{Heartbeat, Notify, due};
use crate::view::two_glasses;

/// A picture of a cluster that is older says nothing about whether Muster looks.
const FRESH: Span = Span::from_secs(60);
/// What the daemon keeps in mind about messages.
#[derive(Default)]
struct Desk {
    board: Board,
    tries: BTreeMap<Digest, Tries>,
    /// Why each channel does not take messages.
    unreached: BTreeMap<String, String>,
    /// Since when the journal cannot be read or written, and why: then the journal cannot say so itself.
    broken: Option<(Time, String)>,
    beat: Option<Time>,
}

/// Every second, until the daemon stops.
pub(super) async fn people(watch: Arc<Watch>) {
    let mut postman = None;
    let mut desk = Desk::default();
    let mut sending: JoinSet<(Notification, Result<(), Refused>)> = JoinSet::new();
    let mut busy: BTreeMap<tokio::task::Id, String> = BTreeMap::new();
    let mut tick = tokio::time::interval(Duration::from_secs(1));
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    while !watch.stop.is_set() {
        tokio::select! {
            _ = tick.tick() => {}
            // At once: the less time between sending and writing that down, the fewer messages come twice.
            Some(done) = sending.join_next_with_id() => {
                match done {
                    Ok((id, (n, result))) => {
                        busy.remove(&id);
                        sent(&watch, &mut desk, &n, result);
                    }
                    Err(e) => {
                        tracing::error!(error = %e, "sending broke down; it is tried again, please report this");
                        busy.remove(&e.id());
                    }
                }
                continue;
            }
        }
        let notify = watch.app.config().notify.clone();
        if notify.channels.is_empty() && notify.heartbeat.is_none() {
            watch.says(Topic::Channels, Vec::new());
            watch.says(Topic::Heartbeat, Vec::new());
            continue;
        }
        let postman = match &postman {
            Some(known) => known,
            None => match Postman::new() {
                Ok(new) => postman.insert(new),
                Err(why) => {
                    watch.says(Topic::Channels, vec![format!("No message can be sent: {why}.")]);
                    continue;
                }
            },
        };
        let now = watch.app.engine.now();
        let result = news(&watch, &mut desk, &notify, now);
        broken(&watch, &mut desk, result.err(), now);
        match &notify.heartbeat {
            Some(heartbeat) => beaten(&watch, postman, heartbeat, &mut desk, now),
            None => watch.says(Topic::Heartbeat, Vec::new()),
        }
        let taken: BTreeSet<&String> = busy.values().collect();
        for n in next(&desk, &taken, now) {
            let Some(channel) = notify.channels.get(&n.channel).cloned() else {
                let gone = Refused {
                    why: format!("there is no channel `{}` any more", n.channel),
                    again: false,
                };
                sent(&watch, &mut desk, &n, Err(gone));
                continue;
            };
            let (postman, name) = (postman.clone(), n.channel.clone());
            let task = sending.spawn(async move {
                let result = postman.send(&channel, &n, now).await;
                (n, result)
            });
            busy.insert(task.id(), name);
        }
        desk.unreached
            .retain(|channel, _| notify.channels.contains_key(channel));
        let unreached = desk.unreached.iter().map(|(channel, why)| {
            format!(
                "Messages through `{channel}` do not get through: {why}. `muster notify test {channel}` tries it."
            )
        });
        watch.says(Topic::Channels, unreached.collect());
    }
    sending.shutdown().await;
}

/// Notes since when the journal cannot be read or written: by us, or by who keeps the incidents.
fn broken(watch: &Watch, desk: &mut Desk, error: Option<EngineError>, now: Time) {
    match error.map(|e| e.to_string()).or_else(|| watch.unwritable()) {
        None => desk.broken = None,
        Some(why) => {
            let since = desk.broken.as_ref().map_or(now, |(since, _)| *since);
            if desk.broken.is_none() {
                tracing::error!(%why, "the journal cannot be read or written");
            }
            desk.broken = Some((since, why));
        }
    }
}

/// Takes in what is new, and queues what is due. What cannot be written down is sent all the same: people must hear of a disk
/// that is full.
fn news(watch: &Watch, desk: &mut Desk, notify: &Notify, now: Time) -> Result<(), EngineError> {
    let engine = &watch.app.engine;
    // First what is open, then the entries: a run that ends in between is in both, and not in neither.
    let (live, mut trouble) = match live(engine) {
        Ok(live) => (live, None),
        Err(e) => (Vec::new(), Some(e)),
    };
    if let Err(e) = catch_up(engine, &mut desk.board) {
        trouble = Some(e);
    }
    let mut alarms = desk.board.alarms(&live, now);
    if let Some((since, why)) = &desk.broken {
        alarms.push(of_journal(*since, why));
    } else if trouble.is_some() {
        // What cannot be seen is not over.
        return trouble.map_or(Ok(()), Err);
    }
    for n in due::due(&desk.board, &alarms, notify, now) {
        if desk.broken.is_some() && n.notice == Notice::Over {
            continue;
        }
        let event = Event::NotificationQueued {
            notification: n.clone(),
        };
        if let Err(e) = engine.append(DAEMON, &place_of(&n), event) {
            tracing::error!(error = %e, title = %n.title, "a message cannot be written down, and is sent all the same");
            trouble = Some(e);
        }
        desk.board.queue(n, now);
        watch.changed();
    }
    trouble.map_or(Ok(()), Err)
}

/// That nothing can be written down: what the journal cannot say.
fn of_journal(since: Time, why: &str) -> Alarm {
    Alarm {
        key: format!("journal {}", since.millis()),
        thread: "journal".to_owned(),
        since,
        severity: IncidentSeverity::P1,
        title: "[P1] Muster cannot read or write its journal, and changes nothing anywhere".to_owned(),
        text: format!(
            "{}.\nLook at the disk of the state folder; Muster goes on by itself when it can.",
            why.trim_end_matches('.')
        ),
        escalates: true,
        taken: false,
        held: false,
        at_once: 1,
    }
}

/// Takes in the entries since the last time.
///
/// # Errors
/// When the journal cannot be read.
pub(super) fn catch_up(engine: &Engine, board: &mut Board) -> Result<(), EngineError> {
    for entry in engine.journal().after(board.through, &KINDS)? {
        board.take(entry);
    }
    Ok(())
}

/// In the story of the incident. Not in that of a run: its entries are its own, and say whether it gets on.
fn place_of(n: &Notification) -> Place {
    if n.thread.starts_with("i-") {
        Place::incident(&n.thread)
    } else {
        Place::default()
    }
}

/// The runs that are not over.
fn live(engine: &Engine) -> Result<Vec<Live>, EngineError> {
    let mut out = Vec::new();
    for (plan, run) in engine.open_runs()? {
        let asks = match run.state {
            RunState::WaitingApproval if plan.over_limits => {
                let until = run.expires_at.clock();
                Some((
                    GLASSES.to_owned(),
                    format!("{} It waits until {until}.", two_glasses(&plan)),
                ))
            }
            RunState::WaitingApproval if plan.result == PlanResult::Changes => Some((
                "plan".to_owned(),
                format!("Its plan wants a signature until {}.", run.expires_at.clock()),
            )),
            RunState::Waiting { .. } => engine.asked(&run.id)?,
            _ => None,
        };
        let at_work = matches!(run.state, RunState::Running | RunState::Parked);
        let stuck = if at_work {
            engine.stuck_since(&run.id)?
        } else {
            None
        };
        out.push(Live {
            run: run.id,
            runbook: plan.runbook.id,
            target: plan.scope.target,
            incident: run.incident,
            since: run.created_at,
            at_work,
            asks,
            stuck,
        });
    }
    Ok(out)
}

/// The next message of each channel that is not busy. In a thread nothing overtakes: it is over only after it was raised.
fn next(desk: &Desk, busy: &BTreeSet<&String>, now: Time) -> Vec<Notification> {
    let mut out: BTreeMap<&String, &Notification> = BTreeMap::new();
    let mut behind: BTreeSet<(&String, &String)> = BTreeSet::new();
    for n in desk.board.waiting() {
        let first = behind.insert((&n.channel, &n.about));
        let ready = desk.tries.get(&n.id).is_none_or(|t| t.next <= now);
        if first && ready && !busy.contains(&n.channel) {
            out.entry(&n.channel).or_insert(n);
        }
    }
    out.into_values().cloned().collect()
}

fn sent(watch: &Watch, desk: &mut Desk, n: &Notification, result: Result<(), Refused>) {
    let engine = &watch.app.engine;
    let Desk {
        board,
        tries,
        unreached,
        ..
    } = desk;
    let now = engine.now();
    let id = n.id.clone();
    let event = match result {
        Ok(()) => {
            tries.remove(&id);
            unreached.remove(&n.channel);
            board.sent(&id);
            Event::NotificationSent { id }
        }
        Err(refused) => {
            let tried = retry::after(tries.get(&id), now).filter(|_| refused.again);
            let gave_up = tried.is_none();
            board.refused(&id, &refused.why, gave_up);
            unreached.insert(n.channel.clone(), refused.why.clone());
            tracing::error!(channel = %n.channel, why = %refused.why, gave_up, "a message was not taken");
            let before = tries.remove(&id);
            if let Some(tried) = tried {
                tries.insert(id.clone(), tried);
            }
            // Said once, and once more when it is given up.
            if before.is_some() && !gave_up {
                return;
            }
            Event::NotificationFailed {
                id,
                why: refused.why,
                gave_up,
            }
        }
    };
    // Not written down, it is sent once more by the next daemon: twice is better than never.
    if let Err(e) = engine.append(DAEMON, &place_of(n), event) {
        tracing::error!(error = %e, "cannot write down what became of a message");
    }
    watch.changed();
}

/// A sign of life, only while Muster really looks at every cluster and can write down what it sees.
fn beaten(watch: &Arc<Watch>, postman: &Postman, heartbeat: &Heartbeat, desk: &mut Desk, now: Time) {
    if desk.beat.is_some_and(|t| now.since(t) < heartbeat.every) {
        return;
    }
    let config = watch.app.config();
    let looks = {
        let pictures = read(&watch.pictures);
        let seen = |name: &str| {
            let picture = pictures.get(name);
            picture.is_some_and(|p| now.since(p.snapshot.taken_at) < FRESH)
        };
        config.clusters.iter().all(|c| seen(&c.reach.name))
    };
    if !looks || desk.broken.is_some() {
        // The first looks are on their way; afterwards silence is the alarm.
        return;
    }
    desk.beat = Some(now);
    let (watch, postman, url) = (watch.clone(), postman.clone(), heartbeat.url.clone());
    tokio::spawn(async move {
        let notices = match postman.beat(&url).await {
            Ok(()) => Vec::new(),
            Err(e) => vec![format!(
                "The heartbeat is not taken: {e}. Nobody outside would notice if Muster ended."
            )],
        };
        watch.says(Topic::Heartbeat, notices);
    });
}
