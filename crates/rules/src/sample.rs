//! Pictures for the self-tests of rules: small, healthy, then spoiled in one place. A rule that does not find its specimen,
//! or finds something in its look-alike, is broken, and says so while it runs, not only in the tests.

use std::collections::BTreeMap;

use muster_model::snapshot::pooler::PoolerState;
use muster_model::snapshot::{
    Activity, Before, Counted, DatabaseCounters, Identity, LockWait, Locks, Part, Pool, PoolDatabase,
    PoolServer, PoolerView, Reach, Receiver, Replication, Role, Rung, Sender, ServerView, Session, Traffic,
};
use muster_model::{Gap, Snapshot, Span, Time};

#[cfg(test)]
use crate::judge::{Judgement, Mode, RuleState, judge};

/// A quarter of an hour after its servers started: warm.
const NOW: i64 = 1_000_000;

pub(crate) fn now() -> Time {
    Time::from_millis(NOW)
}

pub(crate) fn snapshot() -> Snapshot {
    Snapshot::new("shop", now())
}

pub(crate) fn part<T>(value: T) -> Option<Part<T>> {
    Some(Part {
        taken_at: now(),
        value,
    })
}

pub(crate) fn server(name: &str) -> ServerView {
    let mut s = ServerView::unread(
        name,
        &format!("shop/{name}"),
        &format!("127.0.0.1:{}", 6000 + name.len()),
    );
    s.reach = Reach::Up;
    s.identity = part(Identity {
        system_identifier: "7".into(),
        timeline: 1,
        role: if name == "a" { Role::Primary } else { Role::Standby },
        version_num: 150_018,
        version: "15.18".into(),
        started_at: Time::from_millis(0),
        read_only: false,
        cluster_name: name.into(),
    });
    s.activity = part(Activity {
        sessions: vec![],
        max_connections: 100,
        reserved: 3,
        sees_all: true,
    });
    s.locks = part(Locks::default());
    s.traffic = part(vec![]);
    s.databases = vec![inside::database("app")];
    wal::fill(&mut s);
    s.statements = part(statements::quiet());
    s.limits = part(vec![]);
    vacuum::read(&mut s);
    s
}

pub(crate) fn session(pid: i32, state: &str, age_ms: i64) -> Session {
    let at = Some(Time::from_millis(NOW - age_ms));
    Session {
        pid,
        backend_start: Time::from_millis(1),
        xact_start: at,
        query_start: at,
        state_change: at,
        state: Some(state.into()),
        user: Some("app".into()),
        database: Some("app".into()),
        application: "notes".into(),
        client: None,
        backend_type: "client backend".into(),
        wait_type: None,
        wait_event: None,
        query: None,
        has_xid: false,
        superuser: false,
        blocked_by: vec![],
    }
}

pub(crate) fn blocked_by(pid: i32, by: &[i32], wait_ms: i64) -> Session {
    let mut s = session(pid, "active", wait_ms);
    s.wait_type = Some("Lock".into());
    s.blocked_by = by.to_vec();
    s
}

/// A pool of ten whose sessions are all in one state.
pub(crate) fn pooled(waiting: u32, maxwait_ms: u64, state: &str, age_ms: i64) -> Snapshot {
    let mut s = snapshot();
    let mut a = server("a");
    if let Some(activity) = &mut a.activity {
        activity.value.sessions = (1..=10).map(|p| session(p, state, age_ms)).collect();
    }
    s.servers = vec![a];
    let server = |pid: i32| PoolServer {
        ptr: format!("s{pid}"),
        link: None,
        user: "app".into(),
        database: "app".into(),
        state: "active".into(),
        addr: "127.0.0.1:6001".into(),
        port: 6001,
        remote_pid: pid,
        connect_time: None,
    };
    let state = PoolerState {
        pools: vec![Pool {
            database: "app".into(),
            user: "app".into(),
            mode: "transaction".into(),
            cl_active: 10,
            cl_waiting: waiting,
            sv_active: if waiting > 0 { 10 } else { 5 },
            sv_idle: 0,
            sv_used: 0,
            sv_tested: 0,
            sv_login: 0,
            maxwait_us: maxwait_ms * 1000,
            size: 10,
        }],
        clients: vec![],
        servers: (1..=10).map(server).collect(),
        databases: vec![PoolDatabase {
            name: "app".into(),
            host: "127.0.0.1".into(),
            port: 6001,
            database: "app".into(),
            pool_size: 10,
            reserve_pool: 0,
            max_connections: 0,
            current_connections: 10,
            paused: false,
            disabled: false,
        }],
        config: BTreeMap::from([("max_client_conn".to_owned(), "1000".to_owned())]),
        used_clients: Some(20),
        paused: Some(false),
        ..PoolerState::default()
    };
    s.poolers = vec![PoolerView {
        name: "bouncer".into(),
        address: "shop/bouncer".into(),
        reach: Reach::Up,
        version: None,
        state: part(state),
    }];
    s
}

