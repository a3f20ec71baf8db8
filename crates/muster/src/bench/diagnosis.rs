//! `bench diagnosis`: the incident corpus on real servers; what Muster names, and what rule sets in common use would say.
//!
//! Knows how a case is played and scored. Every case runs on a fleet of its shape; the rules are the daemon's, the pictures are
//! real, nothing is simulated. What a case leaves behind costs the next one a fresh fleet, not its score.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use muster_engine::clock::{Clock, SystemClock};
use muster_lab::options::PgChoice;
use muster_lab::script::{self, Playing, Script};
use muster_lab::{Fleet, LabError};
use muster_model::{Severity, Snapshot, Span, Threshold, Thresholds};
use muster_observe::{Cadence, Extent, Observer};
use muster_reach::{Estate, Limits};
use muster_rules::{Correlated, Mode, RuleState, correlate, judge};
use serde::Serialize;

use super::peers::{PEERS, Peers};
use crate::cli::exit::Failure;
use crate::cli::lab::{default_dir, options};
use crate::cli::print;
use crate::config;
use crate::corpus::{Case, Shape, Sort};

/// How it is played.
#[derive(Clone, Debug)]
pub struct Play {
    /// Which PostgreSQL.
    pub pg: Option<String>,
    /// Only cases whose id holds this.
    pub only: Option<String>,
    /// Everything is read every second, and nobody waits longer than needed.
    pub fast: bool,
    /// How many fleets at once.
    pub jobs: usize,
}

/// What became of one case.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// Its id.
    pub case: String,
    /// What it is.
    pub sort: String,
    /// Causes that had to be named.
    pub expected: Vec<String>,
    /// Roots at the last look, the first first.
    pub named: Vec<String>,
    /// Roots that were ever named since the fault, the first first: what a person would have been told.
    pub ever: Vec<String>,
    /// Kinds that are true in this case beside its causes: its symptoms, and what it allows.
    pub fits: Vec<String>,
    /// Whether the first root was the first cause (for what must open nothing: whether nothing was opened).
    pub top1: bool,
    /// Of the causes, how many were named.
    pub found: usize,
    /// Roots that are neither a cause nor allowed.
    pub wrong: Vec<String>,
    /// What they said.
    pub said: Vec<String>,
    /// Symptoms that were not merged under a cause.
    pub unmerged: Vec<String>,
    /// Kinds found that must not be.
    pub forbidden: Vec<String>,
    /// Whether it opened an incident that it should not have opened.
    pub false_incident: bool,
    /// From the fault to its name, in milliseconds.
    pub detected_ms: Option<u64>,
    /// Within which it had to be.
    pub within_ms: u64,
    /// What the peers said: names of their alerts, by peer.
    pub peers: BTreeMap<String, Vec<Alert>>,
    /// Why it could not be played.
    pub error: Option<String>,
}

/// An alert of a peer.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Alert {
    /// Its name there.
    pub name: String,
    /// The kind that it comes nearest to; none when it says nothing about a cause.
    pub kind: Option<String>,
}

impl Row {
    /// Whether the case is passed.
    #[must_use]
    pub fn passed(&self) -> bool {
        self.error.is_none()
            && self.top1
            && self.found == self.expected.len()
            && self.wrong.is_empty()
            && self.unmerged.is_empty()
            && self.forbidden.is_empty()
            && !self.false_incident
    }

    /// Why not, in words.
    #[must_use]
    pub fn why(&self) -> String {
        let mut out = Vec::new();
        out.extend(self.error.clone());
        if self.error.is_none() && (!self.top1 || self.found < self.expected.len()) {
            out.push(format!("named {}", listed(&self.named)));
        }
        for (word, kinds) in [
            ("also", &self.said),
            ("not merged:", &self.unmerged),
            ("must not say", &self.forbidden),
        ] {
            if !kinds.is_empty() {
                out.push(format!("{word} {}", listed(kinds)));
            }
        }
        if self.false_incident {
            out.push("a false incident".to_owned());
        }
        out.join("; ")
    }
}

fn listed(kinds: &[String]) -> String {
    if kinds.is_empty() {
        "nothing".to_owned()
    } else {
        kinds.join(", ")
    }
}

