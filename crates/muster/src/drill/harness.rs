//! The harness: a drill's fault treated under trouble. Every effect twice; an error at each probe and each effect of a run; an
//! effect that happens and says that it failed, and one whose answer is lost; a clock that somebody sets. Whatever happens, the run
//! ends in a state with a name, nothing is done twice, nobody else is harmed, and nothing is called cured that is not.

use std::collections::BTreeMap;

use futures::StreamExt as _;
use muster_engine::Event;
use muster_lab::LabOptions;
use muster_model::{Outcome, PlanResult, RunOutcome, Time};
use serde::Serialize;

use super::oracle::Oracle;
use super::run::{Own, Say, Stage, on_a_fresh_fleet};
use super::trouble::{Maker, Trouble};
use super::{Drill, Expect};

/// Of so many effects of one run, trouble is made at each; of more, at these and the last.
const EACH: u32 = 2;
/// So many reads of probes are troubled: the plan's, seen once more, and the first of the proof.
const READS: u32 = 3;

/// A fault treated under one trouble.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Trial {
    /// Drill.
    pub drill: String,
    /// The trouble, as a sentence.
    pub trouble: String,
    /// How the run ended, or what the report said.
    pub outcome: String,
    /// The sentence that belongs to it.
    pub detail: String,
    /// Probes that were read in it.
    pub reads: u32,
    /// Effects that were asked for.
    pub effects: u32,
    /// Appends at which a blow fell.
    pub points: u32,
    /// Whether the trouble was met: a run may need fewer looks than the first one did.
    pub struck: bool,
    /// What must not be so.
    pub wrong: Vec<String>,
}

/// Plays all trials of a drill, so many fleets at once. The first, where everything is done twice, says how many nodes there are.
///
/// # Errors
/// When a stage cannot be set.
pub async fn all(
    drill: &Drill,
    options: &(dyn Fn() -> LabOptions + Sync),
    own: &Own,
    at_once: usize,
    say: Say<'_>,
) -> Result<Vec<Trial>, String> {
    let first = trial(drill, options(), own, Trouble::Twice, say).await?;
    let mut troubles = Vec::new();
    for n in nodes(first.effects) {
        troubles.extend([Trouble::Before(n), Trouble::After(n), Trouble::Lost(n)]);
        troubles.extend([Trouble::Forward(n), Trouble::Back(n)]);
    }
    troubles.extend((1..=first.reads.min(READS)).map(Trouble::Probe));
    let trials = troubles
        .into_iter()
        .map(|trouble| struck(drill, options, own, trouble, say));
    let rest: Vec<Result<Trial, String>> = futures::stream::iter(trials).buffered(at_once).collect().await;
    let mut out = vec![first];
    for one in rest {
        out.push(one?);
    }
    Ok(out)
}

/// One trial; once more at the last effect there was, when it had fewer than the first one.
async fn struck(
    drill: &Drill,
    options: &(dyn Fn() -> LabOptions + Sync),
    own: &Own,
    trouble: Trouble,
    say: Say<'_>,
) -> Result<Trial, String> {
    let played = trial(drill, options(), own, trouble, say).await?;
    match trouble.earlier(played.effects) {
        Some(earlier) if !played.struck && played.wrong.is_empty() => {
            trial(drill, options(), own, earlier, say).await
        }
        _ => Ok(played),
    }
}

fn nodes(count: u32) -> impl Iterator<Item = u32> {
    (1..=count.min(EACH)).chain((count > EACH).then_some(count))
}

async fn trial(
    drill: &Drill,
    options: LabOptions,
    own: &Own,
    trouble: Trouble,
    say: Say<'_>,
) -> Result<Trial, String> {
    say(&trouble.to_string());
    let maker = Maker::new(trouble);
    on_a_fresh_fleet(&options, async |fleet| {
        let stage = Stage::set(drill, fleet, own, say, |code| maker.around(code), maker.clone()).await?;
        let trial = play(&stage, drill, &maker, trouble).await;
        stage.leave().await;
        trial
    })
    .await
}

