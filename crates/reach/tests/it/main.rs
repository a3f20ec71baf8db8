//! Reach against real servers: every rung of the ladder, the reserved sessions, what a login may do.

mod estate;
mod fleet;
mod ladder;
