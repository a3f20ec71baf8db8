//! The engine with fake actions: no server, milliseconds.

mod fake;
mod kill;
mod runs;
mod schedules;
