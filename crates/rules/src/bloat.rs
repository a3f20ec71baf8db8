//! How much of a table or an index is not needed for its rows: an estimate that knows when it may not be made.
//!
//! Pages and rows were counted together, and the planner's statistics know how wide a row is: what these rows need in pages
//! filled as they are asked to be, against what there is. Every doubt is decided for the larger need (padding, NULL bitmaps,
//! dropped columns of a fixed length, no deduplication), so the answer reads "at least". Where a doubt has no such bound,
//! there is no number but a reason: without statistics, after many changes, with dropped columns of any length, with
//! expressions or a predicate in an index, with rows as wide as a quarter of a page.

use muster_model::snapshot::{ColumnWidth, RelationWidths};

use crate::sizes::number;

/// Share of changed rows, in per cent, from which statistics are no measure any more.
const CHANGED: f64 = 10.0;
/// Until this share they are a good one.
const FRESH: f64 = 2.0;

/// A page's header; what a B-tree page keeps at its end; the line pointer of a row.
const PAGE_HEADER: f64 = 24.0;
const BTREE_END: f64 = 16.0;
const POINTER: f64 = 4.0;

/// The answer.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Estimate {
    /// At least so much is not needed.
    Bloat(Bloat),
    /// No number, and why.
    Withheld(String),
}

/// How much, and how sure.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Bloat {
    /// Bytes that there are.
    pub(crate) bytes: u64,
    /// Bytes that are not needed.
    pub(crate) wasted: u64,
    /// In per cent.
    pub(crate) percent: f64,
    /// Share of rows that changed since the statistics were made, in per cent.
    pub(crate) changed: f64,
    /// `good` or `fair`.
    pub(crate) confidence: &'static str,
}

/// Estimates.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
pub(crate) fn estimate(r: &RelationWidths, block: u64) -> Estimate {
    let why = |text: &str| Estimate::Withheld(text.to_owned());
    if !r.readable {
        return why("the statistics of its columns are not shown to this login");
    }
    let Some(tuples) = r.tuples.filter(|_| r.last_analyze.is_some()) else {
        return why("it was not analysed since the counters began");
    };
    let live = number(r.live).max(1.0);
    let changed = number(r.modified) * 100.0 / live;
    if changed >= CHANGED && r.modified > 0 {
        return Estimate::Withheld(format!(
            "{changed:.0} % of its rows changed since it was analysed"
        ));
    }
    if r.expressions || r.partial {
        return why(
            "it has expressions or a predicate, whose widths the statistics of the table do not tell",
        );
    }
    let Some(data) = width(&r.columns) else {
        return why("it has a column without statistics, or a dropped one of any length");
    };
    let block_bytes = number(block);
    let nulls = r.columns.iter().any(|c| c.nulls.unwrap_or(0.0) > 0.0);
    let (usable, header, fill) = if r.index {
        let header = if nulls { 16.0 } else { 8.0 };
        (
            block_bytes - PAGE_HEADER - BTREE_END,
            header,
            r.fill.unwrap_or(90.0),
        )
    } else {
        let bitmap = if nulls {
            (number(r.columns.len() as u64) / 8.0).ceil()
        } else {
            0.0
        };
        (
            block_bytes - PAGE_HEADER,
            aligned(23.0 + bitmap, 8.0),
            r.fill.unwrap_or(100.0),
        )
    };
    let row = aligned(header + data, 8.0) + POINTER;
    if row > usable / 4.0 {
        return why("its rows are so wide that how they fit into pages is not known");
    }
    let on_a_page = (usable * fill / 100.0 / row).floor().max(1.0);
    // The upper levels of a tree, and its first page.
    let above = if r.index {
        1.0 + (tuples / on_a_page) * 0.01
    } else {
        0.0
    };
    let needed = (tuples / on_a_page).ceil() + above.ceil();
    let pages = number(r.pages);
    let wasted = (pages - needed).max(0.0);
    Estimate::Bloat(Bloat {
        bytes: r.pages * block,
        wasted: (wasted * block_bytes) as u64,
        percent: if r.pages == 0 { 0.0 } else { wasted * 100.0 / pages },
        changed,
        confidence: if changed < FRESH { "good" } else { "fair" },
    })
}

