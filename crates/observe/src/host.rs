//! What a host says of itself: volumes, memory, load, the processes of a server.
//!
//! Texts of the kernel are read by pure functions ([`kernel`]); the rest looks at files and folders, each look with a bound.
//! Only Linux says all of this; elsewhere most of it cannot be read, and that is what is said.

pub(crate) mod disks;
pub(crate) mod kernel;
pub(crate) mod processes;
