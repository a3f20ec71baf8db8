//! The harness with real processes: a daemon treats a drill's fault, and a blow falls on it at an append to its journal. kill -9
//! before and after every one; stopped for longer than its lease, so that a standby takes over; a full disk. Whatever comes, the
//! next one goes on and comes to the same end, and nothing is done twice.

use std::path::PathBuf;
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use muster_lab::{Fleet, LabOptions};
use muster_model::Span;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tokio::process::{Child, Command};

use crate::daemon::serve::os_user;
use crate::daemon::socket;

use super::Drill;
use super::harness::Trial;
use super::run::{Own, Say, on_a_fresh_fleet};

/// No run has so many appends; a bound, so that it ends.
const AT_MOST: u32 = 80;
/// How long anything may take before it counts as hanging.
const LIMIT: Duration = Duration::from_mins(2);
/// Between two looks.
const PAUSE: Duration = Duration::from_millis(150);
/// How long an answer may take.
const AWAKE: Duration = Duration::from_secs(5);
/// Between two questions: many fleets are asked at once.
const ASK: Duration = Duration::from_millis(700);
/// How long a disk stays full for a daemon that does not notice.
const FULL_FOR: Duration = Duration::from_secs(4);
/// Makes the small disk and says so; what follows keeps it.
const SMALL: &str =
    r#"mkdir -p "$STATE" && mount -t tmpfs -o size=24m,mode=700 muster-drill "$STATE" && echo ready && "#;

/// What falls on the daemon.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Blow {
    Kill,
    /// Stopped until another one has taken over.
    Stop,
    /// The disk of the state is full for a while.
    Full,
}

/// Every blow, in an append or after it.
const BLOWS: [(Blow, bool, &str); 5] = [
    (Blow::Kill, false, "it is killed in an append"),
    (Blow::Kill, true, "it is killed after an append"),
    (
        Blow::Stop,
        false,
        "it is stopped in an append, and a standby takes over",
    ),
    (
        Blow::Stop,
        true,
        "it is stopped after an append, and a standby takes over",
    ),
    (Blow::Full, false, "its disk is full at an append"),
];

impl Blow {
    /// Whether it falls at this number of an append. The slow ones at some, each time in another lane of ten.
    fn falls_at(self, after: bool, number: u32) -> bool {
        match (self, after) {
            (Self::Kill, _) => true,
            (Self::Stop, false) => number % 11 == 3,
            (Self::Stop, true) => number % 11 == 5,
            (Self::Full, _) => number % 11 == 7,
        }
    }

    /// Whether the daemon that is there afterwards says something about it.
    fn is_noticed(self, after: bool) -> bool {
        !after && self != Self::Kill
    }
}

/// Plays every blow, so many fleets at once.
///
/// # Errors
/// When a stage cannot be set.
pub async fn all(
    drill: &Drill,
    options: &(dyn Fn() -> LabOptions + Sync),
    own: &Own,
    lanes: u32,
    say: Say<'_>,
) -> Result<Vec<Trial>, String> {
    let disk = small_disk(&std::env::temp_dir(), "true").await.map(drop);
    let over = BLOWS.map(|(blow, ..)| AtomicBool::new(blow == Blow::Full && disk.is_err()));
    let lane = async |lane: u32| -> Result<[(u32, bool, Vec<String>); BLOWS.len()], String> {
        let mut out = [(); BLOWS.len()].map(|()| (0, false, Vec::new()));
        for number in (1..=AT_MOST).filter(|n| n % lanes == lane) {
            for (i, (blow, after, what)) in BLOWS.iter().enumerate() {
                if over[i].load(Ordering::Relaxed) || !blow.falls_at(*after, number) {
                    continue;
                }
                say(&format!("{what}: {number}"));
                match point(drill, options(), own, *blow, *after, number).await? {
                    None => over[i].store(true, Ordering::Relaxed),
                    Some((noticed, wrong)) => {
                        out[i].0 += 1;
                        out[i].1 |= noticed;
                        out[i]
                            .2
                            .extend(wrong.into_iter().map(|w| format!("{number}: {w}")));
                    }
                }
            }
        }
        Ok(out)
    };
    let mut trials = BLOWS.map(|(.., what)| Trial {
        drill: drill.id.clone(),
        trouble: what.to_owned(),
        outcome: "proven".to_owned(),
        ..Trial::default()
    });
    let mut seen = [false; BLOWS.len()];
    for lane in futures::future::join_all((0..lanes).map(lane)).await {
        for ((trial, seen), (points, noticed, wrong)) in trials.iter_mut().zip(&mut seen).zip(lane?) {
            trial.points += points;
            trial.struck |= points > 0;
            trial.wrong.extend(wrong);
            *seen |= noticed;
        }
    }
    for ((t, seen), (blow, after, _)) in trials.iter_mut().zip(seen).zip(BLOWS) {
        t.detail = format!("at {} appends", t.points);
        if let (Blow::Full, Err(why)) = (blow, &disk) {
            "not tried".clone_into(&mut t.outcome);
            t.detail.clone_from(why);
        }
        // The harness itself: a blow that nobody ever noticed was none.
        if t.points > 0 && blow.is_noticed(after) && !seen {
            t.wrong.push("no daemon ever noticed it".to_owned());
        }
    }
    Ok(trials.into())
}

