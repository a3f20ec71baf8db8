//! The desk: incidents that are open, kept in step with what is seen and with their runs, written to the journal.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;

use muster_engine::guards::Refusal;
use muster_engine::incidents::{CLEAR_FOR, Change, GLASS, LastRun, Root, Sight, absorb, opened};
use muster_engine::planner::new_id;
use muster_engine::{Engine, EngineError, Event, Place, journal};
use muster_model::{
    Evidence, EvidenceMoment, Finding, Incident, IncidentSeverity, IncidentState, Plan, RunOutcome, RunState,
    Severity, Snapshot, Span, Subject, Threshold, Thresholds, Time, canonical_json, digest_of,
};
use muster_rules::Correlated;

use super::watch::{evidence, is_open, retry_due};
use crate::app::App;

/// An incident that wants a plan.
#[derive(Clone, Debug)]
pub struct Opened {
    /// The incident.
    pub incident: Incident,
    /// Why it wants one now.
    pub why: &'static str,
    /// A plan that is ready and waits for nothing but its start.
    pub ready: Option<String>,
}

#[derive(Default)]
struct Kept {
    incidents: BTreeMap<String, Incident>,
    /// When a plan was last tried, and how often: tries become rarer.
    tried: BTreeMap<String, (Time, u32)>,
    /// Incidents whose end has been looked at for their evidence.
    after: BTreeSet<String>,
    /// Evidence that could not be written yet.
    unfrozen: BTreeSet<(String, EvidenceMoment)>,
    /// Open incidents of before this process began that it has not seen itself yet.
    inherited: BTreeSet<String>,
    /// When this process began to look.
    began: Option<Time>,
    /// What became of runs that are over: they are read once.
    ended: BTreeMap<String, Ended>,
}

/// A run that is over.
#[derive(Clone, Debug)]
struct Ended {
    runbook: String,
    run: LastRun,
}

impl Kept {
    /// Forgets what is only needed while an incident is open: a daemon runs for months.
    fn over(&mut self, incident: &Incident) {
        self.tried.remove(&incident.id);
        self.after.remove(&incident.id);
        self.inherited.remove(&incident.id);
        for run in &incident.runs {
            self.ended.remove(run);
        }
    }
}

/// All incidents of this state.
#[derive(Default)]
pub struct Desk(Mutex<Kept>);

