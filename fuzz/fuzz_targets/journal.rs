//! `journal` of the targets, for cargo-fuzz.
#![no_main]
#![allow(dead_code)]

#[path = "../../crates/muster/tests/it/targets.rs"]
mod targets;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| targets::journal(bytes));
