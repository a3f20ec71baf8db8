//! What a message looks like to each kind of receiver. Pure: one file a kind.

pub mod mail;
pub mod pagerduty;
pub mod slack;
pub mod webhook;
