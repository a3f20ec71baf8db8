//! Observation of real fleets: what a pass reads, what it says when it may not or cannot, and that it only reads.

mod app_log;
mod apps;
mod cache;
mod encodings;
mod estate;
mod fleet;
mod horizons;
mod host;
mod inside;
mod pooler;
mod readonly;
mod statements;
mod wal;
