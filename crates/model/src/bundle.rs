//! A bundle of evidence: what was collected, what could not be, and the digests that tell an edited file.
//!
//! Knows the manifest only. A section that was not read has a reason and no file: nothing missing looks like nothing found.

use serde::{Deserialize, Serialize};

use crate::digest::Digest;
use crate::time::Time;

/// The format of a manifest.
pub const BUNDLE: &str = "muster.bundle/1";
/// The manifest's file in the folder of its bundle.
pub const MANIFEST: &str = "manifest.json";

/// What became of a section.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SectionState {
    /// Read as it was meant.
    Ok,
    /// Not read, or not all of it; `reason` says why, and a file holds what was seen, if anything.
    Failed,
    /// There was nothing to ask; `reason` says why.
    Skipped,
}

impl SectionState {
    /// As it is written.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Failed => "failed",
            Self::Skipped => "skipped",
        }
    }
}

/// Which server answered.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Answered {
    /// `host:port`, or an address of HTTP without its secrets.
    pub endpoint: String,
    /// `system_identifier`; absent when the role may not read it.
    pub system_identifier: Option<String>,
    /// `server_version_num`, or the version by its own word.
    pub version: Option<String>,
    /// Who logged in.
    pub user: Option<String>,
}

/// One section.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Section {
    /// `activity`, `locks`, `server_log`, …
    pub name: String,
    /// Address of what was asked; absent for what belongs to no target.
    pub target: Option<String>,
    /// What read it: a view, a command, a file.
    pub collector: String,
    /// What became of it.
    pub state: SectionState,
    /// Why it failed or was skipped, or what is worth knowing of what was read.
    pub reason: Option<String>,
    /// What would help.
    pub remedy: Option<String>,
    /// Its file, beside the manifest; absent when there is nothing to keep.
    pub file: Option<String>,
    /// Bytes of the file.
    pub bytes: u64,
    /// SHA-256 of the file.
    pub sha256: Option<Digest>,
    /// Whether the oldest part was left out because it is too long.
    pub cut: bool,
    /// When the reading began.
    pub started_at: Time,
    /// When it ended.
    pub ended_at: Time,
    /// Who answered.
    pub server: Option<Answered>,
}

/// The manifest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Manifest {
    /// [`BUNDLE`].
    pub schema: String,
    /// The program that collected.
    pub muster: String,
    /// Clusters or servers that were asked for.
    pub targets: Vec<String>,
    /// When it began.
    pub started_at: Time,
    /// When it ended.
    pub ended_at: Time,
    /// Sections in the order in which they were finished.
    pub sections: Vec<Section>,
}

impl Manifest {
    /// How many sections are in a state.
    #[must_use]
    pub fn count(&self, state: SectionState) -> usize {
        self.sections.iter().filter(|s| s.state == state).count()
    }

    /// `ok` when nothing failed and something was read, `partial` when something failed, `nothing` when nothing was read.
    #[must_use]
    pub fn verdict(&self) -> &'static str {
        match (self.count(SectionState::Ok), self.count(SectionState::Failed)) {
            (0, _) => "nothing",
            (_, 0) => "ok",
            _ => "partial",
        }
    }

    /// One sentence.
    #[must_use]
    pub fn summary(&self) -> String {
        let (ok, failed, skipped) = (
            self.count(SectionState::Ok),
            self.count(SectionState::Failed),
            self.count(SectionState::Skipped),
        );
        let mut text = format!("sections: {ok} read, {failed} failed, {skipped} skipped");
        let first = self.sections.iter().find(|s| s.state == SectionState::Failed);
        if let Some(s) = first {
            let of = s
                .target
                .as_deref()
                .map(|t| format!(" of {t}"))
                .unwrap_or_default();
            let why = s.reason.as_deref().unwrap_or("for no stated reason");
            text.push_str(&format!("; first {}{of}: {why}", s.name));
        }
        text
    }
}
