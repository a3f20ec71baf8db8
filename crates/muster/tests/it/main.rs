//! What a user sees and what must never happen, on real servers, through the program itself.

mod bad_input;
mod crash;
mod daemon;
mod desk;
mod documents;
mod drills;
mod fleet;
mod full_disk;
mod garbage;
mod harness;
mod metrics;
mod notify;
mod people;
mod shapes;
mod stage;
mod standby;
mod starts;
mod targets;
mod up;
