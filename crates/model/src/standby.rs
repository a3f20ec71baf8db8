//! How a standby does: judged from both ends, never by its own lag alone. Pure; shared by rules and probe.
//!
//! Its sender is looked for by what it may be called: the slot, the name in the config, `cluster_name`, the host. One that is
//! not found proves nothing while the standby itself receives: it may be fed by another standby, or be called otherwise.

use crate::snapshot::{Part, Reach, Receiver, Replication, Sender, ServerView};
use crate::span::Span;

/// Lag from which a standby is called behind where no threshold is at hand: on the page and for probes. The finding goes by
/// `replication.lagging.warning`.
pub const LAGGING: Span = Span::from_secs(1);

/// How one standby does.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StandbyState {
    /// `ok`, `server.down`, `replication.broken`, `replication.paused`, `replication.lagging` or `unknown`.
    pub word: &'static str,
    /// One clause.
    pub why: String,
    /// Whether it streams, by both ends.
    pub streaming: bool,
    /// Whether the lag is known: both positions were read, and a time for what is behind.
    pub lag_known: bool,
    /// By time; zero while there is nothing to replay.
    pub lag: Span,
    /// Position of the primary minus replayed position here.
    pub lag_bytes: u64,
    /// `sync`, `async`, …
    pub sync: String,
    /// Slot it uses.
    pub slot: String,
}

/// Judges a standby against its primary (when that answers).
#[must_use]
pub fn judge(primary: Option<&ServerView>, standby: &ServerView) -> StandbyState {
    let mut s = StandbyState {
        word: "unknown",
        ..StandbyState::default()
    };
    match &standby.reach {
        Reach::Down { reason, .. } => {
            s.word = "server.down";
            s.why = reason.clone();
            return s;
        }
        Reach::Starting { reason } => {
            s.word = "replication.broken";
            s.why = reason.clone();
            return s;
        }
        Reach::Unknown => {
            s.why = "it was not read yet".to_owned();
            return s;
        }
        Reach::Up | Reach::Full { .. } => {}
    }
    let Some(own) = standby.replication.as_ref() else {
        s.why = "its replication was not read".to_owned();
        return s;
    };
    if !own.value.sees_all {
        s.why = "this role does not see its replication (pg_monitor is missing)".to_owned();
        return s;
    }
    let sending = primary.and_then(|p| p.replication.as_ref());
    let sender = sending.and_then(|r| sender_of(&r.value, standby, &own.value));
    s.sync = sender.and_then(|x| x.sync_state.clone()).unwrap_or_default();
    s.slot = own
        .value
        .receiver
        .as_ref()
        .and_then(|r| r.slot.clone())
        .or(own.value.upstream_slot.clone())
        .unwrap_or_default();
    let current = sending.and_then(|r| r.value.current);
    if let (Some(current), Some(replayed)) = (current, own.value.replayed) {
        s.lag_bytes = current.saturating_sub(replayed);
        s.lag_known = s.lag_bytes == 0;
    }
    if s.lag_bytes > 0 {
        let told = sender.zip(sending).and_then(|(x, r)| answered(x, r));
        let lag = by_time(own, told);
        (s.lag_known, s.lag) = (lag.is_some(), lag.unwrap_or(Span::ZERO));
    }
    let receiving = own
        .value
        .receiver
        .as_ref()
        .is_some_and(|r| r.status.as_deref() == Some("streaming"));
    let upstream = own.value.receiver.as_ref().and_then(place);
    let direct = primary.is_some_and(|p| upstream.as_deref() == Some(p.endpoint.as_str()));
    let sent = match (sender, sending) {
        (Some(x), _) => x.state.as_deref() == Some("streaming"),
        // It says that it receives from the primary, which sends to nobody.
        (None, Some(r)) => !(direct && r.value.sees_all && r.value.senders.is_empty()),
        (None, None) => true,
    };
    s.streaming = receiving && sent;
    if own.value.replay_state.as_deref() == Some("paused") {
        s.word = "replication.paused";
        s.why = format!("replay is paused, {} bytes behind", s.lag_bytes);
    } else if !receiving {
        s.word = "replication.broken";
        s.why = "it receives nothing: no receiver streams, whatever its own lag says".to_owned();
    } else if !s.streaming {
        s.word = "replication.broken";
        s.why = "the primary does not stream to it".to_owned();
    } else if s.lag > LAGGING {
        s.word = "replication.lagging";
        s.why = s.behind();
    } else {
        s.word = "ok";
        s.why = match upstream.filter(|_| !direct && sender.is_none()) {
            Some(place) => format!("streams from {place}"),
            None => "streams".to_owned(),
        };
    }
    s
}

impl StandbyState {
    /// How far it is behind, in words.
    #[must_use]
    pub fn behind(&self) -> String {
        format!("{} and {} bytes behind", self.lag.human(), self.lag_bytes)
    }
}

/// The walsender of a standby on the primary.
fn sender_of<'a>(primary: &'a Replication, standby: &ServerView, own: &Replication) -> Option<&'a Sender> {
    let only = |named: &dyn Fn(&Sender) -> bool| {
        let mut all = primary.senders.iter().filter(|x| named(x));
        let first = all.next();
        if all.next().is_some() { None } else { first }
    };
    let uses = own.receiver.as_ref().and_then(|r| r.slot.as_deref());
    let slot = uses.or(own.upstream_slot.as_deref());
    let by_slot = primary
        .slots
        .iter()
        .filter(|s| Some(s.name.as_str()) == slot)
        .find_map(|s| primary.senders.iter().find(|x| s.active_pid == Some(x.pid)));
    // What it calls itself by default.
    let cluster = standby
        .identity
        .as_ref()
        .map_or("", |i| i.value.cluster_name.as_str());
    let host = standby.endpoint.rsplit_once(':').map_or("", |(host, _)| host);
    by_slot
        .or_else(|| primary.senders.iter().find(|x| x.application == standby.name))
        .or_else(|| only(&|x| !cluster.is_empty() && x.application == cluster))
        .or_else(|| only(&|x| x.state.as_deref() != Some("backup") && x.client.as_deref() == Some(host)))
}

