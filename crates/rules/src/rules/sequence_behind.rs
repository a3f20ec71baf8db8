//! `sequence.behind`: the next value of a sequence is in its column already, so an INSERT will fail.

use muster_model::Severity;
use muster_model::snapshot::Sequence;
use serde_json::json;

use super::sample::inside as picture;
use super::{RuleInfo, evidence, finding};
use crate::inside::of_primaries;
use crate::judge::Context;

/// For the reference.
pub(super) const INFO: RuleInfo = RuleInfo {
    rule,
    kind: "sequence.behind",
    title: "Sequence behind its column",
    about: "The highest value of a column with a unique index of its own is not below the next value of the sequence that fills it: a \
            restore or a load brought rows without moving the sequence. An INSERT fails with a duplicate key until it is moved.",
    ignores: "Sequences that cycle or count down, columns without a unique index of their own (reading them would scan the table), \
              columns of partitioned tables. The column is read before the sequence, so an INSERT in between cannot look like this.",
    advice: "setval() to the greatest of both under a short lock on the table; never backwards.",
    needs: &["sequences"],
    keys: &[],
    specimen: || {
        vec![picture::with_sequences(vec![picture::sequence(
            Some(3),
            Some(500),
        )])]
    },
    lookalike: || {
        vec![picture::with_sequences(vec![
            picture::sequence(Some(500), Some(500)),
            picture::sequence(None, None),
        ])]
    },
};

pub(super) fn rule(c: &mut Context<'_>) {
    for i in of_primaries(c, INFO.kind, "sequences", |d| &d.sequences) {
        let mut hidden = Vec::new();
        for s in &i.value.sequences {
            let Some(column) = s.column.as_ref().filter(|k| judged_by(s) && k.indexed) else {
                continue;
            };
            if !s.readable || !column.readable {
                hidden.push(s.full_name());
                continue;
            }
            let Some(highest) = column.highest else {
                continue;
            };
            let next = s.last.map_or(s.first, |l| l.saturating_add(s.step));
            if highest < next {
                continue;
            }
            let held = c.held(&i.condition(INFO.kind, s.oid));
            let name = format!("{}.{}.{}", column.schema, column.table, column.name);
            let mut f = finding(
                INFO.kind,
                Severity::Critical,
                &i.server.address,
                i.subject("sequence", &s.full_name()),
                c.now().minus(held),
                format!(
                    "sequence {} in database {} gives {next} next, and {name} is at {highest} already: inserts fail",
                    s.full_name(),
                    i.database.name
                ),
            );
            f.incident = true;
            f.evidence = evidence(json!({
                "database": i.database.name, "sequence": s.full_name(), "column": name, "next": next, "highest": highest,
            }));
            c.findings.push(f);
        }
        if let Some(first) = hidden.first() {
            let why = format!(
                "{} sequences of database {} or the columns that they fill may not be read, {first} among them",
                hidden.len(),
                i.database.name
            );
            c.lacks(INFO.kind, &i.server.address, why);
        }
    }
}

/// Whether its highest value says anything.
fn judged_by(s: &Sequence) -> bool {
    s.step > 0 && !s.cycles && s.column.as_ref().is_some_and(|k| k.type_highest.is_some())
}

#[cfg(test)]
mod tests {
    use super::super::sample::{inside, judged};
    use super::*;

    fn found(s: Sequence) -> usize {
        let j = judged(&inside::with_sequences(vec![s]));
        j.findings.iter().filter(|f| f.kind == INFO.kind).count()
    }

    #[test]
    fn the_next_value_decides() {
        assert_eq!(found(inside::sequence(Some(499), Some(500))), 1);
        assert_eq!(found(inside::sequence(Some(500), Some(500))), 0);
        assert_eq!(
            found(inside::sequence(None, Some(1))),
            1,
            "never used, and its first value is there"
        );
        assert_eq!(found(inside::sequence(None, None)), 0);
        let step = |last| Sequence {
            step: 10,
            ..inside::sequence(Some(last), Some(505))
        };
        assert_eq!((found(step(491)), found(step(500))), (1, 0));
        let cycles = Sequence {
            cycles: true,
            ..inside::sequence(Some(3), Some(500))
        };
        assert_eq!(found(cycles), 0);
    }

    #[test]
    fn without_select_it_is_unknown() {
        let mut s = inside::sequence(Some(3), None);
        s.column.as_mut().expect("column").readable = false;
        let j = judged(&inside::with_sequences(vec![s]));
        let own = j.unknown.iter().find(|u| u.kind == INFO.kind).expect("unknown");
        assert!(own.why.contains("orders_id_seq"), "{}", own.why);
        let unread = inside::spoiled(|d| d.sequences = None);
        assert!(judged(&unread).unknown.iter().any(|u| u.kind == INFO.kind));
    }
}
