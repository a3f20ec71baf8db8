//! The journal: an append-only, hash-chained log of what was seen, planned, allowed, tried and proven.
//!
//! Everything else in the engine is a function of it. Intent is committed before the effect, the result after. Knows
//! entries and their order; [`store`] knows where they are kept.

use muster_model::{
    Approval, Digest, EvidenceMoment, FrozenTarget, Incident, IncidentSeverity, Observation, Outcome, Plan,
    Record, RunOutcome, Time, Verdict, WaitFor, digest_of_bytes,
};
use serde::{Deserialize, Serialize};

use crate::principals::Role;

pub mod store;

pub use store::{Journal, JournalError};

/// Who wrote what Muster did by itself.
pub const DAEMON: &str = "daemon";

/// What happened.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(tag = "event", rename_all = "snake_case")]
#[allow(clippy::large_enum_variant)]
pub enum Event {
    /// An incident was opened.
    IncidentOpened {
        /// As it stood.
        incident: Incident,
    },
    /// An incident changed: cause, symptoms, severity or state.
    IncidentChanged {
        /// As it stood.
        incident: Incident,
        /// What changed, as a sentence.
        what: String,
    },
    /// An incident is over.
    IncidentClosed {
        /// As it stood.
        incident: Incident,
        /// Why.
        why: String,
    },
    /// Evidence was frozen.
    EvidenceFrozen {
        /// Which moment.
        moment: EvidenceMoment,
        /// Its digest; the rows are kept beside the journal under it.
        sha256: Digest,
        /// Its size in bytes.
        bytes: u64,
    },
    /// Somebody wrote something down.
    Noted {
        /// What.
        text: String,
    },
    /// A plan was made.
    Planned {
        /// The plan.
        plan: Plan,
    },
    /// A guard refused.
    Refused {
        /// Name of the guard.
        guard: String,
        /// Why.
        why: String,
        /// What to do about it.
        remedy: String,
    },
    /// A person signed.
    Approved {
        /// The signature.
        approval: Approval,
    },
    /// One approver took it on themselves: no second person signed, and windows do not count.
    GlassBroken {
        /// The digest that they answer for.
        digest: Digest,
        /// Why it could not wait.
        why: String,
    },
    /// A person said no.
    Rejected {
        /// The digest that was refused.
        digest: Digest,
        /// Why.
        why: String,
    },
    /// The run began.
    Started {
        /// On whose word: `policy`, or the names of those who approved.
        on: String,
        /// The person who started it; missing where Muster did by itself, and in entries of older versions.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        by: Option<String>,
    },
    /// The run goes on after a stop.
    Resumed,
    /// The run stopped at this point and will go on.
    Parked {
        /// Why.
        why: String,
    },
    /// A probe of the plan was read again.
    ProbeRead {
        /// What it said.
        outputs: Record,
        /// Its `continue_if`.
        go_on: bool,
        /// Its `expect`.
        expected: bool,
        /// Why, when one of them is false.
        why: String,
    },
    /// An effect is about to be tried.
    Intent {
        /// At what exactly.
        target: FrozenTarget,
        /// Whether it is an undo.
        undo: bool,
    },
    /// How it ended.
    Tried {
        /// Outcome.
        outcome: Outcome,
        /// Whether it was an undo.
        undo: bool,
    },
    /// What a look at the world said about an intent without a result.
    Observed {
        /// What was seen.
        observation: Observation,
        /// Whether it was an undo.
        undo: bool,
    },
    /// A look before a batch: what the last one did is there, and no condition to stop holds.
    Checked {
        /// The batch that may begin or go on, from 1.
        batch: u32,
        /// Whether it may.
        go_on: bool,
        /// Targets that were done and are not there.
        missing: u32,
        /// What was seen; why, when it may not.
        why: String,
    },
    /// A proof ended.
    Verified {
        /// What it says.
        verdict: Verdict,
        /// For how long the conditions held at the end, in milliseconds.
        held_ms: u64,
    },
    /// The run waits, and nothing runs meanwhile.
    Waits {
        /// For what.
        what: WaitFor,
        /// The sentence that belongs to it.
        why: String,
        /// Until when, where that is known.
        until: Option<Time>,
    },
    /// A timer of the plan ran out.
    Waited,
    /// Values were written into the incident.
    Recorded {
        /// Which.
        values: Record,
    },
    /// From here on everything that happened is taken back, in reverse order.
    Unwinds {
        /// How the run ends when that is done.
        outcome: RunOutcome,
        /// Why.
        why: String,
    },
    /// A person asked the run to stop.
    CancelAsked {
        /// Why.
        why: String,
    },
    /// The run is over.
    Ended {
        /// How.
        outcome: RunOutcome,
        /// The sentence that belongs to it.
        detail: String,
    },
    /// Mutations were stopped.
    Frozen {
        /// Where: everywhere (empty), a cluster, or an address.
        #[serde(default)]
        scope: String,
        /// Why.
        why: String,
    },
    /// Mutations are allowed again.
    Unfrozen {
        /// Where.
        #[serde(default)]
        scope: String,
    },
    /// A drill passed.
    Proof {
        /// The proof.
        proof: crate::proof::Proof,
    },
    /// Somebody was added, or got another role and another token.
    PrincipalAdded {
        /// Name.
        name: String,
        /// What they may do.
        role: Role,
        /// Whether it is a program and no person.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        service: bool,
        /// Digest of the hash of their token.
        check: Digest,
    },
    /// Somebody was removed.
    PrincipalRevoked {
        /// Name.
        name: String,
    },
    /// A slot of a schedule was used.
    Scheduled {
        /// Name of the schedule.
        name: String,
        /// The slot.
        slot: Time,
        /// What came of it, as a sentence; a plan is in the run of this entry.
        what: String,
    },
    /// An alert from outside was taken up.
    Triggered {
        /// Name of the alert.
        alert: String,
        /// Its fingerprint with the time at which it began: the same again is not taken up twice.
        key: String,
        /// What came of it, as a sentence; a plan is in the run of this entry.
        what: String,
    },
    /// The head at the end of a run was written down outside, where who changes this file cannot change it too.
    HeadExported {
        /// The entry whose hash it is.
        through: u64,
        /// Where to.
        to: String,
    },
    /// People are to be told: an outbox, so that a message is sent even if Muster dies before it is.
    NotificationQueued {
        /// What.
        notification: Notification,
    },
    /// The channel took it.
    NotificationSent {
        /// Which.
        id: Digest,
    },
    /// The channel did not take it; said at the first try and when it is given up.
    NotificationFailed {
        /// Which.
        id: Digest,
        /// Why.
        why: String,
        /// Whether it is not tried again.
        gave_up: bool,
    },
    /// Somebody has it: nobody else is called.
    Acknowledged {
        /// What they say.
        why: String,
    },
    /// A run is under way and nothing happens in it.
    Stuck {
        /// Since when, and what it does last.
        why: String,
    },
    /// A lease was taken over from a process that did not give it back: dead, stopped, or cut off.
    LeaseTaken {
        /// Which.
        lease: String,
        /// Its new epoch; entries of lower ones are refused from here on.
        epoch: u64,
        /// Whose it was.
        from: String,
    },
    /// The right to act was lost, so nothing more was done.
    LeaseLost {
        /// Which.
        lease: String,
        /// Why.
        why: String,
    },
    /// A thing about Muster itself: a start, a config that was not accepted.
    Noticed {
        /// What.
        text: String,
    },
}

