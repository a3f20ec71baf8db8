//! What belongs to a cluster besides its databases: the hosts of its servers, and the applications that use it.

use muster_reach::{AppConfig, HostConfig};
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

    /// An application: `{name, health, token_file}`.
    pub(super) fn app(&mut self, cluster: &str, tree: &Tree, taken: &mut Vec<String>) -> Option<AppConfig> {
        const KEYS: [&str; 5] = ["name", "health", "token_file", "token_env", "token_credential"];
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
                self.warnings
                    .push(format!("{key} has no `health`, so nothing is known of it"));
                None
            }
        };
        let token = self.secret(tree, &key, "token")?;
        Some(AppConfig {
            name,
            address,
            health,
            token,
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
