//! Secrets: from a file that others cannot read, a variable of the environment, or a systemd credential.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use muster_runbooks::tree::Tree;
use secrecy::{ExposeSecret, SecretString};

use super::Reader;

impl Reader<'_> {
    /// `KEY_file`, `KEY_env` or `KEY_credential` of what is called `at`; an inner none where none of them is given.
    pub(super) fn secret(&mut self, tree: &Tree, at: &str, key: &str) -> Option<Option<SecretString>> {
        let [file, env, credential] = ["file", "env", "credential"].map(|place| format!("{key}_{place}"));
        let named = [key, &file, &env, &credential];
        let given: Vec<&Tree> = named.iter().filter_map(|k| tree.get(k)).collect();
        if let [_, second, ..] = given[..] {
            let message = format!("`{at}` says twice where its `{key}` is");
            let help = Some(format!("one of {}", named.join(", ")));
            self.problems.error("secret", second.at(), message, help);
            return None;
        }
        let (secret, from) = if let Some(f) = tree.get(&file) {
            (self.secret_file(f)?, f)
        } else if let Some(v) = tree.get(&env) {
            let name = self.problems.text(v, "the name of a variable")?;
            let Some(value) = (self.env)(&name) else {
                let help = Some(format!("set {name}, or use `{file}`"));
                let message = format!("the environment has no {name}, which `{at}` needs");
                self.problems.error("secret", v.at(), message, help);
                return None;
            };
            (SecretString::from(value), v)
        } else if let Some(v) = tree.get(&credential) {
            let name = self.problems.text(v, "the name of a credential")?;
            (self.credential(v, &name)?, v)
        } else {
            return Some(None);
        };
        if secret.expose_secret().trim().is_empty() {
            let message = format!("the `{key}` of `{at}` is empty");
            self.problems.error("secret", from.at(), message, None);
            return None;
        }
        Some(Some(secret))
    }

    /// What systemd hands over by `LoadCredential=`.
    fn credential(&mut self, tree: &Tree, name: &str) -> Option<SecretString> {
        let dir = (self.env)("CREDENTIALS_DIRECTORY").unwrap_or_default();
        match std::fs::read_to_string(Path::new(&dir).join(name)) {
            Ok(text) => Some(SecretString::from(text.trim_end_matches(['\n', '\r']).to_owned())),
            Err(e) => {
                let help = Some(format!("put `LoadCredential={name}:PATH` into the unit"));
                let message = format!("credential `{name}`: {e}");
                self.problems.error("secret", tree.at(), message, help);
                None
            }
        }
    }

    fn secret_file(&mut self, tree: &Tree) -> Option<SecretString> {
        let text = self.problems.text(tree, "a password file")?;
        let path = self.path(&text);
        match std::fs::read_to_string(&path) {
            Err(e) => {
                let help = Some("make it with mode 0600 and nothing but the password in it".to_owned());
                self.problems.error(
                    "secret",
                    tree.at(),
                    format!("the password file {} cannot be read: {e}", path.display()),
                    help,
                );
                None
            }
            Ok(secret) => {
                let mode = std::fs::metadata(&path)
                    .map(|m| m.permissions().mode())
                    .unwrap_or(0);
                if mode & 0o007 != 0 {
                    let help = Some(format!("run: chmod 600 {}", path.display()));
                    self.problems.error(
                        "secret",
                        tree.at(),
                        format!("everybody can read the password file {}", path.display()),
                        help,
                    );
                    return None;
                }
                Some(SecretString::from(
                    secret.trim_end_matches(['\n', '\r']).to_owned(),
                ))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;
    use std::path::Path;

    use secrecy::ExposeSecret;

    use crate::config::load;

    /// The password of a pooler with these lines, or what is wrong.
    fn password(dir: &Path, lines: &str) -> Result<Option<String>, String> {
        let file = dir.join("muster.yaml");
        let text = format!(
            "clusters: {{shop: {{servers: [{{name: a, url: \"postgres://muster@db/postgres\"}}], poolers: [{{name: p, url: \"postgres://muster@db:6432/pgbouncer\", {lines}}}]}}}}"
        );
        std::fs::write(&file, text).expect("writes");
        let env = |name: &str| match name {
            "CREDENTIALS_DIRECTORY" => Some(dir.display().to_string()),
            "POOL" => Some("from the environment".to_owned()),
            _ => None,
        };
        match load(&file, &env) {
            Err(problems) => Err(problems.iter().map(ToString::to_string).collect()),
            Ok(config) => {
                let login = &config.clusters[0].reach.poolers[0].observe;
                Ok(login.password.as_ref().map(|p| p.expose_secret().to_owned()))
            }
        }
    }

    #[test]
    fn a_secret_comes_from_one_place() {
        let dir = tempfile::tempdir().expect("dir");
        let dir = dir.path();
        for (name, text, mode) in [
            ("cred", "from systemd\n", 0o600),
            ("empty", "\n", 0o600),
            ("open", "x", 0o644),
        ] {
            let path = dir.join(name);
            std::fs::write(&path, text).expect("writes");
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).expect("a mode");
        }
        let of = |lines: &str| password(dir, lines);
        assert_eq!(
            of("password_credential: cred"),
            Ok(Some("from systemd".to_owned()))
        );
        assert_eq!(of("password_file: cred"), Ok(Some("from systemd".to_owned())));
        assert_eq!(
            of("password_env: POOL"),
            Ok(Some("from the environment".to_owned()))
        );
        for (lines, word) in [
            ("password_file: cred, password_env: POOL", "says twice"),
            ("password_credential: nobody", "LoadCredential=nobody"),
            ("password_env: NONE", "the environment has no NONE"),
            ("password_file: empty", "is empty"),
            ("password_file: open", "chmod 600"),
        ] {
            let said = of(lines).expect_err(lines);
            assert!(said.contains(word), "{lines}: {said}");
        }
    }
}
