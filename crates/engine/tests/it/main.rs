//! The engine with fake actions: no server, milliseconds.

mod changed;
mod fake;
mod journal;
mod kill;
mod leases;
mod principals;
mod runs;
mod schedules;
mod stops;
