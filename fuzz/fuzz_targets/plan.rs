//! `plan` of the targets, for cargo-fuzz.
#![no_main]
#![allow(dead_code)]

#[path = "../../crates/muster/tests/it/targets.rs"]
mod targets;

libfuzzer_sys::fuzz_target!(|text: &str| targets::plan(text));
