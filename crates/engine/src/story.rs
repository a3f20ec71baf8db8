//! The story of an incident: journal entries told as sentences, each citing the entry it was made from. Pure.

use std::fmt::Write as _;

use muster_model::{
    Evidence, Finding, Incident, Observation, Outcome, PlanResult, RunOutcome, StepPlan, TimelineEntry,
    Verdict, WaitFor,
};

use crate::journal::{Entry, Event};

/// From so many targets of one step on, what went as planned is told in one line.
const FOLD_FROM: usize = 4;

/// The timeline, oldest first.
#[must_use]
pub fn timeline(entries: &[Entry]) -> Vec<TimelineEntry> {
    let mut lines = Vec::new();
    let mut rest = entries;
    while let Some(first) = rest.first() {
        let (alike, through) = done_alike(rest);
        let (told, said) = if alike.len() >= FOLD_FROM {
            (through, Some(("act", folded(first, &alike))))
        } else {
            (1, sentence(first))
        };
        if let Some((tone, text)) = said {
            lines.push(TimelineEntry {
                entry: first.seq,
                through: rest[told - 1].seq,
                at: first.at,
                who: first.who.clone(),
                text,
                tone: tone.to_owned(),
            });
        }
        rest = &rest[told..];
    }
    lines
}

/// Labels of the targets that one step handled as planned, one right after the other, and how many entries tell that; a look between
/// two batches that found nothing wrong is one of them.
fn done_alike(entries: &[Entry]) -> (Vec<&str>, usize) {
    let (mut labels, mut through, mut at) = (Vec::new(), 0, 0);
    let mine = |e: &&Entry| e.place.step == entries[0].place.step && e.place.run == entries[0].place.run;
    while let Some(entry) = entries.get(at).filter(mine) {
        match (&entry.event, entries.get(at + 1).filter(mine).map(|e| &e.event)) {
            (Event::Checked { go_on: true, .. }, _) => at += 1,
            (
                Event::Intent { target, undo: false },
                Some(Event::Tried {
                    outcome: Outcome::Done { .. },
                    undo: false,
                }),
            ) => {
                labels.push(target.label.as_str());
                at += 2;
                through = at;
            }
            _ => break,
        }
    }
    (labels, through)
}

fn folded(first: &Entry, labels: &[&str]) -> String {
    format!(
        "`{}` done {} times, each as planned: from {} to {}.",
        first.place.step,
        labels.len(),
        labels.first().unwrap_or(&""),
        labels.last().unwrap_or(&"")
    )
}

