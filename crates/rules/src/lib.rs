//! Rules: Snapshots to Findings, and the correlation that names one cause. Pure (law L2).
//!
//! A rule is `(previous state, Snapshot, Thresholds) -> (state, findings)`. What a rule needs and does not get is
//! `unknown`, never healthy. `now` is the Snapshot's `taken_at`.

mod amount;
mod beside;
mod bloat;
mod bloated;
pub mod correlate;
pub mod defaults;
mod duties;
mod freezing;
mod holders;
mod hosts;
mod inside;
pub mod judge;
mod pools;
pub mod queries;
mod reachability;
pub mod rules;
mod sample;
pub mod selftest;
mod size;
mod sizes;
mod slots;
mod standbys;
mod statements;
mod volumes;
mod work;

pub use correlate::{Correlated, Root, correlate};
pub use defaults::{check_overrides, defaults};
pub use judge::{Judgement, Mode, RuleState, Unknown, judge};
pub use rules::{KeyInfo, RuleInfo, catalogue};
pub use selftest::{Proved, selftest};