/// Plays the cases, grouped by the fleet that they need, on so many fleets at once.
///
/// # Errors
/// When a fleet does not start at all.
pub async fn play(cases: &[Case], how: &Play) -> Result<(u32, Vec<Row>), Failure> {
    let wanted = |c: &&Case| how.only.as_deref().is_none_or(|o| c.id.contains(o));
    let mut queue: Vec<Case> = cases.iter().filter(wanted).cloned().collect();
    // Cases of one shape after each other, so that a fleet serves many of them; taken from the end.
    queue.sort_by(|a, b| b.fleet.cmp(&a.fleet).then(b.id.cmp(&a.id)));
    let jobs = how.jobs.clamp(1, 4).min(queue.len().max(1));
    let queue = Arc::new(tokio::sync::Mutex::new(queue));
    let mut hands = tokio::task::JoinSet::new();
    for hand in 0..jobs {
        hands.spawn(work(queue.clone(), how.clone(), hand));
    }
    let (mut rows, mut major, mut wrong) = (Vec::new(), 0, None);
    while let Some(done) = hands.join_next().await {
        match done.unwrap_or_else(|e| Err(Failure::new(1, format!("a hand of the corpus failed: {e}"), ""))) {
            Ok((m, mut more)) => {
                major = major.max(m);
                rows.append(&mut more);
            }
            Err(e) => wrong = Some(e),
        }
    }
    if let Some(e) = wrong {
        return Err(e);
    }
    let place = |row: &Row| cases.iter().position(|c| c.id == row.case);
    rows.sort_by_key(place);
    Ok((major, rows))
}

/// Takes case by case, on a fleet of its own.
async fn work(
    queue: Arc<tokio::sync::Mutex<Vec<Case>>>,
    how: Play,
    hand: usize,
) -> Result<(u32, Vec<Row>), Failure> {
    let (mut rows, mut major) = (Vec::new(), 0);
    let mut stage: Option<(Shape, Fleet)> = None;
    loop {
        let next = queue.lock().await.pop();
        let Some(case) = next else { break };
        if stage.as_ref().is_none_or(|(shape, _)| *shape != case.fleet) {
            if let Some((_, fleet)) = stage.take() {
                muster_lab::down(&fleet.dir).await?;
            }
            let fleet = raise(case.fleet, &how, hand).await?;
            major = fleet.pg.major;
            stage = Some((case.fleet, fleet));
        }
        let Some((_, fleet)) = &stage else { break };
        if !case.plays_on(fleet.pg.major) {
            continue;
        }
        let began = Instant::now();
        let (row, clean) = one(fleet, &case, &how).await;
        let word = if row.passed() { "ok" } else { "FAILED" };
        let took = began.elapsed().as_secs();
        let seen = row.detected_ms.map_or_else(
            || "–".to_owned(),
            |d| format!("{:.1} s", Span::from_millis(d).secs_f64()),
        );
        let left = if clean {
            ""
        } else {
            " (left a fleet that is thrown away)"
        };
        print::note(format!(
            "{word:7} {:28} {took:3} s  named after {seen:7} {}{left}",
            row.case,
            row.why()
        ));
        rows.push(row);
        if !clean && let Some((_, fleet)) = stage.take() {
            muster_lab::down(&fleet.dir).await?;
        }
    }
    if let Some((_, fleet)) = stage {
        muster_lab::down(&fleet.dir).await?;
    }
    Ok((major, rows))
}

async fn raise(shape: Shape, how: &Play, hand: usize) -> Result<Fleet, Failure> {
    let name = format!("corpus-{}-{hand}", std::process::id());
    let mut opts = options(default_dir(&name), how.pg.as_deref())?;
    if how.pg.is_none() {
        opts.pg = PgChoice::Any;
    }
    opts.standbys = shape.standbys;
    opts.pooler = shape.pooler;
    opts.cache = shape.cache;
    opts.traffic = false;
    opts.max_connections = if shape.max_connections == 0 {
        100
    } else {
        shape.max_connections
    };
    let fleet = muster_lab::up(&opts, &|_, _, _| {}).await?;
    if fleet.missing.is_empty() {
        return Ok(fleet);
    }
    let missing = fleet.missing.join("; ");
    muster_lab::down(&fleet.dir).await?;
    Err(Failure::new(
        1,
        format!("a part of the fleet is missing: {missing}"),
        "run `cargo xtask provide`",
    ))
}