/// One blow at one append: whether it was noticed, and what is wrong in the end; `None` when the run was over before that append.
async fn point(
    drill: &Drill,
    options: LabOptions,
    own: &Own,
    blow: Blow,
    after: bool,
    number: u32,
) -> Result<Option<(bool, Vec<String>)>, String> {
    on_a_fresh_fleet(&options, async |fleet| {
        let mut scene = Scene::set(fleet, own, blow).await?;
        let signal = if blow == Blow::Kill { "kill" } else { "stop" };
        let sign = if after { "+" } else { "" };
        scene.begin(&["watch"], Some(format!("{signal} {sign}{number}")))?;
        let wrong = scene.treat(drill, blow).await;
        scene.end().await?;
        wrong.map(|wrong| scene.met.then_some((scene.noticed, wrong)))
    })
    .await
}

/// A fleet, a config, and the daemon that is there now.
struct Scene {
    fleet: Fleet,
    config: PathBuf,
    program: PathBuf,
    /// Holds the mount namespace in which the state is on a small disk.
    small: Option<Child>,
    daemon: Option<Child>,
    log: PathBuf,
    logs: u32,
    /// Whether the blow fell.
    met: bool,
    /// Whether a daemon said something about it.
    noticed: bool,
}

impl Scene {
    async fn set(fleet: Fleet, own: &Own, blow: Blow) -> Result<Self, String> {
        if !fleet.missing.is_empty() {
            return Err(fleet.missing.join("; "));
        }
        let config = crate::cli::up::write_config(&fleet, None).map_err(|e| e.message)?;
        let text = std::fs::read_to_string(&config).map_err(|e| e.to_string())?;
        let ttl = if blow == Blow::Stop { "lease_ttl: 3s\n" } else { "" };
        let head = format!(
            "{ttl}listen: 127.0.0.1:0\nrunbooks: {}\nthresholds: {}\n",
            json!(own.runbooks),
            json!(own.thresholds)
        );
        std::fs::write(&config, head + &text).map_err(|e| e.to_string())?;
        let program = own.muster()?;
        let mut scene = Self {
            log: fleet.dir.join("watch-0.log"),
            fleet,
            config,
            program,
            small: None,
            daemon: None,
            logs: 0,
            met: false,
            noticed: false,
        };
        if blow == Blow::Full {
            scene.small = Some(small_disk(&scene.fleet.dir.join("state"), "exec cat").await?);
        }
        Ok(scene)
    }

    /// Fills the small disk, or makes room again.
    async fn fill(&self, full: bool) -> Result<(), String> {
        let script = if full {
            r#"cat /dev/zero > "$STATE/filler" 2> /dev/null; true"#
        } else {
            r#"rm "$STATE/filler""#
        };
        let mut command = self.inside("sh".as_ref());
        command
            .args(["-c", script])
            .env("STATE", self.fleet.dir.join("state"));
        let status = command.status().await.map_err(|e| e.to_string())?;
        if status.success() {
            return Ok(());
        }
        Err("the small disk cannot be filled or emptied".to_owned())
    }

