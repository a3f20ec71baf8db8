//! A Proof: a drill of a runbook that passed, bound to the runbook's text, the product's major version and the date.
//!
//! It is what lets a runbook run unattended. Old or foreign proofs count as none.

use muster_model::{Digest, Span, Time};
use serde::{Deserialize, Serialize};

/// How long a proof counts.
pub const FRESH: Span = Span::from_mins(35 * 24 * 60);

/// A passed drill.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Proof {
    /// Drill id.
    pub drill: String,
    /// Runbook id.
    pub runbook: String,
    /// Digest of the runbook's checked text.
    pub runbook_digest: Digest,
    /// Digest of the parameters and thresholds it was proven with.
    pub settings_digest: Digest,
    /// Major version of the product.
    pub major: u32,
    /// When it passed.
    pub at: Time,
    /// How many repeats passed in a row.
    pub repeats: u32,
}

/// Whether any of the proofs covers this runbook text on this major version now.
///
/// # Errors
/// A sentence that says what is missing.
pub fn covers(
    proofs: &[Proof],
    runbook: &str,
    runbook_digest: &str,
    settings_digest: &str,
    major: Option<u32>,
    now: Time,
) -> Result<(), String> {
    let Some(major) = major else {
        return Err("the server's major version is not known".to_owned());
    };
    let of_runbook: Vec<&Proof> = proofs.iter().filter(|p| p.runbook == runbook).collect();
    if of_runbook.is_empty() {
        return Err(format!("runbook `{runbook}` has never passed muster here"));
    }
    let exact: Vec<&&Proof> = of_runbook
        .iter()
        .filter(|p| {
            p.runbook_digest == runbook_digest && p.settings_digest == settings_digest && p.major == major
        })
        .collect();
    let Some(newest) = exact.iter().max_by_key(|p| p.at) else {
        return Err(format!(
            "runbook `{runbook}` passed muster with another text, other settings or another major version than {major}"
        ));
    };
    if now.since(newest.at) > FRESH {
        return Err(format!(
            "the last proof of `{runbook}` is {} old",
            now.since(newest.at).human()
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proof(at: i64) -> Proof {
        Proof {
            drill: "d".into(),
            runbook: "r".into(),
            runbook_digest: "x".into(),
            settings_digest: "s".into(),
            major: 15,
            at: Time::from_millis(at),
            repeats: 1,
        }
    }

    #[test]
    fn only_a_fresh_proof_of_the_same_text_settings_and_major_counts() {
        let day = 86_400_000;
        let proofs = [proof(0)];
        let ok = |digest: &str, settings: &str, major, at| {
            covers(&proofs, "r", digest, settings, major, Time::from_millis(at)).is_ok()
        };
        assert!(ok("x", "s", Some(15), 35 * day));
        assert!(!ok("x", "s", Some(15), 36 * day));
        assert!(!ok("y", "s", Some(15), day));
        assert!(!ok("x", "t", Some(15), day));
        assert!(!ok("x", "s", Some(18), day));
        assert!(!ok("x", "s", None, day));
        assert!(covers(&[], "r", "x", "s", Some(15), Time::from_millis(0)).is_err());
    }
}
