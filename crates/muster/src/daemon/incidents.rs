//! The desk: incidents that are open, kept in step with what is seen and with their runs, written to the journal.

use std::collections::BTreeMap;
use std::sync::Mutex;

use muster_engine::guards::Refusal;
use muster_engine::incidents::{Change, GLASS, LastRun, Root, Sight, absorb, opened};
use muster_engine::planner::new_id;
use muster_engine::{Engine, EngineError, Event, Place, journal};
use muster_model::{
    Evidence, EvidenceMoment, Finding, Incident, IncidentSeverity, IncidentState, Plan, RunOutcome, RunState,
    Severity, Snapshot, Span, Subject, Time, canonical_json, digest_of,
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
    after: Vec<String>,
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
        let mut kept = Kept::default();
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
        Ok(Self(Mutex::new(kept)))
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
        let sight = Sight {
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
        };
        let mut kept = self.lock();
        let open: Vec<Incident> = kept
            .incidents
            .values()
            .filter(|i| i.cluster == snapshot.cluster && is_open(i) && i.cause.kind != GLASS)
            .cloned()
            .collect();
        let mut runs = Vec::new();
        for incident in &open {
            runs.extend(last_run(app, incident)?);
        }
        let mut wanting = Vec::new();
        for change in absorb(&open, &runs, &sight, &mut || new_id("i")) {
            write(app, &change)?;
            let incident = change.incident().clone();
            // At once: what is journaled must be known, or the next look would open it again.
            kept.incidents
                .insert(incident.id.clone(), light(incident.clone()));
            if let Change::Opened(i) = &change {
                freeze(app, i, snapshot, told, EvidenceMoment::Onset)?;
            }
            let run = runs.iter().find(|r| r.incident == incident.id);
            let proven = run.is_some_and(|r| r.outcome == Some(RunOutcome::Proven));
            if proven && !kept.after.contains(&incident.id) {
                kept.after.push(incident.id.clone());
                freeze(app, &incident, snapshot, told, EvidenceMoment::After)?;
            }
            let seen_now = incident.last_seen_at == snapshot.taken_at;
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
                let tries = kept.tried.get(&incident.id).map_or(0, |t| t.1);
                kept.tried.insert(incident.id.clone(), (sight.at, tries + 1));
                wanting.push(Opened {
                    incident: incident.clone(),
                    why,
                    ready,
                });
            }
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
            Err(EngineError::Refused(Refusal { guard, why, remedy }))
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

/// The run that says how an incident stands: the last one that did or will do something, else the very last.
fn last_run(app: &App, incident: &Incident) -> Result<Option<LastRun>, EngineError> {
    let library = app.library();
    let mut last = None;
    for id in incident.runs.iter().rev().take(5) {
        let (plan, mut run) = app.engine.run(id)?;
        // Evidence that a person collected for it says nothing of how it stands, and must not keep it from a repair.
        let aside = run.outcome == Some(RunOutcome::Reported)
            && library
                .get(&plan.runbook.id)
                .is_none_or(|r| !r.answers.contains(&incident.cause.kind));
        if aside {
            continue;
        }
        // Nobody started it in time: a fresh look is needed, and a fresh plan.
        if run.state != RunState::Ended && app.engine.now() > plan.expires_at && app.engine.expire(id)? {
            run = app.engine.run(id)?.1;
        }
        let idle = matches!(
            run.outcome,
            Some(RunOutcome::Nothing | RunOutcome::Declined | RunOutcome::Reported | RunOutcome::Expired)
        );
        if idle && last.is_some() {
            continue;
        }
        let settle = library.get(&plan.runbook.id).map_or(Span::ZERO, |r| r.settle);
        last = Some(LastRun {
            incident: incident.id.clone(),
            state: run.state,
            outcome: run.outcome,
            ended_at: run.ended_at,
            first_action_at: run.first_action_at,
            settle,
        });
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