    /// A process that sees the state.
    fn inside(&self, program: &std::ffi::OsStr) -> Command {
        let mut command = match self.small.as_ref().and_then(Child::id) {
            None => Command::new(program),
            Some(holder) => {
                let mut command = Command::new("nsenter");
                command.args(["--target", &holder.to_string(), "--mount"]);
                if !rustix::process::geteuid().is_root() {
                    command.args(["--user", "--preserve-credentials"]);
                }
                command.arg(program);
                command
            }
        };
        for name in ["MUSTER_LOG", "MUSTER_STATE_DIR", "MUSTER_LISTEN"] {
            command.env_remove(name);
        }
        command
            .env("MUSTER_CONFIG", &self.config)
            .stdin(Stdio::null())
            .kill_on_drop(true);
        command
    }

    /// Starts a daemon, which may be struck at an append.
    fn begin(&mut self, args: &[&str], at: Option<String>) -> Result<(), String> {
        self.logs += 1;
        self.log = self.fleet.dir.join(format!("watch-{}.log", self.logs));
        let log = std::fs::File::create(&self.log).map_err(|e| e.to_string())?;
        let mut command = self.inside(self.program.as_ref());
        command.args(args).stdout(Stdio::null()).stderr(log);
        if let Some(at) = at {
            command.env("MUSTER_TEST_AT_APPEND", at);
        }
        let daemon = command.spawn().map_err(|e| e.to_string())?;
        self.daemon = Some(daemon);
        Ok(())
    }

