//! Benchmarks: a peer and ourselves in one run.

use super::exit::{Failure, USAGE};

/// `muster bench NAME`.
///
/// # Errors
/// When there is no such benchmark, or it cannot run here.
pub async fn bench(name: &str, seconds: u64) -> Result<u8, Failure> {
    match name {
        "observe" => crate::bench::observe(seconds).await,
        "engine" => crate::bench::engine::engine_bench(seconds).await,
        "watch" => crate::bench::watch(seconds).await,
        other => Err(Failure::new(
            USAGE,
            format!("there is no benchmark `{other}`"),
            "there are: engine, observe, watch",
        )),
    }
}
