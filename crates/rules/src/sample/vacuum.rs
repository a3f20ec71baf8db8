//! Pictures of transactions and vacuum: what holds the horizon, what is prepared, what vacuum has to do.

use muster_model::snapshot::{
    Before, Counted, DatabaseView, FreezeAge, Holder, HolderKind, Horizons, LockWait, Looks, Prepared,
    ServerView, Session, Settings, Slru, SlruCounters, TableVacuum, VacuumQueue, VacuumRun, Vacuuming,
};
use muster_model::{Snapshot, Span};

use super::{blocked_by, healthy, now, part, server, session, snapshot, with_sessions};

/// What a healthy server says.
pub(in super::super) fn read(s: &mut ServerView) {
    let mut settings = s.settings.take().map(|p| p.value).unwrap_or_default();
    for (name, value) in [
        ("autovacuum", "on"),
        ("track_counts", "on"),
        ("autovacuum_max_workers", "3"),
        ("autovacuum_freeze_max_age", "200000000"),
        ("autovacuum_multixact_freeze_max_age", "400000000"),
    ] {
        settings.values.insert(name.into(), value.into());
    }
    s.settings = part(settings);
    s.horizons = part(Horizons {
        next_xid: counted(1_000_000, 970_000),
        holders: vec![],
        sees_all: true,
    });
    s.prepared = part(vec![]);
    s.vacuuming = part(Vacuuming {
        runs: vec![],
        max_workers: 3,
        looks: counted(Looks { all: 20, full: 0 }, Looks::default()),
        freeze: vec![freeze("app", 1000), freeze("template0", 1000)],
        sees_all: true,
    });
    s.slrus = part(vec![slru(0)]);
    let at = s.databases.iter().position(|d| d.name == "app");
    let mut app = at.map_or_else(|| DatabaseView::unread("app"), |i| s.databases.remove(i));
    app.vacuum = part(VacuumQueue::default());
    s.databases.insert(at.unwrap_or(0), app);
}

fn counted<T: Clone>(after: T, before: T) -> Counted<T> {
    let then = |ago| {
        Some(Before {
            at: now().minus(Span::from_secs(ago)),
            value: before.clone(),
        })
    };
    Counted {
        at: now(),
        now: after,
        minute: then(60),
        five_minutes: then(300),
    }
}

fn slru(reads: u64) -> Slru {
    let of = |read| SlruCounters { hit: 1000, read };
    Slru {
        name: "Subtrans".into(),
        counted: counted(of(5 + reads), of(5)),
    }
}

/// So many pages of subtransactions were read in a minute, and so many sessions wait for them.
pub(in super::super) fn subtransactions(reads: u64, waiting: i32) -> Snapshot {
    let waits = |pid| {
        let mut s = session(pid, "active", 50);
        s.wait_type = Some("LWLock".into());
        s.wait_event = Some("SubtransSLRU".into());
        s
    };
    let mut s = with_sessions((1..=waiting).map(waits).collect());
    s.servers[0].slrus = part(vec![slru(reads)]);
    s
}

/// A session at something, since so long.
pub(in super::super) fn at_work(pid: i32, application: &str, query: &str, age_ms: i64) -> Session {
    let mut s = session(pid, "active", age_ms);
    s.application = application.into();
    s.query = Some(query.into());
    s
}

/// What runs for two hours and is healthy: a dump, a vacuum that prevents wraparound, a walsender, an index build, Muster.
pub(in super::super) fn long_by_design() -> Vec<Session> {
    let two_hours = 7_200_000;
    let mut wraparound = at_work(
        2,
        "",
        "autovacuum: VACUUM public.t (to prevent wraparound)",
        two_hours,
    );
    wraparound.backend_type = "autovacuum worker".into();
    let mut sender = at_work(3, "b", "START_REPLICATION SLOT", two_hours);
    sender.backend_type = "walsender".into();
    let mut all = vec![
        at_work(1, "pg_dump", "COPY public.t (id) TO stdout;", two_hours),
        wraparound,
        sender,
        at_work(
            4,
            "psql",
            "CREATE INDEX CONCURRENTLY i ON public.t (a)",
            two_hours,
        ),
        at_work(5, "muster/observe", "SELECT ?", two_hours),
        at_work(6, "psql", "VACUUM FREEZE", two_hours),
    ];
    for s in &mut all {
        s.xact_start = Some(now().minus(Span::from_millis(two_hours.unsigned_abs())));
    }
    all
}

