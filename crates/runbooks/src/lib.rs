//! Runbook files: YAML text to typed steps, with a lint that names line and column.
//!
//! Pure (law L2): it knows the text it is given and the signatures of the catalogue, and does no I/O. Conditions are CEL
//! over declared outputs, checked when the file is loaded and evaluated here.

pub mod cel;
pub mod decode;
pub mod ir;
pub mod library;
pub mod page;
pub mod params;
pub mod problem;
pub mod schema;
pub mod tree;

pub use cel::{EvalError, eval};
pub use decode::{check, lint};
pub use ir::{AbortCheck, Arg, Param, Runbook, Step, StepBody, TargetKind, VerifyCheck, resolve};
pub use library::{Library, Shelved};
pub use page::reference_page;
pub use params::parse as params;
pub use problem::{Level, Problem};
pub use schema::json_schema;
