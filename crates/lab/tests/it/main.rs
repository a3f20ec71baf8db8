//! Real fleets, started and taken down.

mod fleet;
mod transactions;