/// A holder of the horizon.
pub(in super::super) fn holder(kind: HolderKind, name: &str, xids: u64, age: Span) -> Holder {
    let session = kind == HolderKind::Session;
    Holder {
        kind,
        name: name.into(),
        pid: session.then(|| name.parse().unwrap_or(1)),
        user: Some("app".into()),
        database: (session || kind == HolderKind::Prepared).then(|| "app".into()),
        application: if session { "notes" } else { "" }.into(),
        client: None,
        state: session.then(|| "idle in transaction".into()),
        xids,
        since: Some(now().minus(age)),
        older: false,
    }
}

/// A primary on which these hold the horizon.
pub(in super::super) fn held(holders: Vec<Holder>) -> Snapshot {
    let mut s = healthy();
    if let Some(h) = &mut s.servers[0].horizons {
        h.value.holders = holders;
    }
    s
}

/// A primary with prepared transactions of these ages.
pub(in super::super) fn prepared(ages: &[Span]) -> Snapshot {
    let mut s = healthy();
    let one = |(i, age): (usize, &Span)| Prepared {
        gid: format!("order-{i}"),
        prepared: now().minus(*age),
        owner: "app".into(),
        database: "app".into(),
        xids: 40,
    };
    s.servers[0].prepared = part(ages.iter().enumerate().map(one).collect());
    s
}

/// An age of a database in transaction ids.
pub(in super::super) fn freeze(database: &str, xids: u64) -> FreezeAge {
    FreezeAge {
        database: database.into(),
        xids,
        multixacts: 1,
    }
}

/// A primary whose databases are so old.
pub(in super::super) fn aged(freeze: Vec<FreezeAge>) -> Snapshot {
    let mut s = healthy();
    if let Some(v) = &mut s.servers[0].vacuuming {
        v.value.freeze = freeze;
    }
    s
}

/// A table with dead row versions, due since so long.
pub(in super::super) fn table(name: &str, dead: u64, live: u64, due: Option<Span>) -> TableVacuum {
    TableVacuum {
        oid: 1234,
        table: name.into(),
        dead,
        live,
        due: if due.is_some() { 5.0 } else { 0.0 },
        enabled: true,
        temporary: false,
        xids: 1000,
        multixacts: 1,
        last_vacuum: None,
        due_since: due.map(|d| now().minus(d)),
    }
}

/// A primary with these tables in its queue, and so many of 20 looks at which all workers were busy.
pub(in super::super) fn queue(tables: Vec<TableVacuum>, full: u64) -> Snapshot {
    let mut s = healthy();
    let server = &mut s.servers[0];
    if let Some(v) = &mut server.vacuuming {
        v.value.looks = counted(Looks { all: 20, full }, Looks::default());
        v.value.runs = (1..=3).map(|pid| run(pid, "app", None)).collect();
    }
    server.databases[0].vacuum = part(VacuumQueue {
        due: tables.iter().filter(|t| t.due >= 1.0).count() as u64,
        tables,
    });
    s
}

/// A worker.
pub(in super::super) fn run(pid: i32, database: &str, relation: Option<u32>) -> VacuumRun {
    VacuumRun {
        pid,
        automatic: true,
        wraparound: false,
        database: Some(database.into()),
        relation,
        query: Some("autovacuum: VACUUM public.big".into()),
        since: None,
        phase: None,
        pages: None,
        scanned: None,
        index_passes: None,
    }
}

