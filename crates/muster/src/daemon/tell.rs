//! Tells people: fills the outbox from the journal and the clock, and sends what is in it, each channel for itself.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use muster_engine::journal::{DAEMON, Event, Notification, Place};
use muster_engine::{Engine, EngineError};
use muster_model::{Digest, RunState, Span, Time};
use tokio::task::JoinSet;

use super::watch::{Watch, read, write};
use crate::notify::board::{Board, KINDS, Live, Sending};
use crate::notify::deliver::{Postman, Refused};
use crate::notify::{Heartbeat, due};

/// First pause before another try; doubled up to the longest.
const PAUSE: Span = Span::from_secs(5);
const LONGEST: Span = Span::from_mins(5);
/// A message that was not taken for so long is given up.
const GIVE_UP: Span = Span::from_mins(2 * 60);
/// A picture of a cluster that is older says nothing about whether Muster looks.
const FRESH: Span = Span::from_secs(60);
/// How a notice about a channel begins.
const UNREACHED: &str = "Messages through `";
/// How a notice about the dead-man's switch begins.
const UNBEATEN: &str = "The heartbeat";

/// Tries of one message.
#[derive(Clone, Copy, Debug)]
struct Tries {
    first: Time,
    next: Time,
    pause: Span,
}

/// Every second, until the daemon stops.
pub(super) async fn people(watch: Arc<Watch>) {
    let postman = match Postman::new() {
        Ok(postman) => postman,
        Err(why) => {
            write(&watch.notices).push(format!("{UNREACHED}any channel` cannot be sent: {why}."));
            return;
        }
    };
    let mut board = Board::default();
    let mut tries: BTreeMap<Digest, Tries> = BTreeMap::new();
    let mut sending = JoinSet::new();
    let mut busy: BTreeSet<String> = BTreeSet::new();
    let mut beat = None;
    let mut unreached: BTreeMap<String, String> = BTreeMap::new();
    let mut tick = tokio::time::interval(Duration::from_secs(1));
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    while !watch.stop.is_set() {
        tick.tick().await;
        let notify = watch.app.config().notify.clone();
        let now = watch.app.engine.now();
        if let Some(heartbeat) = &notify.heartbeat {
            beaten(&watch, &postman, heartbeat, &mut beat, now).await;
        }
        if notify.channels.is_empty() {
            unreached.clear();
            told_of(&watch, UNREACHED, &[]);
            continue;
        }
        if let Err(e) = news(&watch, &mut board, &notify, now) {
            tracing::warn!(error = %e, "cannot see what people are to be told");
        }
        while let Some(done) = sending.try_join_next() {
            let Ok((channel, n, result)) = done else { continue };
            busy.remove(&channel);
            sent(&watch, &mut board, &mut tries, &n, result, &mut unreached);
        }
        for (name, n) in next(&board, &tries, &busy, now) {
            let Some(channel) = notify.channels.get(&name).cloned() else {
                let gone = Refused {
                    why: format!("there is no channel `{name}` any more"),
                    again: false,
                };
                sent(&watch, &mut board, &mut tries, &n, Err(gone), &mut unreached);
                continue;
            };
            busy.insert(name.clone());
            let postman = postman.clone();
            sending.spawn(async move {
                let result = postman.send(&channel, &n, now).await;
                (name, n, result)
            });
        }
        unreached.retain(|channel, _| notify.channels.contains_key(channel));
        let notices: Vec<String> = unreached
            .iter()
            .map(|(channel, why)| format!("{UNREACHED}{channel}` do not get through: {why}. `muster notify test {channel}` tries it."))
            .collect();
        told_of(&watch, UNREACHED, &notices);
    }
    sending.shutdown().await;
}

