//! Incidents: one story for each cause. Pure: what is open, what was seen, what became of its runs -> what changes.

use muster_model::{
    Cause, Finding, Incident, IncidentSeverity, IncidentState, RunOutcome, RunState, Severity, Span, Time,
};

/// How long the findings of an incident must be gone before it closes by itself.
pub const CLEAR_FOR: Span = Span::from_secs(30);

/// The cause of an incident that no rule sees and no look closes: somebody broke the glass.
pub const GLASS: &str = "muster.glass_broken";

/// A cause with its symptoms, as correlation sees them.
#[derive(Clone, Debug, PartialEq)]
pub struct Root {
    /// The cause.
    pub cause: Finding,
    /// What it explains.
    pub symptoms: Vec<Finding>,
    /// How bad.
    pub severity: IncidentSeverity,
    /// Whether it opens an incident (or only belongs to one that is open).
    pub opens: bool,
}

/// One look at a cluster.
#[derive(Clone, Debug, PartialEq)]
pub struct Sight {
    /// Cluster.
    pub cluster: String,
    /// Stable identity of the cluster.
    pub identity: String,
    /// When.
    pub at: Time,
    /// Causes.
    pub roots: Vec<Root>,
    /// Addresses that could not be read: what was seen there before is neither there nor gone.
    pub blind: Vec<String>,
    /// Kinds and addresses of what no rule could decide there.
    pub unsure: Vec<(String, String)>,
    /// Incidents of before this process began that a rule would not see yet: not being seen says nothing about them.
    pub early: Vec<String>,
}

/// What became of an incident's last run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LastRun {
    /// Incident.
    pub incident: String,
    /// Its state.
    pub state: RunState,
    /// Its outcome.
    pub outcome: Option<RunOutcome>,
    /// When it ended.
    pub ended_at: Option<Time>,
    /// When its first change was begun.
    pub first_action_at: Option<Time>,
    /// How long its runbook wants to watch afterwards.
    pub settle: Span,
}

/// What changes.
#[derive(Clone, Debug, PartialEq)]
#[allow(clippy::large_enum_variant)]
pub enum Change {
    /// A new incident.
    Opened(Incident),
    /// It changed; journaled.
    Changed(Incident, String),
    /// It was seen again; not journaled.
    Seen(Incident),
    /// It is over.
    Closed(Incident, String),
}

impl Change {
    /// The incident as it stands now.
    #[must_use]
    pub fn incident(&self) -> &Incident {
        match self {
            Self::Opened(i) | Self::Changed(i, _) | Self::Seen(i) | Self::Closed(i, _) => i,
        }
    }
}

/// What changes by this look. `open` are the incidents of this cluster that are not over; `id` names new ones.
pub fn absorb(
    open: &[Incident],
    runs: &[LastRun],
    sight: &Sight,
    id: &mut dyn FnMut() -> String,
) -> Vec<Change> {
    let mut changes = Vec::new();
    let mut taken = vec![false; sight.roots.len()];
    // Exact causes first: a finding in common must not take the root of another incident.
    let mut root_of = vec![None; open.len()];
    for fits in [exactly as fn(&Incident, &Root) -> bool, same] {
        for (n, incident) in open.iter().enumerate() {
            if root_of[n].is_none()
                && let Some(i) =
                    (0..sight.roots.len()).find(|i| !taken[*i] && fits(incident, &sight.roots[*i]))
            {
                taken[i] = true;
                root_of[n] = Some(i);
            }
        }
    }
    for (incident, root) in open.iter().zip(root_of) {
        let run = runs.iter().find(|r| r.incident == incident.id);
        match root {
            Some(i) => {
                changes.push(still(incident, &sight.roots[i], run, sight.at));
            }
            None => changes.extend(gone(incident, run, sight)),
        }
    }
    for (root, taken) in sight.roots.iter().zip(taken) {
        if !taken && root.opens {
            changes.push(Change::Opened(opened(root, sight, id())));
        }
    }
    changes
}

/// The very cause.
fn exactly(incident: &Incident, root: &Root) -> bool {
    incident.cause.kind == root.cause.kind
        && incident.cause.subject == root.cause.subject
        && incident.target == root.cause.target
}

/// A finding in common: its cause may have been named better since.
fn same(incident: &Incident, root: &Root) -> bool {
    // After a proof a mere warning nearby is not a relapse.
    if incident.resolution.is_some() && !root.opens {
        return false;
    }
    let keys: Vec<String> = incident.findings.iter().map(Finding::key).collect();
    std::iter::once(&root.cause)
        .chain(&root.symptoms)
        .any(|f| keys.contains(&f.key()))
}

