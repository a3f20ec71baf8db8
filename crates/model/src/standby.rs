//! How a standby does: judged from both ends, never by its own lag alone. Pure; shared by rules and probe.

use crate::snapshot::{Reach, ServerView};
use crate::span::Span;

/// Lag from which a standby is behind.
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
    let sender = sending.and_then(|r| {
        r.value.senders.iter().find(|x| {
            let by_slot = own.value.upstream_slot.as_deref().is_some_and(|name| {
                r.value
                    .slots
                    .iter()
                    .any(|slot| slot.name == name && slot.active_pid == Some(x.pid))
            });
            by_slot || x.application == standby.name
        })
    });
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
    }
    if s.lag_bytes > 0
        && let Some(commit) = own.value.last_replayed_commit
    {
        let lag = own
            .taken_at
            .since(commit)
            .millis()
            .saturating_sub(own.value.apply_delay_ms);
        s.lag = Span::from_millis(lag);
    }
    let receiving = own
        .value
        .receiver
        .as_ref()
        .is_some_and(|r| r.status.as_deref() == Some("streaming"));
    // A standby of a standby has its sender elsewhere: its own receiver is what counts then.
    let sent = sending.is_none() || sender.is_some_and(|x| x.state.as_deref() == Some("streaming"));
    let cascades = sending.is_some_and(|r| r.value.senders.is_empty()) && receiving;
    s.streaming = receiving && (sent || cascades);
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
        s.why = format!("{} and {} bytes behind", s.lag.human(), s.lag_bytes);
    } else {
        s.word = "ok";
        s.why = "streams".to_owned();
    }
    s
}
