//! Fleets for tests of this and other crates: in a short private folder, taken down also when the test panics.
//!
//! The only place of this crate that reads the environment, and only for tests.

use std::path::PathBuf;
use std::sync::Arc;

use muster_model::Span;

use crate::fault::{self, FaultRecord};
use crate::fleet::Fleet;
use crate::options::{LabOptions, PgChoice};
use crate::{LabError, up};

/// A fleet that goes away with its value.
pub struct TestFleet {
    /// The fleet.
    pub fleet: Arc<Fleet>,
    tasks: Vec<tokio::task::JoinHandle<()>>,
}

/// Options of a small fleet on a major version.
#[must_use]
pub fn small(major: u32) -> LabOptions {
    let uid = rustix::process::geteuid().as_raw();
    let name: String = (0..6)
        .map(|_| char::from(b'a' + rand::random::<u8>() % 26))
        .collect();
    let mut options = LabOptions::new(
        PathBuf::from(format!("/var/tmp/muster-{uid}/t-{name}")),
        crate::install::cache_dir(&|name| std::env::var_os(name)),
    );
    options.pg = PgChoice::Major(major);
    options.bindir = std::env::var_os("MUSTER_PG_BINDIR").map(PathBuf::from);
    options.standbys = 0;
    options.pooler = false;
    options.cache = false;
    options.traffic = false;
    options
}

/// Starts it; `None` when a part is not installed and the run does not demand all parts (`MUSTER_TEST_REQUIRE_ALL`).
///
/// # Panics
/// When it does not start, or a part is missing and all are demanded.
pub async fn fleet(options: LabOptions) -> Option<TestFleet> {
    let demanded = std::env::var_os("MUSTER_TEST_REQUIRE_ALL").is_some();
    let fleet = match up(&options, &|_, _, _| {}).await {
        Ok(fleet) => fleet,
        Err(e @ LabError::Missing { .. }) if !demanded => {
            tracing::warn!("skipped: {e}");
            return None;
        }
        Err(e) => panic!("the fleet does not start: {e}; {}", e.remedy()),
    };
    let test = TestFleet {
        fleet: Arc::new(fleet),
        tasks: Vec::new(),
    };
    if !test.fleet.missing.is_empty() {
        assert!(!demanded, "{:?}", test.fleet.missing);
        tracing::warn!("skipped: {:?}", test.fleet.missing);
        return None;
    }
    Some(test)
}

impl TestFleet {
    /// Injects a fault that is held by this process.
    ///
    /// # Panics
    /// When it does not come up.
    pub async fn inject(&mut self, fault: &str, params: &[(&str, &str)]) -> FaultRecord {
        let params: Vec<(String, String)> = params
            .iter()
            .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
            .collect();
        let record = fault::record(&self.fleet, fault, &params, Span::from_mins(5)).expect("record");
        let (fleet, id) = (self.fleet.clone(), record.id.clone());
        let task = tokio::spawn(async move {
            if let Err(e) = fault::hold(&fleet, &id).await {
                tracing::warn!("fault {id}: {e}");
            }
        });
        let ready = self.fleet.dir.join("faults").join(format!("{}.ready", record.id));
        for _ in 0..1000 {
            if ready.exists() || task.is_finished() {
                break;
            }
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
        assert!(ready.exists(), "fault {fault} did not come up");
        self.tasks.push(task);
        record
    }

    /// Ends all faults of this process.
    pub async fn heal(&mut self) {
        for record in fault::open(&self.fleet) {
            let path = self.fleet.dir.join("faults").join(format!("{}.heal", record.id));
            let _ = std::fs::write(path, "");
        }
        for task in self.tasks.drain(..) {
            let _ = task.await;
        }
    }
}

impl Drop for TestFleet {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
        let dir = self.fleet.dir.clone();
        // A thread of its own with its own runtime: the test's runtime may be the current one, or going down.
        let done = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.map(|r| r.block_on(crate::down(&dir)).map(|_| ()))
        });
        let _ = done.join();
    }
}
