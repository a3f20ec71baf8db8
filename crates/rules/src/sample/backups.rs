//! Pictures of backups, duties and checked indexes.

use muster_model::snapshot::{BackupFailure, BackupView, Duty, DutyKind, IndexCheck, Part, WalGap};
use muster_model::{Snapshot, Span};

use super::{healthy, now};

fn hours(n: u64) -> Span {
    Span::from_mins(n * 60)
}

/// Late enough that days lie before it.
fn picture() -> Snapshot {
    let mut s = healthy();
    let later = hours(24 * 100);
    s.taken_at = now().plus(later);
    s.servers.clear();
    s
}

fn with(b: impl Fn(&Snapshot) -> BackupView) -> Snapshot {
    let mut s = picture();
    s.backups = vec![b(&s)];
    s
}

fn good(s: &Snapshot) -> BackupView {
    BackupView {
        name: "main".into(),
        address: "shop".into(),
        last: Some(s.taken_at.minus(hours(1))),
        verified: Some(s.taken_at.minus(hours(24))),
        ..BackupView::default()
    }
}

/// The newest backup is so many hours old.
pub(crate) fn aged(age_hours: u64) -> Snapshot {
    with(|s| BackupView {
        last: Some(s.taken_at.minus(hours(age_hours))),
        ..good(s)
    })
}

/// The newest verified backup is so many days old.
pub(crate) fn verified(days: u64) -> Snapshot {
    with(|s| BackupView {
        verified: Some(s.taken_at.minus(hours(24 * days))),
        ..good(s)
    })
}

/// So many failures in a row.
pub(crate) fn failing(times: u32) -> Snapshot {
    with(|s| BackupView {
        failure: Some(BackupFailure {
            since: s.taken_at.minus(hours(2)),
            times,
            reason: "no space left".into(),
        }),
        ..good(s)
    })
}

/// With a hole in the archive, or without.
pub(crate) fn holed(hole: bool) -> Snapshot {
    with(|s| BackupView {
        gap: hole.then(|| WalGap {
            from: "000000010000000000000012".into(),
            to: "000000010000000000000014".into(),
            since: s.taken_at.minus(hours(1)),
        }),
        ..good(s)
    })
}

/// A duty that was due so many days ago (negative: is due in so many).
pub(crate) fn duty(kind: DutyKind, days_late: i64) -> Snapshot {
    let mut s = picture();
    let span = hours(24 * days_late.unsigned_abs());
    s.duties = vec![Duty {
        kind,
        address: "shop".into(),
        name: "failover".into(),
        owner: Some("ana".into()),
        due: if days_late > 0 {
            s.taken_at.minus(span)
        } else {
            s.taken_at.plus(span)
        },
    }];
    s
}

/// A primary whose indexes were checked; one is broken, or none.
pub(crate) fn checked(broken: bool) -> Snapshot {
    let mut s = healthy();
    for d in &mut s.servers[0].databases {
        d.checked = Some(Part {
            taken_at: now(),
            value: vec![
                IndexCheck {
                    index: "public.orders_pkey".into(),
                    table: "public.orders".into(),
                    wrong: None,
                },
                IndexCheck {
                    index: "public.orders_name".into(),
                    table: "public.orders".into(),
                    wrong: broken.then(|| "item order invariant violated".into()),
                },
            ],
        });
    }
    s
}