/// The incident of a cause that was seen for the first time.
#[must_use]
pub fn opened(root: &Root, sight: &Sight, id: String) -> Incident {
    let mut symptoms: Vec<String> = root.symptoms.iter().map(|f| f.kind.clone()).collect();
    symptoms.sort();
    symptoms.dedup();
    Incident {
        format: muster_model::FORMAT,
        id,
        state: IncidentState::Open,
        severity: root.severity,
        cluster: sight.cluster.clone(),
        identity: sight.identity.clone(),
        target: root.cause.target.clone(),
        cause: Cause {
            kind: root.cause.kind.clone(),
            subject: root.cause.subject.clone(),
        },
        symptoms,
        finding: root.cause.clone(),
        findings: std::iter::once(root.cause.clone())
            .chain(root.symptoms.iter().cloned())
            .collect(),
        opened_at: onset(root).min(sight.at),
        detected_at: sight.at,
        last_seen_at: sight.at,
        first_action_at: None,
        resolved_at: None,
        resolution: None,
        runs: Vec::new(),
    }
}

fn onset(root: &Root) -> Time {
    root.symptoms
        .iter()
        .map(|f| f.since)
        .fold(root.cause.since, Time::min)
}

fn still(incident: &Incident, root: &Root, run: Option<&LastRun>, at: Time) -> Change {
    let mut now = incident.clone();
    let mut what = Vec::new();
    now.last_seen_at = at;
    if now.resolution.take().is_some() {
        what.push("it came back".to_owned());
    }
    let cause = Cause {
        kind: root.cause.kind.clone(),
        subject: root.cause.subject.clone(),
    };
    // Once something was done the incident keeps the name of what was repaired.
    let acted = now.first_action_at.is_some() || run.is_some_and(|r| r.first_action_at.is_some());
    if cause != now.cause && !acted {
        what.push(format!("the cause is now {} ({})", cause.kind, cause.subject));
        now.cause = cause.clone();
        now.target.clone_from(&root.cause.target);
    }
    let mut symptoms: Vec<String> = now.symptoms.clone();
    symptoms.extend(root.symptoms.iter().map(|f| f.kind.clone()));
    symptoms.retain(|k| *k != now.cause.kind);
    symptoms.sort();
    symptoms.dedup();
    if symptoms != now.symptoms {
        let new: Vec<&str> = symptoms
            .iter()
            .filter(|k| !now.symptoms.contains(k))
            .map(String::as_str)
            .collect();
        if !new.is_empty() {
            what.push(format!("also seen: {}", new.join(", ")));
        }
        now.symptoms = symptoms;
    }
    if root.severity < now.severity {
        what.push(format!("severity is now {:?}", root.severity));
        now.severity = root.severity;
    }
    let state = state_of(&now, run, true);
    if state != now.state {
        what.push(state_text(now.state, state, run));
        now.state = state;
    }
    now.first_action_at = now.first_action_at.or(run.and_then(|r| r.first_action_at));
    if cause == now.cause {
        now.finding = root.cause.clone();
    }
    now.findings = std::iter::once(root.cause.clone())
        .chain(root.symptoms.iter().cloned())
        .collect();
    if what.is_empty() {
        Change::Seen(now)
    } else {
        Change::Changed(now, what.join("; "))
    }
}

fn gone(incident: &Incident, run: Option<&LastRun>, sight: &Sight) -> Option<Change> {
    let mut now = incident.clone();
    now.first_action_at = now.first_action_at.or(run.and_then(|r| r.first_action_at));
    // What cannot be read there is neither there nor gone; what another rule could not decide there is none of its business.
    let unsure = |f: &Finding| {
        sight
            .unsure
            .iter()
            .any(|(kind, at)| *kind == f.kind && *at == f.target)
    };
    let blind = incident
        .findings
        .iter()
        .any(|f| sight.blind.contains(&f.target) || unsure(f))
        || sight.early.contains(&incident.id);
    let active = run.is_some_and(|r| r.state.under_way());
    if let Some(r) = run
        && let (Some(ended), Some(RunOutcome::Proven)) = (r.ended_at, r.outcome)
        && ended >= incident.last_seen_at
        && !blind
    {
        let settled = sight.at.since(ended) >= r.settle;
        return if settled {
            Some(close(now, ended, "repaired; symptom and cause proven gone"))
        } else if now.resolution.is_some() {
            None
        } else {
            let watched = format!(
                "repaired and proven; watched for a relapse for {}",
                r.settle.human()
            );
            now.state = IncidentState::Mitigating;
            now.resolution = Some(watched.clone());
            Some(Change::Changed(now, watched))
        };
    }
    let state = state_of(&now, run, false);
    if !active && !blind && sight.at.since(incident.last_seen_at) >= CLEAR_FOR {
        let seen = incident.last_seen_at;
        let why = if state == IncidentState::Escalated {
            "not seen any more; nobody can say that Muster repaired it"
        } else {
            "not seen any more; it went away by itself or was repaired by hand"
        };
        return Some(close(now, seen, why));
    }
    if state == now.state {
        return None;
    }
    let what = state_text(now.state, state, run);
    now.state = state;
    Some(Change::Changed(now, what))
}

