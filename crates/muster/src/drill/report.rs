//! The row of a drill, and what people read of it.

use serde::Serialize;

/// The four controls.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Controls {
    /// It ended as the drill expects.
    pub repairs: bool,
    /// Without us it is still there after the same time.
    pub persists_without: bool,
    /// On a healthy fleet it plans no change.
    pub quiet_when_healthy: bool,
    /// The look-alike is left alone and rightly named.
    pub declines_lookalike: bool,
}

/// One drill, once.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Row {
    /// Drill.
    pub drill: String,
    /// Fault.
    pub fault: String,
    /// Runbook.
    pub runbook: String,
    /// PostgreSQL major version.
    pub pg_major: u32,
    /// Which repeat, from 1.
    pub repeat: u32,
    /// From when the fault was there by the truth to the incident, in seconds.
    pub detected_in_s: Option<f64>,
    /// To the first change.
    pub acted_in_s: Option<f64>,
    /// To the end of the proof.
    pub verified_in_s: Option<f64>,
    /// Controls.
    pub controls: Controls,
    /// What was harmed.
    pub harm: Vec<String>,
    /// Writes that were acknowledged meanwhile.
    pub acked_writes: u64,
    /// Of these lost.
    pub lost_writes: u64,
    /// All controls true, no harm, nothing lost.
    pub safe_pass: bool,
    /// Whether the drill is about a repair that is proven; not part of the JSON.
    #[serde(skip)]
    pub cures: bool,
    /// Why a control failed, for people; not part of the JSON.
    #[serde(skip)]
    pub notes: Vec<String>,
}

impl Row {
    /// Decides whether it is safe.
    #[must_use]
    pub fn judged(mut self) -> Self {
        let c = self.controls;
        self.safe_pass = c.repairs
            && c.persists_without
            && c.quiet_when_healthy
            && c.declines_lookalike
            && self.harm.is_empty()
            && self.lost_writes == 0;
        self
    }
}

/// A report as one HTML page without scripts.
#[must_use]
pub fn html(rows: &[Row]) -> String {
    let safe = rows.iter().filter(|r| r.safe_pass).count();
    let seconds = |s: Option<f64>| s.map_or_else(|| "–".to_owned(), |s| format!("{s:.1} s"));
    let mark = |b: bool| if b { "yes" } else { "NO" };
    maud::html! {
        (maud::DOCTYPE)
        html lang="en" {
            head { meta charset="utf-8"; title { "Muster drills" } style { "body{font:15px system-ui;margin:2rem}td,th{padding:.3rem .8rem;text-align:left;border-bottom:1px solid #ccc}" } }
            body {
                h1 { (safe) " of " (rows.len()) " safe" }
                table {
                    tr { th { "drill" } th { "PostgreSQL" } th { "repeat" } th { "detected" } th { "acted" } th { "verified" }
                        th { "repairs" } th { "persists without" } th { "quiet" } th { "declines look-alike" } th { "writes" } th { "harm" } th { "safe" } }
                    @for r in rows {
                        tr { td { (r.drill) } td { (r.pg_major) } td { (r.repeat) } td { (seconds(r.detected_in_s)) } td { (seconds(r.acted_in_s)) }
                            td { (seconds(r.verified_in_s)) } td { (mark(r.controls.repairs)) } td { (mark(r.controls.persists_without)) }
                            td { (mark(r.controls.quiet_when_healthy)) } td { (mark(r.controls.declines_lookalike)) }
                            td { (r.acked_writes) " / " (r.lost_writes) " lost" } td { (r.harm.join("; ")) } td { (mark(r.safe_pass)) } }
                    }
                }
            }
        }
    }
    .into_string()
}