/// What one look says.
struct Look {
    snapshot: Snapshot,
    told: Correlated,
}

struct Watcher {
    observer: Observer,
    thresholds: Thresholds,
    state: RuleState,
    extent: Extent,
}

impl Watcher {
    async fn look(&mut self) -> Look {
        let snapshot = self.observer.pass(SystemClock.now(), self.extent).await;
        let (state, judged) = judge(&self.state, &snapshot, &self.thresholds, Mode::Watch);
        self.state = state;
        let told = correlate(&snapshot, &judged.findings);
        Look { snapshot, told }
    }
}

fn watcher(fleet: &Fleet, case: &Case, how: &Play) -> Result<Watcher, Failure> {
    let file = crate::cli::up::write_config(fleet, None)?;
    let env = |name: &str| std::env::var(name).ok();
    let resolved = config::load(&file, &env)
        .map_err(|p| Failure::new(1, p.first().map(ToString::to_string).unwrap_or_default(), ""))?;
    let cluster = resolved.clusters[0].reach.clone();
    let estate = Estate::new(vec![cluster], &Limits::default());
    let second = Span::from_secs(1);
    let cadence = if how.fast {
        Cadence {
            activity: second,
            replication: second,
            tables: second,
            settings: second,
        }
    } else {
        resolved.cadence
    };
    // The fleet is as young as the case: its rates count from the first second.
    let mut base = muster_rules::defaults();
    base.set("rates", "warm_up", Threshold::Span(Span::ZERO));
    // All fleets share a host with whatever else runs on it: that its CPUs are busy is true, and no part of any case.
    base.set(
        "host.cpu_saturated",
        "for",
        Threshold::Span(Span::from_mins(24 * 60)),
    );
    Ok(Watcher {
        observer: Observer::new(estate.clusters()[0].clone(), cadence),
        thresholds: base.overlaid(&case.thresholds),
        state: RuleState::default(),
        extent: Extent::Due,
    })
}

/// A fault that is there.
enum There {
    Script(Playing),
    Fault(
        muster_lab::fault::FaultRecord,
        tokio::task::JoinHandle<Result<(), LabError>>,
    ),
    Nothing,
}