fn close(mut incident: Incident, at: Time, why: &str) -> Change {
    incident.state = IncidentState::Resolved;
    incident.resolved_at = Some(at);
    incident.resolution = Some(why.to_owned());
    Change::Closed(incident, why.to_owned())
}

fn state_of(incident: &Incident, run: Option<&LastRun>, seen: bool) -> IncidentState {
    let Some(run) = run else {
        return if incident.state == IncidentState::Escalated {
            incident.state
        } else {
            IncidentState::Open
        };
    };
    match (&run.state, run.outcome) {
        (RunState::Waiting { .. } | RunState::Running | RunState::Parked, _) => IncidentState::Mitigating,
        (RunState::Ended, Some(outcome)) if outcome.needs_human() => IncidentState::Escalated,
        (RunState::Ended, Some(RunOutcome::Proven)) if !seen => IncidentState::Mitigating,
        _ => IncidentState::Open,
    }
}

fn state_text(from: IncidentState, to: IncidentState, run: Option<&LastRun>) -> String {
    match (from, to) {
        (IncidentState::Mitigating, IncidentState::Open)
            if run.is_some_and(|r| r.outcome == Some(RunOutcome::Proven)) =>
        {
            "it came back after it was repaired".to_owned()
        }
        (_, IncidentState::Mitigating) => "a run is at work".to_owned(),
        (_, IncidentState::Escalated) => "a person is needed".to_owned(),
        (_, IncidentState::Open) => "nothing is being done about it".to_owned(),
        (_, IncidentState::Resolved) => "it is over".to_owned(),
    }
}

/// How bad a finding is as an incident when nothing better is known.
#[must_use]
pub fn severity_of(severity: Severity) -> IncidentSeverity {
    match severity {
        Severity::Critical => IncidentSeverity::P1,
        Severity::Warning | Severity::Info => IncidentSeverity::P2,
    }
}

#[cfg(test)]
mod tests {
    use muster_model::{Record, Subject};

    use super::*;

    fn finding(kind: &str, subject: &str, since: i64) -> Finding {
        Finding {
            kind: kind.into(),
            severity: Severity::Critical,
            target: "shop/x".into(),
            subject: Subject::new("thing", subject),
            summary: "s".into(),
            since: Time::from_millis(since * 1000),
            evidence: Record::new(),
            remedy: None,
            cause: true,
            pending: false,
            incident: true,
            ruled_out: Vec::new(),
        }
    }

    fn sight(at: i64, roots: Vec<Root>) -> Sight {
        Sight {
            cluster: "shop".into(),
            identity: "7".into(),
            at: Time::from_millis(at * 1000),
            roots,
            blind: Vec::new(),
            unsure: Vec::new(),
            early: Vec::new(),
        }
    }

    fn root(cause: Finding, symptoms: Vec<Finding>) -> Root {
        Root {
            cause,
            symptoms,
            severity: IncidentSeverity::P1,
            opens: true,
        }
    }

    fn one(changes: Vec<Change>) -> Change {
        assert_eq!(changes.len(), 1, "{changes:?}");
        changes.into_iter().next().expect("one")
    }

    fn run(state: RunState, outcome: Option<RunOutcome>, ended: Option<i64>, settle: u64) -> LastRun {
        LastRun {
            incident: "i1".into(),
            state,
            outcome,
            ended_at: ended.map(|e| Time::from_millis(e * 1000)),
            first_action_at: None,
            settle: Span::from_secs(settle),
        }
    }

    fn open_one() -> Incident {
        let r = root(finding("leak", "p", 5), vec![finding("full", "p", 3)]);
        one(absorb(&[], &[], &sight(10, vec![r]), &mut || "i1".into()))
            .incident()
            .clone()
    }

    #[test]
    fn it_opens_once_with_the_onset_of_the_evidence() {
        let incident = open_one();
        assert_eq!(incident.opened_at, Time::from_millis(3000));
        assert_eq!(incident.detected_at, Time::from_millis(10_000));
        assert_eq!(incident.symptoms, ["full"]);
        let again = root(finding("leak", "p", 5), vec![finding("full", "p", 3)]);
        let change = one(absorb(&[incident], &[], &sight(11, vec![again]), &mut || {
            "i2".into()
        }));
        assert!(matches!(change, Change::Seen(i) if i.id == "i1"));
    }