async fn play(stage: &Stage<'_>, drill: &Drill, maker: &Maker, trouble: Trouble) -> Result<Trial, String> {
    let oracle = Oracle::before(&stage.fleet, &stage.truth).await?;
    stage.inject(&drill.fault).await?;
    let began = stage.until(&drill.manifest, "the fault does not show").await?;
    let mut trial = Trial {
        drill: drill.id.clone(),
        trouble: trouble.to_string(),
        ..Trial::default()
    };
    match &drill.expect {
        Expect::Reported(verdict) => reported(stage, &mut trial, verdict, maker, trouble).await?,
        expect => treated(stage, &mut trial, expect, drill, began, maker, trouble).await?,
    }
    (trial.reads, trial.effects) = (maker.reads(), maker.effects());
    trial.struck = maker.struck();
    if maker.again() > 0 {
        trial
            .wrong
            .push(format!("{} effects happened a second time", maker.again()));
    }
    let journal = stage.watch.app.engine.journal();
    if let Err(e) = journal.verify() {
        trial.wrong.push(e.to_string());
    }
    let entries = journal.all().map_err(|e| e.to_string())?;
    let mut done: BTreeMap<(String, String), u32> = BTreeMap::new();
    for e in &entries {
        if let Event::Tried {
            outcome: Outcome::Done { .. },
            undo: false,
        } = &e.event
        {
            let at = (e.place.step.clone(), e.place.target.clone());
            *done.entry(at).or_default() += 1;
        }
    }
    let twice = done.into_iter().filter(|(_, n)| *n > 1);
    trial
        .wrong
        .extend(twice.map(|((step, target), n)| format!("`{step}` was done {n} times to {target}")));
    let standbys = drill.fault.name.starts_with("standby");
    let (harm, _) = oracle.harm(&stage.fleet, &stage.truth, &entries, standbys).await;
    trial.wrong.extend(harm);
    Ok(trial)
}

async fn treated(
    stage: &Stage<'_>,
    trial: &mut Trial,
    expect: &Expect,
    drill: &Drill,
    began: Time,
    maker: &Maker,
    trouble: Trouble,
) -> Result<(), String> {
    let incident = stage.incident(began).await?;
    maker.arm();
    let run = stage.finished(&incident.id).await?;
    let outcome = run.outcome.ok_or("a run that is over has an outcome")?;
    trial.outcome = outcome.word().to_owned();
    trial.detail.clone_from(&run.detail);
    let there = stage.truth.holds(&drill.manifest).await?;
    if outcome == RunOutcome::Proven && there {
        trial.wrong.push(format!(
            "it is called proven, and `{}` still holds",
            drill.manifest
        ));
    }
    if trial.detail.is_empty() {
        trial.wrong.push("it does not say why it ended so".to_owned());
    }
    let wanted = match expect {
        Expect::Proven => RunOutcome::Proven,
        _ => RunOutcome::Escalated,
    };
    let targets: usize = run.steps.iter().map(|s| s.targets.len()).sum();
    // Twice is harmless, an answer that was lost is looked after, a clock that is set back changes nothing, and one that is set
    // forward after the last effect does not either: all end as if nothing had been.
    let as_if_nothing = match trouble {
        Trouble::Twice | Trouble::Lost(_) | Trouble::Back(_) => true,
        Trouble::Forward(n) => usize::try_from(n) == Ok(targets),
        Trouble::Probe(_) | Trouble::Before(_) | Trouble::After(_) => false,
    };
    if as_if_nothing && outcome != wanted {
        trial
            .wrong
            .push(format!("it must end {}: {}", wanted.word(), run.detail));
    }
    Ok(())
}

async fn reported(
    stage: &Stage<'_>,
    trial: &mut Trial,
    verdict: &str,
    maker: &Maker,
    trouble: Trouble,
) -> Result<(), String> {
    maker.arm();
    match stage.plan().await {
        Err(e) => (trial.outcome, trial.detail) = ("refused".to_owned(), e),
        Ok(planned) => {
            let PlanResult::Report {
                verdict: said,
                summary,
            } = planned.plan.result
            else {
                return Err(format!("a report was wanted: {:?}", planned.plan.result));
            };
            (trial.outcome, trial.detail) = (said.clone(), summary);
            if said == "ok" {
                trial.wrong.push("it says that all is well".to_owned());
            }
            if trouble == Trouble::Twice && said != verdict {
                trial.wrong.push(format!("it must report {verdict}"));
            }
        }
    }
    Ok(())
}
