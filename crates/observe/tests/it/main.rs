//! Observation of real fleets: what a pass reads, what it says when it may not or cannot, and that it only reads.

mod estate;
mod fleet;
mod inside;
mod readonly;
