//! Pictures of a server whose host is enrolled: its log, volumes, memory and load.

use std::collections::BTreeMap;

use muster_model::snapshot::{
    BackendMemory, Before, Counted, Disks, Folder, Holding, HostMemory, HostView, Load, LogClass, LogCount,
    LogEvent, LogLevel, Part, Postmaster, Pressure, Reach, Rejection, Rung, ServerLog, Slope, Volume,
};
use muster_model::{Snapshot, Span, Time};

use super::{NOW, healthy, now};

pub(crate) const GB: u64 = 1 << 30;

fn part<T>(value: T) -> Option<Part<T>> {
    Some(Part {
        taken_at: now(),
        value,
    })
}

/// A volume of 500 GB of which so many per cent are used.
pub(crate) fn volume(mount: &str, device: u64, used_percent: u64, holds: &[Holding]) -> Volume {
    let folder = |what: &Holding| Folder {
        what: *what,
        path: format!("{mount}/{what:?}").to_lowercase(),
        bytes: Some(GB),
        complete: true,
    };
    Volume {
        mount: mount.into(),
        device,
        size: 500 * GB,
        free: 5 * GB * (100 - used_percent),
        inodes: None,
        holds: holds.iter().map(folder).collect(),
        slope: None,
    }
}

/// A healthy host.
fn view() -> HostView {
    HostView {
        name: "host".into(),
        log: part(ServerLog {
            since: Some(Time::from_millis(0)),
            ..ServerLog::default()
        }),
        disks: part(Disks {
            volumes: vec![
                volume("/srv/data", 1, 40, &[Holding::Data]),
                volume("/srv/wal", 2, 40, &[Holding::Wal]),
            ],
            segment: 16 << 20,
            wal_seen: true,
        }),
        load: part(Load {
            cores: 4,
            load: 1.0,
            running: 1,
            busy: Some(25.0),
            stolen: Some(0.0),
            pressure: Some(Pressure::default()),
            booted_at: None,
        }),
        memory: part(HostMemory {
            total: 16 * GB,
            available: 8 * GB,
            swap: (0, 0),
            oom_kills: Some(kills(0)),
            backends: vec![],
            processes: 20,
            own: GB,
        }),
        postmaster: part(Postmaster {
            pid: Some(47),
            serves: Some(true),
        }),
    }
}

/// The kernel's count of kills that grew by so many in the last five minutes.
pub(crate) fn kills(grown: u64) -> Counted<u64> {
    let before = Before {
        at: Time::from_millis(NOW - 300_000),
        value: 3,
    };
    Counted {
        at: now(),
        now: 3 + grown,
        minute: None,
        five_minutes: Some(before),
    }
}

/// A healthy primary on a host that is spoiled in one place.
pub(crate) fn hosted(spoil: impl FnOnce(&mut HostView)) -> Snapshot {
    let mut s = healthy();
    let mut host = view();
    spoil(&mut host);
    s.servers[0].host = Some(host);
    s
}

/// The same, and the server does not answer.
pub(crate) fn down(spoil: impl FnOnce(&mut HostView)) -> Snapshot {
    let mut s = hosted(spoil);
    s.servers[0].reach = Reach::Down {
        rung: Rung::Tcp,
        reason: "refused".into(),
        misses: 3,
        since: Time::from_millis(998_000),
    };
    s
}

/// Its volumes are these.
pub(crate) fn disks(volumes: Vec<Volume>) -> Snapshot {
    hosted(|h| {
        if let Some(d) = &mut h.disks {
            d.value.volumes = volumes;
        }
    })
}

/// A data volume that grows by so many GB an hour.
pub(crate) fn growing(per_hour: f64, minutes: u64, steady: bool) -> Volume {
    let mut v = volume("/srv/data", 1, 60, &[Holding::Data]);
    #[allow(clippy::cast_precision_loss)]
    let bytes = per_hour * GB as f64;
    v.slope = Some(Slope {
        per_hour: bytes,
        over: Span::from_mins(minutes),
        steady,
    });
    v
}

/// An event of so many seconds ago.
pub(crate) fn event(
    ago: i64,
    class: LogClass,
    level: LogLevel,
    message: &str,
    named: &[(&str, &str)],
) -> LogEvent {
    LogEvent {
        at: Time::from_millis(NOW - ago * 1000),
        dated: true,
        level,
        class,
        sqlstate: None,
        pid: Some(9),
        user: None,
        database: None,
        client: None,
        message: message.into(),
        named: named
            .iter()
            .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
            .collect::<BTreeMap<_, _>>(),
    }
}

/// Its log says this.
pub(crate) fn says(host: &mut HostView, events: Vec<LogEvent>) {
    if let Some(log) = &mut host.log {
        log.value.events = events;
    }
}

/// A backend ended by a signal, and what comes of it.
pub(crate) fn killed(ago: i64, signal: &str) -> Vec<LogEvent> {
    let class = if signal == "9" {
        LogClass::Killed
    } else {
        LogClass::Crashed
    };
    let names = [
        ("process", "4711"),
        ("signal", signal),
        ("what", "server process"),
    ];
    let anew = "all server processes terminated; reinitializing";
    vec![
        event(
            ago,
            class,
            LogLevel::Log,
            "server process (PID 4711) was terminated",
            &names,
        ),
        event(ago, LogClass::Reinitializing, LogLevel::Log, anew, &[]),
        event(
            ago,
            LogClass::CrashRecovery,
            LogLevel::Log,
            "database system was interrupted",
            &[],
        ),
        event(
            ago - 1,
            LogClass::Ready,
            LogLevel::Log,
            "database system is ready",
            &[],
        ),
    ]
}

/// So many logins refused in the last minute.
pub(crate) fn refused(minute: u64) -> Snapshot {
    hosted(|h| {
        if let Some(log) = &mut h.log {
            let count = LogCount {
                minute,
                five_minutes: minute,
                ten_minutes: minute,
                ever: minute,
                last: Some(now()),
            };
            log.value.counts.insert(LogClass::Authentication, count);
            log.value.rejections = vec![Rejection {
                user: Some("app".into()),
                client: Some("10.0.0.7".into()),
                why: "password".into(),
                minute,
                ten_minutes: minute,
                last: now(),
            }];
        }
    })
}

/// A backend whose own memory is so many MB and grew by so many an hour for so many minutes.
pub(crate) fn backend(own_mb: u64, per_hour_mb: f64, minutes: u64) -> Snapshot {
    hosted(|h| {
        if let Some(memory) = &mut h.memory {
            memory.value.backends = vec![BackendMemory {
                pid: 4711,
                own: own_mb << 20,
                resident: own_mb << 20,
                per_hour: Some(per_hour_mb * 1024.0 * 1024.0),
                over: Span::from_mins(minutes),
            }];
        }
    })
}

/// A host of four cores with so much load, busy and under pressure for so many per cent.
pub(crate) fn loaded(load: f64, busy: f64, pressure: Option<f64>) -> Snapshot {
    hosted(|h| {
        if let Some(l) = &mut h.load {
            l.value.load = load;
            l.value.busy = Some(busy);
            l.value.pressure = pressure.map(|cpu| Pressure {
                cpu,
                ..Pressure::default()
            });
        }
    })
}
