//! Whatever is written into a config, a runbook, a plan file, a journal or a call of a webhook: no panic, and an answer.
//! `MUSTER_TEST_FUZZ_SECONDS=600` tries each for ten minutes; `fuzz/` has the same targets for cargo-fuzz.

use muster_model::Plan;
use proptest::prelude::*;

use crate::targets;

const CONFIG: &str = include_str!("../../../../docs/guides/configuration.md");

/// The whole config of the guide.
fn whole() -> String {
    let blocks: Vec<&str> = CONFIG
        .split("```yaml\n")
        .skip(1)
        .filter_map(|b| b.split("```").next())
        .collect();
    blocks
        .into_iter()
        .max_by_key(|b| b.len())
        .expect("a config")
        .to_owned()
}

/// Some of a text is overwritten, cut out or put in twice.
fn spoil(text: &str, at: prop::sample::Index, len: usize, with: &str, twice: bool) -> String {
    let mut chars: Vec<char> = text.chars().collect();
    if chars.is_empty() {
        return with.to_owned();
    }
    let from = at.index(chars.len());
    let to = (from + len).min(chars.len());
    let cut: Vec<char> = chars[from..to].to_vec();
    let new: Vec<char> = if twice {
        cut.iter().chain(cut.iter()).copied().collect()
    } else {
        with.chars().collect()
    };
    chars.splice(from..to, new);
    chars.into_iter().collect()
}

/// So many tries, or as long as `MUSTER_TEST_FUZZ_SECONDS` says.
fn spoiled(seed: &str, target: impl Fn(&str)) {
    let strategy = (
        any::<prop::sample::Index>(),
        0usize..40,
        "[ -~\n\t\u{80}-\u{2ff}]{0,20}",
        any::<bool>(),
    );
    let seconds: u64 = std::env::var("MUSTER_TEST_FUZZ_SECONDS").map_or(0, |s| s.parse().expect("seconds"));
    let until = std::time::Instant::now() + std::time::Duration::from_secs(seconds);
    loop {
        let config = ProptestConfig {
            cases: 1000,
            failure_persistence: None,
            ..ProptestConfig::default()
        };
        let tried =
            proptest::test_runner::TestRunner::new(config).run(&strategy, |(at, len, with, twice)| {
                target(&spoil(seed, at, len, &with, twice));
                Ok(())
            });
        tried.expect("no panic");
        if std::time::Instant::now() >= until {
            return;
        }
    }
}

#[test]
fn no_config_panics() {
    spoiled(&whole(), targets::config);
}

/// Found by ten minutes of the test above: a time of day of more hours than fit.
#[test]
fn a_time_of_day_with_too_many_hours_is_refused() {
    let text = whole().replacen("22:00", "2222:00", 1);
    assert_ne!(text, whole(), "the guide has a window");
    targets::config(&text);
}

#[test]
fn no_runbook_panics() {
    for (_, text) in muster::app::BUILT_IN {
        spoiled(text, targets::runbook);
    }
}

#[test]
fn no_plan_file_panics_and_a_spoiled_one_does_not_fit_its_digest() {
    let whole: Plan = serde_json::from_str(PLAN).expect("a plan");
    spoiled(PLAN, |text| {
        targets::plan(text);
        if let Ok(plan) = serde_json::from_str::<Plan>(text) {
            assert!(
                plan == whole || !plan.intact(),
                "a spoiled plan fits its digest: {text}"
            );
        }
    });
}

#[test]
fn no_entry_panics() {
    spoiled(ENTRIES, targets::entries);
}

#[test]
fn no_call_of_a_webhook_panics() {
    spoiled(CALL, targets::webhook);
}

#[test]
fn no_journal_file_panics() {
    let dir = tempfile::tempdir().expect("dir");
    let file = dir.path().join("journal.db");
    let journal = muster_engine::Journal::open(&file).expect("opens");
    drop(journal);
    let whole = std::fs::read(&file).expect("reads");
    // Bytes, not characters: each is set to something else, in steps.
    for (at, with) in (0..whole.len())
        .step_by(97)
        .zip([0u8, 1, 0x7f, 0xff].into_iter().cycle())
    {
        let mut bytes = whole.clone();
        bytes[at] = with;
        targets::journal(&bytes);
        targets::journal(&bytes[..at]);
    }
}

const CALL: &str = r#"{"version":"4","groupKey":"{}:{alertname=\"A\"}","truncatedAlerts":0,"status":"firing","alerts":[{"status":"firing","labels":{"alertname":"A","cluster":"shop"},"annotations":{},"startsAt":"2026-11-21T12:00:00Z","endsAt":"0001-01-01T00:00:00Z","generatorURL":"","fingerprint":"f1"}]}"#;

const ENTRIES: &str = concat!(
    r#"{"seq":4,"at":"2026-11-21T12:17:19.097075Z","who":"daemon","place":{"run":"r-1","incident":"","step":"end","target":"f1","attempt":1},"epoch":1,"event":{"event":"tried","outcome":{"outcome":"done","detail":"gone"},"undo":false},"prev":"00","hash":"11"}"#,
    "\n",
    r#"{"seq":5,"at":"2026-11-21T12:17:20.097075Z","who":"daemon","place":{"run":"","incident":"i-1","step":"","target":"","attempt":0},"epoch":1,"event":{"event":"notification_queued","notification":{"id":"a","about":"incident i-1","thread":"i-1","level":"L1","channel":"chat","notice":"raised","severity":"P1","title":"t","text":"x"}},"prev":"11","hash":"22"}"#
);

const PLAN: &str = include_str!("plan.json");