async fn bring(fleet: &Arc<Fleet>, case: &Case) -> Result<Vec<There>, String> {
    let mut there = Vec::new();
    if let Some(fault) = &case.fault {
        let params: Vec<(String, String)> = fault
            .params
            .iter()
            .map(|(k, v)| (k.clone(), v.as_str().map_or_else(|| v.to_string(), str::to_owned)))
            .collect();
        let record = muster_lab::fault::record(fleet, &fault.name, &params, Span::from_mins(5))
            .map_err(|e| e.to_string())?;
        let (held, id) = (fleet.clone(), record.id.clone());
        let task = tokio::spawn(async move { muster_lab::fault::hold(&held, &id).await });
        let ready = fleet.dir.join("faults").join(format!("{}.ready", record.id));
        let deadline = Instant::now() + Duration::from_secs(20);
        while !ready.exists() && !task.is_finished() && Instant::now() < deadline {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let up = ready.exists();
        there.push(There::Fault(record, task));
        if !up {
            heal(fleet, there).await?;
            return Err(format!("fault `{}` did not come up", fault.name));
        }
    }
    let script = case.script()?;
    if !script.steps.is_empty() {
        match script::play(fleet, &script).await {
            Ok(playing) => there.push(There::Script(playing)),
            Err(e) => {
                heal(fleet, there).await?;
                return Err(e.to_string());
            }
        }
    }
    if there.is_empty() {
        there.push(There::Nothing);
    }
    Ok(there)
}

async fn heal(fleet: &Fleet, there: Vec<There>) -> Result<(), String> {
    let mut first = Ok(());
    for one in there.into_iter().rev() {
        let ended = match one {
            There::Script(playing) => playing.end(fleet).await,
            There::Fault(record, task) => {
                let path = fleet.dir.join("faults").join(format!("{}.heal", record.id));
                let _ = std::fs::write(path, "");
                task.await.unwrap_or_else(|e| Err(LabError::Fault(e.to_string())))
            }
            There::Nothing => Ok(()),
        };
        if first.is_ok() {
            first = ended.map_err(|e| e.to_string());
        }
    }
    first
}

/// One case; whether the fleet is as it was afterwards.
async fn one(fleet: &Fleet, case: &Case, how: &Play) -> (Row, bool) {
    let mut row = Row {
        case: case.id.clone(),
        sort: format!("{:?}", case.sort).to_lowercase(),
        expected: case.causes.clone(),
        named: Vec::new(),
        ever: Vec::new(),
        fits: case.symptoms.iter().chain(&case.allow).cloned().collect(),
        top1: false,
        found: 0,
        wrong: Vec::new(),
        said: Vec::new(),
        unmerged: Vec::new(),
        forbidden: Vec::new(),
        false_incident: false,
        detected_ms: None,
        within_ms: case.within.millis(),
        peers: BTreeMap::new(),
        error: None,
    };
    // Faults may have given a server another port: the description on disk is the present one.
    let fleet = match Fleet::open(&fleet.dir) {
        Ok(fleet) => Arc::new(fleet),
        Err(e) => {
            row.error = Some(e.to_string());
            return (row, false);
        }
    };
    match attempt(&fleet, case, how, &mut row).await {
        Ok(clean) => (row, clean),
        Err(e) => {
            row.error = Some(e);
            (row, false)
        }
    }
}

async fn attempt(fleet: &Arc<Fleet>, case: &Case, how: &Play, row: &mut Row) -> Result<bool, String> {
    let preparing = Script {
        steps: case.prepare()?,
        undo: Vec::new(),
    };
    let prepared = script::play(fleet, &preparing).await.map_err(|e| e.to_string())?;
    let mut watcher = watcher(fleet, case, how).map_err(|f| f.message)?;
    let mut peers = Peers::of(case.causes.is_empty());
    // A look with everything in it first; then as the daemon looks.
    watcher.extent = Extent::All;
    let first = watcher.look().await;
    peers.look(&first.snapshot);
    watcher.extent = Extent::Due;
    let mut tick = tokio::time::interval(Duration::from_secs(1));
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    for _ in 0..3 {
        tick.tick().await;
        let look = watcher.look().await;
        peers.look(&look.snapshot);
    }
    peers.settled();
    let there = bring(fleet, case).await?;
    let began = Instant::now();
    let within = case.within.duration();
    let longest = if case.causes.is_empty() {
        within
    } else {
        within * 2 + Duration::from_secs(8)
    };
    let settle = Duration::from_secs(if case.sort == Sort::Composite { 6 } else { 4 });
    let (mut last, mut seen) = (None, BTreeSet::new());
    let mut merged: BTreeSet<String> = BTreeSet::new();
    let mut all_named: Option<Instant> = None;
    while began.elapsed() < longest {
        tick.tick().await;
        let look = watcher.look().await;
        peers.look(&look.snapshot);
        let roots: Vec<&str> = look.told.roots.iter().map(|r| r.cause.kind.as_str()).collect();
        seen.extend(look.told.all().into_iter().filter(|f| !f.pending).map(|f| f.kind));
        for root in look
            .told
            .roots
            .iter()
            .filter(|r| case.causes.contains(&r.cause.kind))
        {
            merged.extend(root.symptoms.iter().map(|s| s.kind.clone()));
        }
        row.false_incident |= case.causes.is_empty() && look.told.roots.iter().any(|r| r.opens);
        for kind in &roots {
            if row.ever.iter().all(|k| k != kind) {
                row.ever.push((*kind).to_owned());
            }
        }
        let first_named = case.causes.first().is_some_and(|c| named(&look.told, c));
        if first_named && row.detected_ms.is_none() {
            row.detected_ms = u64::try_from(began.elapsed().as_millis()).ok();
        }
        let all = !case.causes.is_empty()
            && case.causes.iter().all(|c| named(&look.told, c))
            && case.symptoms.iter().all(|s| merged.contains(s))
            && roots.first() == case.causes.first().map(String::as_str).as_ref();
        if all && all_named.is_none() {
            all_named = Some(Instant::now());
        }
        last = Some(look);
        if all_named.is_some_and(|t| t.elapsed() >= settle) {
            break;
        }
    }
    if let Some(look) = &last {
        score(case, look, &seen, &merged, row);
    }
    row.peers = PEERS
        .iter()
        .map(|p| (p.name.to_owned(), peers.fired(p.name)))
        .collect();
    heal(fleet, there).await?;
    prepared.end(fleet).await.map_err(|e| e.to_string())?;
    Ok(quiet(&mut watcher, &mut tick).await)
}

/// A cause is named when it is a root, or a true finding that the case expects as information.
fn named(told: &Correlated, kind: &str) -> bool {
    told.roots.iter().any(|r| r.cause.kind == kind) || told.rest.iter().any(|f| f.kind == kind && !f.pending)
}

fn score(case: &Case, look: &Look, seen: &BTreeSet<String>, merged: &BTreeSet<String>, row: &mut Row) {
    let mut roots: Vec<String> = look.told.roots.iter().map(|r| r.cause.kind.clone()).collect();
    let informs = |kind: &String| look.told.rest.iter().any(|f| f.kind == *kind && !f.pending);
    roots.extend(
        case.causes
            .iter()
            .filter(|c| !roots.contains(c) && informs(c))
            .cloned()
            .collect::<Vec<_>>(),
    );
    roots.dedup();
    row.found = case.causes.iter().filter(|c| roots.contains(c)).count();
    row.top1 = match case.causes.first() {
        Some(first) => {
            roots
                .iter()
                .find(|r| !case.allow.contains(r) || case.causes.contains(r))
                == Some(first)
        }
        None => !row.false_incident,
    };
    row.wrong = roots
        .iter()
        .filter(|r| !case.causes.contains(r) && !case.allow.contains(r))
        .cloned()
        .collect();
    let told = look
        .told
        .roots
        .iter()
        .map(|r| &r.cause)
        .filter(|f| row.wrong.contains(&f.kind));
    row.said = told
        .map(|f| format!("{} on {}: {}", f.kind, f.target, f.summary))
        .collect();
    row.unmerged = case
        .symptoms
        .iter()
        .filter(|s| !merged.contains(*s))
        .cloned()
        .collect();
    row.forbidden = case.never.iter().filter(|k| seen.contains(*k)).cloned().collect();
    // A cause that is told as information is no root, and named all the same.
    let told = roots
        .iter()
        .filter(|k| case.causes.contains(k) && !row.ever.contains(k));
    let told: Vec<String> = told.cloned().collect();
    row.ever.extend(told);
    row.named = roots;
}

/// Waits until nothing is found any more that would open something.
async fn quiet(watcher: &mut Watcher, tick: &mut tokio::time::Interval) -> bool {
    for _ in 0..12 {
        tick.tick().await;
        let look = watcher.look().await;
        let loud = look
            .told
            .all()
            .iter()
            .any(|f| f.severity > Severity::Info && !f.pending);
        if !loud {
            return true;
        }
    }
    false
}

/// The sums over all cases, for Muster and each peer.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Sum {
    /// Who.
    pub who: String,
    /// Of what was named, how much was right, in per cent.
    pub precision: f64,
    /// Of what was there, how much was named, in per cent.
    pub recall: f64,
    /// The first name was the cause, in per cent of the faults.
    pub top1: f64,
    /// Look-alikes and healthy cases in which something was raised that is not there.
    pub false_on_controls: usize,
    /// Middle time to the name, in milliseconds.
    pub median_ms: Option<u64>,
}