impl Desk {
    /// Reads them from the journal.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn read(engine: &Engine) -> Result<Self, EngineError> {
        let mut kept = Kept {
            began: Some(engine.now()),
            ..Kept::default()
        };
        let mut entries = Vec::new();
        for kind in ["incident_opened", "incident_changed", "incident_closed"] {
            entries.extend(engine.journal().of_kind(kind)?);
        }
        entries.sort_by_key(|e| e.seq);
        for e in entries {
            let (Event::IncidentOpened { incident }
            | Event::IncidentChanged { incident, .. }
            | Event::IncidentClosed { incident, .. }) = e.event
            else {
                continue;
            };
            kept.incidents.insert(incident.id.clone(), light(incident));
        }
        for e in engine.journal().of_kind("planned")? {
            if let Some(i) = kept.incidents.get_mut(&e.place.incident)
                && !i.runs.contains(&e.place.run)
            {
                i.runs.push(e.place.run.clone());
            }
        }
        let open = |i: &&Incident| is_open(i) && i.cause.kind != GLASS;
        kept.inherited = kept
            .incidents
            .values()
            .filter(open)
            .map(|i| i.id.clone())
            .collect();
        // Killed between opening it and freezing what was seen: that is made good with the first look.
        let mut frozen = BTreeSet::new();
        for e in engine.journal().of_kind("evidence_frozen")? {
            match e.event {
                Event::EvidenceFrozen {
                    moment: EvidenceMoment::Onset,
                    ..
                } => frozen.insert(e.place.incident),
                _ if kept.inherited.contains(&e.place.incident) => kept.after.insert(e.place.incident),
                _ => false,
            };
        }
        let missing = kept.inherited.difference(&frozen).cloned();
        kept.unfrozen = missing.map(|id| (id, EvidenceMoment::Onset)).collect();
        Ok(Self(Mutex::new(kept)))
    }

    /// Closes the incidents of clusters that are not in the config any more: nobody looks there, so nobody would ever close
    /// them. The one of a broken glass stays: a second person closes it.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn leave(&self, app: &App) -> Result<(), EngineError> {
        let config = app.config();
        let mut kept = self.lock();
        let gone =
            |i: &&Incident| is_open(i) && i.cause.kind != GLASS && config.cluster(&i.cluster).is_none();
        let all: Vec<Incident> = kept.incidents.values().filter(gone).cloned().collect();
        for mut incident in all {
            let why = format!(
                "the cluster {} is not in the config any more, so nobody looks at it; nobody can say that the trouble is over",
                incident.cluster
            );
            tracing::warn!(incident = %incident.id, "closed: {why}");
            incident.state = IncidentState::Resolved;
            incident.resolved_at = Some(app.engine.now());
            incident.resolution = Some(why.clone());
            write(app, &Change::Closed(incident.clone(), why))?;
            kept.over(&incident);
            kept.unfrozen.retain(|(id, _)| *id != incident.id);
            kept.incidents.insert(incident.id.clone(), light(incident));
        }
        Ok(())
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// All incidents, oldest first.
    #[must_use]
    pub fn all(&self) -> Vec<Incident> {
        let mut all: Vec<Incident> = self.lock().incidents.values().cloned().collect();
        all.sort_by_key(|i| (i.detected_at, i.id.clone()));
        all
    }

    /// One incident.
    #[must_use]
    pub fn get(&self, id: &str) -> Option<Incident> {
        self.lock().incidents.get(id).cloned()
    }

    /// Notes that a plan was made for an incident.
    pub fn planned(&self, incident: &str, run: &str) {
        if let Some(i) = self.lock().incidents.get_mut(incident)
            && !i.runs.iter().any(|r| r == run)
        {
            i.runs.push(run.to_owned());
        }
    }

    /// Takes in one look; the incidents that want a plan now.
    ///
    /// # Errors
    /// When the journal cannot be written.
    pub fn absorb(
        &self,
        app: &App,
        snapshot: &Snapshot,
        told: &Correlated,
        blind: Vec<String>,
        unsure: Vec<(String, String)>,
    ) -> Result<Vec<Opened>, EngineError> {
        let identity = snapshot
            .servers
            .iter()
            .find_map(|s| s.identity.as_ref().map(|i| i.value.system_identifier.clone()))
            .unwrap_or_default();
        let mut sight = Sight {
            cluster: snapshot.cluster.clone(),
            identity,
            at: snapshot.taken_at,
            roots: told
                .roots
                .iter()
                .map(|r| Root {
                    cause: r.cause.clone(),
                    symptoms: r.symptoms.clone(),
                    severity: r.severity,
                    opens: r.opens,
                })
                .collect(),
            blind,
            unsure,
            early: Vec::new(),
        };
        let mut kept = self.lock();
        let mut open: Vec<Incident> = kept
            .incidents
            .values()
            .filter(|i| i.cluster == snapshot.cluster && is_open(i) && i.cause.kind != GLASS)
            .cloned()
            .collect();
        let mut runs = Vec::new();
        for incident in &open {
            runs.extend(last_run(app, incident, &mut kept.ended)?);
        }
        // What was seen last is journaled with changes only: a process that has just begun has not seen it itself.
        let began = kept.began.unwrap_or(sight.at);
        let thresholds = app
            .config()
            .cluster(&snapshot.cluster)
            .map(|c| c.thresholds.clone());
        for incident in open.iter_mut().filter(|i| kept.inherited.contains(&i.id)) {
            let hold = thresholds.as_ref().map_or(Span::ZERO, |t| longest(incident, t));
            if sight.at.since(began) < hold.max(CLEAR_FOR) {
                sight.early.push(incident.id.clone());
            }
            let repaired = |r: &LastRun| r.incident == incident.id && r.outcome == Some(RunOutcome::Proven);
            if !runs.iter().any(repaired) {
                incident.last_seen_at = incident.last_seen_at.max(began);
            }
        }
        let mut wanting = Vec::new();
        for change in absorb(&open, &runs, &sight, &mut || new_id("i")) {
            write(app, &change)?;
            let incident = change.incident().clone();
            // At once: what is journaled must be known, or the next look would open it again.
            kept.incidents
                .insert(incident.id.clone(), light(incident.clone()));
            let seen_now = incident.last_seen_at == snapshot.taken_at;
            if seen_now {
                kept.inherited.remove(&incident.id);
            }
            if let Change::Opened(i) = &change {
                kept.unfrozen.insert((i.id.clone(), EvidenceMoment::Onset));
            }
            let run = runs.iter().find(|r| r.incident == incident.id);
            let proven = run.is_some_and(|r| r.outcome == Some(RunOutcome::Proven));
            if proven && kept.after.insert(incident.id.clone()) {
                kept.unfrozen.insert((incident.id.clone(), EvidenceMoment::After));
            }
            if let Change::Closed(..) = &change {
                kept.over(&incident);
            }
            // A plan is wanted when there is none, or when the last one led nowhere and the trouble is still there.
            let why = match (&change, run.map(|r| (&r.state, r.outcome))) {
                (Change::Opened(_), _) => Some("incident opened"),
                (_, None) if seen_now => Some("incident without a plan"),
                (_, Some((RunState::Ended, Some(outcome)))) if seen_now && again(outcome) => {
                    Some("still there")
                }
                (_, Some((RunState::Ready, _))) if seen_now => Some("ready to start"),
                _ => None,
            };
            let ready = run
                .filter(|r| r.state == RunState::Ready)
                .and(incident.runs.last().cloned());
            if let Some(why) = why
                && incident.state != IncidentState::Resolved
                && retry_due(kept.tried.get(&incident.id).copied(), sight.at)
            {
                wanting.push(Opened {
                    incident: incident.clone(),
                    why,
                    ready,
                });
            }
        }
        // What cannot be written now is tried again with the next look, and no plan is made before.
        let due: Vec<(String, EvidenceMoment)> = kept.unfrozen.iter().cloned().collect();
        for (id, moment) in due {
            let of = kept.incidents.get(&id).filter(|i| i.cluster == snapshot.cluster);
            if let Some(incident) = of.cloned() {
                freeze(app, &incident, snapshot, told, moment)?;
                kept.unfrozen.remove(&(id, moment));
            }
        }
        for o in &wanting {
            let tries = kept.tried.get(&o.incident.id).map_or(0, |t| t.1);
            kept.tried.insert(o.incident.id.clone(), (sight.at, tries + 1));
        }
        Ok(wanting)
    }

    /// A person writes something down.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn note(&self, app: &App, id: &str, by: &str, text: &str) -> Result<(), EngineError> {
        app.engine
            .append(
                by,
                &Place::incident(id),
                Event::Noted {
                    text: text.to_owned(),
                },
            )
            .map(|_| ())
    }

    /// Opens the incident of a broken glass: it stays until a second person closes it.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn glass(&self, app: &App, plan: &Plan, by: &str, why: &str) -> Result<String, EngineError> {
        let now = app.engine.now();
        let finding = Finding {
            kind: GLASS.to_owned(),
            severity: Severity::Critical,
            target: plan.scope.target.clone(),
            subject: Subject::new("person", by),
            since: now,
            summary: format!("{by} broke the glass for `{}`: {why}", plan.runbook.id),
            evidence: muster_model::Record::new(),
            remedy: None,
            cause: true,
            pending: false,
            incident: true,
            ruled_out: Vec::new(),
        };
        let root = Root {
            cause: finding,
            symptoms: Vec::new(),
            severity: IncidentSeverity::P1,
            opens: true,
        };
        let sight = Sight {
            cluster: plan.scope.cluster.clone(),
            identity: plan.scope.identity.clone(),
            at: now,
            roots: Vec::new(),
            blind: Vec::new(),
            unsure: Vec::new(),
            early: Vec::new(),
        };
        let mut incident = opened(&root, &sight, new_id("i"));
        incident.runs.push(plan.id.clone());
        let mut kept = self.lock();
        // Asked again for the same run, or by the second of two, it is the same glass.
        let same = kept
            .incidents
            .values()
            .find(|i| is_open(i) && i.cause.kind == GLASS && i.runs == incident.runs);
        if let Some(known) = same {
            return Ok(known.id.clone());
        }
        let event = Event::IncidentOpened {
            incident: incident.clone(),
        };
        app.engine.append(by, &Place::incident(&incident.id), event)?;
        let id = incident.id.clone();
        kept.incidents.insert(id.clone(), incident);
        Ok(id)
    }

    /// Who broke the glass may not close the books on it, and nobody before the postmortem has a word of a person.
    fn owed(app: &App, incident: &Incident, by: &str) -> Result<(), EngineError> {
        if incident.cause.kind != GLASS {
            return Ok(());
        }
        let refuse = |why: String, remedy: String| {
            let guard = "glass";
            Err(EngineError::Refused(Refusal {
                guard,
                why,
                remedy,
                until: None,
            }))
        };
        if incident.cause.subject == Subject::new("person", by) {
            return refuse(
                format!("{by} broke the glass, so a second person closes it"),
                "ask somebody else who may approve".to_owned(),
            );
        }
        for id in &incident.runs {
            if app.engine.run(id)?.1.state != RunState::Ended {
                return refuse(
                    format!("run {id}, for which it was broken, is not over"),
                    format!("wait for its end, or stop it: `muster runs cancel {id} --why …`"),
                );
            }
        }
        let entries = app.engine.journal().of_incident(&incident.id)?;
        let second = |e: &muster_engine::Entry| incident.cause.subject != Subject::new("person", &e.who);
        if !entries
            .iter()
            .any(|e| matches!(e.event, Event::Noted { .. }) && second(e))
        {
            return refuse(
                "its postmortem is owed".to_owned(),
                format!(
                    "write down what was learnt, `muster incident note {} \"…\"`: it becomes part of `muster incident postmortem`",
                    incident.id
                ),
            );
        }
        Ok(())
    }

    /// A person closes an incident.
    ///
    /// # Errors
    /// When it cannot be written, or there is none that is open.
    pub fn resolve(&self, app: &App, id: &str, by: &str, why: &str) -> Result<Incident, EngineError> {
        let mut kept = self.lock();
        let mut incident = kept
            .incidents
            .get(id)
            .filter(|i| is_open(i))
            .cloned()
            .ok_or_else(|| EngineError::NoSuchRun(id.to_owned()))?;
        Self::owed(app, &incident, by)?;
        incident.state = IncidentState::Resolved;
        incident.resolved_at = Some(app.engine.now());
        incident.resolution = Some(format!("{by}: {why}"));
        let event = Event::IncidentClosed {
            incident: incident.clone(),
            why: format!("{by}: {why}"),
        };
        app.engine.append(by, &Place::incident(id), event)?;
        kept.over(&incident);
        kept.incidents.insert(id.to_owned(), light(incident.clone()));
        Ok(incident)
    }
}

