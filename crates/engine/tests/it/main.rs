//! The engine with fake actions: no server, milliseconds.

mod fake;
mod journal;
mod kill;
mod leases;
mod runs;
mod schedules;