/// Sums up.
#[must_use]
pub fn sums(rows: &[Row]) -> Vec<Sum> {
    let mut out = vec![sum("muster", rows, |row| {
        row.ever.iter().map(|k| (k.clone(), Some(k.clone()))).collect()
    })];
    for peer in PEERS {
        out.push(sum(peer.name, rows, |row| {
            let fired = row.peers.get(peer.name).cloned().unwrap_or_default();
            fired.into_iter().map(|a| (a.name, a.kind)).collect()
        }));
    }
    let mut times: Vec<u64> = rows.iter().filter_map(|r| r.detected_ms).collect();
    times.sort_unstable();
    out[0].median_ms = times.get(times.len() / 2).copied();
    out
}

/// A name is right when it is a cause or a symptom of the case, or something true that the case allows.
fn sum(who: &str, rows: &[Row], said: impl Fn(&Row) -> Vec<(String, Option<String>)>) -> Sum {
    let (mut right, mut wrong, mut there, mut found, mut faults, mut first) =
        (0usize, 0usize, 0usize, 0usize, 0usize, 0usize);
    let mut controls = 0;
    for row in rows.iter().filter(|r| r.error.is_none()) {
        let names = said(row);
        let ok = |kind: &Option<String>| {
            kind.as_ref()
                .is_some_and(|k| row.expected.contains(k) || row.fits.contains(k))
        };
        right += names.iter().filter(|(_, k)| ok(k)).count();
        let bad = names.iter().filter(|(_, k)| !ok(k)).count();
        wrong += bad;
        there += row.expected.len();
        found += row
            .expected
            .iter()
            .filter(|e| names.iter().any(|(_, k)| k.as_ref() == Some(e)))
            .count();
        if row.sort == "fault" || row.sort == "composite" {
            faults += 1;
            let head = names.iter().find(|(_, k)| {
                k.is_none() || !ok(k) || row.expected.contains(&k.clone().unwrap_or_default())
            });
            first += usize::from(head.and_then(|(_, k)| k.as_ref()) == row.expected.first());
        } else {
            controls += usize::from(bad > 0 || (who == "muster" && row.false_incident));
        }
    }
    #[allow(clippy::cast_precision_loss)]
    let percent = |part: usize, whole: usize| {
        if whole == 0 {
            0.0
        } else {
            part as f64 * 100.0 / whole as f64
        }
    };
    Sum {
        who: who.to_owned(),
        precision: percent(right, right + wrong),
        recall: percent(found, there),
        top1: percent(first, faults),
        false_on_controls: controls,
        median_ms: None,
    }
}

