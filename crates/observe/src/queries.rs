//! What a person's statement needs to be judged, read from a server: its text, its plan without literals, the tables behind it,
//! what a hypothetical index would change, how long it takes.
//!
//! Every read is in a read-only transaction of a session of its own. Refuses to judge, and to hand on a literal.

pub mod facts;
pub mod find;
pub mod hypothetical;
pub mod place;
pub mod planned;
pub mod volatile;

pub use facts::{Counted, counts, denied, switched_off, tables};
pub use find::{Found, find};
pub use hypothetical::Hypothetical;
pub use place::{Place, place, position, settings};
pub use planned::{analyzed, measured, plan};
pub use volatile::{Doubt, doubts};
