//! Actions, one a file; what they share is in a file of its own.

pub mod cancel_backend;
pub mod end;
pub mod terminate_backend;
