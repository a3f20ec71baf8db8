//! What an index would bring and cost: the verdict of the planner that was made to believe in it, its size, its price at each write.

use muster_model::query::{TableFacts, Writes};
use serde::Serialize;

use super::candidates::Candidate;

/// The cost has to fall by this share.
const FALL: f64 = 0.5;
/// A statement that costs less is left alone.
const CHEAP: f64 = 100.0;
/// A wider index has to beat a narrower one by this share.
const WIDER: f64 = 0.2;

/// What is said of a candidate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Advice {
    /// The planner would use it, and the cost falls by half at least.
    Advised,
    /// It would help, and another one does as well.
    NotBest,
    /// The planner would use it, and that is not worth it.
    TooLittle,
    /// The planner would not use it.
    NotUsed,
    /// Nobody could ask the planner, or its statistics are stale.
    CannotProve,
}

/// A candidate that the planner was asked about.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Tried {
    /// It.
    pub candidate: Candidate,
    /// Cost of the statement with it.
    pub after: f64,
    /// Whether the plan has it.
    pub used: bool,
    /// Its size as hypopg estimates.
    pub bytes: Option<u64>,
}

/// The verdict on each, with a sentence. At most one of each table is advised.
#[must_use]
pub fn verdicts(before: f64, tried: &[Tried]) -> Vec<(Advice, String)> {
    let fall = |t: &Tried| {
        if before > 0.0 {
            (before - t.after) / before
        } else {
            0.0
        }
    };
    let good = |t: &&Tried| t.used && before >= CHEAP && fall(t) >= FALL;
    tried
        .iter()
        .map(|t| {
            let numbers = format!("cost {before:.0} → {:.0}", t.after);
            if !t.used {
                return (
                    Advice::NotUsed,
                    format!("the planner would not use it ({numbers})"),
                );
            }
            if before < CHEAP {
                let why = format!(
                    "the statement is cheap already: {numbers}, and below {CHEAP} nothing is advised"
                );
                return (Advice::TooLittle, why);
            }
            let percent = fall(t) * 100.0;
            if fall(t) < FALL {
                let why = format!(
                    "{numbers}: it has to fall by {:.0} %, and falls by {percent:.0} %",
                    FALL * 100.0
                );
                return (Advice::TooLittle, why);
            }
            let of_table = || {
                tried
                    .iter()
                    .filter(good)
                    .filter(|o| o.candidate.table == t.candidate.table)
            };
            let width = |o: &Tried| o.candidate.columns.len();
            // The narrowest of those that are nearly as good as the best.
            let best = of_table().map(|o| o.after).fold(f64::INFINITY, f64::min);
            let chosen = of_table()
                .filter(|o| o.after - best <= WIDER * before.min(o.after.max(1.0)))
                .min_by(|a, b| width(a).cmp(&width(b)).then(a.after.total_cmp(&b.after)));
            match chosen {
                Some(c) if c.candidate == t.candidate => (
                    Advice::Advised,
                    format!("the planner would use it: {numbers}, {percent:.0} % less"),
                ),
                Some(c) => (
                    Advice::NotBest,
                    format!(
                        "{numbers}; ({}) does as well or better with {:.0}",
                        c.candidate.list(),
                        c.after
                    ),
                ),
                None => (Advice::TooLittle, numbers),
            }
        })
        .collect()
}

/// Size of a B-tree in bytes from the widths of its columns, and how that was computed.
#[must_use]
pub fn size(t: &TableFacts, candidate: &Candidate) -> Option<(u64, &'static str)> {
    let rows = t.rows.filter(|r| *r > 0.0)?;
    let widths: Option<Vec<i32>> = candidate
        .columns
        .iter()
        .map(|(c, _)| t.column(c).and_then(|c| c.width))
        .collect();
    let data: i32 = widths?.iter().sum();
    // Index tuple header, data to the next 8 bytes, line pointer; leaves are filled to 90 %.
    let tuple = f64::from(8 + (data + 7) / 8 * 8 + 4);
    let pages = (rows * tuple / (8192.0 * 0.9)).ceil() + 1.0;
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    let bytes = (pages * 8192.0) as u64;
    Some((
        bytes,
        "rows × (column widths of the statistics + 12 bytes) at 90 % fill; less where values repeat",
    ))
}

/// What it would cost at each write, as a sentence.
#[must_use]
pub fn write_cost(w: &Writes, updates_lose_hot: &str) -> String {
    let now = w.per_second.map_or_else(
        || "how many a second is not known".to_owned(),
        |n| {
            #[allow(clippy::cast_precision_loss)]
            let over = w.over_ms as f64 / 1000.0;
            format!("{n:.1} a second in the last {over:.1} s")
        },
    );
    let since = w
        .since
        .map_or_else(|| "since counting began".to_owned(), |s| format!("since {s}"));
    let mut out = format!(
        "each insert, and each update that is not HOT, writes one entry more: {now}; {since} {} inserts, {} updates, {} deletes on {}",
        w.inserted, w.updated, w.deleted, w.server
    );
    #[allow(clippy::cast_precision_loss)]
    if w.updated > 0 {
        let hot = w.hot as f64 * 100.0 / w.updated as f64;
        out.push_str(&format!(
            "; {hot:.0} % of the updates are HOT, and those that change {updates_lose_hot} would be no longer"
        ));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tried(columns: &[&str], after: f64, used: bool) -> Tried {
        Tried {
            candidate: Candidate {
                table: 0,
                columns: columns.iter().map(|c| ((*c).to_owned(), false)).collect(),
                serves: String::new(),
            },
            after,
            used,
            bytes: None,
        }
    }

    fn told(before: f64, all: &[Tried]) -> Vec<Advice> {
        verdicts(before, all).into_iter().map(|v| v.0).collect()
    }

    #[test]
    fn the_narrowest_of_the_good_ones_is_advised() {
        use Advice::{Advised, NotBest, NotUsed, TooLittle};
        let all = [
            tried(&["a"], 50.0, true),
            tried(&["a", "b"], 45.0, true),
            tried(&["b"], 900.0, true),
            tried(&["c"], 1000.0, false),
        ];
        assert_eq!(told(1000.0, &all), [Advised, NotBest, TooLittle, NotUsed]);
        let all = [tried(&["a"], 400.0, true), tried(&["a", "b"], 10.0, true)];
        assert_eq!(
            told(1000.0, &all),
            [NotBest, Advised],
            "a wider one that is worth it"
        );
        assert_eq!(told(90.0, &[tried(&["a"], 1.0, true)]), [TooLittle]);
        assert!(
            verdicts(100.0, &[tried(&["a"], 66.0, true)])[0]
                .1
                .contains("falls by 34 %")
        );
    }

    #[test]
    fn a_size_says_how_it_was_computed_and_is_not_guessed() {
        let mut t = TableFacts {
            rows: Some(100_000.0),
            columns: vec![muster_model::query::ColumnFacts {
                name: "a".into(),
                width: Some(4),
                ..Default::default()
            }],
            ..TableFacts::default()
        };
        let c = tried(&["a"], 1.0, true).candidate;
        let (bytes, _) = size(&t, &c).expect("a size");
        // A real one has 2,252,800 bytes.
        assert!((2_000_000..2_500_000).contains(&bytes), "{bytes}");
        t.columns[0].width = None;
        assert_eq!(size(&t, &c), None);
    }
}