/// What a message to people is about.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Notice {
    /// Something is wrong, or somebody is needed.
    Raised,
    /// Somebody has it.
    Acknowledged,
    /// It is over.
    Over,
}

/// A message to people through one channel. The channel may get it twice (killed between sending and writing that down): its
/// `id` stays the same.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Notification {
    /// Digest of what it is about, level and channel: the same is queued once.
    pub id: Digest,
    /// What it is about, for ever the same.
    pub about: String,
    /// Incident, or run without one, to which it belongs.
    pub thread: String,
    /// Level of escalation that was reached.
    pub level: String,
    /// Name of the channel.
    pub channel: String,
    /// What it is about.
    pub notice: Notice,
    /// How bad.
    pub severity: IncidentSeverity,
    /// One line.
    pub title: String,
    /// What happened, and what to do.
    pub text: String,
}

/// To what an entry belongs. Empty text means: to nothing of that kind.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Place {
    /// Run.
    pub run: String,
    /// Incident.
    pub incident: String,
    /// Step.
    pub step: String,
    /// Fingerprint of a target.
    pub target: String,
    /// Which try.
    pub attempt: u32,
}

impl Place {
    /// A run.
    #[must_use]
    pub fn run(run: &str, incident: Option<&str>) -> Self {
        Self {
            run: run.to_owned(),
            incident: incident.unwrap_or_default().to_owned(),
            ..Self::default()
        }
    }