/// A primary and a standby that is `idle`, `broken`, `paused` or `lagging`.
pub(crate) fn replicated(how: &str) -> Snapshot {
    let mut s = snapshot();
    let (mut a, mut b) = (server("a"), server("bb"));
    b.name = "b".into();
    b.address = "shop/b".into();
    let behind = if how == "idle" || how == "broken" { 0 } else { 5000 };
    a.replication = part(Replication {
        current: Some(10_000),
        senders: vec![Sender {
            pid: 9,
            application: "b".into(),
            client: None,
            state: Some("streaming".into()),
            sync_state: Some("async".into()),
            sent: Some(10_000),
            flushed: Some(10_000),
            replayed: Some(10_000 - behind),
            reply_time: Some(now()),
            replay_lag_ms: None,
        }],
        sees_all: true,
        ..Replication::default()
    });
    b.replication = part(Replication {
        receiver: (how != "broken").then(|| Receiver {
            pid: 3,
            status: Some("streaming".into()),
            sender_host: None,
            sender_port: None,
            slot: Some("standby_b".into()),
            last_message: Some(now()),
        }),
        received: Some(10_000),
        replayed: Some(10_000 - behind),
        // Hours ago: at night nobody commits, and that is healthy.
        last_replayed_commit: Some(Time::from_millis(if how == "idle" { 0 } else { NOW - 8000 })),
        replay_state: Some(if how == "paused" { "paused" } else { "not paused" }.into()),
        sees_all: true,
        ..Replication::default()
    });
    s.servers = vec![a, b];
    s
}

/// A primary that broke so many deadlocks in the last minutes, and some long before.
pub(crate) fn deadlocks(recent: u64) -> Snapshot {
    counting(DatabaseCounters::default(), |c| c.deadlocks = recent)
}

/// A primary with a database `app` whose counters grew by `grow` in the last minute.
pub(crate) fn counting(before: DatabaseCounters, grow: impl Fn(&mut DatabaseCounters)) -> Snapshot {
    let mut s = healthy();
    let mut after = before;
    grow(&mut after);
    let then = Before {
        at: Time::from_millis(NOW - 60_000),
        value: before,
    };
    s.servers[0].traffic = part(vec![Traffic {
        database: "app".into(),
        checksums: Some(true),
        last_checksum_failure: None,
        counted: Counted {
            at: now(),
            now: after,
            minute: Some(then.clone()),
            five_minutes: Some(then),
        },
    }]);
    s
}

/// A healthy primary.
pub(crate) fn healthy() -> Snapshot {
    let mut s = snapshot();
    s.servers = vec![server("a")];
    s
}

/// A primary whose sessions are these.
pub(crate) fn with_sessions(sessions: Vec<Session>) -> Snapshot {
    let mut s = healthy();
    if let Some(activity) = &mut s.servers[0].activity {
        activity.value.sessions = sessions;
    }
    s
}

/// A primary with so many sessions of one state and age.
pub(crate) fn busy(count: i32, state: &str, age_ms: i64) -> Snapshot {
    with_sessions((1..=count).map(|p| session(p, state, age_ms)).collect())
}

