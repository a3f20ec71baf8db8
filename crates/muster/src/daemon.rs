//! The daemon: observe, decide, act by policy, serve the page and the API.

mod acting;
pub mod api;
mod deep;
pub mod hang;
pub mod health;
pub mod http;
pub mod incidents;
mod queries;
pub mod serve;
pub mod socket;
pub mod starts;
mod tell;
mod upkeep;
pub mod watch;
mod would;
