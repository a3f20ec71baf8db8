//! Pictures of log, slots, settings, files and access, healthy and spoiled.

use muster_model::snapshot::{
    BadLine, Before, Certificate, ConflictCounters, Conflicts, Cost, Counted, Files, LoginView, OwnCost,
    Reach, Replication, Role, Rung, ServerView, Settings, Slot, Wal, WalCounters,
};
use muster_model::{Snapshot, Span, Time};

use super::{NOW, healthy, now, part, pooled, replicated, session};

/// A position well into the log: 100 GB.
const END: u64 = 100 << 30;
const SEGMENT: u64 = 16 << 20;

/// What a healthy server says in this slice.
pub(crate) fn fill(s: &mut ServerView) {
    let primary = s.role() == Some(Role::Primary);
    s.wal = part(wal(|_, _| ()));
    s.settings = part(Settings {
        values: [
            ("max_connections", "100"),
            ("max_worker_processes", "8"),
            ("max_wal_senders", "10"),
            ("max_prepared_transactions", "0"),
            ("max_locks_per_transaction", "64"),
            ("fsync", "on"),
            ("full_page_writes", "on"),
            ("synchronous_commit", "on"),
            ("zero_damaged_pages", "off"),
            ("ignore_checksum_failure", "off"),
            ("enable_seqscan", "on"),
            ("max_wal_size", "1024"),
            ("random_page_cost", "1.1"),
            ("seq_page_cost", "1"),
            ("archive_mode", "off"),
            ("archive_command", ""),
            ("archive_library", ""),
            ("work_mem", "4096"),
        ]
        .map(|(k, v)| (k.to_owned(), v.to_owned()))
        .into(),
        ..Settings::default()
    });
    s.files = part(Files {
        invalid: Some(vec![]),
        waiting: Some(vec![]),
        rules_invalid: Some(vec![]),
        scoped: vec![],
    });
    s.login = part(LoginView {
        user: "muster".into(),
        rights: [("pg_monitor".to_owned(), true)].into(),
    });
    s.certificate = part(Certificate {
        not_after: None,
        tls: false,
    });
    s.cost = Some(cost(1.0));
    if primary {
        s.replication = part(Replication {
            current: Some(END),
            sees_all: true,
            subscriptions: Some(vec![]),
            ..Replication::default()
        });
    }
}

/// A log of which five minutes are known; `change` turns what was into what is.
fn wal(change: impl Fn(&mut WalCounters, &mut Wal)) -> Wal {
    let then = WalCounters {
        position: END,
        archived: 1000,
        archive_failed: 7,
        timed: 100,
        requested: 100,
    };
    let before = Before {
        at: Time::from_millis(NOW - 300_000),
        value: then,
    };
    let mut wal = Wal {
        archive_mode: "off".into(),
        segment: SEGMENT,
        last_archived: None,
        last_archived_at: None,
        last_failed: None,
        last_failed_at: None,
        counted: Counted {
            at: now(),
            now: then,
            minute: None,
            five_minutes: Some(before),
        },
    };
    let mut counters = then;
    change(&mut counters, &mut wal);
    wal.counted.now = counters;
    wal
}

fn with_wal(change: impl Fn(&mut WalCounters, &mut Wal)) -> Snapshot {
    let mut s = healthy();
    s.servers[0].wal = part(wal(change));
    s
}

/// So many checkpoints in five minutes, with so many megabytes written; a quarter of an hour after the start.
pub(crate) fn checkpoints(timed: u64, requested: u64, megabytes: u64) -> Snapshot {
    with_wal(|n, _| {
        n.timed += timed;
        n.requested += requested;
        n.position += megabytes << 20;
    })
}

/// An archiver that failed so often in five minutes and succeeded so often; the last try was the failure, or not.
pub(crate) fn archiving(mode: &str, failed: u64, archived: u64, failing: bool) -> Snapshot {
    with_wal(|n, w| {
        w.archive_mode = mode.to_owned();
        n.archive_failed += failed;
        n.archived += archived;
        let (late, early) = (
            Some(now().minus(Span::from_secs(10))),
            Some(now().minus(Span::from_secs(90))),
        );
        w.last_archived = Some(segment(END / SEGMENT - 1));
        w.last_archived_at = if failing { early } else { late };
        w.last_failed = Some(segment(END / SEGMENT));
        w.last_failed_at = if failed == 0 {
            None
        } else if failing {
            late
        } else {
            early
        };
    })
}

