//! Judging one statement by its plan: what costs, which index would help, why an index that is there is not used, whether a
//! statement may be carried out to be measured, and whether two measurements differ.
//!
//! Takes plans and texts whose literals are out already. Refuses to say that an index helps: only the planner can, when hypopg
//! lets it believe in one.

pub mod candidates;
pub mod condition;
pub mod hints;
pub mod reasons;
pub mod refusals;
pub mod samples;
pub mod tree;
pub mod words;
pub mod worth;