    fn said(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// What a command says, when it succeeds.
    async fn muster(&self, args: &[&str]) -> Option<String> {
        let mut command = self.inside(self.program.as_ref());
        let out = command.args(args).output().await.ok()?;
        let good = out.status.success();
        good.then(|| String::from_utf8_lossy(&out.stdout).into_owned())
    }

    /// Whether the daemon is dead.
    fn dead(&mut self) -> bool {
        self.daemon
            .as_mut()
            .is_none_or(|d| !matches!(d.try_wait(), Ok(None)))
    }

    /// Whether the daemon is stopped.
    fn stopped(&self) -> bool {
        let stat = self
            .daemon
            .as_ref()
            .and_then(Child::id)
            .and_then(|pid| std::fs::read_to_string(format!("/proc/{pid}/stat")).ok());
        stat.is_some_and(|s| s.rsplit(") ").next().is_some_and(|s| s.starts_with('T')))
    }

    /// Deals with the blow when it fell.
    async fn struck(&mut self, blow: Blow) -> Result<(), String> {
        if self.dead() {
            // Only a killed one is dead.
            if self.met || blow != Blow::Kill {
                return Err(format!(
                    "the daemon ended by itself: {}",
                    last_lines(&self.said())
                ));
            }
            self.met = true;
            self.begin(&["watch"], None)?;
            return self.listens(false).await;
        }
        if self.met || !self.stopped() {
            return Ok(());
        }
        self.met = true;
        match blow {
            Blow::Kill => Ok(()),
            Blow::Stop => self.taken_over().await,
            Blow::Full => {
                self.fill(true).await?;
                signal(self.daemon.as_ref(), Signal::CONT);
                // A page of the journal that is there already can still be written, so it may well not notice.
                let until = Instant::now() + FULL_FOR;
                while Instant::now() < until && !self.noticed {
                    tokio::time::sleep(PAUSE).await;
                    let said = self.said();
                    self.noticed = said.contains("disk is full") || said.contains("No space left");
                }
                self.fill(false).await
            }
        }
    }

    /// Waits until the daemon listens, or is stopped or dead where that may be. Before that a command would take the state itself.
    async fn listens(&mut self, or_struck: bool) -> Result<(), String> {
        let until = Instant::now() + LIMIT;
        while !self.said().contains("the page is at") {
            let (dead, stopped) = (self.dead(), self.stopped());
            if or_struck && (dead || stopped) {
                return Ok(());
            }
            if dead || Instant::now() > until {
                return Err(format!("a daemon does not begin: {}", last_lines(&self.said())));
            }
            tokio::time::sleep(PAUSE).await;
        }
        Ok(())
    }

    /// A standby takes over; then the old one wakes up, and ends.
    async fn taken_over(&mut self) -> Result<(), String> {
        let mut old = self.daemon.take().ok_or("no daemon")?;
        self.begin(&["watch", "--standby"], None)?;
        let until = Instant::now() + LIMIT;
        while !self.said().contains("muster watches") {
            if Instant::now() > until || self.dead() {
                return Err(format!("no standby took over: {}", last_lines(&self.said())));
            }
            tokio::time::sleep(PAUSE).await;
        }
        // In the middle of an append it kept the journal locked, and the other one had to end it.
        self.noticed = self.said().contains("it is ended, so that this one can go on");
        signal(Some(&old), Signal::CONT);
        let ended = tokio::time::timeout(LIMIT, old.wait()).await;
        let code = ended.map_err(|_| "who lost the state does not end")?;
        match code.map_err(|e| e.to_string())?.code() {
            None if self.noticed => Ok(()),
            Some(78) if !self.noticed => Ok(()),
            other => Err(format!(
                "who lost the state left with {other:?}, ended: {}",
                self.noticed
            )),
        }
    }

    /// Injects the fault, approves what is planned, and sees it through; what is wrong.
    async fn treat(&mut self, drill: &Drill, blow: Blow) -> Result<Vec<String>, String> {
        self.listens(true).await?;
        self.struck(blow).await?;
        let (fault, lasts) = (&drill.fault, Span::from_mins(10));
        muster_lab::fault::inject(&self.fleet, &self.program, &fault.name, &fault.params, lasts)
            .await
            .map_err(|e| e.to_string())?;
        let until = Instant::now() + LIMIT;
        let mut journal = None;
        while Instant::now() < until {
            self.struck(blow).await?;
            if let Some(entries) = self.over().await {
                journal = Some(entries);
                break;
            }
            tokio::time::sleep(ASK).await;
        }
        let Some(journal) = journal else {
            let entries = self.journal().await.unwrap_or_default();
            let log = last_lines(&self.said());
            return Ok(vec![format!(
                "it is not over after two minutes: {}; {log}",
                told(&entries)
            )]);
        };
        let mut wrong = wrong(drill, &journal);
        // The last points are after the proof, when the incident is put under watch.
        let until = Instant::now() + LIMIT;
        while Instant::now() < until {
            self.struck(blow).await?;
            let whole = self.muster(&["journal", "verify"]).await.is_some();
            if whole && self.muster(&["check"]).await.is_some() {
                return Ok(wrong);
            }
            tokio::time::sleep(ASK).await;
        }
        wrong.push("after the proof the journal is not whole, or not all is well".to_owned());
        Ok(wrong)
    }

    /// The runs, asked of the daemon itself: many fleets ask all the time, and a process for each question would cost more than
    /// what it asks about. The state on a small disk is only seen from inside its namespace.
    async fn runs(&self) -> Option<Vec<Value>> {
        if self.small.is_some() {
            return serde_json::from_str(&self.muster(&["runs", "list", "--json"]).await?).ok();
        }
        let ask = async {
            let stream = socket::connect(&self.fleet.dir.join("state")).await?;
            let path = "/api/v1/runs";
            socket::call(stream, &os_user(), "GET", path, &json!({}))
                .await
                .ok()
        };
        // A stopped daemon does not answer.
        let runs = tokio::time::timeout(AWAKE, ask).await.ok().flatten()?;
        serde_json::from_value(runs).ok()
    }

    /// The journal, when a run is proven and none is open; a plan that waits is approved.
    async fn over(&self) -> Option<Vec<Value>> {
        let runs = self.runs().await?;
        let state = |r: &Value, s: &str| r["state"]["state"] == s;
        if let Some(id) = runs
            .iter()
            .find(|r| state(r, "waiting_approval"))
            .and_then(|r| r["id"].as_str())
        {
            // It may be struck at this very word; then it is said again.
            self.muster(&["approve", "--yes", id]).await;
        }
        let proven = runs.iter().any(|r| r["outcome"] == "proven");
        if !proven || runs.iter().any(|r| !state(r, "ended")) {
            return None;
        }
        self.journal().await
    }

    async fn journal(&self) -> Option<Vec<Value>> {
        let text = self.muster(&["journal", "export"]).await?;
        Some(
            text.lines()
                .filter_map(|l| serde_json::from_str(l).ok())
                .collect(),
        )
    }

    /// The daemon ends.
    async fn end(&mut self) -> Result<(), String> {
        let Some(daemon) = &mut self.daemon else {
            return Ok(());
        };
        signal(Some(daemon), Signal::CONT);
        signal(Some(daemon), Signal::TERM);
        let ended = tokio::time::timeout(LIMIT, daemon.wait()).await;
        ended
            .map(|_| ())
            .map_err(|_| "the daemon does not end when it is asked to".to_owned())
    }
}

/// Puts a small disk over a folder, in a mount namespace of its own, for as long as the process does what it is to do then.
async fn small_disk(folder: &std::path::Path, then: &str) -> Result<Child, String> {
    let root = rustix::process::geteuid().is_root();
    let namespace: &[&str] = if root {
        &["--mount"]
    } else {
        &["--user", "--map-current-user", "--keep-caps", "--mount"]
    };
    let mut holder = Command::new("unshare")
        .args(namespace)
        .args(["sh", "-c", &format!("{SMALL}{then}")])
        .env("STATE", folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .map_err(|e| format!("unshare: {e}"))?;
    let mut ready = [0; 6];
    let out = holder.stdout.as_mut().ok_or("no output")?;
    tokio::io::AsyncReadExt::read_exact(out, &mut ready)
        .await
        .map_err(|_| "this machine lets nobody mount a small disk in a namespace".to_owned())?;
    Ok(holder)
}

fn signal(daemon: Option<&Child>, signal: Signal) {
    let pid = daemon
        .and_then(Child::id)
        .and_then(|pid| i32::try_from(pid).ok())
        .and_then(Pid::from_raw);
    if let Some(pid) = pid {
        // It may have ended by itself: then there is nothing to say to it.
        let _ = kill_process(pid, signal);
    }
}

/// What must not be so in the end, wherever the blow fell.
fn wrong(drill: &Drill, journal: &[Value]) -> Vec<String> {
    let events =
        |name: &str| -> Vec<&Value> { journal.iter().filter(|e| e["event"]["event"] == name).collect() };
    let target = |e: &Value| e["place"]["target"].to_string();
    let mut out = Vec::new();
    let outcome = |e: &Value| e["event"]["outcome"].as_str().unwrap_or_default().to_owned();
    let proven: Vec<&Value> = events("ended")
        .into_iter()
        .filter(|e| outcome(e) == "proven")
        .collect();
    if proven.len() != 1 {
        out.push(format!("{} runs are proven", proven.len()));
    }
    for e in events("ended") {
        if !["proven", "declined", "nothing"].contains(&outcome(e).as_str()) {
            out.push(format!("a run ended {}: {}", outcome(e), e["event"]["detail"]));
        }
    }
    let of_proven = |e: &&Value| proven.iter().any(|p| p["place"]["run"] == e["place"]["run"]);
    let plans: Vec<&Value> = events("planned").into_iter().filter(of_proven).collect();
    if plans
        .iter()
        .any(|e| e["event"]["plan"]["runbook"]["id"] != *drill.runbook)
    {
        out.push(format!("another runbook than `{}` cured it", drill.runbook));
    }
    let planned: usize = plans
        .iter()
        .filter_map(|e| Some(e["event"]["plan"]["facts"]["targets"].as_array()?.len()))
        .sum();
    // An intent may be told twice (killed before its effect); the effect is there once.
    let mut intents: Vec<String> = events("intent").into_iter().map(target).collect();
    intents.sort();
    intents.dedup();
    if intents.len() != planned || planned == 0 {
        out.push(format!("of {planned} targets {} were tried", intents.len()));
    }
    for intent in intents {
        let tried = events("tried").into_iter().map(|e| (e, "outcome"));
        let observed = events("observed").into_iter().map(|e| (e, "observation"));
        let effects = tried
            .chain(observed)
            .filter(|(e, key)| target(e) == intent && e["event"][key].to_string().contains("\"done\""));
        let effects = effects.count();
        if effects != 1 {
            out.push(format!("{intent} was done {effects} times"));
        }
    }
    let opened = events("incident_opened").len();
    if opened != 1 {
        out.push(format!("{opened} incidents were opened"));
    }
    if !out.is_empty() {
        out.push(told(journal));
    }
    out
}

/// A journal in one line.
fn told(journal: &[Value]) -> String {
    let line = |e: &Value| {
        let text = |v: &Value| v.as_str().unwrap_or_default().to_owned();
        format!(
            "{} {} {}",
            e["seq"],
            text(&e["event"]["event"]),
            text(&e["place"]["step"])
        )
    };
    journal.iter().map(line).collect::<Vec<_>>().join(", ")
}

fn last_lines(text: &str) -> String {
    let lines: Vec<&str> = text.lines().rev().take(8).collect();
    lines.into_iter().rev().collect::<Vec<_>>().join(" / ")
}
