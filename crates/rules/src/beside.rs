//! What stands beside the servers, as rules see it: poolers, caches and applications whose picture is fresh, and the one
//! way in which something is down.

use muster_model::snapshot::pooler::PoolerState;
use muster_model::snapshot::{AppHealth, AppView, CacheStats, CacheView, PoolerView, Reach};
use muster_model::{Severity, Span, Subject, Time};
use serde_json::json;

use crate::judge::{Context, Mode};
use crate::rules::{evidence, finding};

/// The caches that answer, with what they said. One that is silent is `cache.unreachable`'s business, one that lets nobody
/// in `cache.clients`'.
pub(crate) fn caches<'a>(c: &mut Context<'a>, kind: &str) -> Vec<(&'a CacheView, &'a CacheStats)> {
    let snapshot = c.snapshot;
    let open = |r: &Reach| !r.silent() && !matches!(r, Reach::Full { .. });
    let caches = snapshot.caches.iter().filter(|v| open(&v.reach));
    caches
        .filter_map(|v| Some((v, c.fresh(kind, &v.address, &v.stats, "what it says of itself")?)))
        .collect()
}

/// The poolers that answer, with what their consoles said.
pub(crate) fn poolers<'a>(c: &mut Context<'a>, kind: &str) -> Vec<(&'a PoolerView, &'a PoolerState)> {
    let snapshot = c.snapshot;
    let poolers = snapshot.poolers.iter().filter(|v| !v.reach.silent());
    poolers
        .filter_map(|v| Some((v, c.fresh(kind, &v.address, &v.state, "its console")?)))
        .collect()
}

/// The applications that answer, with what they said. One without a health route is not looked at.
pub(crate) fn apps<'a>(c: &mut Context<'a>, kind: &str) -> Vec<(&'a AppView, &'a AppHealth)> {
    let snapshot = c.snapshot;
    let apps = snapshot
        .apps
        .iter()
        .filter(|v| !v.reach.silent() && v.endpoint.is_some());
    apps.filter_map(|v| Some((v, c.fresh(kind, &v.address, &v.health, "its health route")?)))
        .collect()
}

/// What the log of an application at an address says in the last five minutes, as evidence beside a finding; nothing when
/// it is not followed, or says nothing that is known.
pub(crate) fn said_by_log(c: &Context<'_>, address: &str) -> Option<serde_json::Value> {
    let app = c.snapshot.apps.iter().find(|a| a.address == address)?;
    let log = app.log.as_ref()?;
    let seen = log.value.classes.iter().filter(|k| k.five_minutes > 0);
    let rows: Vec<serde_json::Value> = seen
        .map(|k| json!({"class": k.class, "minute": k.minute, "five_minutes": k.five_minutes, "example": k.example}))
        .collect();
    (!rows.is_empty()).then(|| json!({"source": log.value.source, "taken_at": log.taken_at, "classes": rows}))
}

/// Something that may be down.
pub(crate) struct Part<'a> {
    pub(crate) name: &'a str,
    pub(crate) address: &'a str,
    pub(crate) reach: &'a Reach,
    /// What it is and what its silence means, as the beginning and the end of a sentence.
    pub(crate) what: String,
    pub(crate) means: &'static str,
}

/// Reports what does not answer: so many misses in a row, and for so long.
pub(crate) fn down(c: &mut Context<'_>, kind: &'static str, subject: &str, parts: Vec<Part<'_>>) {
    let (misses, lasting) = (c.number(kind, "misses"), c.span(kind, "for"));
    for part in parts {
        let Reach::Down {
            rung,
            reason,
            misses: seen,
            since,
        } = part.reach
        else {
            continue;
        };
        if !part.reach.silent() {
            continue;
        }
        let sure = f64::from(*seen) >= misses && c.now().since(*since) >= lasting;
        if !sure && c.mode == Mode::Watch {
            c.lacks(kind, part.address, format!("missed {seen} times: {reason}"));
            continue;
        }
        let word = format!("{rung:?}").to_lowercase();
        let mut f = finding(
            kind,
            Severity::Critical,
            part.address,
            Subject::new(subject, part.name),
            *since,
            format!(
                "{} does not answer: {word} fails: {reason}; {}",
                part.what, part.means
            ),
        );
        f.pending = !sure;
        f.incident = sure;
        f.evidence = evidence(json!({"rung": rung, "reason": reason, "misses": seen}));
        if let Some(said) = said_by_log(c, part.address) {
            f.evidence.insert("log".to_owned(), said);
        }
        c.findings.push(f);
    }
}

/// Whether its rates and shares say nothing yet, because it began or was emptied at that time.
pub(crate) fn cold(c: &Context<'_>, since: Time) -> bool {
    c.now().since(since) < c.span("rates", "warm_up")
}

/// Whether a window of so long is as long as it must be; cadences are not exact.
pub(crate) fn long_enough(over: Span, lasting: Span) -> bool {
    over.millis() * 100 >= lasting.millis() * 95
}

/// A part of a whole in per cent; nothing of nothing is nothing.
#[allow(clippy::cast_precision_loss)]
pub(crate) fn percent(part: u64, whole: u64) -> f64 {
    if whole == 0 {
        return 0.0;
    }
    part as f64 * 100.0 / whole as f64
}

/// Bytes for people.
#[allow(clippy::cast_precision_loss)]
pub(crate) fn bytes(count: u64) -> String {
    const MB: u64 = 1 << 20;
    if count < 10 * MB {
        return format!("{} kB", count / 1024);
    }
    if count < 10 * 1024 * MB {
        return format!("{} MB", count / MB);
    }
    format!("{:.1} GB", count as f64 / (1024 * MB) as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_said_as_people_say_them() {
        assert_eq!((bytes(2048), bytes(64 << 20)), ("2 kB".into(), "64 MB".into()));
        assert_eq!(bytes(24 << 30), "24.0 GB");
        assert!((percent(1, 4) - 25.0).abs() < 1e-9 && percent(1, 0) == 0.0);
        assert!(long_enough(Span::from_secs(58), Span::from_secs(60)));
        assert!(!long_enough(Span::from_secs(50), Span::from_secs(60)));
    }
}
