//! Whether a Redis answers, and who it is.

use muster_model::snapshot::{CacheView, Reach};
use muster_reach::{Cache, ReachError};

use super::CollectorInfo;

/// For the reference.
pub const INFO: CollectorInfo = CollectorInfo {
    name: "cache",
    about: "Whether a Redis answers, its version, identity and memory.",
    reads: "INFO",
    needs: "a password where one is set",
    cadence: "2 s",
    gap: "everything about the cache",
};

/// Reads it.
pub(crate) async fn read(cache: &Cache) -> Result<CacheView, ReachError> {
    let info = cache.info().await?;
    let number = |key: &str| info.get(key).and_then(|v| v.parse().ok());
    Ok(CacheView {
        name: cache.name.clone(),
        address: cache.address.clone(),
        reach: Reach::Up,
        version: info.get("redis_version").cloned(),
        run_id: info.get("run_id").cloned(),
        used_memory: number("used_memory"),
        max_memory: number("maxmemory"),
    })
}
