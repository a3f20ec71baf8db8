//! What belongs to a cluster besides its databases: the hosts of its servers, and the applications that use it.

use muster_reach::{AppConfig, AppLogPlace, HostConfig};
use muster_runbooks::tree::Tree;

use super::Reader;

impl Reader<'_> {
    /// `host` of a server: `{local: true, data_dir: …, log: …}`.
    pub(super) fn host(&mut self, tree: Option<&Tree>, key: &str) -> Option<HostConfig> {
        let tree = tree?;
        self.problems.map(
            tree,
            "a host",
            &["local", "data_dir", "log", "ssh", "docker", "service"],
        )?;
        let local = self.flag(tree.get("local"), &format!("{key}.host.local"), false);
        for elsewhere in ["ssh", "docker", "service"] {
            if tree.get(elsewhere).is_some() {
                self.warnings
                    .push(format!("{key}.host.{elsewhere} is not used yet"));
            }
        }
        let mut path = |name: &str| {
            let text = tree.get(name).and_then(|t| self.problems.text(t, name))?;
            Some(self.path(&text))
        };
        let (data_dir, log) = (path("data_dir"), path("log"));
        for (name, value) in [("data_dir", &data_dir), ("log", &log)] {
            if let (Some(value), Some(t)) = (value, tree.get(name)) {
                let origin = self.origin(t.at());
                self.show(
                    &format!("{key}.host.{name}"),
                    &value.display().to_string(),
                    origin,
                );
            }
        }
        Some(HostConfig { local, data_dir, log })
    }

    /// `log` of an application: `{unit: X}`, `{file: PATH}` or `{container: N}`.
    fn app_log(&mut self, tree: &Tree, key: &str) -> Option<AppLogPlace> {
        const KINDS: [&str; 3] = ["unit", "file", "container"];
        self.problems.map(tree, "a log", &KINDS)?;
        let given: Vec<&str> = KINDS.into_iter().filter(|k| tree.get(k).is_some()).collect();
        let [kind] = given[..] else {
            let help = Some("one of {unit: NAME}, {file: PATH}, {container: NAME}".to_owned());
            let message = format!("`{key}.log` must say one place, and says {}", given.len());
            self.problems.error("log", tree.at(), message, help);
            return None;
        };
        let value = tree.get(kind)?;
        let text = self.problems.text(value, kind)?;
        let origin = self.origin(value.at());
        self.show(&format!("{key}.log.{kind}"), &text, origin);
        if kind == "file" {
            return Some(AppLogPlace::File(self.path(&text)));
        }
        // It becomes an argument of a program: nothing that the program could take for an option or a pattern.
        let good = |c: char| c.is_ascii_alphanumeric() || "_.@:\\-".contains(c);
        if text.is_empty() || text.starts_with('-') || !text.chars().all(good) {
            let help = Some("write its plain name, such as notes.service".to_owned());
            let message = format!("`{key}.log.{kind}` is `{text}`, which is no name of a {kind}");
            self.problems.error("log", value.at(), message, help);
            return None;
        }
        Some(match kind {
            "unit" => AppLogPlace::Unit(text),
            _ => AppLogPlace::Container(text),
        })
    }

    /// An application: `{name, health, token_file, log}`.
    pub(super) fn app(&mut self, cluster: &str, tree: &Tree, taken: &mut Vec<String>) -> Option<AppConfig> {
        const KEYS: [&str; 6] = [
            "name",
            "health",
            "token_file",
            "token_env",
            "token_credential",
            "log",
        ];
        self.problems.map(tree, "an application", &KEYS)?;
        let (name, address) = self.member(cluster, tree, taken)?;
        let key = format!("clusters.{cluster}.apps.{name}");
        let health = match tree.get("health") {
            Some(t) => {
                let url = self.problems.text(t, "health")?;
                if !url.starts_with("http://") && !url.starts_with("https://") {
                    let help = Some("write http://127.0.0.1:8080/health/detailed".to_owned());
                    let message = format!("`{key}.health` is `{url}`, which is no address of HTTP");
                    self.problems.error("url", t.at(), message, help);
                    return None;
                }
                let origin = self.origin(t.at());
                self.show(&format!("{key}.health"), &public(&url), origin);
                Some(url)
            }
            None => {
                let unknown = if tree.get("log").is_some() {
                    "whether it answers is not known"
                } else {
                    "nothing is known of it"
                };
                self.warnings.push(format!("{key} has no `health`, so {unknown}"));
                None
            }
        };
        let log = tree.get("log").and_then(|t| self.app_log(t, &key));
        let token = self.secret(tree, &key, "token")?;
        Some(AppConfig {
            name,
            address,
            health,
            token,
            log,
        })
    }
}

/// An address without what may be secret in it: user, password, query.
fn public(text: &str) -> String {
    let Ok(mut url) = url::Url::parse(text) else {
        return "(not shown: it is no address)".to_owned();
    };
    let _ = url.set_username("");
    let _ = url.set_password(None);
    url.set_query(None);
    url.set_fragment(None);
    url.to_string()
}
