//! `vacuum.xmin_holder`: something old keeps vacuum from removing what nobody needs any more.

use muster_model::snapshot::{Holder, HolderKind, Horizons, Role, ServerView};
use muster_model::{Severity, Snapshot, Span, Time};
use serde_json::{Value, json};

use super::{KeyInfo, RuleInfo, evidence, finding, sample};
use crate::amount::amount;
use crate::holders;
use crate::judge::Context;
use crate::work::Work;

/// For the reference.
pub(super) const INFO: RuleInfo = RuleInfo {
    rule,
    kind: "vacuum.xmin_holder",
    title: "Something old holds vacuum back",
    about: "Vacuum removes no row version that the oldest holder may still see. A holder is a session, a slot's xmin, a slot's \
            catalog_xmin (which holds the catalogues only), a prepared transaction, or the feedback of a standby. The finding \
            names the oldest one, what it costs to free it, and how much that gives back.",
    ignores: "By time alone: dumps, index builds and other work that is long by design, and a holder that is less than \
              `floor` transaction ids behind: on a quiet server it holds nothing back. Vacuums themselves, and slots that \
              are lost.",
    advice: "Free the holder, the cheapest first: end the session, decide the prepared transaction, end the query on the \
             standby, bring the consumer of the slot back. Dropping a slot is the last resort. VACUUM does not help before.",
    needs: &["horizons", "activity"],
    keys: &[
        KeyInfo {
            key: "xids",
            default: "10000000",
            about: "transaction ids that it is behind",
        },
        KeyInfo {
            key: "critical_xids",
            default: "100000000",
            about: "transaction ids that it is behind: an incident",
        },
        KeyInfo {
            key: "age",
            default: "1h",
            about: "for how long it holds",
        },
        KeyInfo {
            key: "critical_age",
            default: "24h",
            about: "for how long it holds: an incident",
        },
        KeyInfo {
            key: "floor",
            default: "1000",
            about: "below so many transaction ids its age in time says nothing",
        },
    ],
    specimen: || {
        let slot = sample::vacuum::holder(HolderKind::Slot, "gone", 120_000_000, Span::from_secs(90_000));
        vec![sample::vacuum::held(vec![slot])]
    },
    lookalike: || {
        let mut s = sample::with_sessions(sample::vacuum::long_by_design());
        let dump = sample::vacuum::holder(HolderKind::Session, "1", 2_000_000, Span::from_secs(7200));
        s.servers[0].horizons = sample::vacuum::held(vec![dump]).servers[0].horizons.clone();
        vec![s]
    },
};

/// When a holder is too old.
struct Limits {
    xids: f64,
    critical_xids: f64,
    age: Span,
    critical_age: Span,
    floor: f64,
}

pub(super) fn rule(c: &mut Context<'_>) {
    let limits = Limits {
        xids: c.number(INFO.kind, "xids"),
        critical_xids: c.number(INFO.kind, "critical_xids"),
        age: c.span(INFO.kind, "age"),
        critical_age: c.span(INFO.kind, "critical_age"),
        floor: c.number(INFO.kind, "floor"),
    };
    let now = c.now();
    let snapshot = c.snapshot;
    for server in &snapshot.servers {
        // Vacuum runs on the primary; what a standby holds shows there.
        if server.role() == Some(Role::Standby) {
            continue;
        }
        let Some(horizons) = c.part(INFO.kind, server, &server.horizons, "what holds vacuum back") else {
            continue;
        };
        if !horizons.sees_all {
            c.lacks(
                INFO.kind,
                &server.address,
                "the snapshots of other roles' sessions and of standbys are not seen",
            );
        }
        let worst = |catalog: bool| {
            let of_scope = |h: &&Holder| (h.kind == HolderKind::SlotCatalog) == catalog;
            horizons
                .holders
                .iter()
                .filter(of_scope)
                .filter_map(|h| Some((level(snapshot, h, server, &limits, now)?, h)))
                .max_by_key(|(severity, h)| (*severity, h.xids))
        };
        let (data, catalog) = (worst(false), worst(true));
        // The same slot may hold both: once is enough.
        let catalog = catalog.filter(|(_, h)| data.is_none_or(|(_, d)| d.name != h.name));
        for (severity, holder) in data.into_iter().chain(catalog) {
            let mut f = describe(c.snapshot, server, horizons, holder, severity, now);
            f.ruled_out = Work::ruled_out(
                horizons
                    .holders
                    .iter()
                    .filter(|h| h.name != holder.name)
                    .filter_map(|h| holders::session(server, h)),
            );
            c.findings.push(f);
        }
    }
}

