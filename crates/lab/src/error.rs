//! Why a lab could not do what it was asked.

use std::path::PathBuf;

/// One failure.
#[derive(Debug, thiserror::Error)]
pub enum LabError {
    /// A program is missing.
    #[error("{program} is not installed")]
    Missing {
        /// Which.
        program: String,
        /// What would install it.
        install: String,
    },
    /// A folder is there and is not this lab's.
    #[error("{} is not a fleet of Muster: {why}", path.display())]
    Foreign {
        /// The folder.
        path: PathBuf,
        /// Why.
        why: String,
    },
    /// What is there belongs to somebody else, or others may change it.
    #[error("{} is not ours alone: {why}", path.display())]
    NotOurs {
        /// The folder or file.
        path: PathBuf,
        /// Why.
        why: String,
    },
    /// A fleet is there already.
    #[error("a fleet is in {} already ({what})", path.display())]
    There {
        /// The folder.
        path: PathBuf,
        /// Running or stale.
        what: String,
    },
    /// No fleet is there.
    #[error("there is no fleet in {}", path.display())]
    NotThere {
        /// The folder.
        path: PathBuf,
    },
    /// The path of a socket would be too long.
    #[error("the folder {} is too long for unix sockets ({length} bytes, at most 107)", path.display())]
    LongPath {
        /// The folder.
        path: PathBuf,
        /// Length of the socket's path.
        length: usize,
    },
    /// A file.
    #[error("{}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What happened.
        source: std::io::Error,
    },
    /// A program ended badly.
    #[error("{program} failed: {output}")]
    Program {
        /// Which.
        program: String,
        /// The end of what it said.
        output: String,
    },
    /// A statement.
    #[error("{what}: {reason}")]
    Sql {
        /// What was tried.
        what: String,
        /// What the server said.
        reason: String,
    },
    /// Something did not happen in time.
    #[error("{what} did not happen within {seconds} s: {seen}")]
    Late {
        /// What.
        what: String,
        /// How long it was waited for.
        seconds: u64,
        /// What was seen last.
        seen: String,
    },
    /// A fault is unknown or cannot be injected here.
    #[error("{0}")]
    Fault(String),
}

impl LabError {
    /// What to do about it.
    #[must_use]
    pub fn remedy(&self) -> String {
        match self {
            Self::Missing { install, .. } => install.clone(),
            Self::Foreign { .. } => "choose another folder with --dir; this one is left alone".to_owned(),
            Self::NotOurs { .. } => {
                "look who made it and remove it, or choose a folder of your own with --dir".to_owned()
            }
            Self::There { .. } => "`muster lab status` shows it, `muster lab down` removes it".to_owned(),
            Self::NotThere { .. } => "start one with `muster lab up`".to_owned(),
            Self::LongPath { .. } => {
                "choose a shorter folder with --dir, such as one under /var/tmp".to_owned()
            }
            Self::File { .. } => "check the disk and the folder's owner".to_owned(),
            Self::Program { .. } | Self::Sql { .. } | Self::Late { .. } => {
                "look into the logs in the fleet's folder (log/*.log)".to_owned()
            }
            Self::Fault(_) => "`muster lab inject --list` shows the faults".to_owned(),
        }
    }
}

/// With the path that failed.
pub(crate) fn at(path: &std::path::Path) -> impl Fn(std::io::Error) -> LabError + '_ {
    move |source| LabError::File {
        path: path.to_owned(),
        source,
    }
}

/// With what was tried.
pub(crate) fn sql(what: &str) -> impl Fn(tokio_postgres::Error) -> LabError + '_ {
    move |e| {
        let reason = e
            .as_db_error()
            .map_or_else(|| e.to_string(), |d| d.message().to_owned());
        LabError::Sql {
            what: what.to_owned(),
            reason,
        }
    }
}
