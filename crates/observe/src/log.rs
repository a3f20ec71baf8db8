//! A server's log: where it is, following it, reading it, and what it means.
//!
//! The parts from text to events are pure: bytes in, entries out ([`Parser`]), entries in, events out ([`triage`]), events
//! in, counts over windows out ([`tally`]). Only [`follow`] and [`find`] look at files, and only at so many bytes a round.
//! Refuses to keep texts of users: statements lose their literals, and a message that no class knows is only counted.

pub mod app;
pub mod csv;
pub mod deadlock;
pub mod durations;
pub mod entry;
pub mod find;
pub mod follow;
pub mod json;
pub mod parser;
pub mod plain;
pub mod prefix;
pub(crate) mod stamp;
pub mod stderr;
pub mod tally;
pub mod triage;
pub mod when;

pub use entry::Entry;
pub use parser::Parser;
pub use prefix::Prefix;