/// How bad a holder is.
#[allow(clippy::cast_precision_loss)]
fn level(
    snapshot: &Snapshot,
    h: &Holder,
    server: &ServerView,
    limits: &Limits,
    now: Time,
) -> Option<Severity> {
    let xids = h.xids as f64;
    let counts = xids >= limits.floor;
    let age = h.since.filter(|_| counts).map_or(Span::ZERO, |t| now.since(t));
    let by_design = holders::by_design(snapshot, server, h);
    if xids >= limits.critical_xids || age >= limits.critical_age {
        Some(Severity::Critical)
    } else if xids >= limits.xids || (age >= limits.age && !by_design) {
        Some(Severity::Warning)
    } else {
        None
    }
}

fn describe(
    snapshot: &Snapshot,
    server: &ServerView,
    horizons: &Horizons,
    h: &Holder,
    severity: Severity,
    now: Time,
) -> muster_model::Finding {
    let held_by = holders::session(server, h);
    let (subject, name) = holders::named(h, held_by);
    let behind = holders::behind(snapshot, h, now);
    let cost = holders::cost(h, held_by);
    let age = h.since.map(|t| now.since(t));
    let since = match (age, h.older) {
        (Some(a), true) => format!(", for at least {}", a.human()),
        (Some(a), false) => format!(", for {}", a.human()),
        (None, _) => String::new(),
    };
    // What comes next holds from there on.
    let next = horizons
        .holders
        .iter()
        .filter(|o| o.name != h.name && o.xids < h.xids)
        // A catalogue is held by every holder, a table by all but the catalogue's.
        .filter(|o| h.kind == HolderKind::SlotCatalog || o.kind != HolderKind::SlotCatalog)
        .map(|o| o.xids)
        .max()
        .unwrap_or(0);
    let what = if h.kind == HolderKind::SlotCatalog {
        "vacuum of the catalogues"
    } else {
        "vacuum"
    };
    let there = behind
        .as_ref()
        .map(|(words, _)| format!("; behind it {words}"))
        .unwrap_or_default();
    let mut f = finding(
        INFO.kind,
        severity,
        &server.address,
        subject,
        h.since.unwrap_or(now),
        format!(
            "{name} holds {what} back by {} transaction ids{since}{there}; {cost}",
            amount(h.xids)
        ),
    );
    f.incident = severity == Severity::Critical;
    let others: Vec<Value> = horizons
        .holders
        .iter()
        .filter(|o| o.name != h.name)
        .take(5)
        .map(|o| json!({"kind": o.kind, "name": o.name, "xids": o.xids}))
        .collect();
    f.evidence = evidence(json!({
        "holder": h.kind, "name": h.name, "pid": h.pid, "user": h.user, "database": h.database,
        "application": h.application, "client": h.client, "state": h.state, "xids": h.xids,
        "age_ms": age.map(Span::millis), "at_least": h.older, "cost": cost, "gives_back": h.xids - next,
        "behind": behind.map(|(_, data)| data), "others": others, "query": held_by.and_then(|s| s.query.clone()),
    }));
    f
}

#[cfg(test)]
mod tests {
    use muster_model::snapshot::{HolderKind, Role};
    use muster_model::{Severity, Span};

    use super::super::sample::vacuum::{at_work, freeze, held, holder, prepared};
    use super::super::sample::{judged, kinds, session, with_sessions};
    use crate::correlate;
    use crate::judge::Judgement;

    const HOUR: Span = Span::from_mins(60);
    const DAY: Span = Span::from_mins(24 * 60);

    fn said(j: &Judgement) -> Vec<(Severity, bool, String)> {
        let found = j.findings.iter().filter(|f| f.kind == "vacuum.xmin_holder");
        found
            .map(|f| (f.severity, f.incident, f.summary.clone()))
            .collect()
    }

