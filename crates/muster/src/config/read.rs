//! Reading the file: strict keys with suggestions, paths relative to the file, secrets from files, environment,
//! `.pgpass` or systemd credentials.

use std::path::{Path, PathBuf};

use muster_model::{Autopilot, Decision, Policy, Protect, Span, Threshold, Thresholds};
use muster_observe::Cadence;
use muster_reach::{CacheConfig, ClusterConfig, Login, PoolerConfig, ServerConfig, redact};
use muster_runbooks::tree::{At, Problems, Tree, parse};
use muster_runbooks::{Level, Problem};

use super::{ClusterSettings, Keep, Named, Resolved, Shown};
use crate::notify::{Channel, Notify};

mod evidence;
mod notify;
mod places;
mod secrets;
mod starts;
mod windows;

/// Looks must not be farther apart: the rules take what held at two of them to have held between them (`judge::UNBROKEN`).
const SLOWEST_LOOK: Span = Span::from_secs(10);

type Env<'a> = &'a dyn Fn(&str) -> Option<String>;

struct Reader<'a> {
    problems: Problems,
    file: PathBuf,
    base: PathBuf,
    env: Env<'a>,
    shown: Vec<Shown>,
    warnings: Vec<String>,
    named: Vec<Named>,
}

/// Reads a config.
///
/// # Errors
/// Everything that is wrong with it, each with line and column.
pub fn load(file: &Path, env: Env<'_>) -> Result<Resolved, Vec<Problem>> {
    let name = file.display().to_string();
    let text = std::fs::read_to_string(file).map_err(|e| {
        vec![Problem {
            rule: "config-file",
            level: Level::Error,
            file: name.clone(),
            line: 1,
            column: 1,
            message: format!("cannot be read: {e}"),
            help: Some("give one with --config, or make one: docs/guides/first-server.md".to_owned()),
        }]
    })?;
    let tree = parse(&name, &text).map_err(|p| vec![p])?;
    let base = file
        .parent()
        .filter(|p| !p.as_os_str().is_empty())
        .unwrap_or(Path::new("."))
        .to_owned();
    let base = std::fs::canonicalize(&base).unwrap_or(base);
    let mut reader = Reader {
        problems: Problems::new(&name),
        file: file.to_owned(),
        base,
        env,
        shown: Vec::new(),
        warnings: Vec::new(),
        named: Vec::new(),
    };
    let resolved = reader.resolve(&tree);
    match resolved {
        Some(resolved) if !reader.problems.any_error() => Ok(resolved),
        _ => Err(reader.problems.found),
    }
}

