//! The `muster` program: the only part of the pipeline that prints, reads the environment, arguments and config
//! files, and serves HTTP (law L5).

pub mod config;
pub mod view;
pub mod web;
