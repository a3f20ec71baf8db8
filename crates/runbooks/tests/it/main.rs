//! The runbooks crate as its users see it: a file in, a checked runbook or located problems out.

mod problems;