    /// An incident.
    #[must_use]
    pub fn incident(incident: &str) -> Self {
        Self {
            incident: incident.to_owned(),
            ..Self::default()
        }
    }

    /// A step of this run.
    #[must_use]
    pub fn step(&self, step: &str) -> Self {
        Self {
            step: step.to_owned(),
            ..self.clone()
        }
    }

    /// One try of this step at a target.
    #[must_use]
    pub fn attempt(&self, target: &str, attempt: u32) -> Self {
        Self {
            target: target.to_owned(),
            attempt,
            ..self.clone()
        }
    }
}

/// One entry.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Entry {
    /// Position, from 1, without gaps.
    pub seq: u64,
    /// When.
    pub at: Time,
    /// Who.
    pub who: String,
    /// To what it belongs.
    pub place: Place,
    /// Under which epoch of its lease the writer wrote it; 0 in entries of format 1.
    #[serde(default)]
    pub epoch: u64,
    /// What happened.
    pub event: Event,
    /// Hash of the entry before; of the first, 64 zeros.
    pub prev: Digest,
    /// Hash of this entry with `prev`.
    pub hash: Digest,
}

/// Under which lease, and which epoch of it, an entry is written. The journal refuses a lower epoch than it has seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fence {
    /// Key of the lease.
    pub lease: String,
    /// Epoch.
    pub epoch: u64,
}

/// The head of a journal as it stood at an entry, for keeping outside.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    /// The entry.
    pub seq: u64,
    /// Its hash.
    pub hash: Digest,
    /// When it was written.
    pub at: Time,
    /// The run that ended with it.
    pub run: String,
}

/// The hash of a run after one more of its entries.
#[must_use]
pub fn run_head(before: &str, entry_hash: &str) -> Digest {
    digest_of_bytes(format!("{before}\n{entry_hash}").as_bytes())
}

/// The hash of an entry: over the exact text that is stored and the hash before.
#[must_use]
pub fn chain(
    prev: &str,
    seq: u64,
    at: Time,
    who: &str,
    place: &Place,
    epoch: u64,
    event_text: &str,
) -> Digest {
    let mut head = serde_json::json!([
        prev,
        seq,
        at,
        who,
        place.run,
        place.incident,
        place.step,
        place.target,
        place.attempt
    ]);
    // Format 1 had no epochs; its entries keep their hashes.
    if epoch > 0
        && let Some(list) = head.as_array_mut()
    {
        list.push(epoch.into());
    }
    digest_of_bytes(format!("{head}\n{event_text}").as_bytes())
}

/// Hash before the first entry.
pub const GENESIS: &str = "0000000000000000000000000000000000000000000000000000000000000000";
