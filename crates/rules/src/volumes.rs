//! Verdicts on volumes, shared by the four rules about disks.
//!
//! A volume is judged once, even when several servers or folders lie on it: where the data folder shares it with the WAL it is
//! a data volume (`disk.data_*`), and what is special about WAL counts there too. A volume of logs alone is not judged: a server
//! without a log goes on. Full wins over filling, so one volume gives one finding.

use std::collections::BTreeMap;

use muster_model::snapshot::{Disks, Holding, Role, ServerView, Volume};
use muster_model::{Severity, Span, Subject};
use serde_json::json;

use crate::hosts::{hosted, size};
use crate::judge::Context;
use crate::rules::{evidence, finding};

/// So many per cent less than where it began end a finding: a volume that wavers at its threshold does not come and go.
const ROOM: f64 = 1.0;

/// What is wrong with a volume.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Full,
    FullSoon,
    Filling,
}

/// A server, its disks, and the one of them.
type User<'s> = (&'s ServerView, &'s Disks, &'s Volume);

/// Reports the volumes whose verdict is `kind`.
pub(crate) fn rule(c: &mut Context<'_>, kind: &'static str) {
    let wal = kind.starts_with("disk.wal_");
    let mut seen: BTreeMap<(String, u64), Vec<User<'_>>> = BTreeMap::new();
    for (server, host) in hosted(c) {
        let Some(disks) = c.near(kind, server, &host.disks, "the volumes of its host") else {
            continue;
        };
        if wal && !disks.wal_seen {
            c.lacks(kind, &server.address, "the volume of pg_wal: not read");
        }
        for v in disks
            .volumes
            .iter()
            .filter(|v| of_wal(v) == wal && (wal || of_data(v)))
        {
            seen.entry((host.name.clone(), v.device))
                .or_default()
                .push((server, disks, v));
        }
    }
    for users in seen.values_mut() {
        // Said of the primary when it is among them.
        users.sort_by_key(|(s, _, _)| s.role() != Some(Role::Primary));
        judge(c, kind, users);
    }
}

fn of_wal(v: &Volume) -> bool {
    v.holds(Holding::Wal) && !v.holds(Holding::Data)
}

fn of_data(v: &Volume) -> bool {
    v.holds(Holding::Data) || v.holds(Holding::Tablespace) || v.holds(Holding::Temp)
}

fn judge(c: &mut Context<'_>, kind: &'static str, users: &[User<'_>]) {
    let Some((server, disks, v)) = users.first() else {
        return;
    };
    let condition = |kind: &str| format!("{kind}|{}|{}", server.address, v.device);
    let Some(state) = state(c, disks, v, &|kind| c.held_before(&condition(kind))) else {
        return;
    };
    if (state == State::Full) != kind.ends_with("_full") {
        return;
    }
    let held = c.held(&condition(kind));
    let severe = state != State::Filling;
    let mut what: Vec<&str> = v.holds.iter().map(|h| word(h.what)).collect();
    what.dedup();
    let others = match users.len() {
        1 => String::new(),
        _ => {
            let names: Vec<&str> = users[1..].iter().map(|(s, _, _)| s.address.as_str()).collect();
            format!(", used by {} too,", names.join(" and "))
        }
    };
    let mut summary = format!(
        "the volume {} ({} of {}){others} is {:.0} % full: {} free",
        v.mount,
        what.join(", "),
        server.address,
        v.used_percent(),
        size(v.free)
    );
    if let Some((free, all)) = v.inodes.filter(|(free, all)| free * 20 < *all) {
        summary += &format!(", {free} of {all} files");
    }
    let filling = if of_wal(v) {
        "disk.wal_filling"
    } else {
        "disk.data_filling"
    };
    if let Some((span, slope)) = soon(c, v, c.span(filling, "eta")) {
        summary += &format!("; at {} an hour it is full in {}", size(slope), span.human());
    }
    let mut eaters: Vec<_> = v.holds.iter().filter(|h| h.bytes.is_some()).collect();
    eaters.sort_by_key(|h| std::cmp::Reverse(h.bytes));
    if let Some(most) = eaters.first() {
        let at_least = if most.complete { "" } else { "at least " };
        summary += &format!(
            "; most is {} ({at_least}{})",
            word(most.what),
            size(most.bytes.unwrap_or(0))
        );
    }
    let mut f = finding(
        kind,
        if severe {
            Severity::Critical
        } else {
            Severity::Warning
        },
        &server.address,
        Subject::new("volume", &v.mount),
        c.now().minus(held),
        summary,
    );
    f.incident = severe;
    f.evidence = evidence(json!({
        "mount": v.mount, "size": v.size, "free": v.free, "used_percent": v.used_percent(), "inodes": v.inodes,
        "holds": v.holds, "slope": v.slope, "full_in_ms": v.full_in().map(Span::millis), "segment": disks.segment,
        "servers": users.iter().map(|(s, _, _)| s.address.clone()).collect::<Vec<_>>(),
    }));
    if !severe && v.slope.is_some_and(|s| s.per_hour > 0.0 && !s.steady) {
        f.ruled_out
            .push("a time at which it is full: it grew in one burst, which is no trend".to_owned());
    }
    c.findings.push(f);
}

/// When it is full if it goes on, within `eta`, and how much an hour that is. A look of minutes is no trend.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
fn soon(c: &Context<'_>, v: &Volume, eta: Span) -> Option<(Span, u64)> {
    let slope = v
        .slope
        .filter(|s| s.over >= c.span("disk.data_filling", "over"))?;
    let left = v.full_in().filter(|t| *t < eta)?;
    Some((left, slope.per_hour as u64))
}

/// `found` says whether a kind was found at the last look: then it is over only when there is some room again.
fn state(c: &Context<'_>, disks: &Disks, v: &Volume, found: &dyn Fn(&str) -> bool) -> Option<State> {
    let (filling, full) = if of_wal(v) {
        ("disk.wal_filling", "disk.wal_full")
    } else {
        ("disk.data_filling", "disk.data_full")
    };
    let used = |kind: &str| v.used_percent() + if found(kind) { ROOM } else { 0.0 };
    let segments = c.number(full, "segments");
    #[allow(clippy::cast_precision_loss)]
    let (free, size, segment) = (v.free as f64, v.size.max(1) as f64, disks.segment as f64);
    let no_wal = v.holds(Holding::Wal) && segment > 0.0 && free < segments * segment;
    if used(full) >= c.number(full, "critical") || no_wal {
        return Some(State::Full);
    }
    if soon(c, v, c.span(filling, "eta")).is_some() {
        return Some(State::FullSoon);
    }
    let little = free < c.number(filling, "free") * 1024.0 * 1024.0 * 1024.0
        && free * 100.0 / size < c.number(filling, "free_percent");
    (used(filling) >= c.number(filling, "warning") || little).then_some(State::Filling)
}

fn word(what: Holding) -> &'static str {
    match what {
        Holding::Data => "data",
        Holding::Wal => "WAL",
        Holding::Temp => "temporary files",
        Holding::Log => "log",
        Holding::Tablespace => "tablespace",
    }
}
