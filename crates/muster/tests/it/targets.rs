//! What takes text from outside, one function each: whatever it is given, no panic, and an answer that holds together. Used by the
//! property tests beside this file and by `fuzz/`.

use std::io::Write;

use muster_engine::{Entry, Journal};
use muster_model::Plan;

/// A config file.
pub(crate) fn config(text: &str) {
    let mut file = tempfile::NamedTempFile::new().expect("file");
    file.write_all(text.as_bytes()).expect("writes");
    match muster::config::load(file.path(), &|_| None) {
        Ok(config) => assert!(!config.clusters.is_empty()),
        Err(problems) => {
            assert!(!problems.is_empty());
            for p in problems {
                assert!(!p.message.is_empty() && p.line >= 1, "{p:?}");
            }
        }
    }
}

/// A runbook.
pub(crate) fn runbook(text: &str) {
    if let Err(problems) = muster_runbooks::check("x.yaml", text, &muster_act::signatures()) {
        assert!(!problems.is_empty());
        for p in problems {
            assert!(!p.message.is_empty() && p.line >= 1, "{p:?}");
        }
    }
}

/// A plan file. What still reads as a plan either is the very same or does not fit its digest.
pub(crate) fn plan(text: &str) {
    if let Ok(plan) = serde_json::from_str::<Plan>(text) {
        let _ = (plan.estimate(), plan.target_count(), plan.intact());
    }
}

/// Lines of an exported journal.
pub(crate) fn entries(text: &str) {
    let entries: Vec<Entry> = text
        .lines()
        .filter_map(|l| serde_json::from_str(l).ok())
        .collect();
    let _ = muster_engine::story::timeline(&entries);
    let _ = muster_engine::progress::Nodes::fold(&entries);
    let mut board = muster::notify::board::Board::default();
    for e in entries {
        board.take(e);
    }
}

/// The file of a journal.
pub(crate) fn journal(bytes: &[u8]) {
    let dir = tempfile::tempdir().expect("dir");
    let file = dir.path().join("journal.db");
    std::fs::write(&file, bytes).expect("writes");
    if let Ok(journal) = Journal::open(&file) {
        let _ = (journal.verify(), journal.all(), journal.open_runs());
    }
}

/// A call of Alertmanager.
pub(crate) fn webhook(text: &str) {
    if let Ok(body) = serde_json::from_str::<serde_json::Value>(text)
        && let Ok((alerts, _)) = muster::daemon::starts::call(&body)
    {
        assert!(alerts.iter().all(|a| a.labels.contains_key("alertname")));
    }
}