/// `muster bench diagnosis`.
///
/// # Errors
/// When the corpus cannot be read, or a fleet does not start.
pub async fn diagnosis(dir: &Path, how: &Play, json: bool) -> Result<u8, Failure> {
    let cases = crate::corpus::read(dir).map_err(|e| {
        Failure::new(
            1,
            e,
            "run it from the repository's root, or name the folder with --corpus",
        )
    })?;
    let (major, rows) = play(&cases, how).await?;
    let sums = sums(&rows);
    if json {
        print::json(&serde_json::json!({"pg_major": major, "cases": rows, "sums": sums}));
    } else {
        tell(major, &rows, &sums);
    }
    Ok(u8::from(!rows.iter().all(Row::passed)))
}

fn tell(major: u32, rows: &[Row], sums: &[Sum]) {
    let of = |sort: Sort| {
        let word = format!("{sort:?}").to_lowercase();
        rows.iter().filter(|r| r.sort == word).count()
    };
    print::line(format!(
        "incident corpus on PostgreSQL {major}: {} faults, {} composites, {} look-alikes, {} healthy; {} of {} passed",
        of(Sort::Fault),
        of(Sort::Composite),
        of(Sort::Lookalike),
        of(Sort::Healthy),
        rows.iter().filter(|r| r.passed()).count(),
        rows.len()
    ));
    let late: Vec<&str> = rows
        .iter()
        .filter(|r| r.detected_ms.is_some_and(|d| d > r.within_ms))
        .map(|r| r.case.as_str())
        .collect();
    if !late.is_empty() {
        print::line(format!(
            "named, but later than they should be: {}",
            late.join(", ")
        ));
    }
    let rows = sums.iter().map(|s| {
        vec![
            s.who.clone(),
            format!("{:.0} %", s.precision),
            format!("{:.0} %", s.recall),
            format!("{:.0} %", s.top1),
            s.false_on_controls.to_string(),
            s.median_ms.map_or_else(
                || "–".to_owned(),
                |m| format!("{:.1} s", Span::from_millis(m).secs_f64()),
            ),
        ]
    });
    print::table(
        &[
            "who",
            "precision",
            "recall",
            "top-1 cause",
            "false on controls",
            "median time",
        ],
        rows.collect(),
    );
    print::line(
        "all are judged by what they said from the fault to the end of the case. Peers by their conditions alone: what they ask to \
         last for minutes counts as soon as it holds, ages of minutes only where there is a fault, and every name that comes nearest \
         to a kind counts as that kind",
    );
}