/// An archiver that does nothing at all while so many segments wait.
#[cfg(test)]
pub(crate) fn archiver_hangs(waiting: u64) -> Snapshot {
    let mut s = archiving("on", 0, 0, false);
    if let Some(w) = &mut s.servers[0].wal {
        w.value.last_archived = Some(segment(END / SEGMENT - 1 - waiting));
        w.value.last_archived_at = Some(now().minus(Span::from_mins(20)));
    }
    s
}

fn segment(number: u64) -> String {
    let each = (1u64 << 32) / SEGMENT;
    format!("00000001{:08X}{:08X}", number / each, number % each)
}

/// A primary with one slot that keeps so many megabytes.
pub(crate) fn slot(megabytes: u64, change: impl Fn(&mut Slot)) -> Snapshot {
    let mut s = healthy();
    let mut slot = Slot {
        name: "standby_b".into(),
        slot_type: "physical".into(),
        active: true,
        active_pid: Some(9),
        restart: Some(END - (megabytes << 20)),
        wal_status: Some("reserved".into()),
        ..Slot::default()
    };
    change(&mut slot);
    if let Some(r) = &mut s.servers[0].replication {
        r.value.slots = vec![slot];
    }
    s
}

/// A primary with a logical slot that somebody uses or not, and so many megabytes to consume.
pub(crate) fn logical(megabytes: u64, active: bool) -> Snapshot {
    slot(0, |s| {
        s.name = "cdc".into();
        s.slot_type = "logical".into();
        s.active = active;
        s.active_pid = active.then_some(9);
        s.database = Some("app".into());
        s.plugin = Some("pgoutput".into());
        s.confirmed = Some(END - (megabytes << 20));
    })
}

/// A server with one subscription.
#[cfg(test)]
pub(crate) fn subscribed(workers: u64) -> Snapshot {
    let mut s = healthy();
    if let Some(r) = &mut s.servers[0].replication {
        r.value.subscriptions = Some(vec![muster_model::snapshot::Subscription {
            name: "orders".into(),
            enabled: 1,
            workers,
            errors: None,
        }]);
    }
    s
}

/// A standby that cancelled so many statements in the last minute.
pub(crate) fn conflicts(many: u64) -> Snapshot {
    let mut s = replicated("idle");
    let counted = |n: u64| ConflictCounters {
        snapshot: 500 + n,
        ..ConflictCounters::default()
    };
    if let Some(r) = &mut s.servers[1].replication {
        r.value.conflicts = Some(vec![Conflicts {
            database: "app".into(),
            counted: Counted {
                at: now(),
                now: counted(many),
                minute: Some(Before {
                    at: Time::from_millis(NOW - 60_000),
                    value: counted(0),
                }),
                five_minutes: None,
            },
        }]);
    }
    s
}

/// A primary that must wait for standbys, of which one is there or not, with so many commits that wait.
pub(crate) fn synchronous(names: &str, there: Option<&str>, waiting: i32) -> Snapshot {
    let mut s = replicated("idle");
    if let Some(r) = &mut s.servers[0].replication {
        r.value.synchronous_names = names.into();
        for sender in &mut r.value.senders {
            sender.sync_state = Some(there.unwrap_or("async").into());
        }
    }
    if let Some(a) = &mut s.servers[0].activity {
        a.value.sessions = (1..=waiting)
            .map(|pid| {
                let mut s = session(pid, "active", 9000);
                s.wait_type = Some("IPC".into());
                s.wait_event = Some("SyncRep".into());
                s
            })
            .collect();
    }
    s
}

/// Two servers in their roles.
pub(crate) fn roles(a: Role, a_timeline: u32, b: Role, b_timeline: u32) -> Snapshot {
    let mut s = replicated("idle");
    for (server, (role, timeline)) in s.servers.iter_mut().zip([(a, a_timeline), (b, b_timeline)]) {
        if let Some(i) = &mut server.identity {
            i.value.role = role;
            i.value.timeline = timeline;
        }
    }
    s
}

/// A server in its crash recovery.
pub(crate) fn starting() -> Snapshot {
    let mut s = healthy();
    s.servers[0].reach = Reach::Starting {
        reason: "the database system is starting up".into(),
    };
    s
}

/// A healthy primary with one setting changed.
pub(crate) fn setting(name: &str, value: &str) -> Snapshot {
    let mut s = healthy();
    set(&mut s, 0, name, value);
    s
}

/// Changes one setting of one server.
pub(crate) fn set(s: &mut Snapshot, at: usize, name: &str, value: &str) {
    if let Some(settings) = &mut s.servers[at].settings {
        settings.value.values.insert(name.into(), value.into());
    }
}

