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
        let entries = self.entries(tree, "schedules");
        entries
            .iter()
            .filter_map(|(name, _, body)| self.schedule(name, body))
            .collect()
    }

    fn schedule(&mut self, name: &str, tree: &Tree) -> Option<Schedule> {
        const KEYS: [&str; 6] = ["cron", "zone", "jitter", "runbook", "target", "params"];
        let at = format!("schedules.{name}");
        self.problems.map(tree, &at, &KEYS)?;
        let mut params = BTreeMap::new();
        for (key, _, value) in self.entries(tree.get("params"), &format!("{at}.params")) {
            let text = self.problems.text(&value, &format!("`{at}.params.{key}`"));
            params.insert(key, text.unwrap_or_default());
        }
        let jitter = match tree.get("jitter") {
            Some(t) => self
                .problems
                .parsed(t, &format!("{at}.jitter"), "a duration such as 5m")?,
            None => Span::ZERO,
        };
        let schedule = Schedule {
            name: name.to_owned(),
            cron: self.text_or(tree, &at, "cron", ""),
            zone: self.text_or(tree, &at, "zone", "UTC"),
            jitter,
            runbook: self.text_or(tree, &at, "runbook", ""),
            target: self.text_or(tree, &at, "target", ""),
            params,
        };
        self.needs(tree, &at, &["cron", "runbook"])?;
        self.names(tree, &at, &schedule.runbook);
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
        let entries = self.entries(tree, "triggers");
        let mut all = BTreeMap::new();
        for (name, _, body) in &entries {
            let at = format!("triggers.{name}");
            if self.problems.map(body, &at, &["runbook", "label"]).is_none()
                || self.needs(body, &at, &["runbook"]).is_none()
            {
                continue;
            }
            let label = body.get("label");
            let trigger = Trigger {
                runbook: self.text_or(body, &at, "runbook", ""),
                label: label.and_then(|t| self.problems.text(t, &format!("`{at}.label`"))),
            };
            self.names(body, &at, &trigger.runbook);
            self.show(&at, &format!("`{}`", trigger.runbook), self.origin(body.at()));
            all.insert(name.clone(), trigger);
        }
        all
    }

    fn names(&mut self, tree: &Tree, at: &str, id: &str) {
        let place = tree.get("runbook").map_or(tree.at(), Tree::at);
        self.names_runbook(at, id, place);
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