/// Outcomes after which a new plan is worth trying while the trouble is there.
fn again(outcome: RunOutcome) -> bool {
    matches!(
        outcome,
        RunOutcome::Nothing
            | RunOutcome::Expired
            | RunOutcome::Failed
            | RunOutcome::Refused
            | RunOutcome::Proven
            | RunOutcome::Declined
    )
}

/// Of an incident that is over, the findings stay in the journal only: a daemon runs for months.
fn light(mut incident: Incident) -> Incident {
    if !is_open(&incident) {
        incident.findings.clear();
    }
    incident
}

/// A span of a threshold that is longer is none that a rule waits for before it says something.
const LONGEST_HOLD: Span = Span::from_mins(60);

/// For how long the rules behind an incident may have to look before they see it: the longest of their thresholds. Not every
/// span is such a wait; one that is none only keeps an incident of before a restart open for longer.
fn longest(incident: &Incident, thresholds: &Thresholds) -> Span {
    let kinds = incident
        .findings
        .iter()
        .map(|f| &f.kind)
        .chain([&incident.cause.kind]);
    kinds
        .filter_map(|kind| thresholds.0.get(kind))
        .flat_map(|keys| keys.values())
        .filter_map(|t| match t {
            Threshold::Span(span) => Some(*span).filter(|s| *s <= LONGEST_HOLD),
            Threshold::Number(_) => None,
        })
        .max()
        .map_or(Span::ZERO, |hold| {
            Span::from_millis(hold.millis() + CLEAR_FOR.millis())
        })
}

