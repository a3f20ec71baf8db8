//! Three verdicts on one symptom: clients wait for a pooled connection. Pure; shared by the rules and the probe.

use crate::snapshot::{Pool, PoolDatabase, Session};
use crate::span::Span;
use crate::time::Time;

/// A session idle in its transaction counts as leaked from this age on, where the pool has waiters.
pub const LEAKED_AFTER: Span = Span::from_secs(2);
/// Share of the pool that must be so held.
pub const HELD: f64 = 80.0;
/// Share of the pool, leaked or slow, from which a pool is not too small: it would do if they were not there.
pub const TAKEN: f64 = 20.0;
/// A statement counts as slow from this age on.
pub const SLOW_AFTER: Span = Span::from_secs(1);

/// The verdict words.
pub const OK: &str = "ok";
/// Leaked transactions hold the pool.
pub const LEAK: &str = "connections.leak";
/// The server is slow.
pub const SLOW: &str = "pool.slow_server";
/// The pool is too small.
pub const SMALL: &str = "pool.too_small";
/// The pool is paused.
pub const PAUSED: &str = "pool.paused";
/// The sessions behind the pool cannot be seen.
pub const UNKNOWN: &str = "unknown";

/// What a look at a pool and its sessions says.
#[derive(Clone, Debug, PartialEq)]
pub struct PoolVerdict {
    /// One of the words above.
    pub word: &'static str,
    /// Pooled sessions idle in a transaction.
    pub idle_in_transaction: u32,
    /// Of these, for longer than [`LEAKED_AFTER`].
    pub leaked: u32,
    /// Pooled sessions that run a statement or wait for a lock.
    pub running: u32,
    /// Of these, for longer than [`SLOW_AFTER`].
    pub slow: u32,
    /// Of these, waiting for a lock.
    pub waiting_for_lock: u32,
    /// Whether it is leaked and slow at once, and neither alone would be the word.
    pub mixed: bool,
    /// Share of the pool that is idle in a transaction, in per cent.
    pub held_percent: f64,
    /// One sentence.
    pub summary: String,
    /// What it is not, and why.
    pub ruled_out: Vec<String>,
}