impl Reader<'_> {
    fn resolve(&mut self, tree: &Tree) -> Option<Resolved> {
        const KEYS: &[&str] = &[
            "state_dir",
            "listen",
            "web",
            "clusters",
            "policy",
            "thresholds",
            "runbooks",
            "collect",
            "plan_valid",
            "lease_ttl",
            "windows",
            "journal",
            "schedules",
            "triggers",
            "notify",
            "evidence",
        ];
        self.problems.map(tree, "the config", KEYS)?;
        let state_dir = self.value(tree, "", "state_dir", "./state", Some("MUSTER_STATE_DIR"));
        let listen_text = self.value(tree, "", "listen", "127.0.0.1:7432", Some("MUSTER_LISTEN"));
        let listen = self.listen(&listen_text, tree.get("listen").map_or(tree.at(), Tree::at))?;
        let open_detailed = self.open_routes(tree.get("web"));
        let overrides = self.thresholds(tree.get("thresholds"), "thresholds");
        for rule in muster_rules::catalogue() {
            for key in rule.keys {
                let set = overrides
                    .0
                    .get(rule.kind)
                    .is_some_and(|k| k.contains_key(key.key));
                if !set {
                    let name = format!("thresholds.{}.{}", rule.kind, key.key);
                    self.show(&name, key.default, "default".to_owned());
                }
            }
        }
        let policy = self.policy(tree.get("policy"));
        let cadence = self.cadence(tree.get("collect"));
        let plan_valid = self.span(tree, "plan_valid", muster_engine::planner::VALID)?;
        let lease_ttl = self.span(tree, "lease_ttl", muster_engine::lease::TTL)?;
        if lease_ttl < Span::from_secs(3) {
            let at = tree.get("lease_ttl").map_or(At::default(), Tree::at);
            let help = Some("a busy machine must be able to renew it in time: 3s or more".to_owned());
            self.problems.error(
                "lease_ttl",
                at,
                format!("`lease_ttl: {lease_ttl}` is too short"),
                help,
            );
        }
        let schedules = self.schedules(tree.get("schedules"));
        let triggers = self.triggers(tree.get("triggers"));
        let notify = self.notify(tree.get("notify"));
        let evidence = self.evidence(tree.get("evidence"), &self.path(&state_dir).join("evidence"));
        let export_head = self.export_head(tree.get("journal"), &notify);
        let mut runbooks = Vec::new();
        if let Some(list) = tree.get("runbooks")
            && let Some(items) = self.problems.list(list, "runbooks").map(<[Tree]>::to_vec)
        {
            for item in &items {
                if let Some(text) = self.problems.text(item, "runbooks") {
                    self.show("runbooks", &text, self.origin(item.at()));
                    let folder = self.path(&text);
                    if !folder.is_dir() {
                        let message = format!("there is no folder {}", folder.display());
                        self.problems.error(
                            "runbooks",
                            item.at(),
                            message,
                            Some("make it, or take the line out".to_owned()),
                        );
                    }
                    runbooks.push(folder);
                }
            }
        }
        let windows = self.windows(tree.get("windows"));
        let mut clusters = Vec::new();
        match tree.get("clusters") {
            Some(Tree::Map { entries, .. }) if !entries.is_empty() => {
                for (name, at, body) in entries {
                    self.name(name, *at);
                    clusters.extend(self.cluster(name, body, &overrides));
                }
            }
            _ => self.problems.error(
                "missing-key",
                tree.at(),
                "`clusters` names no cluster",
                Some("one server is enough: docs/guides/first-server.md".to_owned()),
            ),
        }
        for (window, names) in windows {
            for name in names
                .iter()
                .filter(|n| !clusters.iter().any(|c: &ClusterSettings| c.reach.name == **n))
            {
                let at = tree.get("windows").map_or(At::default(), Tree::at);
                let message = format!(
                    "`windows.{}` names the cluster `{name}`, which there is not",
                    window.name
                );
                self.problems
                    .error("window", at, message, Some("correct its name".to_owned()));
            }
            for c in clusters
                .iter_mut()
                .filter(|c| names.is_empty() || names.contains(&c.reach.name))
            {
                c.windows.push(window.clone());
            }
        }
        Some(Resolved {
            file: self.file.clone(),
            state_dir: self.path(&state_dir),
            listen,
            open_detailed,
            clusters,
            policy,
            runbooks,
            cadence,
            schedules,
            triggers,
            export_head,
            notify,
            evidence,
            plan_valid,
            lease_ttl,
            shown: std::mem::take(&mut self.shown),
            warnings: std::mem::take(&mut self.warnings),
            named: std::mem::take(&mut self.named),
        })
    }

    /// A duration at the top of the file.
    fn span(&mut self, tree: &Tree, key: &str, default: Span) -> Option<Span> {
        let (value, origin) = match tree.get(key) {
            Some(t) => {
                let value = self.problems.parsed(t, key, "a duration such as 15m")?;
                (value, self.origin(t.at()))
            }
            None => (default, "default".to_owned()),
        };
        self.show(key, &value.to_string(), origin);
        Some(value)
    }

    /// `journal.export_head`: paths, `syslog`, or `channel:NAME` of a webhook.
    fn export_head(&mut self, tree: Option<&Tree>, notify: &Notify) -> Vec<Keep> {
        if tree.is_some_and(|t| self.problems.map(t, "journal", &["export_head"]).is_none()) {
            return Vec::new();
        }
        let Some(list) = tree.and_then(|t| t.get("export_head")) else {
            self.show("journal.export_head", "nowhere", "default".to_owned());
            return Vec::new();
        };
        let mut out = Vec::new();
        for text in self.texts(list, "journal.export_head") {
            out.push(match text.strip_prefix("channel:") {
                _ if text == "syslog" => Keep::Syslog,
                None => Keep::File(self.path(&text)),
                Some(name) => {
                    if !matches!(notify.channels.get(name), Some(Channel::Webhook { .. })) {
                        let message = format!(
                            "`journal.export_head` names `{name}`, which is no channel of the kind webhook"
                        );
                        let help = Some("give it under `notify.channels`".to_owned());
                        self.problems.error("notify", list.at(), message, help);
                    }
                    Keep::Channel(name.to_owned())
                }
            });
        }
        out
    }

    /// `web.open`: routes that answer without a token. There is one that may.
    fn open_routes(&mut self, tree: Option<&Tree>) -> bool {
        let Some(tree) = tree else {
            self.show("web.open", "nothing", "default".to_owned());
            return false;
        };
        if self.problems.map(tree, "web", &["open"]).is_none() {
            return false;
        }
        let Some(list) = tree.get("open") else {
            self.show("web.open", "nothing", "default".to_owned());
            return false;
        };
        let mut open = false;
        for text in self.texts(list, "web.open") {
            if text == "detailed" {
                open = true;
                continue;
            }
            let message = format!("`web.open` cannot hold `{text}`");
            let help = Some("only `detailed` can be opened: /health/detailed without a token".to_owned());
            self.problems.error("wrong-type", list.at(), message, help);
        }
        open
    }

    fn listen(&mut self, text: &str, at: At) -> Option<std::net::SocketAddr> {
        let Ok(address) = text.parse::<std::net::SocketAddr>() else {
            let help = Some("write 127.0.0.1:7432".to_owned());
            self.problems.error(
                "listen",
                at,
                format!("`listen` is `{text}`, which is not an address with a port"),
                help,
            );
            return None;
        };
        if !address.ip().is_loopback() {
            self.problems.error(
                "listen",
                at,
                format!("`listen: {text}` would be reachable from outside"),
                Some("use 127.0.0.1 until TLS and sign-in exist; reach it through ssh -L".to_owned()),
            );
            return None;
        }
        Some(address)
    }

    fn policy(&mut self, tree: Option<&Tree>) -> Policy {
        let mut policy = Policy::default();
        const KEYS: [&str; 7] = [
            "reversible",
            "disruptive",
            "irreversible",
            "require_proof",
            "approvers",
            "solo",
            "runbooks",
        ];
        if tree.is_some_and(|t| self.problems.map(t, "policy", &KEYS).is_none()) {
            return policy;
        }
        let get = |key: &str| tree.and_then(|t| t.get(key));
        policy.reversible = self.decision(get("reversible"), "policy.reversible", policy.reversible);
        policy.disruptive = self.decision(get("disruptive"), "policy.disruptive", policy.disruptive);
        policy.irreversible = self.decision(get("irreversible"), "policy.irreversible", policy.irreversible);
        if !matches!(policy.irreversible, Decision::TwoPerson | Decision::Never) {
            let at = get("irreversible").or(tree).map_or(At::default(), Tree::at);
            let help = Some("write `two_person` or `never`".to_owned());
            self.problems.error(
                "policy",
                at,
                "`policy.irreversible` may not say less than two persons",
                help,
            );
        }
        policy.require_proof = self.flag(get("require_proof"), "policy.require_proof", policy.require_proof);
        policy.solo = self.flag(get("solo"), "policy.solo", policy.solo);
        match get("approvers") {
            Some(t) => policy.approvers = self.texts(t, "policy.approvers"),
            None => self.show("policy.approvers", "nobody", "default".to_owned()),
        }
        for (id, at, value) in self.entries(get("runbooks"), "policy.runbooks") {
            let key = format!("policy.runbooks.{id}");
            let decision = self.decision(Some(&value), &key, Decision::Auto);
            self.names_runbook("policy.runbooks", &id, at);
            policy.runbooks.insert(id, decision);
        }
        policy
    }

    fn decision(&mut self, tree: Option<&Tree>, key: &str, default: Decision) -> Decision {
        let Some(tree) = tree else {
            self.show(key, decided(default), "default".to_owned());
            return default;
        };
        let text = tree.text().unwrap_or_default();
        self.show(key, text, self.origin(tree.at()));
        match text {
            "auto" => Decision::Auto,
            "approve" => Decision::Approve,
            "two_person" => Decision::TwoPerson,
            "never" => Decision::Never,
            other => {
                let help = Some("one of: auto, approve, two_person, never".to_owned());
                self.problems.error(
                    "wrong-type",
                    tree.at(),
                    format!("`{key}` cannot be `{other}`"),
                    help,
                );
                default
            }
        }
    }

    fn flag(&mut self, tree: Option<&Tree>, key: &str, default: bool) -> bool {
        let Some(tree) = tree else {
            self.show(key, &default.to_string(), "default".to_owned());
            return default;
        };
        let value = self
            .problems
            .parsed(tree, key, "true or false")
            .unwrap_or(default);
        self.show(key, &value.to_string(), self.origin(tree.at()));
        value
    }

    fn texts(&mut self, tree: &Tree, key: &str) -> Vec<String> {
        let Some(items) = self.problems.list(tree, key).map(<[Tree]>::to_vec) else {
            return Vec::new();
        };
        let out: Vec<String> = items.iter().filter_map(|i| self.problems.text(i, key)).collect();
        self.show(key, &out.join(", "), self.origin(tree.at()));
        out
    }

    fn cadence(&mut self, tree: Option<&Tree>) -> Cadence {
        let mut cadence = Cadence::default();
        const KEYS: [&str; 4] = ["activity", "replication", "tables", "settings"];
        if tree.is_some_and(|t| self.problems.map(t, "collect", &KEYS).is_none()) {
            return cadence;
        }
        for (key, slot) in [
            ("activity", &mut cadence.activity),
            ("replication", &mut cadence.replication),
            ("tables", &mut cadence.tables),
            ("settings", &mut cadence.settings),
        ] {
            let mut origin = "default".to_owned();
            if let Some(t) = tree.and_then(|t| t.get(key))
                && let Some(span) = self.problems.parsed::<Span>(t, key, "a duration such as 1s")
            {
                *slot = span.max(Span::from_millis(200));
                origin = self.origin(t.at());
                if key == "activity" && span > SLOWEST_LOOK {
                    let message = format!(
                        "`collect.activity` is {span}, and what lasts shorter than two looks is not seen to last: most rules would \
                         say nothing of an incident"
                    );
                    let help = Some(format!("write {SLOWEST_LOOK} or less"));
                    self.problems.error("collect", t.at(), message, help);
                }
            }
            self.show(&format!("collect.{key}"), &slot.to_string(), origin);
        }
        cadence
    }

    fn thresholds(&mut self, tree: Option<&Tree>, prefix: &str) -> Thresholds {
        let mut out = Thresholds::default();
        let Some(tree) = tree else { return out };
        let Tree::Map { entries, .. } = tree else {
            self.problems.map(tree, prefix, &[]);
            return out;
        };
        for (kind, at, keys) in entries {
            let Tree::Map { entries: keys, .. } = keys else {
                self.problems.map(keys, &format!("{prefix}.{kind}"), &[]);
                continue;
            };
            for (key, _, value) in keys {
                let text = self.problems.text(value, key).unwrap_or_default();
                let threshold = match (text.parse::<Span>(), text.parse::<f64>()) {
                    (Ok(span), _) => Threshold::Span(span),
                    (_, Ok(number)) => Threshold::Number(number),
                    _ => {
                        let message =
                            format!("`{prefix}.{kind}.{key}` is `{text}`, neither a duration nor a number");
                        self.problems.error("wrong-type", value.at(), message, None);
                        continue;
                    }
                };
                self.show(&format!("{prefix}.{kind}.{key}"), &text, self.origin(value.at()));
                out.set(kind, key, threshold);
            }
            let mut one = Thresholds::default();
            if let Some(keys) = out.0.get(kind) {
                one.0.insert(kind.clone(), keys.clone());
            }
            for problem in muster_rules::check_overrides(&one).err().unwrap_or_default() {
                self.problems.error("threshold", *at, problem, None);
            }
        }
        out
    }

    fn cluster(&mut self, name: &str, tree: &Tree, overrides: &Thresholds) -> Option<ClusterSettings> {
        const KEYS: [&str; 9] = [
            "servers",
            "poolers",
            "caches",
            "apps",
            "autopilot",
            "protect",
            "drill",
            "environment",
            "thresholds",
        ];
        let at = format!("clusters.{name}");
        self.problems.map(tree, &at, &KEYS)?;
        let mut taken: Vec<String> = Vec::new();
        let mut reach = ClusterConfig {
            name: name.to_owned(),
            servers: Vec::new(),
            poolers: Vec::new(),
            caches: Vec::new(),
            apps: Vec::new(),
        };
        for item in self.items(tree.get("servers"), &format!("{at}.servers")) {
            reach.servers.extend(self.server(name, &item, &mut taken));
        }
        if reach.servers.is_empty() {
            self.problems
                .error("missing-key", tree.at(), format!("`{at}` names no server"), None);
        }
        for item in self.items(tree.get("poolers"), &format!("{at}.poolers")) {
            reach.poolers.extend(self.pooler(name, &item, &mut taken));
        }
        for item in self.items(tree.get("caches"), &format!("{at}.caches")) {
            reach.caches.extend(self.cache(name, &item, &mut taken));
        }
        for item in self.items(tree.get("apps"), &format!("{at}.apps")) {
            reach.apps.extend(self.app(name, &item, &mut taken));
        }
        let autopilot = match tree
            .get("autopilot")
            .map(|t| (t.text().unwrap_or_default(), t.at()))
        {
            None => Autopilot::Propose,
            Some(("observe", _)) => Autopilot::Observe,
            Some(("propose", _)) => Autopilot::Propose,
            Some(("act", _)) => Autopilot::Act,
            Some((other, place)) => {
                let help = Some("one of: observe, propose, act".to_owned());
                self.problems.error(
                    "wrong-type",
                    place,
                    format!("`{at}.autopilot` cannot be `{other}`"),
                    help,
                );
                Autopilot::Observe
            }
        };
        let own = tree
            .get("autopilot")
            .map_or_else(|| "default".to_owned(), |t| self.origin(t.at()));
        self.show(
            &format!("{at}.autopilot"),
            &format!("{autopilot:?}").to_lowercase(),
            own,
        );
        let mut protect = Protect::default();
        if let Some(t) = tree.get("protect")
            && self
                .problems
                .map(t, "protect", &["users", "applications", "databases"])
                .is_some()
        {
            for (key, slot) in [
                ("users", &mut protect.users),
                ("applications", &mut protect.applications),
                ("databases", &mut protect.databases),
            ] {
                if let Some(list) = t.get(key) {
                    *slot = self.texts(list, &format!("{at}.protect.{key}"));
                }
            }
        }
        if tree.get("environment").is_some() {
            self.warnings.push(format!("{at}.environment is not used yet"));
        }
        let practice = self.flag(tree.get("drill"), &format!("{at}.drill"), false);
        let own = self.thresholds(tree.get("thresholds"), &format!("{at}.thresholds"));
        let thresholds = muster_rules::defaults().overlaid(overrides).overlaid(&own);
        Some(ClusterSettings {
            windows: Vec::new(),
            reach,
            autopilot,
            protect,
            practice,
            thresholds,
        })
    }

    /// What a mapping with names of one's own holds. Something else in its place is an error: a guard that nobody reads is off.
    fn entries(&mut self, tree: Option<&Tree>, what: &str) -> Vec<(String, At, Tree)> {
        match tree {
            None => Vec::new(),
            Some(Tree::Map { entries, .. }) => entries.clone(),
            Some(other) => {
                self.problems.map(other, &format!("`{what}`"), &[]);
                Vec::new()
            }
        }
    }

    /// The text of a key, or its default; what is no text is an error.
    fn text_or(&mut self, tree: &Tree, at: &str, key: &str, default: &str) -> String {
        let given = tree
            .get(key)
            .map(|t| self.problems.text(t, &format!("`{at}.{key}`")));
        given.flatten().unwrap_or_else(|| default.to_owned())
    }

    /// Notes that a runbook is named there; whether it is on the shelf is known when the shelf is filled.
    fn names_runbook(&mut self, key: &str, id: &str, at: At) {
        let key = key.to_owned();
        let id = id.to_owned();
        self.named.push(Named { key, id, at });
    }

    fn items(&mut self, tree: Option<&Tree>, what: &str) -> Vec<Tree> {
        tree.and_then(|t| self.problems.list(t, what).map(<[Tree]>::to_vec))
            .unwrap_or_default()
    }

    fn server(&mut self, cluster: &str, tree: &Tree, taken: &mut Vec<String>) -> Option<ServerConfig> {
        const KEYS: [&str; 11] = [
            "act_password_credential",
            "name",
            "url",
            "act",
            "password_file",
            "act_password_file",
            "password_env",
            "act_password_env",
            "passfile",
            "host",
            "password_credential",
        ];
        self.problems.map(tree, "a server", &KEYS)?;
        let (name, address) = self.member(cluster, tree, taken)?;
        let key = format!("clusters.{cluster}.servers.{name}");
        let host = self.host(tree.get("host"), &key);
        let observe = self.login(tree, &key, "url", "password")?;
        let act = match tree.get("act") {
            Some(_) => Some(self.login(tree, &key, "act", "act_password")?),
            None => None,
        };
        Some(ServerConfig {
            name,
            address,
            observe,
            act,
            host,
        })
    }

    fn pooler(&mut self, cluster: &str, tree: &Tree, taken: &mut Vec<String>) -> Option<PoolerConfig> {
        const KEYS: [&str; 7] = [
            "name",
            "url",
            "password_file",
            "password_env",
            "password_credential",
            "passfile",
            "config",
        ];
        self.problems.map(tree, "a pooler", &KEYS)?;
        let (name, address) = self.member(cluster, tree, taken)?;
        let observe = self.login(
            tree,
            &format!("clusters.{cluster}.poolers.{name}"),
            "url",
            "password",
        )?;
        let config_path = tree
            .get("config")
            .and_then(|t| self.problems.text(t, "config"))
            .map(|t| self.path(&t));
        Some(PoolerConfig {
            name,
            address,
            observe,
            config_path,
        })
    }

    fn cache(&mut self, cluster: &str, tree: &Tree, taken: &mut Vec<String>) -> Option<CacheConfig> {
        self.problems.map(
            tree,
            "a cache",
            &[
                "name",
                "url",
                "password_file",
                "password_env",
                "password_credential",
            ],
        )?;
        let (name, address) = self.member(cluster, tree, taken)?;
        let login = self.login(
            tree,
            &format!("clusters.{cluster}.caches.{name}"),
            "url",
            "password",
        )?;
        Some(CacheConfig { name, address, login })
    }

    fn member(&mut self, cluster: &str, tree: &Tree, taken: &mut Vec<String>) -> Option<(String, String)> {
        let Some(t) = tree.get("name") else {
            self.problems
                .error("missing-key", tree.at(), "it needs a `name`", None);
            return None;
        };
        let name = self.problems.text(t, "name")?;
        self.name(&name, t.at());
        if taken.contains(&name) {
            let message = format!("the name `{name}` is there twice in cluster `{cluster}`");
            self.problems.error(
                "name",
                t.at(),
                message,
                Some("names are unique in a cluster".to_owned()),
            );
        }
        taken.push(name.clone());
        let address = format!("{cluster}/{name}");
        Some((name, address))
    }

    fn name(&mut self, name: &str, at: At) {
        let good = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '_');
        if name.is_empty() || !name.chars().all(good) {
            let help = Some("use small letters, digits, dashes and underscores".to_owned());
            self.problems
                .error("name", at, format!("`{name}` cannot be a name"), help);
        }
    }

    fn login(&mut self, tree: &Tree, key: &str, url_key: &str, password_key: &str) -> Option<Login> {
        let Some(t) = tree.get(url_key) else {
            self.problems.error(
                "missing-key",
                tree.at(),
                format!("`{key}` needs a `{url_key}`"),
                None,
            );
            return None;
        };
        let raw = self.problems.text(t, url_key)?;
        let url = self.expanded(&raw, t.at())?;
        self.show(
            &format!("{key}.{url_key}"),
            &redact::conninfo(&url),
            self.origin(t.at()),
        );
        if redact::conninfo(&url).len() + 1 < url.len()
            && url.contains("://")
            && url.contains('@')
            && has_password(&url)
        {
            self.warnings.push(format!(
                "{key}.{url_key} holds a password; a `{password_key}_file` is safer"
            ));
        }
        let password = self.secret(tree, key, password_key)?;
        let passfile = match tree.get("passfile") {
            Some(f) => self.problems.text(f, "passfile").map(|t| self.path(&t)),
            None => (self.env)("PGPASSFILE")
                .map(PathBuf::from)
                .or_else(|| (self.env)("HOME").map(|h| Path::new(&h).join(".pgpass"))),
        };
        Some(Login {
            url,
            password,
            passfile,
        })
    }

    /// `${NAME}` from the environment.
    fn expanded(&mut self, text: &str, at: At) -> Option<String> {
        let mut out = String::new();
        let mut rest = text;
        while let Some(start) = rest.find("${") {
            let (head, tail) = rest.split_at(start);
            out.push_str(head);
            let Some(end) = tail.find('}') else { break };
            let name = &tail[2..end];
            match (self.env)(name) {
                Some(value) => out.push_str(&value),
                None => {
                    self.problems
                        .error("secret", at, format!("the environment has no {name}"), None);
                    return None;
                }
            }
            rest = &tail[end + 1..];
        }
        out.push_str(rest);
        Some(out)
    }

    fn value(&mut self, tree: &Tree, prefix: &str, key: &str, default: &str, env: Option<&str>) -> String {
        let full = if prefix.is_empty() {
            key.to_owned()
        } else {
            format!("{prefix}.{key}")
        };
        if let Some(name) = env
            && let Some(value) = (self.env)(name)
        {
            self.show(&full, &value, name.to_owned());
            return value;
        }
        match tree.get(key) {
            Some(t) => {
                let text = self.problems.text(t, key).unwrap_or_else(|| default.to_owned());
                self.show(&full, &text, self.origin(t.at()));
                text
            }
            None => {
                self.show(&full, default, "default".to_owned());
                default.to_owned()
            }
        }
    }

    fn origin(&self, at: At) -> String {
        format!("{}:{}", self.file.display(), at.line)
    }

    fn path(&self, text: &str) -> PathBuf {
        self.base.join(text.strip_prefix("./").unwrap_or(text))
    }

    fn show(&mut self, key: &str, value: &str, origin: String) {
        self.shown.push(Shown {
            key: key.to_owned(),
            value: value.to_owned(),
            origin,
        });
    }
}

fn decided(decision: Decision) -> &'static str {
    match decision {
        Decision::Auto => "auto",
        Decision::Approve => "approve",
        Decision::TwoPerson => "two_person",
        Decision::Never => "never",
    }
}

fn has_password(url: &str) -> bool {
    url::Url::parse(url).is_ok_and(|u| u.password().is_some())
}
