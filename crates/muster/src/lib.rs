//! The `muster` program: the only part of the pipeline that prints, reads the environment, arguments and config
//! files, serves HTTP and sends messages to people (law L5).

pub mod app;
pub mod bench;
pub mod cli;
pub mod config;
pub mod corpus;
pub mod daemon;
pub mod drill;
pub mod evidence;
pub mod export;
pub mod metrics;
pub mod notify;
pub mod shapes;
pub mod view;
pub mod web;