#[allow(clippy::too_many_lines)] // one arm an event, each a sentence
fn sentence(e: &Entry) -> Option<(&'static str, String)> {
    let step = &e.place.step;
    Some(match &e.event {
        Event::IncidentOpened { incident } => (
            "seen",
            format!(
                "Incident opened ({:?}): {}. {}",
                incident.severity, incident.cause.kind, incident.finding.summary
            ),
        ),
        Event::IncidentChanged { what, .. } => ("seen", format!("Incident: {what}.")),
        Event::IncidentClosed { why, .. } => ("end", format!("Incident closed: {why}.")),
        Event::EvidenceFrozen { sha256, bytes, .. } => (
            "seen",
            format!(
                "Evidence frozen: {bytes} bytes, sha256 {}….",
                &sha256[..sha256.len().min(12)]
            ),
        ),
        Event::Noted { text } => ("person", format!("Note: {text}")),
        Event::Planned { plan } => ("plan", planned(plan)),
        Event::Refused { guard, why, .. } => ("trouble", format!("Guard `{guard}` refused: {why}.")),
        Event::Approved { approval } => (
            "person",
            format!(
                "{} approved the plan ({}…).",
                approval.by,
                &short(&approval.digest)
            ),
        ),
        Event::GlassBroken { why, .. } => (
            "trouble",
            format!("{} broke the glass for run {}: {why}.", e.who, e.place.run),
        ),
        Event::Rejected { why, .. } => ("person", format!("{} rejected the plan: {why}.", e.who)),
        Event::Started { on, .. } => ("act", format!("Run {} started on the word of {on}.", e.place.run)),
        Event::Resumed => ("act", format!("Run {} goes on after a stop.", e.place.run)),
        Event::Parked { why } => (
            "trouble",
            format!("Run {} stopped at this point: {why}.", e.place.run),
        ),
        Event::ProbeRead {
            go_on, expected, why, ..
        } => {
            if *go_on && *expected {
                ("seen", format!("`{step}` read again: still so."))
            } else {
                ("seen", format!("`{step}` read again: {why}."))
            }
        }
        Event::Intent { target, undo } => {
            let verb = if *undo { "take back" } else { "do" };
            ("act", format!("About to {verb} `{step}`: {}.", target.label))
        }
        Event::Tried { outcome, undo } => {
            let what = if *undo {
                format!("Undo of `{step}`")
            } else {
                format!("`{step}`")
            };
            match outcome {
                Outcome::Done { detail } => ("act", format!("{what} done: {detail}.")),
                Outcome::NotDone { why } => ("act", format!("{what} skipped: {why}.")),
                Outcome::Failed { error } => ("trouble", format!("{what} failed: {error}.")),
                Outcome::Indeterminate { why } => (
                    "trouble",
                    format!("{what}: nobody can say whether it happened: {why}."),
                ),
            }
        }
        Event::Observed { observation, .. } => match observation {
            Observation::Done { detail } => (
                "seen",
                format!("`{step}` had happened before the stop: {detail}."),
            ),
            Observation::NotDone { detail } => (
                "seen",
                format!("`{step}` had not happened before the stop: {detail}."),
            ),
            Observation::Unknown { why } => (
                "trouble",
                format!("`{step}`: nobody can say whether it happened: {why}."),
            ),
        },
        Event::Checked { go_on, why, .. } => {
            let kind = if *go_on { "seen" } else { "trouble" };
            (kind, format!("A look before the next batch of `{step}`: {why}."))
        }
        Event::Verified { verdict, .. } => match verdict {
            Verdict::Proven { detail } => ("proof", format!("Proven: symptom and cause are gone; {detail}.")),
            Verdict::Refuted { why } => ("trouble", format!("Not cured: {why}.")),
            Verdict::Unknown { why } => ("trouble", format!("Cannot be proven: {why}.")),
        },
        Event::Recorded { values } => {
            let text = values
                .get("summary")
                .and_then(|v| v.as_str())
                .unwrap_or("values written down");
            ("seen", text.to_owned())
        }
        Event::Waits { what, why, until } => {
            let until = until.map(|t| format!(" until {}", t.clock())).unwrap_or_default();
            (
                "seen",
                format!("`{step}` waits for {}{until}: {why}.", waited(*what)),
            )
        }
        Event::PrincipalAdded {
            name, role, service, ..
        } => {
            let a = if *service { "the service " } else { "" };
            ("person", format!("{} made {a}{name} {}.", e.who, role.word()))
        }
        Event::PrincipalRevoked { name } => ("person", format!("{} removed {name}.", e.who)),
        Event::LeaseTaken { lease, from, .. } => (
            "act",
            format!("`{lease}` was taken over from {from}, which did not give it back."),
        ),
        Event::LeaseLost { lease, why } => (
            "trouble",
            format!("The right to act (`{lease}`) was lost: {why}."),
        ),
        Event::Unwinds { why, .. } => (
            "trouble",
            format!("From here on what happened is taken back: {why}."),
        ),
        Event::CancelAsked { why } => ("person", format!("{} asked the run to stop: {why}.", e.who)),
        Event::Ended { outcome, detail } => {
            let tone = match outcome {
                RunOutcome::Proven | RunOutcome::Done | RunOutcome::Reported => "end",
                RunOutcome::Nothing | RunOutcome::Declined => "seen",
                _ => "trouble",
            };
            (
                tone,
                format!(
                    "Run {} ended {}: {detail}.",
                    e.place.run,
                    outcome.word().replace('_', " ")
                ),
            )
        }
        Event::Frozen { scope, why } => (
            "person",
            format!("{} froze all changes{}: {why}.", e.who, of(scope)),
        ),
        Event::Unfrozen { scope } => ("person", format!("{} allowed changes{} again.", e.who, of(scope))),
        Event::Scheduled { name, slot, what } => (
            "seen",
            format!("The schedule `{name}` was due at {}: {what}.", slot.clock()),
        ),
        Event::Triggered { alert, what, .. } => ("seen", format!("The alert {alert} came in: {what}.")),
        Event::NotificationQueued { notification: n } => (
            "seen",
            format!(
                "{} is told through `{}`: {}",
                n.level,
                n.channel,
                sentence_of(&n.title)
            ),
        ),
        Event::NotificationFailed {
            why, gave_up: true, ..
        } => (
            "trouble",
            format!("A message was not taken, and is not sent again: {why}."),
        ),
        Event::Acknowledged { why } => ("person", format!("{} has it: {why}.", e.who)),
        Event::Stuck { why } => ("trouble", format!("Run {} does not get on: {why}.", e.place.run)),
        Event::Waited
        | Event::Proof { .. }
        | Event::Noticed { .. }
        | Event::HeadExported { .. }
        | Event::NotificationSent { .. }
        | Event::NotificationFailed { .. } => return None,
    })
}

