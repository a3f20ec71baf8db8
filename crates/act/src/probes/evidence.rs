//! `evidence.bundle@1`: collects a bundle of evidence about the scope. Changes no target; what it writes is on Muster's own disk.
//!
//! It is a probe and not an action: nothing on a server is to be frozen, approved or undone, and it must also work where
//! there is no login to act with. So it runs when the plan is made, and the plan says where the bundle is.

use std::sync::Arc;

use async_trait::async_trait;
use muster_engine::clock::{Clock, SystemClock};
use muster_engine::{CodeError, Probe};
use muster_model::{Field, Record, Scope, SectionState, Signature, Span, Type};
use muster_observe::bundle::Asked;
use muster_reach::Estate;
use serde_json::json;

use super::probe;
use crate::bundle::{SharedKit, collect};
use crate::eyes::{record, span, unreadable};

/// The probe.
pub struct EvidenceProbe {
    signature: Signature,
    estate: Arc<Estate>,
    kit: SharedKit,
}

impl EvidenceProbe {
    pub(crate) fn new(estate: Arc<Estate>, kit: SharedKit) -> Self {
        let row = Type::Record(vec![
            Field::new("section", Type::Text, "its name"),
            Field::new("target", Type::Text, "address of what was asked"),
            Field::new("state", Type::Text, "ok, failed or skipped"),
            Field::new("reason", Type::Text, "why it failed or was skipped"),
        ]);
        let since = Field::new(
            "since",
            Type::Duration,
            "how far back the short log of an application goes",
        );
        let params = vec![since.or("2h")];
        let outputs = vec![
            Field::new(
                "verdict",
                Type::Text,
                "ok; partial when a section failed; nothing when none was read",
            ),
            Field::new(
                "summary",
                Type::Text,
                "one sentence, with the folder and the digest",
            ),
            Field::new("bundle", Type::Text, "the folder"),
            Field::new("manifest", Type::Text, "SHA-256 of its manifest.json"),
            Field::new("read", Type::Int, "sections that were read"),
            Field::new("failed", Type::Int, "sections that failed"),
            Field::new("sections", Type::list(row), "those that were not read, and why"),
        ];
        let about = "Collects a bundle of evidence into a folder of Muster's own and says where it is. Every section is redacted, and one \
                     that cannot be read is there with its reason.";
        Self {
            signature: probe("evidence.bundle@1", about, params, outputs),
            estate,
            kit,
        }
    }
}

#[async_trait]
impl Probe for EvidenceProbe {
    fn signature(&self) -> &Signature {
        &self.signature
    }

    async fn read(&self, scope: &Scope, with: &Record) -> Result<Record, CodeError> {
        let since = span(with, "since", Span::from_mins(120))?;
        let cluster = self
            .estate
            .cluster(&scope.cluster)
            .ok_or_else(|| unreadable(scope, "it is not in the config"))?;
        let asked = Asked {
            only: (scope.target != scope.cluster).then(|| scope.target.clone()),
            identity: Some(scope.identity.clone()).filter(|i| !i.is_empty()),
            since,
        };
        let kit = self
            .kit
            .read()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
            .clone();
        let bundle = collect(&[(cluster.clone(), asked)], &kit, || SystemClock.now())
            .await
            .map_err(|e| unreadable(scope, &format!("{e}; {}", e.remedy())))?;
        let m = &bundle.manifest;
        let unread = m.sections.iter().filter(|s| s.state != SectionState::Ok);
        Ok(record(json!({
            "verdict": m.verdict(),
            "summary": format!("{}; {} (manifest sha256 {})", m.summary(), bundle.dir.display(), bundle.digest),
            "bundle": bundle.dir.display().to_string(),
            "manifest": bundle.digest,
            "read": m.count(SectionState::Ok),
            "failed": m.count(SectionState::Failed),
            "sections": unread.map(|s| json!({
                "section": s.name, "target": s.target.clone().unwrap_or_default(), "state": s.state.word(),
                "reason": s.reason.clone().unwrap_or_default(),
            })).collect::<Vec<_>>(),
        })))
    }
}
