//! Benchmarks: a peer and ourselves in one run.

use std::path::PathBuf;

use super::exit::{Failure, USAGE};
use crate::bench::diagnosis::{Play, diagnosis};

/// What `diagnosis` plays.
#[derive(Debug, clap::Args)]
pub struct CorpusArgs {
    /// Folder of the cases
    #[arg(long, default_value = "corpus")]
    corpus: PathBuf,
    /// Only cases whose id holds this
    #[arg(long)]
    only: Option<String>,
    /// PostgreSQL: a major version, or the folder of its programs
    #[arg(long)]
    pg: Option<String>,
    /// Read everything every second
    #[arg(long)]
    fast: bool,
    /// How many fleets at once, at most 4
    #[arg(long, default_value_t = 3)]
    jobs: usize,
}

/// `muster bench NAME`.
///
/// # Errors
/// When there is no such benchmark, or it cannot run here.
pub async fn bench(name: &str, seconds: u64, corpus: CorpusArgs, json: bool) -> Result<u8, Failure> {
    match name {
        "observe" => crate::bench::observe(seconds).await,
        "engine" => crate::bench::engine::engine_bench(seconds).await,
        "diagnosis" => {
            let how = Play {
                pg: corpus.pg,
                only: corpus.only,
                fast: corpus.fast,
                jobs: corpus.jobs,
            };
            diagnosis(&corpus.corpus, &how, json).await
        }
        "watch" => crate::bench::watch(seconds).await,
        other => Err(Failure::new(
            USAGE,
            format!("there is no benchmark `{other}`"),
            "there are: diagnosis, engine, observe, watch",
        )),
    }
}