/// So many sessions wait since so long for one that idles in its transaction, or (`ddl`) for a DDL that waits for it.
pub(crate) fn blocked(waiters: i32, wait_ms: i64, ddl: bool) -> Snapshot {
    let mut all = vec![session(1, "idle in transaction", wait_ms)];
    if ddl {
        all.push(blocked_by(2, &[1], wait_ms));
    }
    let root = if ddl { 2 } else { 1 };
    all.extend((3..3 + waiters).map(|p| blocked_by(p, &[root], wait_ms)));
    let mut s = with_sessions(all);
    if let Some(locks) = s.servers[0].locks.as_mut().filter(|_| ddl) {
        locks.value.waits = vec![LockWait {
            pid: 2,
            locktype: "relation".into(),
            mode: "AccessExclusiveLock".into(),
            relation: Some("public.t".into()),
            since: None,
            blocked_by: vec![1],
        }];
    }
    s
}

/// A primary of which one collector cannot read its part.
pub(crate) fn with_gap() -> Snapshot {
    let mut s = healthy();
    s.gaps.push(Gap {
        collector: "replication".into(),
        target: "shop/a".into(),
        reason: "no privilege".into(),
        remedy: None,
    });
    s
}

/// A primary that missed so many looks.
pub(crate) fn down(misses: u32) -> Snapshot {
    let mut s = healthy();
    s.servers[0].reach = Reach::Down {
        rung: Rung::Tcp,
        reason: "refused".into(),
        misses,
        since: Time::from_millis(998_000),
    };
    s
}

/// The same picture for so many seconds.
pub(crate) fn seconds(s: &Snapshot, seconds: usize) -> Vec<Snapshot> {
    over_time(std::iter::repeat_n(s.clone(), seconds + 1))
}

/// For so many seconds the same picture of other transactions: every age stays as it is.
pub(crate) fn anew(s: &Snapshot, seconds: usize) -> Vec<Snapshot> {
    let mut pictures = self::seconds(s, seconds);
    for (i, picture) in (0..).zip(&mut pictures) {
        let later = |t: &mut Option<Time>| *t = t.map(|t| t.plus(Span::from_secs(i)));
        for activity in picture.servers.iter_mut().filter_map(|s| s.activity.as_mut()) {
            for session in &mut activity.value.sessions {
                later(&mut session.xact_start);
                later(&mut session.query_start);
                later(&mut session.state_change);
            }
        }
    }
    pictures
}

/// Pictures a second apart.
pub(crate) fn over_time(pictures: impl IntoIterator<Item = Snapshot>) -> Vec<Snapshot> {
    (0..)
        .zip(pictures)
        .map(|(i, mut later)| {
            later.taken_at = later.taken_at.plus(Span::from_secs(i));
            later
        })
        .collect()
}

#[cfg(test)]
pub(crate) fn judged(s: &Snapshot) -> Judgement {
    judge(&RuleState::default(), s, &crate::defaults(), Mode::Watch).1
}

/// Pictures a second apart; what is said of the last.
#[cfg(test)]
pub(crate) fn looks(pictures: impl IntoIterator<Item = Snapshot>) -> Judgement {
    seen(over_time(pictures))
}

/// Pictures as they are, one after the other; what is said of the last.
#[cfg(test)]
pub(crate) fn seen(pictures: impl IntoIterator<Item = Snapshot>) -> Judgement {
    let mut state = RuleState::default();
    let mut last = Judgement::default();
    for later in pictures {
        (state, last) = judge(&state, &later, &crate::defaults(), Mode::Watch);
    }
    last
}

/// The same picture for some seconds; the kinds at the end.
#[cfg(test)]
pub(crate) fn watched(s: &Snapshot, seconds: usize) -> Vec<String> {
    let last = looks(std::iter::repeat_n(s.clone(), seconds + 1));
    last.findings.into_iter().map(|f| f.kind).collect()
}

#[cfg(test)]
pub(crate) fn kinds(j: &Judgement) -> Vec<&str> {
    j.findings.iter().map(|f| f.kind.as_str()).collect()
}

pub(crate) mod backups;
pub(crate) mod beside;
pub(crate) mod host;
pub(crate) mod inside;
pub(crate) mod statements;
pub(crate) mod vacuum;
pub(crate) mod wal;