fn of(scope: &str) -> String {
    if scope.is_empty() {
        String::new()
    } else {
        format!(" of {scope}")
    }
}

/// With one full stop at its end.
fn sentence_of(text: &str) -> String {
    format!("{}.", text.trim_end_matches('.'))
}

fn waited(what: WaitFor) -> &'static str {
    match what {
        WaitFor::Approval => "a person",
        WaitFor::Window => "a maintenance window",
        WaitFor::Timer => "its time",
        WaitFor::Lease => "the right to act",
    }
}

fn planned(plan: &muster_model::Plan) -> String {
    match &plan.result {
        PlanResult::Changes => {
            let blast: Vec<&str> = plan
                .steps
                .iter()
                .filter_map(|s| match &s.plan {
                    StepPlan::Action { blast, .. } => Some(blast.summary.as_str()),
                    _ => None,
                })
                .collect();
            format!(
                "{} planned `{}` for {} ({}…): {}.",
                plan.requested_by,
                plan.runbook.id,
                plan.scope.target,
                short(&plan.digest),
                blast.join("; ")
            )
        }
        PlanResult::Nothing { why } => format!("`{}` looked: nothing to do: {why}.", plan.runbook.id),
        PlanResult::Declined { why, named, .. } => {
            let named = named
                .as_ref()
                .filter(|n| *n != "ok")
                .map(|n| format!(" It is {n}."))
                .unwrap_or_default();
            format!("`{}` declined: {why}.{named}", plan.runbook.id)
        }
        PlanResult::Report { summary, verdict } => {
            format!("`{}` reports {verdict}: {summary}.", plan.runbook.id)
        }
    }
}

fn short(digest: &str) -> String {
    digest.chars().take(12).collect()
}

