//! The reference page of a runbook, as Markdown, generated from its file.

use std::fmt::Write as _;

use muster_model::{OnFail, Signature, Span};

use crate::ir::{AbortCheck, Arg, Runbook, StepBody};

/// The page.
#[must_use]
pub fn reference_page(runbook: &Runbook, signatures: &[Signature]) -> String {
    let mut out = String::new();
    let _ = writeln!(
        out,
        "# {}\n\n`{}` · risk: {} · owner: {}\n",
        runbook.title,
        runbook.id,
        runbook.risk.word(),
        runbook.owner
    );
    let _ = writeln!(out, "{}\n", runbook.about);
    if !runbook.answers.is_empty() {
        let _ = writeln!(out, "Answers: {}.\n", code_list(&runbook.answers));
    }
    if !runbook.source.is_empty() {
        let _ = writeln!(out, "Source: {}.\n", runbook.source.join(", "));
    }
    if runbook.settle > Span::ZERO {
        let _ = writeln!(
            out,
            "After the proof the incident stays `mitigating` for {}, watched for a relapse.\n",
            runbook.settle.human()
        );
    }
    if !runbook.params.is_empty() {
        let _ = writeln!(
            out,
            "| parameter | type | default | bounds | meaning |\n|---|---|---|---|---|"
        );
        for p in &runbook.params {
            let bound = |v: &Option<serde_json::Value>| v.as_ref().map_or("–".to_owned(), plain);
            let _ = writeln!(
                out,
                "| `{}` | `{}` | {} | {} … {} | {} |",
                p.name,
                p.ty.name(),
                bound(&p.default),
                bound(&p.min),
                bound(&p.max),
                p.about
            );
        }
        out.push('\n');
    }
    let _ = writeln!(out, "## Steps\n");
    for (i, step) in runbook.steps.iter().enumerate() {
        let _ = writeln!(
            out,
            "{}. **{}**: {}",
            i + 1,
            step.id,
            sentence(&step.body, signatures)
        );
        match &step.on_fail {
            OnFail::Undo => out.push_str("   On failure everything is undone.\n"),
            OnFail::Goto(to) => {
                let _ = writeln!(out, "   On failure it goes on at `{to}`.");
            }
            OnFail::Escalate => {}
        }
    }
    out
}

fn sentence(body: &StepBody, signatures: &[Signature]) -> String {
    match body {
        StepBody::Probe {
            uses,
            with,
            continue_if,
            expect,
            ..
        } => {
            let mut s = format!("reads `{uses}`{}.", inputs(with));
            if let Some(c) = continue_if {
                let _ = write!(s, " Nothing to do unless `{c}`.");
            }
            if let Some(c) = expect {
                let _ = write!(s, " Declines unless `{c}`.");
            }
            s
        }
        StepBody::Action {
            uses,
            with,
            for_each,
            limits,
            abort_if,
        } => {
            let each = for_each
                .as_ref()
                .map_or(String::new(), |(s, o)| format!(" for each of `{s}.{o}`"));
            let undo = signatures
                .iter()
                .find(|s| s.name == *uses)
                .and_then(|s| s.undo.clone())
                .unwrap_or_default();
            format!(
                "does `{uses}`{each}{}: at most {} targets and {} % of all there could be; {} first, then twice as many each \
                 time; {}. Undo: {undo}.",
                inputs(with),
                limits.max_targets,
                limits.max_percent,
                limits.canary,
                match limits.max_errors {
                    0 => "stops at the first error".to_owned(),
                    n => format!("stops after more than {n} errors"),
                }
            ) + &stops(abort_if)
        }
        StepBody::Verify { checks, hold, within } => {
            let all: Vec<String> = checks
                .iter()
                .map(|c| format!("`{}` of `{}`{}", c.until, c.step, inputs(&c.with)))
                .collect();
            format!("proves {}, held for {hold}, within {within}.", all.join(" and "))
        }
        StepBody::Approve { question } => format!("waits for a person: {question}"),
        StepBody::Wait { span } => format!("waits {span}."),
        StepBody::Call { runbook, with } => format!("does what `{runbook}` says{}.", inputs(with)),
        StepBody::Record { values } => format!("reports{}.", inputs(values)),
    }
}

fn stops(abort_if: &[AbortCheck]) -> String {
    if abort_if.is_empty() {
        return String::new();
    }
    let all: Vec<String> = abort_if
        .iter()
        .map(|c| format!("`{}` of `{}`{}", c.when, c.step, inputs(&c.with)))
        .collect();
    format!(" Stops when {}.", all.join(" or "))
}

fn inputs(with: &[(String, Arg)]) -> String {
    if with.is_empty() {
        return String::new();
    }
    let all: Vec<String> = with
        .iter()
        .map(|(name, arg)| match arg {
            Arg::Literal(v) => format!("{name} = {}", plain(v)),
            Arg::Param(p) => format!("{name} = parameter `{p}`"),
            Arg::Output { step, out } => format!("{name} = `{step}.{out}`"),
        })
        .collect();
    format!(" ({})", all.join(", "))
}

fn plain(value: &serde_json::Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn code_list(items: &[String]) -> String {
    items
        .iter()
        .map(|i| format!("`{i}`"))
        .collect::<Vec<_>>()
        .join(", ")
}
