//! Blows to the daemon at the appends to its journal while a runbook runs: kill -9 before and after every one; stopped for longer
//! than its lease, so that a standby takes over; a full disk. Whatever comes, the end is the same, and nobody is ended twice. One
//! line a runbook.

use std::sync::atomic::{AtomicBool, Ordering};

use muster_lab::{LabOptions, testing};
use rustix::process::Signal;
use serde_json::Value;

use crate::harness::few_slots;
use crate::stage::{Daemon, Stage, in_time, pooled, told, until};

/// How many fleets at once; they mostly wait.
const LANES: usize = 10;
/// No run of this drill has so many appends; a bound, so that the test ends.
const AT_MOST: usize = 60;

/// A fault that a runbook cures.
#[derive(Clone, Copy)]
struct Case {
    /// The fleet.
    fleet: fn() -> LabOptions,
    /// The fault, with its parameters.
    fault: &'static str,
    with: &'static [(&'static str, &'static str)],
    /// The incident's cause.
    cause: &'static str,
}

/// What comes over it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Blow {
    /// kill -9.
    Kill,
    /// It is stopped for longer than its lease, and wakes up when another one has taken over.
    Stop,
    /// The disk of the state is full for a while.
    Full,
}

/// Every blow: before an append, or after it.
const BLOWS: [(Blow, &str); 4] = [
    (Blow::Kill, ""),
    (Blow::Kill, "+"),
    (Blow::Stop, ""),
    (Blow::Full, ""),
];

impl Blow {
    /// Whether it falls at this number of an append; each time in another lane.
    fn falls_at(self, number: usize) -> bool {
        match self {
            Self::Kill => true,
            Self::Stop => number % 11 == 3,
            Self::Full => number % 11 == 7,
        }
    }
}

/// Deals with the blow when it fell: `met` says that it did, `daemon` is the one that is there afterwards.
async fn struck(stage: &Stage, blow: Blow, daemon: &mut Daemon, met: &mut bool) {
    if daemon.child.try_wait().expect("waits").is_some() {
        *daemon = stage.daemon(&[]).await;
        *met = true;
        return;
    }
    if *met || !daemon.stopped() {
        return;
    }
    *met = true;
    if blow == Blow::Stop {
        let mut old = std::mem::replace(daemon, stage.standby().await);
        daemon.says("muster watches").await;
        // In the middle of an append it kept the journal locked, and the other one had to end it.
        if old.child.try_wait().expect("waits").is_none() {
            old.signal(Signal::CONT);
            assert_eq!(old.ended().await, Some(78), "{}", old.said());
        }
        return;
    }
    stage.fill(true).await;
    daemon.signal(Signal::CONT);
    // A page of the journal that is there already can still be written, so it may well not notice.
    let noticed = in_time(async || {
        let said = daemon.said();
        let full = said.contains("disk is full") || said.contains("No space left");
        (full || daemon.child.try_wait().expect("waits").is_some()).then_some(())
    });
    let _ = tokio::time::timeout(std::time::Duration::from_secs(4), noticed).await;
    stage.fill(false).await;
}

/// One blow at one append, and what the journal says in the end; `None` when the run was over before that append.
async fn after(case: Case, blow: Blow, point: &str) -> Option<Vec<Value>> {
    let mut stage = Stage::new((case.fleet)()).await?;
    match blow {
        Blow::Kill => {}
        Blow::Stop => stage.edit(|t| format!("lease_ttl: 3s\n{t}")),
        Blow::Full => stage.small_disk().await,
    }
    let signal = if blow == Blow::Kill { "kill" } else { "stop" };
    let armed = [("MUSTER_TEST_AT_APPEND", format!("{signal} {point}"))];
    // At its first entries it is struck before it listens.
    let (mut daemon, mut met) = match stage.daemon_or_not(&armed).await {
        Some(daemon) => (daemon, false),
        None => (stage.daemon(&[]).await, true),
    };
    stage.test.inject(case.fault, case.with).await;
    let journal = in_time(async || {
        struck(&stage, blow, &mut daemon, &mut met).await;
        let runs = stage.muster(&["runs", "list", "--json"]).await;
        let runs: Value = serde_json::from_str(&runs.out).unwrap_or_default();
        let state = |r: &Value, s: &str| r["state"]["state"] == s;
        let all = runs.as_array().cloned().unwrap_or_default();
        if let Some(r) = all.iter().find(|r| state(r, "waiting_approval")) {
            // It may be struck at this very word; then it is said again.
            let id = r["id"].as_str().unwrap_or_default();
            stage.muster(&["approve", "--yes", id]).await;
        }
        let proven = all.iter().any(|r| state(r, "ended") && r["outcome"] == "proven");
        let busy = all.iter().any(|r| !state(r, "ended"));
        if !proven || busy {
            return None;
        }
        let text = stage.muster(&["journal", "export"]).await;
        // It may be struck at this very word too.
        if text.code != 0 {
            return None;
        }
        Some(
            text.out
                .lines()
                .filter_map(|l| serde_json::from_str(l).ok())
                .collect::<Vec<Value>>(),
        )
    })
    .await;
    let Some(journal) = journal else {
        let story = daemon.story(&stage).await;
        panic!("{blow:?} at {point}: the run is not over after two minutes\n{story}");
    };
    // The last points are after the proof, when the incident is put under watch.
    until(&format!("all is well, {blow:?} at {point}"), async || {
        struck(&stage, blow, &mut daemon, &mut met).await;
        let verify = stage.muster(&["journal", "verify"]).await;
        let check = stage.muster(&["check"]).await;
        (verify.out.contains("unbroken") && check.code == 0).then_some(())
    })
    .await;
    daemon.signal(Signal::TERM);
    daemon.ended().await;
    met.then_some(journal)
}