/// The postmortem as Markdown. Every sentence about what happened cites a journal entry as `[n]`.
#[must_use]
pub fn postmortem(incident: &Incident, entries: &[Entry], evidence: &[Evidence]) -> String {
    let mut out = String::new();
    let lines = timeline(entries);
    let opening = entries
        .iter()
        .find(|e| matches!(e.event, Event::IncidentOpened { .. }))
        .map_or(0, |e| e.seq);
    let last = entries
        .iter()
        .rev()
        .find(|e| {
            matches!(
                e.event,
                Event::IncidentChanged { .. } | Event::IncidentClosed { .. }
            )
        })
        .map_or(opening, |e| e.seq);
    let _ = writeln!(
        out,
        "# {}: {} on {}\n",
        incident.id, incident.cause.kind, incident.target
    );
    let _ = writeln!(out, "| | |\n|---|---|");
    let _ = writeln!(out, "| severity | {:?} [{last}] |", incident.severity);
    let _ = writeln!(
        out,
        "| onset by the evidence | {} [{opening}] |",
        incident.opened_at
    );
    let _ = writeln!(
        out,
        "| detected | {} ({} after onset) [{opening}] |",
        incident.detected_at,
        incident.detected_at.since(incident.opened_at).human()
    );
    if let Some(e) = entries
        .iter()
        .find(|e| matches!(e.event, Event::Intent { undo: false, .. }))
    {
        let _ = writeln!(
            out,
            "| first action | {} ({} after onset) [{}] |",
            e.at,
            e.at.since(incident.opened_at).human(),
            e.seq
        );
    }
    if let Some(e) = entries.iter().rev().find(|e| {
        matches!(
            &e.event,
            Event::Verified {
                verdict: Verdict::Proven { .. },
                ..
            }
        )
    }) {
        let _ = writeln!(
            out,
            "| proven gone | {} ({} after onset) [{}] |",
            e.at,
            e.at.since(incident.opened_at).human(),
            e.seq
        );
    }
    match (incident.resolved_at, &incident.resolution) {
        (Some(at), Some(why)) => {
            let _ = writeln!(out, "| over | {at}: {why} [{last}] |");
        }
        (_, why) => {
            let why = why.as_ref().map(|w| format!(": {w}")).unwrap_or_default();
            let _ = writeln!(out, "| state | {}{why} [{last}] |", word(incident));
        }
    }
    let (finding, named) = named(incident, entries).unwrap_or((&incident.finding, opening));
    let _ = writeln!(out, "\n## Cause\n\n{} [{named}]\n", finding.summary);
    if !incident.symptoms.is_empty() {
        let _ = writeln!(
            out,
            "It also showed as: {} [{last}].\n",
            incident.symptoms.join(", ")
        );
    }
    if !finding.ruled_out.is_empty() {
        let _ = writeln!(out, "Ruled out: {} [{named}].\n", finding.ruled_out.join("; "));
    }
    let _ = writeln!(out, "## What happened\n");
    for line in &lines {
        let _ = writeln!(
            out,
            "- {} {} ({}) {}",
            line.at.clock(),
            line.text,
            line.who,
            line.cite()
        );
    }
    let _ = writeln!(out, "\n## Evidence\n");
    for item in evidence {
        let cite = entries
            .iter()
            .find(|e| matches!(&e.event, Event::EvidenceFrozen { sha256, .. } if *sha256 == item.sha256));
        let _ = writeln!(
            out,
            "- {} {}: sha256 {} [{}]",
            item.taken_at,
            match item.moment {
                muster_model::EvidenceMoment::Onset => "at onset",
                muster_model::EvidenceMoment::After => "after the repair",
            },
            item.sha256,
            cite.map_or(0, |e| e.seq)
        );
    }
    let _ = writeln!(
        out,
        "\n## For people\n\n- Why could it happen?\n- What would have shown it earlier?\n- What will be changed, by whom, until when?\n"
    );
    let _ = writeln!(
        out,
        "_Numbers in brackets are entries of the journal; `muster journal verify` proves them unchanged._"
    );
    out
}

/// What the entry said that first named the cause as it is named now.
fn named<'a>(incident: &Incident, entries: &'a [Entry]) -> Option<(&'a Finding, u64)> {
    entries.iter().find_map(|e| match &e.event {
        Event::IncidentOpened { incident: then } | Event::IncidentChanged { incident: then, .. }
            if then.cause == incident.cause =>
        {
            Some((&then.finding, e.seq))
        }
        _ => None,
    })
}

fn word(incident: &Incident) -> &'static str {
    match incident.state {
        muster_model::IncidentState::Open => "open",
        muster_model::IncidentState::Mitigating => "mitigating",
        muster_model::IncidentState::Resolved => "resolved",
        muster_model::IncidentState::Escalated => "escalated",
    }
}
