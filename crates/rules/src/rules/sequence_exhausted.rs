//! `sequence.exhausted`: a sequence, or the type of the column that it fills, comes to its end.

use muster_model::Severity;
use muster_model::snapshot::Sequence;
use serde_json::json;

use super::sample::inside as picture;
use super::{KeyInfo, RuleInfo, evidence, finding};
use crate::inside::of_primaries;
use crate::judge::Context;

/// For the reference.
pub(super) const INFO: RuleInfo = RuleInfo {
    rule,
    kind: "sequence.exhausted",
    title: "Sequence near its end",
    about: "The last value of a sequence against its end: its own highest value or that of the type of the column that it fills \
            (int2, int4, int8), whichever comes first. A sequence of int8 that fills a column of int4 ends with int4.",
    ignores: "Sequences that cycle.",
    advice: "Plan the change of the column to bigint while there is time: it rewrites the table. There is no repair once it is at its \
             end.",
    needs: &["sequences"],
    keys: &[
        KeyInfo {
            key: "warning",
            default: "75",
            about: "per cent of its range",
        },
        KeyInfo {
            key: "critical",
            default: "90",
            about: "per cent of its range",
        },
    ],
    specimen: || {
        vec![picture::with_sequences(vec![picture::sequence(
            Some(2_000_000_000),
            None,
        )])]
    },
    lookalike: || {
        let mut of_bigint = picture::sequence(Some(2_000_000_000), None);
        if let Some(column) = of_bigint.column.as_mut() {
            column.type_highest = Some(i64::MAX);
        }
        vec![picture::with_sequences(vec![of_bigint])]
    },
};

pub(super) fn rule(c: &mut Context<'_>) {
    let (warning, critical) = (c.number(INFO.kind, "warning"), c.number(INFO.kind, "critical"));
    for i in of_primaries(c, INFO.kind, "sequences", |d| &d.sequences) {
        let hidden: Vec<&Sequence> = i
            .value
            .sequences
            .iter()
            .filter(|s| !s.readable && !s.cycles)
            .collect();
        if let Some(first) = hidden.first() {
            let why = format!(
                "{} sequences of database {} may not be read, {} among them",
                hidden.len(),
                i.database.name,
                first.full_name()
            );
            c.lacks(INFO.kind, &i.server.address, why);
        }
        if i.value.left_out > 0 {
            let why = format!(
                "{} sequences of database {} were not read",
                i.value.left_out, i.database.name
            );
            c.lacks(INFO.kind, &i.server.address, why);
        }
        for s in i.value.sequences.iter().filter(|s| !s.cycles) {
            let Some(last) = s.last else { continue };
            let percent = used(s, last);
            if percent < warning {
                continue;
            }
            let severe = percent >= critical;
            let held = c.held(&i.condition(INFO.kind, s.oid));
            let end = if s.step < 0 { s.lowest } else { s.ends_at() };
            let left = last.abs_diff(end) / s.step.unsigned_abs().max(1);
            let of = s.column.as_ref().map_or(String::new(), |k| {
                format!(" for {}.{}.{}", k.schema, k.table, k.name)
            });
            let mut f = finding(
                INFO.kind,
                if severe {
                    Severity::Critical
                } else {
                    Severity::Warning
                },
                &i.server.address,
                i.subject("sequence", &s.full_name()),
                c.now().minus(held),
                format!(
                    "sequence {} in database {}{of} has used {percent:.1} % of its range: {left} values are left",
                    s.full_name(),
                    i.database.name
                ),
            );
            // With no value left every INSERT fails now; before that there is time for a plan.
            f.incident = left == 0;
            f.evidence = evidence(json!({
                "database": i.database.name, "sequence": s.full_name(), "last": last, "ends_at": end, "percent": percent,
                "left": left, "column_type_ends_first": s.step > 0 && s.ends_at() < s.highest,
            }));
            c.findings.push(f);
        }
    }
}

#[allow(clippy::cast_precision_loss)]
fn used(s: &Sequence, last: i64) -> f64 {
    let (from, to) = if s.step < 0 {
        (s.highest, s.lowest)
    } else {
        (s.lowest, s.ends_at())
    };
    let range = from.abs_diff(to).max(1) as f64;
    from.abs_diff(last) as f64 * 100.0 / range
}

#[cfg(test)]
mod tests {
    use super::super::sample::{inside, judged};
    use super::*;

    fn found(s: Sequence) -> Option<(Severity, bool)> {
        let j = judged(&inside::with_sequences(vec![s]));
        let f = j.findings.into_iter().find(|f| f.kind == INFO.kind)?;
        Some((f.severity, f.incident))
    }

    #[test]
    fn the_type_of_the_column_ends_first() {
        let at = |percent: i64| inside::sequence(Some(i64::from(i32::MAX) / 100 * percent), None);
        assert_eq!(found(at(74)), None);
        assert_eq!(found(at(76)), Some((Severity::Warning, false)));
        assert_eq!(found(at(91)), Some((Severity::Critical, false)));
        let end = inside::sequence(Some(i64::from(i32::MAX)), None);
        assert_eq!(found(end.clone()), Some((Severity::Critical, true)));
        assert_eq!(found(Sequence { cycles: true, ..end }), None);
        let down = Sequence {
            step: -1,
            lowest: -100,
            highest: -1,
            column: None,
            ..inside::sequence(Some(-95), None)
        };
        assert_eq!(found(down), Some((Severity::Critical, false)));
    }

    #[test]
    fn a_sequence_that_may_not_be_read_is_unknown() {
        let hidden = Sequence {
            readable: false,
            ..inside::sequence(None, None)
        };
        let j = judged(&inside::with_sequences(vec![hidden]));
        assert!(j.unknown.iter().any(|u| u.kind == INFO.kind) && j.findings.is_empty());
        let unread = inside::spoiled(|d| d.sequences = None);
        assert!(judged(&unread).unknown.iter().any(|u| u.kind == INFO.kind));
    }
}
