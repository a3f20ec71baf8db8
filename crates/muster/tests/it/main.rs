//! What a user sees and what must never happen, on real servers, through the program itself.

mod bad_input;
mod corpus;
mod crash;
mod daemon;
mod deep;
mod desk;
mod documents;
mod drills;
mod evidence;
mod fleet;
mod full_disk;
mod garbage;
mod harness;
mod metrics;
mod notify;
mod people;
mod privileges;
mod queries;
mod shapes;
mod stage;
mod standby;
mod starts;
mod targets;
mod up;
mod versions;