    #[test]
    fn a_better_name_for_the_cause_stays_the_same_incident_and_another_root_is_another() {
        let r = root(finding("full", "p", 3), vec![]);
        let first = one(absorb(&[], &[], &sight(10, vec![r]), &mut || "i1".into()))
            .incident()
            .clone();
        let named = root(finding("leak", "p", 3), vec![finding("full", "p", 3)]);
        let other = root(finding("paused", "b", 3), vec![]);
        let changes = absorb(&[first], &[], &sight(11, vec![named, other]), &mut || "i2".into());
        assert!(
            matches!(&changes[0], Change::Changed(i, what) if i.cause.kind == "leak" && what.contains("leak"))
        );
        assert!(matches!(&changes[1], Change::Opened(i) if i.id == "i2"));
    }

    #[test]
    fn it_closes_by_itself_only_after_a_while_and_never_blind() {
        let incident = open_one();
        assert_eq!(
            absorb(
                std::slice::from_ref(&incident),
                &[],
                &sight(39, vec![]),
                &mut String::new
            ),
            vec![]
        );
        let mut blind = sight(100, vec![]);
        blind.blind = vec!["shop/x".into()];
        assert_eq!(
            absorb(std::slice::from_ref(&incident), &[], &blind, &mut String::new),
            vec![]
        );
        let mut unsure = sight(100, vec![]);
        let own = incident.findings[0].clone();
        unsure.unsure = vec![(own.kind.clone(), own.target.clone())];
        assert_eq!(
            absorb(std::slice::from_ref(&incident), &[], &unsure, &mut String::new),
            vec![],
            "its own rule could not decide"
        );
        unsure.unsure = vec![("other.kind".into(), own.target)];
        let change = one(absorb(
            std::slice::from_ref(&incident),
            &[],
            &unsure,
            &mut String::new,
        ));
        assert!(
            matches!(change, Change::Closed(..)),
            "another rule's trouble is none of its business"
        );
        let change = one(absorb(&[incident], &[], &sight(40, vec![]), &mut String::new));
        assert!(matches!(change, Change::Closed(i, _) if i.resolved_at == Some(Time::from_millis(10_000))));
    }

    #[test]
    fn a_proven_repair_settles_first_and_a_relapse_reopens() {
        let incident = open_one();
        let proven = [run(RunState::Ended, Some(RunOutcome::Proven), Some(30), 60)];
        let change = one(absorb(&[incident], &proven, &sight(31, vec![]), &mut String::new));
        let watched = change.incident().clone();
        assert_eq!(watched.state, IncidentState::Mitigating);
        assert_eq!(
            absorb(
                std::slice::from_ref(&watched),
                &proven,
                &sight(89, vec![]),
                &mut String::new
            ),
            vec![]
        );
        let back = root(finding("leak", "p", 50), vec![]);
        let change = one(absorb(
            std::slice::from_ref(&watched),
            &proven,
            &sight(51, vec![back]),
            &mut String::new,
        ));
        assert!(
            matches!(&change, Change::Changed(i, w) if i.state == IncidentState::Open && w.contains("came back"))
        );
        let change = one(absorb(&[watched], &proven, &sight(90, vec![]), &mut String::new));
        assert!(matches!(change, Change::Closed(i, _) if i.resolved_at == Some(Time::from_millis(30_000))));
    }

    /// A rule that wants to see something for a minute says nothing in the first minute of a process.
    #[test]
    fn what_a_new_process_cannot_see_yet_is_not_gone() {
        let incident = open_one();
        let mut early = sight(3600, vec![]);
        early.early.push(incident.id.clone());
        let open = [incident];
        assert_eq!(absorb(&open, &[], &early, &mut String::new), []);
        // What was repaired is not known to have stayed away, either.
        let proven = [run(RunState::Ended, Some(RunOutcome::Proven), Some(30), 10)];
        let change = one(absorb(&open, &proven, &early, &mut String::new));
        assert_eq!(change.incident().state, IncidentState::Mitigating, "{change:?}");
        early.early.clear();
        let change = one(absorb(&open, &proven, &early, &mut String::new));
        assert!(matches!(change, Change::Closed(..)), "{change:?}");
    }

    #[test]
    fn a_run_that_needs_a_human_escalates() {
        let incident = open_one();
        let bad = [run(RunState::Ended, Some(RunOutcome::Indeterminate), Some(30), 0)];
        let again = root(finding("leak", "p", 5), vec![finding("full", "p", 3)]);
        let change = one(absorb(
            &[incident],
            &bad,
            &sight(31, vec![again]),
            &mut String::new,
        ));
        assert_eq!(change.incident().state, IncidentState::Escalated);
    }
}
