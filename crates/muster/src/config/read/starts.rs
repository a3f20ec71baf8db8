//! What starts by itself: `schedules` and `triggers` of the config.

use std::collections::BTreeMap;

use muster_engine::schedule::Schedule;
use muster_model::Span;
use muster_runbooks::tree::Tree;

use super::Reader;
use crate::config::Trigger;

impl Reader<'_> {
    /// All schedules of the file.
    pub(super) fn schedules(&mut self, tree: Option<&Tree>) -> Vec<Schedule> {
        let Some(Tree::Map { entries, .. }) = tree else {
            return Vec::new();
        };
        let entries = entries.clone();
        entries
            .iter()
            .filter_map(|(name, _, body)| self.schedule(name, body))
            .collect()
    }

    fn schedule(&mut self, name: &str, tree: &Tree) -> Option<Schedule> {
        const KEYS: [&str; 6] = ["cron", "zone", "jitter", "runbook", "target", "params"];
        let at = format!("schedules.{name}");
        self.problems.map(tree, &at, &KEYS)?;
        let text = |key: &str| tree.get(key).and_then(Tree::text).unwrap_or_default().to_owned();
        let mut params = BTreeMap::new();
        if let Some(Tree::Map { entries, .. }) = tree.get("params") {
            for (key, _, value) in entries {
                params.insert(key.clone(), value.text().unwrap_or_default().to_owned());
            }
        }
        let jitter = match tree.get("jitter") {
            Some(t) => self
                .problems
                .parsed(t, &format!("{at}.jitter"), "a duration such as 5m")?,
            None => Span::ZERO,
        };
        let schedule = Schedule {
            name: name.to_owned(),
            cron: text("cron"),
            zone: tree.get("zone").and_then(Tree::text).unwrap_or("UTC").to_owned(),
            jitter,
            runbook: text("runbook"),
            target: text("target"),
            params,
        };
        self.needs(tree, &at, &["cron", "runbook"])?;
        if let Err(why) = schedule.check() {
            let place = tree.get("cron").map_or(tree.at(), Tree::at);
            let first = why.lines().next().unwrap_or_default().to_owned();
            let help =
                Some("five fields, as in \"0 9 * * mon-fri\", and a zone as in Europe/Berlin".to_owned());
            self.problems.error(
                "schedule",
                place,
                format!("`{at}` cannot be understood: {first}"),
                help,
            );
        }
        let said = format!("`{}` at {} {}", schedule.runbook, schedule.cron, schedule.zone);
        self.show(&at, &said, self.origin(tree.at()));
        Some(schedule)
    }

    /// All triggers of the file.
    pub(super) fn triggers(&mut self, tree: Option<&Tree>) -> BTreeMap<String, Trigger> {
        let Some(Tree::Map { entries, .. }) = tree else {
            return BTreeMap::new();
        };
        let entries = entries.clone();
        let mut all = BTreeMap::new();
        for (name, _, body) in &entries {
            let at = format!("triggers.{name}");
            if self.problems.map(body, &at, &["runbook", "label"]).is_none()
                || self.needs(body, &at, &["runbook"]).is_none()
            {
                continue;
            }
            let text = |key: &str| body.get(key).and_then(Tree::text).map(str::to_owned);
            let trigger = Trigger {
                runbook: text("runbook").unwrap_or_default(),
                label: text("label"),
            };
            self.show(&at, &format!("`{}`", trigger.runbook), self.origin(body.at()));
            all.insert(name.clone(), trigger);
        }
        all
    }

    pub(super) fn needs(&mut self, tree: &Tree, at: &str, keys: &[&str]) -> Option<()> {
        for key in keys {
            if tree.get(key).and_then(Tree::text).is_none_or(str::is_empty) {
                self.problems
                    .error("missing-key", tree.at(), format!("`{at}` has no `{key}`"), None);
                return None;
            }
        }
        Some(())
    }
}