/// Judges a pool. `sessions` are the sessions behind its server connections; `None` when they cannot be seen.
#[must_use]
pub fn judge(
    pool: &Pool,
    database: Option<&PoolDatabase>,
    sessions: Option<&[&Session]>,
    now: Time,
) -> PoolVerdict {
    let mut v = PoolVerdict {
        word: OK,
        idle_in_transaction: 0,
        leaked: 0,
        running: 0,
        slow: 0,
        waiting_for_lock: 0,
        mixed: false,
        held_percent: 0.0,
        summary: String::new(),
        ruled_out: Vec::new(),
    };
    for s in sessions.into_iter().flatten() {
        if s.idle_in_transaction() {
            v.idle_in_transaction += 1;
            v.leaked += u32::from(s.state_change.is_some_and(|t| now.since(t) >= LEAKED_AFTER));
        } else if s.state.as_deref() == Some("active") {
            v.running += 1;
            v.slow += u32::from(s.query_start.is_some_and(|t| now.since(t) >= SLOW_AFTER));
            v.waiting_for_lock += u32::from(s.wait_type.as_deref() == Some("Lock"));
        }
    }
    let size = pool.size.max(pool.sv_active + pool.sv_idle).max(1);
    v.held_percent = f64::from(v.leaked) * 100.0 / f64::from(size);
    let waiting = pool.cl_waiting;
    let maxwait = Span::from_millis(pool.maxwait_us / 1000).human();
    if waiting == 0 {
        v.summary = format!("nobody waits; {} of {size} connections in use", pool.sv_active);
        return v;
    }
    let waits = if waiting == 1 {
        format!("1 client waits, for {maxwait}")
    } else {
        format!("{waiting} clients wait, the longest for {maxwait}")
    };
    if database.is_some_and(|d| d.paused) {
        v.word = PAUSED;
        v.summary = format!("{waits}, because the pool is paused");
        return v;
    }
    if sessions.is_none() {
        v.word = UNKNOWN;
        v.summary = format!("{waits}; the sessions behind the pool cannot be seen");
        return v;
    }
    let leak = format!("{} of {size} connections sit idle in a transaction", v.leaked);
    let slow = format!("{} of {size} run a statement for more than {SLOW_AFTER}", v.slow);
    let used = format!("{} of {size} connections are in use", pool.sv_active);
    if v.held_percent >= HELD {
        v.word = LEAK;
        v.summary = format!("{waits}: {leak}");
        v.ruled_out = vec![
            format!("pool.slow_server: only {slow}"),
            "pool.too_small: the connections do nothing".into(),
        ];
    } else if f64::from(v.slow) * 2.0 >= f64::from(size) {
        v.word = SLOW;
        v.summary = if v.waiting_for_lock * 2 >= v.slow {
            format!(
                "{waits}: {slow}, {} of them waiting for a lock",
                v.waiting_for_lock
            )
        } else {
            format!("{waits}: {slow}")
        };
        v.ruled_out = vec![
            format!("connections.leak: only {leak}"),
            "pool.too_small: more connections would only make the server slower".into(),
        ];
    } else if f64::from(v.leaked + v.slow) * 100.0 >= TAKEN * f64::from(size) {
        // Neither alone fills the pool: the larger is the word.
        v.mixed = true;
        v.word = if v.leaked >= v.slow { LEAK } else { SLOW };
        v.summary = format!("{waits}: {leak}, and {slow}");
        v.ruled_out = vec![format!(
            "pool.too_small: {} of {size} connections are held, not used up by short transactions",
            v.leaked + v.slow
        )];
    } else if pool.sv_active + pool.sv_login >= pool.size && pool.sv_idle == 0 {
        v.word = SMALL;
        v.summary = format!("{waits}: {used}, nearly all in short transactions");
        v.ruled_out = vec![
            format!("connections.leak: only {leak}"),
            format!("pool.slow_server: only {slow}"),
        ];
    } else {
        v.summary = format!("{waits}, and connections are free: it passes by itself");
    }
    v
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::snapshot::server::sample::session;

    fn pool(waiting: u32) -> Pool {
        Pool {
            database: "app".into(),
            user: "app".into(),
            mode: "transaction".into(),
            cl_active: 10,
            cl_waiting: waiting,
            sv_active: 10,
            sv_idle: 0,
            sv_used: 0,
            sv_tested: 0,
            sv_login: 0,
            maxwait_us: 6_000_000,
            size: 10,
        }
    }

    fn sessions(state: &str, age_ms: i64) -> Vec<Session> {
        (1..=10)
            .map(|pid| {
                let mut s = session(pid);
                s.state = Some(state.into());
                s.state_change = Some(Time::from_millis(100_000 - age_ms));
                s.query_start = s.state_change;
                s
            })
            .collect()
    }

    fn word(waiting: u32, state: &str, age_ms: i64) -> &'static str {
        let all = sessions(state, age_ms);
        let refs: Vec<&Session> = all.iter().collect();
        judge(&pool(waiting), None, Some(&refs), Time::from_millis(100_000)).word
    }

    #[test]
    fn trouble_that_is_mixed_is_no_small_pool() {
        let mixed = |leaked: usize, slow: usize| {
            let mut all = sessions("active", 20);
            for (i, s) in all.iter_mut().enumerate() {
                if i < leaked + slow {
                    s.state_change = Some(Time::from_millis(95_000));
                    s.query_start = s.state_change;
                }
                if i < leaked {
                    s.state = Some("idle in transaction".into());
                }
            }
            let refs: Vec<&Session> = all.iter().collect();
            judge(&pool(3), None, Some(&refs), Time::from_millis(100_000)).word
        };
        assert_eq!(mixed(7, 0), LEAK);
        assert_eq!((mixed(4, 4), mixed(1, 3)), (LEAK, SLOW));
        assert_eq!((mixed(1, 0), mixed(0, 1)), (SMALL, SMALL));
        assert_eq!((mixed(2, 0), mixed(0, 2)), (LEAK, SLOW));
    }

    #[test]
    fn one_symptom_has_three_verdicts() {
        assert_eq!(word(3, "idle in transaction", 5000), LEAK);
        assert_eq!(word(3, "active", 5000), SLOW);
        assert_eq!(word(3, "active", 20), SMALL);
        assert_eq!(
            word(3, "idle in transaction", 100),
            SMALL,
            "short transactions between two statements"
        );
        assert_eq!(word(0, "idle in transaction", 5000), OK);
        assert_eq!(
            judge(&pool(3), None, None, Time::from_millis(0)).word,
            UNKNOWN,
            "what is not seen is not guessed"
        );
    }
}
