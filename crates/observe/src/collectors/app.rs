//! An application by its health route: does it answer, how fast, and what it says of its pool, memory and requests.
//!
//! What it does not say is absent. Nothing is made up from what it does say: a word like `healthy` proves nothing.

use muster_model::Time;
use muster_model::snapshot::{AppHealth, AppMemory, AppPool, AppRequests, Gap};
use muster_reach::HealthAnswer;
use serde_json::Value;

use super::CollectorInfo;
use crate::ring::Ring;

/// For the reference.
pub const INFO: CollectorInfo = CollectorInfo {
    name: "app",
    about: "The health route of an application: status, how long the answer took, answers of 500 and above in a row. Of a JSON \
            like that of /health/detailed also `status`, `services.database.pool` (size, overflow, checked_out, waiting), \
            `services.application.memory` (used and limit in bytes) and `services.application.requests` (total and errors since \
            its start); the last two may also stand at the top.",
    reads: "one GET of the configured address, at most 256 KiB of the answer; no other address is followed",
    needs: "a health route that answers within 2 s, and its token where it wants one",
    cadence: "2 s; 1 s while it does not answer",
    gap: "everything about the application",
};

/// What is remembered of an application.
#[derive(Default)]
pub(crate) struct Memory {
    failures: u32,
    failing_since: Option<Time>,
    requests: Ring<AppRequests>,
    last: Option<AppRequests>,
    restarted_at: Option<Time>,
}

impl Memory {
    /// What an answer says, and what it lacks.
    pub(crate) fn takes(
        &mut self,
        answer: &HealthAnswer,
        now: Time,
        target: &str,
    ) -> (AppHealth, Option<Gap>) {
        if answer.status >= 500 {
            self.failures += 1;
            self.failing_since.get_or_insert(now);
        } else {
            self.failures = 0;
            self.failing_since = None;
        }
        let json = answer.json.as_ref();
        let own = |what: &str| {
            let at = |path: &[&str]| path.iter().try_fold(json?, |v, key| v.get(key));
            at(&["services", "application", what])
                .or_else(|| at(&[what]))
                .cloned()
        };
        let requests = own("requests").and_then(|r| {
            Some(AppRequests {
                total: number(&r, "total")?,
                errors: number(&r, "errors")?,
            })
        });
        let counted = requests.map(|r| {
            let anew = |a: &AppRequests, b: &AppRequests| b.total < a.total || b.errors < a.errors;
            if self.last.is_some_and(|last| anew(&last, &r)) {
                self.restarted_at = Some(now);
            }
            self.last = Some(r);
            self.requests.take(now, r, anew)
        });
        let pool = json.and_then(|j| j.get("services")?.get("database")?.get("pool"));
        let health = AppHealth {
            status: answer.status,
            latency_ms: answer.took.as_secs_f64() * 1000.0,
            said: json
                .and_then(|j| j.get("status")?.as_str())
                .filter(|w| matches!(*w, "healthy" | "degraded" | "unhealthy"))
                .map(str::to_owned),
            failures: self.failures,
            failing_since: self.failing_since,
            pool: pool.and_then(|p| {
                Some(AppPool {
                    size: number(p, "size")?,
                    // Some libraries count below zero while the pool is not yet full.
                    overflow: number(p, "overflow").unwrap_or(0),
                    checked_out: number(p, "checked_out")?,
                    waiting: number(p, "waiting"),
                })
            }),
            memory: own("memory").and_then(|m| {
                Some(AppMemory {
                    used: number(&m, "used")?,
                    limit: number(&m, "limit").filter(|l| *l > 0)?,
                })
            }),
            requests: counted,
            restarted_at: self.restarted_at,
        };
        (health, gap(answer.status, target))
    }

    /// It did not answer: what comes next does not continue what was before.
    pub(crate) fn misses(&mut self) {
        self.failures = 0;
        self.failing_since = None;
    }
}

/// An answer that is none about health.
fn gap(status: u16, target: &str) -> Option<Gap> {
    let remedy = match status {
        401 | 403 => "give the application a token in the config, or let its health route answer without one",
        300..=499 => "write the address of the health route as it is answered, in the config",
        _ => return None,
    };
    Some(Gap {
        collector: INFO.name.to_owned(),
        target: target.to_owned(),
        reason: format!("its health route answers {status}"),
        remedy: Some(remedy.to_owned()),
    })
}

fn number(value: &Value, key: &str) -> Option<u64> {
    value.get(key)?.as_u64()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::json;

    use super::*;

    fn answer(status: u16, json: Value) -> HealthAnswer {
        HealthAnswer {
            status,
            took: Duration::from_millis(12),
            json: Some(json),
        }
    }

    fn at(secs: i64) -> Time {
        Time::from_millis(secs * 1000)
    }

    #[test]
    fn what_it_says_is_read_and_what_it_does_not_say_is_absent() {
        let mut memory = Memory::default();
        let said = answer(
            200,
            json!({"status": "degraded", "services": {
                "database": {"pool": {"size": 8, "checked_out": 7, "checkedin": 1, "overflow": 2, "waiting": null}},
                "application": {"memory": {"used": 90, "limit": 100}, "requests": {"total": 100, "errors": 3}},
            }}),
        );
        let (health, gap) = memory.takes(&said, at(1), "shop/notes");
        assert_eq!(
            (health.status, health.said.as_deref(), gap),
            (200, Some("degraded"), None)
        );
        assert_eq!(
            health
                .pool
                .map(|p| (p.size, p.overflow, p.checked_out, p.waiting)),
            Some((8, 2, 7, None))
        );
        assert_eq!(health.memory.map(|m| (m.used, m.limit)), Some((90, 100)));
        assert_eq!(health.requests.expect("requests").now.errors, 3);
        let (silent, _) = memory.takes(&answer(200, json!({"status": "fine"})), at(2), "shop/notes");
        assert_eq!(
            (silent.said, silent.pool, silent.memory, silent.requests),
            (None, None, None, None)
        );
    }

    #[test]
    fn failures_are_counted_in_a_row_and_counters_begin_anew() {
        let mut memory = Memory::default();
        let requests = |total: u64| json!({"requests": {"total": total, "errors": 0}});
        for (second, failures) in [(1, 1), (2, 2)] {
            let (health, gap) = memory.takes(&answer(503, requests(50)), at(second), "shop/notes");
            assert_eq!(
                (health.failures, health.failing_since, gap),
                (failures, Some(at(1)), None)
            );
        }
        let (health, _) = memory.takes(&answer(200, requests(60)), at(3), "shop/notes");
        assert_eq!(
            (health.failures, health.failing_since, health.restarted_at),
            (0, None, None)
        );
        assert_eq!(
            health
                .requests
                .and_then(|r| r.in_a_minute(|n| n.total))
                .expect("grown")
                .by,
            10
        );
        let (anew, _) = memory.takes(&answer(200, requests(5)), at(4), "shop/notes");
        assert_eq!(anew.restarted_at, Some(at(4)));
        assert_eq!(anew.requests.expect("requests").minute, None);
    }

    #[test]
    fn an_answer_that_is_none_about_health_is_a_gap() {
        for (status, gaps) in [(200, false), (404, true), (401, true), (302, true), (503, false)] {
            let (_, gap) = Memory::default().takes(&answer(status, Value::Null), at(1), "shop/notes");
            assert_eq!(gap.is_some(), gaps, "{status}");
        }
    }
}