/// Bytes of the columns of a mean row, with their padding; nothing when one of them is not known.
fn width(columns: &[ColumnWidth]) -> Option<f64> {
    let mut offset = 0.0;
    for c in columns {
        let fixed = u32::try_from(c.len).ok().map(f64::from);
        let bytes = match (fixed, c.width) {
            (Some(len), _) => len,
            (None, _) if c.dropped => return None,
            (None, Some(w)) => f64::from(w),
            (None, None) => return None,
        };
        let boundary = match c.align.as_str() {
            "s" => 2.0,
            "i" => 4.0,
            "d" => 8.0,
            _ => 1.0,
        };
        // A short value of varying length has a header of one byte and no padding.
        let padded = if fixed.is_some() || bytes > 127.0 {
            aligned(offset, boundary)
        } else {
            offset
        };
        let share = if c.dropped {
            1.0
        } else {
            1.0 - f64::from(c.nulls.unwrap_or(0.0))
        };
        offset += share * (padded - offset + bytes);
    }
    Some(offset)
}

fn aligned(n: f64, boundary: f64) -> f64 {
    (n / boundary).ceil() * boundary
}

#[cfg(test)]
mod tests {
    use muster_model::Time;

    use super::*;

    fn column(len: i32, align: &str, width: i32) -> ColumnWidth {
        ColumnWidth {
            len,
            align: align.into(),
            width: Some(width),
            nulls: Some(0.0),
            dropped: false,
            name: "c".into(),
        }
    }

    /// 1 000 rows of (int4, int8, text of 20 bytes): 4 + 4 padding + 8 + 20 = 36, with header 60, aligned 64, with pointer 68;
    /// 120 on a page.
    fn table() -> RelationWidths {
        RelationWidths {
            pages: 9,
            tuples: Some(1000.0),
            readable: true,
            live: 1000,
            last_analyze: Some(Time::from_millis(1)),
            columns: vec![column(4, "i", 4), column(8, "d", 8), column(-1, "i", 20)],
            ..RelationWidths::default()
        }
    }

    fn bloat(r: &RelationWidths) -> Bloat {
        match estimate(r, 8192) {
            Estimate::Bloat(b) => b,
            Estimate::Withheld(why) => panic!("{why}"),
        }
    }

    #[test]
    fn a_full_table_has_no_bloat_and_a_third_full_one_has_two_thirds() {
        assert!(bloat(&table()).percent.abs() < 1e-9);
        let b = bloat(&RelationWidths { pages: 27, ..table() });
        assert!((b.percent - 66.67).abs() < 0.1, "{b:?}");
        assert_eq!(b.wasted, 18 * 8192);
        let asked = RelationWidths {
            pages: 27,
            fill: Some(33.5),
            ..table()
        };
        assert!(bloat(&asked).percent < 10.0, "the free space was asked for");
    }

    #[test]
    fn every_doubt_withholds_the_number_and_says_why() {
        let cases = [
            RelationWidths {
                readable: false,
                ..table()
            },
            RelationWidths {
                last_analyze: None,
                ..table()
            },
            RelationWidths {
                tuples: None,
                ..table()
            },
            RelationWidths {
                modified: 100,
                ..table()
            },
            RelationWidths {
                partial: true,
                ..table()
            },
        ];
        for (i, r) in cases.iter().enumerate() {
            assert!(matches!(estimate(r, 8192), Estimate::Withheld(_)), "case {i}");
        }
        let mut r = table();
        r.columns[2].dropped = true;
        assert!(matches!(estimate(&r, 8192), Estimate::Withheld(_)));
        r.columns[2] = column(-1, "i", 5000);
        assert!(matches!(estimate(&r, 8192), Estimate::Withheld(_)));
        assert_eq!(
            bloat(&RelationWidths {
                modified: 99,
                ..table()
            })
            .confidence,
            "fair"
        );
    }
}
