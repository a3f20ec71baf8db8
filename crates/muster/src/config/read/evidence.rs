//! `evidence`: where bundles go, and what is in them beside what is read of the targets.

use std::path::Path;

use muster_model::Span;
use muster_observe::bundle::{Command, SECTION_BYTES};
use muster_runbooks::tree::Tree;

use super::Reader;
use crate::config::EvidenceSettings;

/// How long a command may take unless it says otherwise, and at most.
const TIMEOUT: Span = Span::from_secs(10);
const LONGEST: Span = Span::from_secs(120);
/// How much of its output is kept unless it says otherwise.
const BYTES: usize = 1024 * 1024;

impl Reader<'_> {
    /// The section `evidence`.
    pub(super) fn evidence(&mut self, tree: Option<&Tree>, out: &Path) -> EvidenceSettings {
        let mut settings = EvidenceSettings {
            out: out.to_owned(),
            ..EvidenceSettings::default()
        };
        let known = |t: &Tree, r: &mut Self| {
            let keys = ["out", "environment", "commands"];
            r.problems.map(t, "evidence", &keys).is_some()
        };
        let Some(tree) = tree.filter(|t| known(t, self)) else {
            self.show("evidence.out", &out.display().to_string(), "default".to_owned());
            return settings;
        };
        match tree.get("out") {
            Some(t) => {
                if let Some(text) = self.problems.text(t, "evidence.out") {
                    self.show("evidence.out", &text, self.origin(t.at()));
                    settings.out = self.path(&text);
                }
            }
            None => self.show("evidence.out", &out.display().to_string(), "default".to_owned()),
        }
        if let Some(t) = tree.get("environment") {
            settings.environment = self.texts(t, "evidence.environment");
        }
        let items = self.items(tree.get("commands"), "evidence.commands");
        for item in &items {
            if let Some(command) = self.command(item) {
                if settings.commands.iter().any(|c| c.name == command.name) {
                    let message = format!("the command `{}` is there twice", command.name);
                    let help = Some("names are unique".to_owned());
                    self.problems.error("name", item.at(), message, help);
                }
                settings.commands.push(command);
            }
        }
        settings
    }

    fn command(&mut self, tree: &Tree) -> Option<Command> {
        self.problems
            .map(tree, "a command", &["name", "run", "timeout", "bytes"])?;
        self.needs(tree, "evidence.commands", &["name"])?;
        let name = self.problems.text(tree.get("name")?, "name")?;
        self.name(&name, tree.at());
        let key = format!("evidence.commands.{name}");
        let Some(run) = tree.get("run") else {
            let help = Some("run: [systemctl, status, notes]".to_owned());
            self.problems
                .error("missing-key", tree.at(), format!("`{key}` has no `run`"), help);
            return None;
        };
        let items = self.problems.list(run, "run").map(<[Tree]>::to_vec)?;
        // Not shown: an argument may be a secret.
        let argv: Vec<String> = items
            .iter()
            .filter_map(|i| self.problems.text(i, "run"))
            .collect();
        let Some(program) = argv.first().filter(|p| !p.is_empty()) else {
            let help = Some("run: [systemctl, status, notes]; it is no line for a shell".to_owned());
            let message = format!("`{key}.run` names no program");
            self.problems.error("command", run.at(), message, help);
            return None;
        };
        self.show(&format!("{key}.run"), program, self.origin(run.at()));
        let timeout = match tree.get("timeout") {
            Some(t) => self.problems.parsed(t, "timeout", "a duration such as 10s")?,
            None => TIMEOUT,
        };
        if timeout > LONGEST || timeout == Span::ZERO {
            let at = tree.get("timeout").map_or(tree.at(), Tree::at);
            let help = Some(format!("all commands together may take {LONGEST}"));
            let message = format!("`{key}.timeout: {timeout}` is too long or none at all");
            self.problems.error("command", at, message, help);
        }
        let most = match tree.get("bytes") {
            Some(t) => self.problems.parsed(t, "bytes", "a number of bytes")?,
            None => BYTES,
        };
        Some(Command {
            name,
            run: argv,
            timeout,
            most: most.min(SECTION_BYTES),
            dir: Some(self.base.clone()),
        })
    }
}

#[cfg(test)]
mod tests {
    use muster_reach::AppLogPlace;

    use crate::config::load;

    fn read(lines: &str) -> Result<crate::config::Resolved, String> {
        let dir = tempfile::tempdir().expect("dir");
        let file = dir.path().join("muster.yaml");
        let text =
            format!("clusters: {{shop: {{servers: [{{name: a, url: \"postgres://m@db/postgres\"}}]{lines}\n");
        std::fs::write(&file, text).expect("writes");
        load(&file, &|_| None).map_err(|p| p.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))
    }

    #[test]
    fn commands_are_argument_vectors_with_limits() {
        let config = read(
            "}}\nevidence:\n  out: ./ev\n  environment: [APP_*]\n  commands:\n    - {name: units, run: [systemctl, --failed], timeout: 5s, bytes: 99}\n    - {name: two, run: [ls]}",
        )
        .expect("reads");
        let e = &config.evidence;
        assert!(e.out.ends_with("ev") && e.environment == ["APP_*"]);
        let first = &e.commands[0];
        assert_eq!(
            (first.run.join(" "), first.timeout.to_string(), first.most),
            ("systemctl --failed".to_owned(), "5s".to_owned(), 99)
        );
        assert!(
            read("}}")
                .expect("reads")
                .evidence
                .out
                .ends_with("state/evidence")
        );
        for (lines, word) in [
            ("{name: x, run: \"ls -l\"}", "run"),
            ("{name: x, run: []}", "names no program"),
            ("{name: x}", "run"),
            ("{name: \"../x\", run: [ls]}", "cannot be a name"),
            ("{name: x, run: [ls], timeout: 3m}", "too long"),
            ("{name: x, run: [ls]}, {name: x, run: [ls]}", "twice"),
            ("{name: x, run: [ls], shell: true}", "shell"),
        ] {
            let said = read(&format!("}}}}\nevidence: {{commands: [{lines}]}}")).expect_err(lines);
            assert!(said.contains(word), "{lines}: {said}");
        }
    }

    #[test]
    fn a_log_has_one_place_and_its_name_is_no_option() {
        let place = |log: &str| {
            let config = read(&format!(", apps: [{{name: notes, log: {log}}}]}}}}"))?;
            Ok::<_, String>(config.clusters[0].reach.apps[0].log.clone())
        };
        assert_eq!(
            place("{unit: notes@1.service}"),
            Ok(Some(AppLogPlace::Unit("notes@1.service".into())))
        );
        assert_eq!(
            place("{container: notes_1}"),
            Ok(Some(AppLogPlace::Container("notes_1".into())))
        );
        assert!(matches!(place("{file: ./x.log}"), Ok(Some(AppLogPlace::File(p))) if p.is_absolute()));
        for (log, word) in [
            ("{unit: a, file: b}", "says 2"),
            ("{}", "says 0"),
            ("{unit: \"--vacuum-size=1\"}", "no name of a unit"),
            ("{unit: \"a*\"}", "no name of a unit"),
            ("{container: \"a b\"}", "no name of a container"),
            ("{path: x}", "path"),
        ] {
            let said = place(log).expect_err(log);
            assert!(said.contains(word), "{log}: {said}");
        }
    }
}
