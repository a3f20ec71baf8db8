//! `app.pool_saturated`: an application has nearly all connections of its own pool out.

use muster_model::snapshot::AppLogClass;
use muster_model::{Severity, Subject};
use serde_json::json;

use super::sample::beside as sample;
use super::{KeyInfo, RuleInfo, evidence, finding};
use crate::beside::{apps, percent, said_by_log};
use crate::judge::{Context, Mode};

/// For the reference.
pub(super) const INFO: RuleInfo = RuleInfo {
    rule,
    kind: "app.pool_saturated",
    title: "An application's pool is used up",
    about: "`services.database.pool` of the health JSON: connections checked out against size and overflow together, look after \
            look. Whatever else the application has to do waits for one. Where its log is followed (`log:` in the config), lines that \
            say that no connection was free count too.",
    ignores: "A peak that is over at the next look, and an application that says nothing of its pool.",
    advice: "Look for slow statements and locks first: a bigger pool behind a slow server makes it slower. Then for connections \
             that are not given back.",
    needs: &["app"],
    keys: &[
        KeyInfo {
            key: "warning",
            default: "80",
            about: "per cent of size and overflow; above it",
        },
        KeyInfo {
            key: "for",
            default: "10s",
            about: "how long it must have lasted",
        },
        KeyInfo {
            key: "timeouts",
            default: "3",
            about: "lines a minute of its log that say that no connection was free; at or above it",
        },
    ],
    specimen: || super::sample::seconds(&sample::checked_out(10), 11),
    lookalike: || super::sample::seconds(&sample::checked_out(10), 3),
};

pub(super) fn rule(c: &mut Context<'_>) {
    let (warning, lasting) = (c.number(INFO.kind, "warning"), c.span(INFO.kind, "for"));
    for (app, health) in apps(c, INFO.kind) {
        let Some(pool) = health.pool else { continue };
        let most = pool.size + pool.overflow;
        let used = percent(pool.checked_out, most);
        if used <= warning {
            continue;
        }
        let held = c.held(&format!("{}|{}", INFO.kind, app.address));
        let pending = held < lasting;
        if pending && c.mode == Mode::Watch {
            continue;
        }
        let waiting = pool.waiting.unwrap_or(0);
        let severe = pool.checked_out >= most && waiting > 0;
        let waits = match pool.waiting {
            Some(n) => format!("; {n} requests wait for one"),
            None => String::new(),
        };
        let mut f = finding(
            INFO.kind,
            if severe {
                Severity::Critical
            } else {
                Severity::Warning
            },
            &app.address,
            Subject::new("app", &app.name),
            c.now().minus(held),
            format!(
                "{} of {most} connections of the pool of {} are out ({used:.0} %){waits}",
                pool.checked_out, app.address
            ),
        );
        f.pending = pending;
        f.incident = severe && !pending;
        f.evidence = evidence(json!({
            "checked_out": pool.checked_out, "size": pool.size, "overflow": pool.overflow, "percent": used,
            "waiting": pool.waiting, "held_ms": held.millis(),
        }));
        if let Some(said) = said_by_log(c, &app.address) {
            f.evidence.insert("log".to_owned(), said);
        }
        c.findings.push(f);
    }
    by_log(c);
}

/// Requests that got no connection, as the log tells: also of an application that says nothing of its pool.
fn by_log(c: &mut Context<'_>) {
    let most = c.number(INFO.kind, "timeouts");
    let snapshot = c.snapshot;
    for app in snapshot.apps.iter().filter(|a| a.log.is_some()) {
        let Some(log) = c.fresh(INFO.kind, &app.address, &app.log, "its log") else {
            continue;
        };
        let Some(count) = log
            .classes
            .iter()
            .find(|k| k.class == AppLogClass::PoolTimeout && amount(k.minute) >= most)
        else {
            continue;
        };
        // One thing is said once.
        if c.findings
            .iter()
            .any(|f| f.kind == INFO.kind && f.target == app.address)
        {
            continue;
        }
        let held = c.held(&format!("{}|log|{}", INFO.kind, app.address));
        let mut f = finding(
            INFO.kind,
            Severity::Warning,
            &app.address,
            Subject::new("app", &app.name),
            c.now().minus(held),
            format!(
                "{} requests of {} got no connection in the last minute, by its log: {}",
                count.minute, app.address, count.example
            ),
        );
        f.evidence = evidence(json!({
            "pool_timeouts": count.minute, "five_minutes": count.five_minutes, "example": count.example, "source": log.source,
        }));
        c.findings.push(f);
    }
}

#[allow(clippy::cast_precision_loss)]
fn amount(count: u64) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use muster_model::Severity;
    use muster_model::snapshot::{AppLog, AppLogClass, AppLogCount};

    use super::super::sample::beside::{app, checked_out};
    use super::super::sample::{judged, looks, part, watched};

    #[test]
    fn requests_without_a_connection_are_said_by_the_log_alone_and_once() {
        let with = |mut s: muster_model::Snapshot, minute: u64| {
            s.apps[0].log = part(AppLog {
                source: "file x.log".into(),
                classes: vec![AppLogCount {
                    class: AppLogClass::PoolTimeout,
                    minute,
                    five_minutes: minute,
                    ever: minute,
                    last: None,
                    example: "QueuePool limit of size ? reached".into(),
                }],
                ..AppLog::default()
            });
            s
        };
        let silent = || app(|h| h.pool = None);
        assert!(
            judged(&with(silent(), 2)).findings.is_empty(),
            "a client that was slow once"
        );
        let j = judged(&with(silent(), 3));
        assert_eq!(j.findings.len(), 1);
        assert!(j.findings[0].summary.contains("got no connection") && !j.findings[0].incident);
        let both = looks(std::iter::repeat_n(with(checked_out(10), 9), 12));
        assert_eq!(both.findings.len(), 1, "{:?}", both.findings);
        assert_eq!(
            both.findings[0].evidence["log"]["classes"][0]["class"],
            "pool_timeout"
        );
    }

    #[test]
    fn more_than_eighty_per_cent_for_ten_seconds_is_said() {
        assert_eq!(watched(&checked_out(8), 20), Vec::<String>::new());
        assert_eq!(watched(&checked_out(9), 9), Vec::<String>::new());
        assert_eq!(watched(&checked_out(9), 10), ["app.pool_saturated"]);
        let mut s = checked_out(10);
        if let Some(pool) = s.apps[0].health.as_mut().and_then(|h| h.value.pool.as_mut()) {
            pool.waiting = Some(4);
        }
        let j = looks(std::iter::repeat_n(s, 12));
        assert!(j.findings[0].incident && j.findings[0].severity == Severity::Critical);
    }

    #[test]
    fn a_pool_of_which_nothing_is_said_is_left_alone_and_one_that_was_not_read_is_unknown() {
        let mut s = app(|h| h.pool = None);
        assert!(judged(&s).unknown.is_empty());
        s.apps[0].health = None;
        assert!(judged(&s).unknown.iter().any(|u| u.kind == "app.pool_saturated"));
    }
}