/// A primary with a setting that is otherwise than it should be.
pub(in super::super) fn set(name: &str, value: &str) -> Snapshot {
    let mut s = healthy();
    let settings: &mut Settings = match &mut s.servers[0].settings {
        Some(p) => &mut p.value,
        None => return s,
    };
    settings.values.insert(name.into(), value.into());
    s
}

/// So many wait since so long for an advisory lock of a session in a state since so long.
pub(in super::super) fn advisory(waiters: i32, wait: Span, state: &str, idle_ms: i64) -> Snapshot {
    let wait_ms = i64::try_from(wait.millis()).unwrap_or(0);
    let mut all = vec![session(1, state, idle_ms)];
    all.extend((2..2 + waiters).map(|p| blocked_by(p, &[1], wait_ms)));
    let mut s = with_sessions(all);
    if let Some(l) = &mut s.servers[0].locks {
        l.value.waits = (2..2 + waiters)
            .map(|p| lock_wait(p, "advisory", None, wait, &[1]))
            .collect();
    }
    s
}

fn lock_wait(pid: i32, locktype: &str, relation: Option<&str>, wait: Span, by: &[i32]) -> LockWait {
    LockWait {
        pid,
        locktype: locktype.into(),
        mode: "ExclusiveLock".into(),
        relation: relation.map(Into::into),
        since: Some(now().minus(wait)),
        blocked_by: by.to_vec(),
    }
}

/// A queue for one row: the holder `root`, and waiters who came one after the other, the first since `oldest`.
pub(in super::super) fn row_queue(root: i32, waiters: i32, oldest: Span) -> Snapshot {
    let mut all = vec![session(root, "active", 20)];
    let mut waits = Vec::new();
    for i in 0..waiters {
        let wait = Span::from_millis(
            oldest.millis() * u64::from((waiters - i).unsigned_abs()) / u64::from(waiters.unsigned_abs()),
        );
        let pid = 1000 + root * 100 + i;
        all.push(blocked_by(
            pid,
            &[root],
            i64::try_from(wait.millis()).unwrap_or(0),
        ));
        let (locktype, relation) = if i == 0 {
            ("transactionid", None)
        } else {
            ("tuple", Some("public.counters"))
        };
        // As servers tell it: the wait begins anew with every holder.
        let turn = wait.min(Span::from_millis(1200));
        waits.push(lock_wait(pid, locktype, relation, turn, &[root]));
    }
    let mut s = snapshot();
    s.servers = vec![server("a")];
    if let Some(activity) = &mut s.servers[0].activity {
        activity.value.sessions = all;
    }
    if let Some(locks) = &mut s.servers[0].locks {
        locks.value.waits = waits;
    }
    s
}

/// So many wait for a row of session 1, which keeps it: the first since `oldest`.
pub(in super::super) fn row_chain(waiters: i32, oldest: Span) -> Snapshot {
    let mut s = row_queue(1, waiters, oldest);
    let server = &mut s.servers[0];
    let began = |pid| {
        let sessions = server.activity.iter().flat_map(|a| &a.value.sessions);
        sessions.filter(|s| s.pid == pid).find_map(|s| s.query_start)
    };
    for wait in server.locks.iter_mut().flat_map(|l| &mut l.value.waits) {
        wait.since = began(wait.pid);
    }
    s
}

/// The same some seconds later, with new waiters in the place of the old ones; who holds holds on.
pub(in super::super) fn moved(mut s: Snapshot, seconds: u64) -> Snapshot {
    let by = Span::from_secs(seconds);
    for server in &mut s.servers {
        let sessions = server.activity.iter_mut().flat_map(|a| &mut a.value.sessions);
        for session in sessions.filter(|s| !s.blocked_by.is_empty()) {
            for t in [
                &mut session.xact_start,
                &mut session.query_start,
                &mut session.state_change,
            ] {
                *t = t.map(|t| t.plus(by));
            }
        }
        for wait in server.locks.iter_mut().flat_map(|l| &mut l.value.waits) {
            wait.since = wait.since.map(|t| t.plus(by));
        }
    }
    s
}
