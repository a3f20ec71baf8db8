//! Whatever is written into a config, a plan file, a list of heads or an exported entry: no panic, and an answer.

use std::io::Write;

use muster_engine::Entry;
use muster_model::Plan;
use proptest::prelude::*;

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

proptest! {
    #![proptest_config(ProptestConfig { cases: 1500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_config_panics(at in any::<prop::sample::Index>(), len in 0usize..40, with in "[ -~\n\t]{0,20}", twice in any::<bool>()) {
        let mut file = tempfile::NamedTempFile::new().expect("file");
        file.write_all(spoil(&whole(), at, len, &with, twice).as_bytes()).expect("writes");
        match muster::config::load(file.path(), &|_| None) {
            Ok(config) => prop_assert!(!config.clusters.is_empty()),
            Err(problems) => {
                prop_assert!(!problems.is_empty());
                for p in problems {
                    prop_assert!(!p.message.is_empty() && p.line >= 1);
                }
            }
        }
    }

    #[test]
    fn no_plan_file_panics(at in any::<prop::sample::Index>(), len in 0usize..30, with in "[ -~]{0,12}", twice in any::<bool>()) {
        let text = spoil(PLAN, at, len, &with, twice);
        if let Ok(plan) = serde_json::from_str::<Plan>(&text) {
            // What still reads as a plan either is the very same or does not fit its digest.
            let same = serde_json::from_str::<Plan>(PLAN).expect("a plan") == plan;
            prop_assert!(same || !plan.intact(), "a spoiled plan fits its digest: {text}");
            let _ = (plan.estimate(), plan.target_count());
        }
    }

    #[test]
    fn no_entry_panics(at in any::<prop::sample::Index>(), len in 0usize..30, with in "[ -~]{0,12}", twice in any::<bool>()) {
        let text = spoil(ENTRY, at, len, &with, twice);
        if let Ok(entry) = serde_json::from_str::<Entry>(&text) {
            let entries = [entry];
            let _ = muster_engine::story::timeline(&entries);
            let _ = muster_engine::progress::Nodes::fold(&entries);
        }
    }
}

const ENTRY: &str = r#"{"seq":4,"at":"2026-11-21T12:17:19.097075Z","who":"daemon","place":{"run":"r-1","incident":"","step":"end","target":"f1","attempt":1},"epoch":1,"event":{"event":"tried","outcome":{"outcome":"done","detail":"gone"},"undo":false},"prev":"00","hash":"11"}"#;

const PLAN: &str = include_str!("plan.json");