    #[test]
    fn each_kind_of_holder_is_named_with_what_freeing_it_costs() {
        for (kind, name, words, cost) in [
            (
                HolderKind::Session,
                "7",
                "session 7 of app/notes in database app (idle in transaction) holds vacuum back by 120.0 million \
                 transaction ids, for 2h",
                "rolls back",
            ),
            (
                HolderKind::Slot,
                "standby_b",
                "replication slot standby_b",
                "standby may have to be rebuilt",
            ),
            (
                HolderKind::SlotCatalog,
                "cdc",
                "vacuum of the catalogues back",
                "copy everything anew",
            ),
            (
                HolderKind::Prepared,
                "order-1",
                "prepared transaction `order-1` of app",
                "coordinator decides",
            ),
            (
                HolderKind::Standby,
                "b",
                "the feedback of standby b",
                "end the query on the standby",
            ),
        ] {
            let s = held(vec![holder(kind, name, 120_000_000, Span::from_mins(120))]);
            let found = said(&judged(&s));
            assert_eq!(found.len(), 1, "{kind:?}");
            let (severity, incident, summary) = &found[0];
            assert_eq!((*severity, *incident), (Severity::Critical, true), "{kind:?}");
            assert!(summary.contains(words) && summary.contains(cost), "{summary}");
        }
    }

    #[test]
    fn it_warns_by_transaction_ids_or_by_time_and_time_alone_says_nothing_on_a_quiet_server() {
        let found = |xids, age| {
            let s = held(vec![holder(HolderKind::Slot, "s", xids, age)]);
            said(&judged(&s)).first().map(|(severity, ..)| *severity)
        };
        assert_eq!(found(9_999_999, Span::from_secs(3599)), None);
        assert_eq!(found(10_000_000, Span::ZERO), Some(Severity::Warning));
        assert_eq!(found(100_000_000, Span::ZERO), Some(Severity::Critical));
        assert_eq!(found(1000, HOUR), Some(Severity::Warning));
        assert_eq!(found(1000, DAY), Some(Severity::Critical));
        assert_eq!(found(999, DAY), None);
    }

    #[test]
    fn a_dump_of_two_hours_is_left_alone_and_one_that_holds_too_much_is_named_as_one() {
        let found = |application: &str, query: &str, xids, age: Span| {
            let ms = i64::try_from(age.millis()).expect("fits");
            let mut s = with_sessions(vec![at_work(7, application, query, ms)]);
            s.servers[0].horizons = held(vec![holder(HolderKind::Session, "7", xids, age)]).servers[0]
                .horizons
                .clone();
            said(&judged(&s)).pop()
        };
        let two_hours = Span::from_mins(120);
        assert_eq!(found("pg_dump", "COPY t TO stdout", 2_000_000, two_hours), None);
        assert_eq!(
            found(
                "psql",
                "CREATE INDEX CONCURRENTLY i ON t (a)",
                2_000_000,
                two_hours
            ),
            None
        );
        let (severity, _, summary) = found("report", "SELECT ?", 2_000_000, two_hours).expect("found");
        assert_eq!(severity, Severity::Warning);
        assert!(summary.contains("nothing that was written"), "{summary}");
        let (severity, _, summary) =
            found("pg_dump", "COPY t TO stdout", 11_000_000, two_hours).expect("found");
        assert_eq!(severity, Severity::Warning);
        assert!(
            summary.contains("a dump or backup") && summary.contains("begins anew"),
            "{summary}"
        );
        let (severity, ..) = found("pg_dump", "COPY t TO stdout", 2_000_000, DAY).expect("found");
        assert_eq!(severity, Severity::Critical);
    }

    #[test]
    fn the_oldest_is_named_with_what_freeing_it_gives_back() {
        let s = held(vec![
            holder(HolderKind::Slot, "old", 50_000_000, HOUR),
            holder(HolderKind::Prepared, "younger", 20_000_000, HOUR),
            holder(HolderKind::SlotCatalog, "cdc", 40_000_000, HOUR),
            holder(HolderKind::SlotCatalog, "old", 50_000_000, HOUR),
        ]);
        let j = judged(&s);
        let found: Vec<_> = j
            .findings
            .iter()
            .filter(|f| f.kind == "vacuum.xmin_holder")
            .collect();
        assert_eq!(found.len(), 1, "the same slot twice is one finding: {found:?}");
        assert_eq!(found[0].subject.0, "slot:old");
        assert_eq!(found[0].evidence["gives_back"], 30_000_000);
    }