/// `host:port` that a receiver streams from, when it says so.
fn place(receiver: &Receiver) -> Option<String> {
    let (host, port) = receiver.sender_host.as_deref().zip(receiver.sender_port)?;
    Some(format!("{host}:{port}"))
}

/// Its lag by its own last answer, which may be old by now.
fn answered(sender: &Sender, read: &Part<Replication>) -> Option<u64> {
    let since = read.taken_at.since(sender.reply_time?).millis();
    Some(sender.replay_lag_ms?.saturating_add(since))
}

/// Lag by time: the age of the last replayed commit, but a long transaction that writes has none for as long as it lasts, and
/// all of it is replayed; so never more than the standby itself has told the primary.
fn by_time(own: &Part<Replication>, told: Option<u64>) -> Option<Span> {
    let commit = own.value.last_replayed_commit;
    let age = commit.map(|t| own.taken_at.since(t).millis());
    let lag = age.into_iter().chain(told).min()?;
    Some(Span::from_millis(lag.saturating_sub(own.value.apply_delay_ms)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Time;
    use crate::snapshot::{Identity, Role};

    fn part<T>(value: T) -> Option<Part<T>> {
        Some(Part {
            taken_at: Time::from_millis(100_000),
            value,
        })
    }

    fn sender(application: &str, client: &str) -> Sender {
        Sender {
            pid: 7,
            application: application.into(),
            client: Some(client.into()),
            state: Some("streaming".into()),
            sync_state: Some("async".into()),
            sent: Some(900),
            flushed: Some(900),
            replayed: Some(900),
            reply_time: Some(Time::from_millis(99_000)),
            replay_lag_ms: None,
        }
    }

    /// A primary that sends to these, and a standby that receives from there.
    fn pair(senders: Vec<Sender>, from: (&str, u16)) -> (ServerView, ServerView) {
        let mut a = ServerView::unread("a", "shop/a", "10.0.0.1:5432");
        a.reach = Reach::Up;
        a.replication = part(Replication {
            current: Some(1000),
            senders,
            sees_all: true,
            ..Replication::default()
        });
        let mut b = ServerView::unread("b", "shop/b", "10.0.0.2:5432");
        b.reach = Reach::Up;
        b.identity = part(Identity {
            system_identifier: "7".into(),
            timeline: 1,
            role: Role::Standby,
            version_num: 150_018,
            version: "15.18".into(),
            started_at: Time::from_millis(0),
            read_only: true,
            cluster_name: "blue".into(),
        });
        b.replication = part(Replication {
            receiver: Some(Receiver {
                pid: 3,
                status: Some("streaming".into()),
                sender_host: Some(from.0.into()),
                sender_port: Some(from.1),
                slot: None,
                last_message: None,
            }),
            replayed: Some(900),
            last_replayed_commit: Some(Time::from_millis(40_000)),
            sees_all: true,
            ..Replication::default()
        });
        (a, b)
    }

    #[test]
    fn a_standby_of_a_standby_is_not_broken() {
        let (a, mut b) = pair(vec![sender("c", "10.0.0.3")], ("10.0.0.3", 5432));
        if let Some(r) = &mut b.replication {
            r.value.replayed = Some(1000);
        }
        let s = judge(Some(&a), &b);
        assert_eq!(
            (s.word, s.why.as_str(), s.streaming),
            ("ok", "streams from 10.0.0.3:5432", true)
        );
    }

    #[test]
    fn a_sender_goes_by_many_names_and_one_that_is_not_found_proves_nothing() {
        let sync = |senders| {
            let (a, b) = pair(senders, ("10.0.0.1", 5432));
            let s = judge(Some(&a), &b);
            (s.streaming, s.sync)
        };
        let found = (true, "async".to_owned());
        assert_eq!(sync(vec![sender("b", "x"), sender("c", "10.0.0.3")]), found);
        assert_eq!(sync(vec![sender("blue", "x"), sender("c", "10.0.0.3")]), found);
        assert_eq!(
            sync(vec![sender("walreceiver", "10.0.0.2"), sender("c", "y")]),
            found
        );
        // Two of its host: which of them is not told, and it receives.
        let two = vec![sender("u", "10.0.0.2"), sender("v", "10.0.0.2")];
        assert_eq!(sync(two), (true, String::new()));
        assert_eq!(
            sync(vec![]),
            (false, String::new()),
            "the primary sends to nobody"
        );
        let mut stopped = sender("b", "x");
        stopped.state = Some("startup".into());
        assert!(!sync(vec![stopped]).0);
    }

    #[test]
    fn one_long_transaction_that_is_replayed_as_it_comes_is_no_lag() {
        let lag = |told: Option<u64>| {
            let mut x = sender("b", "x");
            x.replay_lag_ms = told;
            let (a, b) = pair(vec![x], ("10.0.0.1", 5432));
            let s = judge(Some(&a), &b);
            (s.word, s.lag.millis())
        };
        assert_eq!(lag(None), ("replication.lagging", 60_000));
        // Its answer is a second old.
        assert_eq!(lag(Some(0)), ("ok", 1000));
        assert_eq!(lag(Some(20_000)), ("replication.lagging", 21_000));
        assert_eq!(lag(Some(90_000)), ("replication.lagging", 60_000));
    }
}
