//! Fleets for the tests of the page: a calm one, one that is half blind.

use muster_model::policy::Autopilot;
use muster_model::snapshot::pooler::PoolerState;
use muster_model::snapshot::{
    Activity, CacheView, Identity, Part, Pool, PoolerView, Reach, Receiver, Replication, Role, Rung, Sender,
    ServerView, Session,
};
use muster_model::{Gap, Health, Snapshot};

use super::{before, now};
use crate::view::{ClusterPicture, View};

fn part<T>(value: T) -> Part<T> {
    Part {
        taken_at: before(1),
        value,
    }
}

fn session(pid: i32) -> Session {
    Session {
        pid,
        backend_start: before(900),
        xact_start: None,
        query_start: None,
        state_change: None,
        state: Some("idle".into()),
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
        blocked_by: Vec::new(),
    }
}

fn server(name: &str, role: Role, sessions: i32) -> ServerView {
    let primary = role == Role::Primary;
    let mut s = ServerView::unread(name, &format!("shop/{name}"), "127.0.0.1:5432");
    s.reach = Reach::Up;
    s.identity = Some(part(Identity {
        system_identifier: "7301".into(),
        timeline: 1,
        role,
        version_num: 150_018,
        version: "15.18".into(),
        started_at: before(90_000),
        read_only: !primary,
        cluster_name: String::new(),
    }));
    s.activity = Some(part(Activity {
        sessions: (0..sessions).map(|i| session(4000 + i)).collect(),
        max_connections: 100,
        reserved: 3,
        sees_all: true,
    }));
    let sender = Sender {
        pid: 90,
        application: "b".into(),
        client: None,
        state: Some("streaming".into()),
        sync_state: Some("async".into()),
        sent: Some(1000),
        flushed: Some(1000),
        replayed: Some(1000),
        reply_time: Some(before(1)),
        replay_lag_ms: None,
    };
    s.replication = Some(part(Replication {
        current: primary.then_some(1000),
        senders: if primary { vec![sender] } else { Vec::new() },
        receiver: (!primary).then(|| Receiver {
            pid: 91,
            status: Some("streaming".into()),
            sender_host: Some("127.0.0.1".into()),
            sender_port: Some(5432),
            slot: Some("b".into()),
            last_message: Some(before(1)),
        }),
        received: Some(1000),
        replayed: Some(1000),
        last_replayed_commit: Some(before(1)),
        replay_state: Some("not paused".into()),
        upstream: Some("host=127.0.0.1 port=5432 application_name=b".into()),
        sees_all: true,
        ..Replication::default()
    }));
    s
}

pub(super) fn pooler(active: u32, waiting: u32) -> PoolerView {
    PoolerView {
        name: "bouncer".into(),
        address: "shop/bouncer".into(),
        reach: Reach::Up,
        version: Some("1.18.0".into()),
        state: Some(part(PoolerState {
            pools: vec![Pool {
                database: "app".into(),
                user: "shop".into(),
                mode: "transaction".into(),
                cl_active: active,
                cl_waiting: waiting,
                sv_active: active,
                sv_idle: 10 - active,
                sv_used: 0,
                sv_tested: 0,
                sv_login: 0,
                maxwait_us: 0,
                size: 10,
            }],
            ..PoolerState::default()
        })),
    }
}

/// Something that could not be read.
pub(crate) fn gap() -> Gap {
    Gap {
        collector: "replication".into(),
        target: "shop/b".into(),
        reason: "muster_watch may not read pg_stat_replication on shop/b: permission denied".into(),
        remedy: Some("GRANT pg_monitor TO muster_watch;".into()),
    }
}

/// Nothing wrong, everything read.
pub(crate) fn calm() -> View {
    let mut snapshot = Snapshot::new("shop", before(1));
    snapshot.servers = vec![server("a", Role::Primary, 31), server("b", Role::Standby, 4)];
    snapshot.poolers = vec![pooler(3, 0)];
    snapshot.caches = vec![CacheView {
        name: "cache".into(),
        address: "shop/cache".into(),
        reach: Reach::Up,
        version: Some("7.0.15".into()),
        run_id: Some("a1".into()),
        used_memory: Some(48 << 20),
        max_memory: Some(256 << 20),
        ..CacheView::default()
    }];
    let health = ["shop/a", "shop/b", "shop/bouncer", "shop/cache"];
    View {
        at: now(),
        version: "0.1.0".into(),
        watched: 1,
        clusters: vec![ClusterPicture {
            name: "shop".into(),
            snapshot,
            health: health.iter().map(|a| ((*a).to_owned(), Health::Ok)).collect(),
            findings: Vec::new(),
            unknown: Vec::new(),
            autopilot: Autopilot::Propose,
            proved: None,
        }],
        stories: Vec::new(),
        notices: Vec::new(),
    }
}

/// A fleet of which much cannot be seen.
pub(crate) fn blind() -> View {
    let mut v = calm();
    let c = &mut v.clusters[0];
    c.health = vec![
        ("shop/a".into(), Health::Critical),
        ("shop/bouncer".into(), Health::Unknown),
    ];
    c.snapshot.servers[0].reach = Reach::Down {
        rung: Rung::Tcp,
        reason: "connection refused at 127.0.0.1:5432".into(),
        misses: 4,
        since: before(12),
    };
    c.snapshot.servers[1].activity = None;
    c.snapshot.servers[1].replication = None;
    c.snapshot.poolers[0].reach = Reach::Unknown;
    c.snapshot.poolers[0].state = None;
    c.snapshot.caches[0].reach = Reach::Unknown;
    c.snapshot.gaps.push(gap());
    c.unknown.push((
        "pool.exhausted".into(),
        "shop/bouncer".into(),
        "the console was not read".into(),
    ));
    v
}