/// A primary and a standby, both healthy.
pub(crate) fn pair() -> Snapshot {
    replicated("idle")
}

/// A primary with lines in its files that it refuses: in the settings, waiting for a restart, in the access rules.
pub(crate) fn bad_lines(invalid: usize, waiting: usize, rules: usize) -> Snapshot {
    let line = |file: &str, name: Option<&str>, error: &str| BadLine {
        file: file.into(),
        line: 7,
        name: name.map(str::to_owned),
        error: error.into(),
    };
    let refused = "setting could not be applied";
    let mut s = healthy();
    s.servers[0].files = part(Files {
        invalid: Some(vec![line("postgresql.conf", Some("work_mem"), refused); invalid]),
        waiting: Some(vec![
            line("postgresql.conf", Some("max_connections"), refused);
            waiting
        ]),
        rules_invalid: Some(vec![
            line(
                "pg_hba.conf",
                None,
                "invalid authentication method \"trusty\""
            );
            rules
        ]),
        scoped: vec![],
    });
    s
}

/// A primary whose login has a right, or not.
pub(crate) fn right(held: bool) -> Snapshot {
    let mut s = healthy();
    if let Some(l) = &mut s.servers[0].login {
        l.value.rights.insert("pg_monitor".into(), held);
    }
    s
}

/// A primary that fails at a rung, so often.
pub(crate) fn refused(rung: Rung, misses: u32) -> Snapshot {
    let mut s = healthy();
    s.servers[0].reach = Reach::Down {
        rung,
        reason: "no".into(),
        misses,
        since: Time::from_millis(NOW - 2000),
    };
    s
}

/// A pooler that points to a database, at a server that has `app`.
pub(crate) fn pooler_points_to(database: &str) -> Snapshot {
    let mut s = pooled(0, 0, "idle", 10);
    let app = super::counting(muster_model::snapshot::DatabaseCounters::default(), |_| ());
    s.servers[0].traffic.clone_from(&app.servers[0].traffic);
    if let Some(p) = &mut s.poolers[0].state {
        p.value.databases[0].database = database.into();
    }
    s
}

/// A primary whose certificate ends in so many hours (below zero: it has ended).
pub(crate) fn certificate(hours: i64) -> Snapshot {
    let mut s = healthy();
    s.servers[0].certificate = part(Certificate {
        not_after: Some(Time::from_millis(NOW + hours * 3_600_000)),
        tls: true,
    });
    s
}

/// A primary that we keep busy for so many milliseconds in each second.
pub(crate) fn costly(busy: f64) -> Snapshot {
    let mut s = healthy();
    s.servers[0].cost = Some(cost(busy));
    s
}

#[allow(clippy::cast_precision_loss)]
fn cost(busy: f64) -> OwnCost {
    let at = |queries: u64| Cost {
        queries,
        rows: queries,
        // Four statements a second; the way there and back is half a millisecond of each.
        busy_ms: queries as f64 * (busy / 4.0 + 0.5),
    };
    OwnCost {
        at: now(),
        now: at(5000),
        before: Some(Before {
            at: Time::from_millis(NOW - 600_000),
            value: at(2600),
        }),
        quickest_ms: 0.5,
    }
}

/// Two servers that are not of one cluster.
#[cfg(test)]
pub(crate) fn strangers() -> Snapshot {
    let mut s = super::snapshot();
    s.servers = vec![super::server("a"), super::server("bb")];
    if let Some(i) = &mut s.servers[1].identity {
        i.value.system_identifier = "8".into();
    }
    s
}

/// Pictures of a long time, a second apart, in which everything was read just before.
#[cfg(test)]
pub(crate) fn read_anew(pictures: impl IntoIterator<Item = Snapshot>) -> Vec<Snapshot> {
    fn later<T>(part: &mut Option<muster_model::snapshot::Part<T>>, by: Span) {
        if let Some(p) = part {
            p.taken_at = p.taken_at.plus(by);
        }
    }
    (0..)
        .zip(pictures)
        .map(|(i, mut picture)| {
            let by = Span::from_secs(i);
            for s in &mut picture.servers {
                later(&mut s.identity, by);
                later(&mut s.activity, by);
                later(&mut s.replication, by);
                later(&mut s.settings, by);
                later(&mut s.wal, by);
                later(&mut s.files, by);
                later(&mut s.login, by);
            }
            picture
        })
        .collect()
}