    #[test]
    fn behind_the_feedback_of_a_standby_its_session_is_named() {
        let mut s = super::super::sample::replicated("idle");
        s.servers[0].horizons = held(vec![holder(HolderKind::Standby, "b", 20_000_000, HOUR)]).servers[0]
            .horizons
            .clone();
        if let Some(h) = &mut s.servers[0].horizons {
            h.value.holders[0].application = "b".into();
        }
        s.servers[1].horizons = held(vec![holder(HolderKind::Session, "88", 20_000_000, HOUR)]).servers[0]
            .horizons
            .clone();
        let found = said(&judged(&s));
        assert_eq!(found.len(), 1, "the standby itself is not blamed: {found:?}");
        assert!(
            found[0].2.contains("session 88 of app/notes on shop/b"),
            "{}",
            found[0].2
        );
    }

    #[test]
    fn a_dump_on_a_standby_is_left_alone_on_the_primary_too() {
        let found = |application: &str| {
            let mut s = super::super::sample::replicated("idle");
            s.servers[0].horizons = held(vec![holder(
                HolderKind::Standby,
                "b",
                2_000_000,
                Span::from_mins(120),
            )])
            .servers[0]
                .horizons
                .clone();
            if let Some(h) = &mut s.servers[0].horizons {
                h.value.holders[0].application = "b".into();
            }
            let mut dump = session(41, "active", 7_200_000);
            dump.application = application.into();
            if let Some(a) = &mut s.servers[1].activity {
                a.value.sessions = vec![dump];
            }
            if let Some(h) = &mut s.servers[1].horizons {
                h.value.holders = vec![holder(HolderKind::Session, "41", 2_000_000, Span::from_mins(120))];
            }
            judged(&s).findings.iter().any(|f| f.kind == "vacuum.xmin_holder")
        };
        assert!(found("notes") && !found("pg_dump"));
    }

    #[test]
    fn it_is_the_symptom_of_the_session_that_idles_and_the_cause_of_old_rows() {
        let mut s = with_sessions(vec![session(7, "idle in transaction", 4_000_000)]);
        let held = held(vec![holder(
            HolderKind::Session,
            "7",
            20_000_000,
            Span::from_secs(4000),
        )]);
        s.servers[0].horizons = held.servers[0].horizons.clone();
        if let Some(v) = &mut s.servers[0].vacuuming {
            v.value.freeze = vec![freeze("app", 1_200_000_000)];
        }
        let told = correlate(&s, &judged(&s).findings);
        assert_eq!(told.roots.len(), 1, "{told:#?}");
        assert_eq!(told.roots[0].cause.kind, "locks.idle_in_transaction");
        let symptoms: Vec<&str> = told.roots[0].symptoms.iter().map(|f| f.kind.as_str()).collect();
        for kind in [
            "transactions.long",
            "vacuum.xmin_holder",
            "vacuum.freeze_pressure",
        ] {
            assert!(symptoms.contains(&kind), "{symptoms:?}");
        }
        // Another session's holding is another matter.
        let mut s = prepared(&[Span::from_mins(2)]);
        s.servers[0].horizons = held.servers[0].horizons.clone();
        assert_eq!(correlate(&s, &judged(&s).findings).roots.len(), 2);
        let mut own = holder(HolderKind::Prepared, "order-0", 20_000_000, HOUR);
        own.user = Some("app".into());
        if let Some(h) = &mut s.servers[0].horizons {
            h.value.holders = vec![own];
        }
        let told = correlate(&s, &judged(&s).findings);
        assert_eq!(told.roots.len(), 1, "{told:#?}");
        assert_eq!(told.roots[0].cause.kind, "locks.orphaned_prepared");
    }

    #[test]
    fn a_standby_is_left_alone_and_what_is_not_seen_is_unknown() {
        let mut s = held(vec![holder(HolderKind::Session, "7", 200_000_000, DAY)]);
        s.servers[0].identity.as_mut().expect("identity").value.role = Role::Standby;
        assert_eq!(kinds(&judged(&s)), [""; 0]);
        let mut s = held(vec![holder(HolderKind::Slot, "s", 200_000_000, DAY)]);
        s.servers[0].horizons.as_mut().expect("horizons").value.sees_all = false;
        let j = judged(&s);
        assert_eq!(kinds(&j), ["vacuum.xmin_holder"], "slots are seen by everybody");
        assert!(j.unknown.iter().any(|u| u.kind == "vacuum.xmin_holder"));
        s.servers[0].horizons = None;
        assert!(judged(&s).unknown.iter().any(|u| u.kind == "vacuum.xmin_holder"));
    }
}
