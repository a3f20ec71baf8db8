//! Logs of applications: a real file that is rotated, truncated and gone, the journal and docker of this machine as they are.

use std::io::Write;
use std::path::Path;

use muster_model::Snapshot;
use muster_model::snapshot::{AppLog, AppLogClass, AppLogCount};
use muster_observe::{Extent, Observer};
use muster_reach::{AppConfig, AppLogPlace, ClusterConfig};

use crate::estate::{now, watching};

fn observer(log: AppLogPlace) -> Observer {
    watching(ClusterConfig {
        name: "shop".into(),
        servers: Vec::new(),
        poolers: Vec::new(),
        caches: Vec::new(),
        apps: vec![AppConfig {
            name: "notes".into(),
            address: "shop/notes".into(),
            health: None,
            token: None,
            log: Some(log),
        }],
    })
}

fn append(path: &Path, text: &str) {
    let mut file = std::fs::OpenOptions::new()
        .create(true)
        .append(true)
        .open(path)
        .expect("opens");
    file.write_all(text.as_bytes()).expect("writes");
}

fn log(s: &Snapshot) -> &AppLog {
    &s.apps[0]
        .log
        .as_ref()
        .unwrap_or_else(|| panic!("no log: {:?}", s.gaps))
        .value
}

fn count(s: &Snapshot, class: AppLogClass) -> Option<&AppLogCount> {
    log(s).classes.iter().find(|c| c.class == class)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_is_followed_through_its_rotation_and_counted_by_class() {
    let dir = tempfile::tempdir().expect("dir");
    let path = dir.path().join("notes.log");
    let observer = observer(AppLogPlace::File(path.clone()));
    let none = observer.pass(now(), Extent::All).await;
    assert!(none.apps[0].log.is_none(), "what was never there is not quiet");
    let gap = none.gap("app_log", "shop/notes").expect("a gap");
    assert!(
        gap.reason.contains("is not there") && gap.remedy.is_some(),
        "{gap:?}"
    );

    let full = |n: u32| {
        format!(
            "{} ERROR QueuePool limit of size {n} overflow 8 reached for 'geheim-{n}'\n",
            now()
        )
    };
    append(&path, &format!("{}GET /api 200 in 3 ms\n", full(8)));
    let first = observer.pass(now(), Extent::All).await;
    assert_eq!(
        count(&first, AppLogClass::PoolTimeout).map(|c| (c.minute, c.five_minutes)),
        Some((1, 1))
    );
    assert_eq!((log(&first).lines, first.gap("app_log", "shop/notes")), (2, None));

    append(&path, &full(9));
    std::fs::rename(&path, dir.path().join("notes.log.1")).expect("renames");
    append(&path, &format!("{} deadlock detected\n{}", now(), full(10)));
    let rotated = observer.pass(now(), Extent::All).await;
    let pool = count(&rotated, AppLogClass::PoolTimeout).expect("counted");
    assert_eq!(
        (pool.minute, pool.ever),
        (3, 3),
        "the last words of the old file and the first of the new one"
    );
    assert_eq!(count(&rotated, AppLogClass::Deadlock).map(|c| c.minute), Some(1));
    assert!(
        pool.example
            .contains("QueuePool limit of size ? overflow ? reached"),
        "{}",
        pool.example
    );
    let all = serde_json::to_string(&rotated).expect("JSON");
    assert!(!all.contains("geheim"), "{all}");

    // Emptied in place, as `copytruncate` does it.
    std::fs::write(&path, full(11)).expect("writes");
    let truncated = observer.pass(now(), Extent::All).await;
    assert_eq!(
        count(&truncated, AppLogClass::PoolTimeout).map(|c| c.ever),
        Some(4)
    );

    // More than a look reads: the newest, and what was skipped is said.
    append(&path, &format!("{}\n", "x".repeat(99)).repeat(30_000));
    append(&path, &full(12));
    let flood = observer.pass(now(), Extent::All).await;
    assert!(log(&flood).skipped > 1_000_000);
    assert_eq!(count(&flood, AppLogClass::PoolTimeout).map(|c| c.ever), Some(5));
    assert!(
        flood
            .gap("app_log", "shop/notes")
            .is_some_and(|g| g.reason.contains("skipped"))
    );

    // Away between two files of a rotation, it is still the same log.
    std::fs::remove_file(&path).expect("removes");
    let away = observer.pass(now(), Extent::All).await;
    assert_eq!(count(&away, AppLogClass::PoolTimeout).map(|c| c.ever), Some(5));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_folder_is_no_log_and_a_container_that_cannot_be_asked_is_a_gap() {
    let dir = tempfile::tempdir().expect("dir");
    for (place, word) in [
        (AppLogPlace::File(dir.path().to_owned()), "not a file"),
        // There is no such container: docker says so, or is not there, or has no daemon.
        (
            AppLogPlace::Container("muster-no-such-container".into()),
            "docker",
        ),
    ] {
        let s = observer(place).pass(now(), Extent::All).await;
        assert!(s.apps[0].log.is_none(), "{:?}", s.apps[0].log);
        let gap = s.gap("app_log", "shop/notes").expect("a gap");
        assert!(gap.reason.contains(word), "{gap:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_unit_is_read_from_the_journal_or_it_is_said_why_not() {
    let s = observer(AppLogPlace::Unit("muster-no-such-unit".into()))
        .pass(now(), Extent::All)
        .await;
    match (&s.apps[0].log, s.gap("app_log", "shop/notes")) {
        // A machine with a journal: nothing of this unit is in it.
        (Some(log), None) => assert_eq!((log.value.lines, log.value.classes.len()), (0, 0)),
        (None, Some(gap)) => assert!(gap.remedy.is_some() && gap.reason.contains("its log"), "{gap:?}"),
        other => panic!("{other:?}"),
    }
}
