//! What rules about logs, volumes and memory share: which servers have a host to look at, sizes as people say them, and the
//! deadlocks that a log tells.
//!
//! A host that the config does not enrol is not judged and lacks nothing, as a pooler that is not there: what is enrolled and
//! cannot be read is `unknown`.

use muster_model::Time;
use muster_model::snapshot::{DeadlockShape, HostView, Reach, ServerLog, ServerView};
use serde_json::{Value, json};

use crate::judge::Context;

/// The log of a server whose host is enrolled.
pub(crate) fn log<'s>(c: &mut Context<'_>, kind: &str, server: &'s ServerView) -> Option<&'s ServerLog> {
    let host = server.host.as_ref()?;
    c.near(kind, server, &host.log, "the server's log")
}

/// The servers with an enrolled host.
pub(crate) fn hosted<'s>(c: &Context<'s>) -> Vec<(&'s ServerView, &'s HostView)> {
    let snapshot = c.snapshot;
    let all = snapshot.servers.iter();
    all.filter_map(|s| Some((s, s.host.as_ref()?))).collect()
}

/// Since when a server does not answer at all.
pub(crate) fn down_since(server: &ServerView) -> Option<Time> {
    match &server.reach {
        Reach::Down { since, .. } => Some(*since),
        _ => None,
    }
}

/// `812 MB`, `31.2 GB`: in units of 1024.
#[allow(clippy::cast_precision_loss)]
pub(crate) fn size(bytes: u64) -> String {
    let mut value = bytes as f64;
    let mut unit = "B";
    for next in ["kB", "MB", "GB", "TB"] {
        if value < 1024.0 {
            break;
        }
        (value, unit) = (value / 1024.0, next);
    }
    if unit == "B" || value >= 100.0 {
        format!("{value:.0} {unit}")
    } else {
        format!("{value:.1} {unit}")
    }
}

/// The deadlocks of a database that the log tells of in the last five minutes: a sentence on the most frequent, and all as data.
/// A log that does not name databases speaks of all of them.
pub(crate) fn deadlocks(server: &ServerView, database: &str) -> Option<(String, Value)> {
    let log = &server.host.as_ref()?.log.as_ref()?.value;
    let shapes: Vec<&DeadlockShape> = log
        .deadlocks
        .iter()
        .filter(|d| d.five_minutes > 0 && d.database.as_deref().is_none_or(|name| name == database))
        .take(5)
        .collect();
    let most = shapes.first()?;
    let waits: Vec<String> = most
        .cycle
        .iter()
        .map(|w| match &w.statement {
            Some(sql) => format!("`{}`", sql.chars().take(80).collect::<String>()),
            None => format!("{} on {}", w.mode, w.on),
        })
        .collect();
    let place = if most.relations.is_empty() {
        String::new()
    } else {
        format!(" in {}", most.relations.join(", "))
    };
    let text = format!("each waits for the next{place}: {}", waits.join(" and "));
    let data = shapes
        .iter()
        .map(|d| {
            json!({"cycle": d.cycle, "relations": d.relations, "processes": d.processes,
                   "five_minutes": d.five_minutes, "last": d.last})
        })
        .collect();
    Some((text, data))
}

#[cfg(test)]
mod tests {
    use super::size;

    #[test]
    fn sizes_are_said_as_people_say_them() {
        let said: Vec<String> = [0, 1023, 1536, 200 << 20, 33_500_000_000].map(size).into();
        assert_eq!(said, ["0 B", "1023 B", "1.5 kB", "200 MB", "31.2 GB"]);
    }
}