/// Takes in what is new, and queues what is due. What cannot be written down is sent all the same: people must hear of a disk
/// that is full.
fn news(
    watch: &Watch,
    board: &mut Board,
    notify: &crate::notify::Notify,
    now: Time,
) -> Result<(), EngineError> {
    let engine = &watch.app.engine;
    catch_up(engine, board)?;
    let alarms = board.alarms(&live(engine)?, now);
    for n in due::due(board, &alarms, notify, now) {
        let place = place_of(&n);
        let event = Event::NotificationQueued {
            notification: n.clone(),
        };
        if let Err(e) = engine.append(DAEMON, &place, event) {
            tracing::error!(error = %e, title = %n.title, "a message cannot be written down, and is sent all the same");
        }
        board.queue(n, now);
        watch.changed();
    }
    Ok(())
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

fn place_of(n: &Notification) -> Place {
    if n.thread.starts_with("r-") {
        Place::run(&n.thread, None)
    } else {
        Place::incident(&n.thread)
    }
}

/// The runs that are not over.
fn live(engine: &Engine) -> Result<Vec<Live>, EngineError> {
    let mut out = Vec::new();
    for (plan, run) in engine.open_runs()? {
        let first = run.state == RunState::WaitingApproval;
        let asks = if first {
            Some((
                "plan".to_owned(),
                format!("Its plan wants a signature until {}.", run.expires_at.clock()),
            ))
        } else if matches!(run.state, RunState::Waiting { .. }) {
            engine.asked(&run.id)?
        } else {
            None
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
fn next(
    board: &Board,
    tries: &BTreeMap<Digest, Tries>,
    busy: &BTreeSet<String>,
    now: Time,
) -> Vec<(String, Notification)> {
    let mut out: BTreeMap<&String, &Notification> = BTreeMap::new();
    let mut behind: BTreeSet<(&String, &String)> = BTreeSet::new();
    for n in board
        .outbox()
        .iter()
        .filter(|q| q.sending == Sending::Waits)
        .map(|q| &q.notification)
    {
        let first = behind.insert((&n.channel, &n.thread));
        let ready = tries.get(&n.id).is_none_or(|t| t.next <= now);
        if first && ready && !busy.contains(&n.channel) {
            out.entry(&n.channel).or_insert(n);
        }
    }
    out.into_iter().map(|(c, n)| (c.clone(), n.clone())).collect()
}

fn sent(
    watch: &Watch,
    board: &mut Board,
    tries: &mut BTreeMap<Digest, Tries>,
    n: &Notification,
    result: Result<(), Refused>,
    unreached: &mut BTreeMap<String, String>,
) {
    let engine = &watch.app.engine;
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
            let known = tries.get(&id).copied();
            let first = known.map_or(now, |t| t.first);
            let pause = known.map_or(PAUSE, |t| Span::from_millis(t.pause.millis() * 2).min(LONGEST));
            let gave_up = !refused.again || now.since(first) >= GIVE_UP;
            board.refused(&id, &refused.why, gave_up);
            unreached.insert(n.channel.clone(), refused.why.clone());
            tracing::error!(channel = %n.channel, why = %refused.why, gave_up, "a message was not taken");
            let tried = Tries {
                first,
                next: now.plus(pause),
                pause,
            };
            if gave_up {
                tries.remove(&id);
            } else if tries.insert(id.clone(), tried).is_some() {
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

/// A sign of life, only while Muster really looks at every cluster.
async fn beaten(
    watch: &Arc<Watch>,
    postman: &Postman,
    heartbeat: &Heartbeat,
    last: &mut Option<Time>,
    now: Time,
) {
    if last.is_some_and(|t| now.since(t) < heartbeat.every) {
        return;
    }
    let config = watch.app.config();
    let blind: Vec<String> = {
        let pictures = read(&watch.pictures);
        let seen = |name: &str| {
            pictures
                .get(name)
                .is_some_and(|p| now.since(p.snapshot.taken_at) < FRESH)
        };
        let names = config.clusters.iter().map(|c| c.reach.name.clone());
        names.filter(|n| !seen(n)).collect()
    };
    if !blind.is_empty() {
        // The first looks are on their way; afterwards silence is the alarm.
        return;
    }
    *last = Some(now);
    let (watch, postman, url) = (watch.clone(), postman.clone(), heartbeat.url.clone());
    tokio::spawn(async move {
        let notices: Vec<String> = match postman.beat(&url).await {
            Ok(()) => Vec::new(),
            Err(e) => vec![format!(
                "{UNBEATEN} is not taken: {e}. Nobody outside would notice if Muster ended."
            )],
        };
        told_of(&watch, UNBEATEN, &notices);
    });
}

/// Puts these notices in the place of those that begin so.
fn told_of(watch: &Watch, beginning: &str, now: &[String]) {
    let mut known = write(&watch.notices);
    let before = known.clone();
    known.retain(|n| !n.starts_with(beginning));
    known.extend_from_slice(now);
    let changed = *known != before;
    drop(known);
    if changed {
        watch.changed();
    }
}