/// The run that says how an incident stands: the last one that did or will do something, else the very last.
fn last_run(
    app: &App,
    incident: &Incident,
    ended: &mut BTreeMap<String, Ended>,
) -> Result<Option<LastRun>, EngineError> {
    let library = app.library();
    let settle = |runbook: &str| library.get(runbook).map_or(Span::ZERO, |r| r.settle);
    let mut last = None;
    for id in incident.runs.iter().rev().take(5) {
        let (runbook, told) = match ended.get(id) {
            Some(known) => (
                known.runbook.clone(),
                LastRun {
                    settle: settle(&known.runbook),
                    ..known.run.clone()
                },
            ),
            None => {
                let (plan, mut run) = app.engine.run(id)?;
                // Nobody started it in time: a fresh look is needed, and a fresh plan.
                if run.state != RunState::Ended
                    && app.engine.now() > plan.expires_at
                    && app.engine.expire(id)?
                {
                    run = app.engine.run(id)?.1;
                }
                let told = LastRun {
                    incident: incident.id.clone(),
                    state: run.state,
                    outcome: run.outcome,
                    ended_at: run.ended_at,
                    first_action_at: run.first_action_at,
                    settle: settle(&plan.runbook.id),
                };
                let runbook = plan.runbook.id;
                if told.state == RunState::Ended {
                    let (runbook, run) = (runbook.clone(), told.clone());
                    ended.insert(id.clone(), Ended { runbook, run });
                }
                (runbook, told)
            }
        };
        // Evidence that a person collected for it says nothing of how it stands, and must not keep it from a repair.
        let aside = told.outcome == Some(RunOutcome::Reported)
            && library
                .get(&runbook)
                .is_none_or(|r| !r.answers.contains(&incident.cause.kind));
        if aside {
            continue;
        }
        let idle = matches!(
            told.outcome,
            Some(RunOutcome::Nothing | RunOutcome::Declined | RunOutcome::Reported | RunOutcome::Expired)
        );
        if idle && last.is_some() {
            continue;
        }
        last = Some(told);
        if !idle {
            break;
        }
    }
    Ok(last)
}