/// What must hold in the end, whatever came over it.
fn same_end(case: Case, point: &str, journal: &[Value]) {
    let events =
        |name: &str| -> Vec<&Value> { journal.iter().filter(|e| e["event"]["event"] == name).collect() };
    let target = |e: &&Value| e["place"]["target"].to_string();
    // An intent may be told twice (killed before its effect); the effect is there once.
    let mut intents: Vec<String> = events("intent").iter().map(target).collect();
    intents.sort();
    intents.dedup();
    let ended = events("ended");
    let proven_run = |run: &Value| {
        ended
            .iter()
            .any(|e| e["place"]["run"] == *run && e["event"]["outcome"] == "proven")
    };
    let planned: usize = events("planned")
        .iter()
        .filter(|e| proven_run(&e["place"]["run"]))
        .map(|e| {
            e["event"]["plan"]["facts"]["targets"]
                .as_array()
                .map_or(0, Vec::len)
        })
        .sum();
    assert!(
        intents.len() == planned && planned > 0,
        "{point}: of {planned} targets: {intents:?}\n{}",
        told(journal)
    );
    for intent in intents {
        let tried = events("tried").into_iter().map(|e| (e, "outcome"));
        let observed = events("observed").into_iter().map(|e| (e, "observation"));
        let effects = tried
            .chain(observed)
            .filter(|(e, key)| target(e) == intent && e["event"][key].to_string().contains("\"done\""));
        assert_eq!(effects.count(), 1, "{point}: {intent} was ended once");
    }
    let proven: Vec<_> = ended
        .iter()
        .filter(|e| e["event"]["outcome"] == "proven")
        .collect();
    assert_eq!(proven.len(), 1, "{point}");
    let strange: Vec<_> = ended
        .iter()
        .filter(|e| {
            !["proven", "declined", "nothing"].contains(&e["event"]["outcome"].as_str().unwrap_or_default())
        })
        .collect();
    assert!(strange.is_empty(), "{point}: {strange:?}");
    let opened = events("incident_opened");
    let kinds: Vec<String> = opened
        .iter()
        .map(|e| e["event"]["incident"]["cause"]["kind"].to_string())
        .collect();
    assert_eq!(
        kinds,
        [format!("\"{}\"", case.cause)],
        "{point}\n{}",
        told(journal)
    );
}

/// At every append of this case.
async fn at_every_append(case: Case) {
    if Stage::new((case.fleet)()).await.is_none() {
        return;
    }
    let over = [(); BLOWS.len()].map(|()| AtomicBool::new(false));
    let lane = async |lane: usize| {
        let mut points = [0; BLOWS.len()];
        for number in (1..=AT_MOST).filter(|n| n % LANES == lane) {
            for (i, (blow, sign)) in BLOWS.iter().enumerate() {
                if over[i].load(Ordering::Relaxed) || !blow.falls_at(number) {
                    continue;
                }
                let point = format!("{sign}{number}");
                match after(case, *blow, &point).await {
                    Some(journal) => {
                        same_end(case, &format!("{blow:?} at {point}"), &journal);
                        points[i] += 1;
                    }
                    None => over[i].store(true, Ordering::Relaxed),
                }
            }
        }
        points
    };
    let lanes = (0..LANES).map(lane);
    let mut points = [0; BLOWS.len()];
    for lane in futures::future::join_all(lanes).await {
        points.iter_mut().zip(lane).for_each(|(all, n)| *all += n);
    }
    let [before, behind, stopped, full] = points;
    assert!(
        before + behind >= 20 && stopped >= 2 && full >= 2,
        "only so many points were tried: {points:?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pool_exhausted() {
    at_every_append(Case {
        fleet: || pooled(2),
        fault: "idle-in-transaction-leak",
        with: &[],
        cause: "connections.leak",
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn blocking_chain() {
    at_every_append(Case {
        fleet: || testing::small(18),
        fault: "lock-chain",
        with: &[("depth", "3"), ("waiters", "12")],
        cause: "locks.blocking_chain",
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_saturated() {
    at_every_append(Case {
        fleet: few_slots,
        fault: "connection-flood",
        with: &[],
        cause: "connections.saturated",
    })
    .await;
}
