//! Actions, one subject a file.

pub mod end;