fn write(app: &App, change: &Change) -> Result<(), EngineError> {
    let place = Place::incident(&change.incident().id);
    let event = match change {
        Change::Seen(_) => return Ok(()),
        Change::Opened(i) => Event::IncidentOpened { incident: i.clone() },
        Change::Changed(i, what) => Event::IncidentChanged {
            incident: i.clone(),
            what: what.clone(),
        },
        Change::Closed(i, why) => Event::IncidentClosed {
            incident: i.clone(),
            why: why.clone(),
        },
    };
    app.engine.append(journal::DAEMON, &place, event).map(|_| ())
}

fn freeze(
    app: &App,
    incident: &Incident,
    snapshot: &Snapshot,
    told: &Correlated,
    moment: EvidenceMoment,
) -> Result<(), EngineError> {
    let body = evidence(snapshot, &told.all());
    let item = Evidence {
        moment,
        taken_at: snapshot.taken_at,
        sha256: digest_of(&body),
        body,
    };
    app.engine.journal().keep_evidence(&incident.id, &item)?;
    let bytes = canonical_json(&item.body).len() as u64;
    let event = Event::EvidenceFrozen {
        moment,
        sha256: item.sha256,
        bytes,
    };
    app.engine
        .append(journal::DAEMON, &Place::incident(&incident.id), event)
        .map(|_| ())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn how_long_a_rule_may_have_to_look_is_its_longest_threshold() {
        let finding = |kind: &str| Finding {
            kind: kind.to_owned(),
            severity: Severity::Critical,
            target: "shop/a".to_owned(),
            subject: Subject::new("thing", "x"),
            since: Time::from_millis(0),
            summary: String::new(),
            evidence: muster_model::Record::new(),
            remedy: None,
            cause: true,
            pending: false,
            incident: true,
            ruled_out: Vec::new(),
        };
        let of = |kind: &str| {
            let root = Root {
                cause: finding(kind),
                symptoms: Vec::new(),
                severity: IncidentSeverity::P1,
                opens: true,
            };
            let sight = Sight {
                cluster: "shop".to_owned(),
                identity: "7".to_owned(),
                at: Time::from_millis(0),
                roots: Vec::new(),
                blind: Vec::new(),
                unsure: Vec::new(),
                early: Vec::new(),
            };
            opened(&root, &sight, "i-1".to_owned())
        };
        let mut thresholds = Thresholds::default();
        thresholds.set("a.b", "for", Threshold::Span(Span::from_secs(90)));
        thresholds.set("a.b", "eta", Threshold::Span(Span::from_mins(60 * 24)));
        thresholds.set("a.b", "rows", Threshold::Number(1e9));
        thresholds.set("c.d", "for", Threshold::Span(Span::from_mins(9)));
        assert_eq!(longest(&of("a.b"), &thresholds), Span::from_secs(120));
        assert_eq!(longest(&of("e.f"), &thresholds), Span::ZERO);
    }
}
