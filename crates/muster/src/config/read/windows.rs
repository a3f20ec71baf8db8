//! Maintenance windows: `windows` of the config, checked against the zones and clusters there are.

use jiff::tz::TimeZone;
use muster_model::{Risk, Window};
use muster_runbooks::tree::Tree;

use super::Reader;

/// A window and the clusters it is for; none means all of them.
pub(super) type For = (Window, Vec<String>);

const DAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];

impl Reader<'_> {
    /// All windows of the file.
    pub(super) fn windows(&mut self, tree: Option<&Tree>) -> Vec<For> {
        let entries = self.entries(tree, "windows");
        entries
            .iter()
            .filter_map(|(name, _, body)| self.window(name, body))
            .collect()
    }

    fn window(&mut self, name: &str, tree: &Tree) -> Option<For> {
        const KEYS: [&str; 7] = ["days", "from", "to", "zone", "clusters", "risk", "incidents"];
        let at = format!("windows.{name}");
        self.problems.map(tree, &at, &KEYS)?;
        let mut days = Vec::new();
        match tree.get("days") {
            None => days.extend(1..=7),
            Some(list) => {
                for (text, place) in self
                    .items(Some(list), &format!("{at}.days"))
                    .iter()
                    .map(|t| (t.text().unwrap_or_default(), t.at()))
                {
                    match DAYS.iter().position(|d| *d == text) {
                        Some(i) => days.push(i8::try_from(i + 1).unwrap_or(1)),
                        None => {
                            let help = Some(format!("one of: {}", DAYS.join(", ")));
                            self.problems
                                .error("window", place, format!("`{text}` is no day"), help);
                        }
                    }
                }
            }
        }
        let from = self.minute(tree, &at, "from")?;
        let to = self.minute(tree, &at, "to")?;
        let zone = self.text_or(tree, &at, "zone", "UTC");
        if TimeZone::get(&zone).is_err() {
            let place = tree.get("zone").map_or(tree.at(), Tree::at);
            let help = Some("write it as in Europe/Berlin or UTC".to_owned());
            self.problems
                .error("window", place, format!("`{zone}` is no time zone"), help);
        }
        let risk = match tree.get("risk").map(|t| (t.text().unwrap_or_default(), t.at())) {
            None | Some(("disruptive", _)) => Risk::Disruptive,
            Some(("reversible", _)) => Risk::Reversible,
            Some(("irreversible", _)) => Risk::Irreversible,
            Some((other, place)) => {
                let help = Some("one of: reversible, disruptive, irreversible".to_owned());
                self.problems
                    .error("window", place, format!("`{at}.risk` cannot be `{other}`"), help);
                Risk::Disruptive
            }
        };
        let incidents = match tree
            .get("incidents")
            .map(|t| (t.text().unwrap_or_default(), t.at()))
        {
            None | Some(("exempt", _)) => false,
            Some(("wait", _)) => true,
            Some((other, place)) => {
                let help =
                    Some("`exempt`: what answers an incident need not wait; `wait`: it waits too".to_owned());
                self.problems.error(
                    "window",
                    place,
                    format!("`{at}.incidents` cannot be `{other}`"),
                    help,
                );
                true
            }
        };
        let clusters = tree
            .get("clusters")
            .map_or_else(Vec::new, |t| self.texts(t, &format!("{at}.clusters")));
        let clock = |m: u16| format!("{:02}:{:02}", m / 60, m % 60);
        let on: Vec<&str> = days
            .iter()
            .filter_map(|d| DAYS.get(usize::try_from(*d - 1).ok()?).copied())
            .collect();
        let text = format!(
            "{} {} to {} {zone}, for {} and more; incidents {}",
            on.join(" "),
            clock(from),
            clock(to),
            risk.word(),
            if incidents { "wait" } else { "are exempt" }
        );
        self.show(&at, &text, self.origin(tree.at()));
        let window = Window {
            name: name.to_owned(),
            days,
            from,
            to,
            zone,
            risk,
            incidents,
        };
        Some((window, clusters))
    }

    /// A time of day as the minute of the day.
    fn minute(&mut self, tree: &Tree, at: &str, key: &str) -> Option<u16> {
        let text = tree.get(key).and_then(Tree::text).unwrap_or_default();
        let parsed = text.split_once(':').and_then(|(h, m)| {
            let (h, m): (u16, u16) = (h.parse().ok()?, m.parse().ok()?);
            (m < 60 && (h < 24 || (h == 24 && m == 0))).then(|| h * 60 + m)
        });
        if parsed.is_none() {
            let place = tree.get(key).map_or(tree.at(), Tree::at);
            let help = Some("write \"22:00\"".to_owned());
            self.problems.error(
                "window",
                place,
                format!("`{at}.{key}` is `{text}`, not a time of day"),
                help,
            );
        }
        parsed
    }
}
