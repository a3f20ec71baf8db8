//! Any text without its secrets: addresses with a login in them, keys and tokens by their names and by their shapes, bearer
//! headers, private keys, verifiers, and the literals of SQL.
//!
//! Line by line, and rather too much than too little: what stands where a secret usually stands goes, whatever it is. A
//! secret that has neither a name nor a shape is only known to who has it: [`Known`] takes those out literally.

use std::borrow::Cow;
use std::sync::LazyLock;

use regex::{Captures, Regex};
use secrecy::{ExposeSecret, SecretString};

/// What stands where a secret stood.
pub const MARK: &str = "***";
/// A literal that is not closed on its line goes on for at most so many lines.
const LITERAL_LINES: usize = 200;
/// Shorter secrets than this are left to the patterns: replacing them everywhere would leave no text.
const SHORTEST: usize = 6;

/// Names of keys whose values are secrets.
const NAMES: &str = "passw(?:or)?d|passwort|passphrase|passfile|pwd|secret|token|api[_-]?key|access[_-]?key|account[_-]?key|private[_-]?key|\
                     encryption[_-]?key|signing[_-]?key|sslkey|credential|signature|session[_-]?id|dsn|requirepass|masterauth|authorization|\
                     cookie";

struct Rules {
    keys: Regex,
    urls: Regex,
    list: Vec<(Regex, &'static str)>,
    sql: Regex,
    continued: Regex,
    /// Names of secrets, surely.
    key: Regex,
    /// And perhaps.
    name: Regex,
}

static RULES: LazyLock<Rules> = LazyLock::new(|| {
    let re = |pattern: &str| Regex::new(pattern).expect("the pattern is a constant, and a test builds it");
    let pair = format!(
        r#"(?i)([\w.-]*(?:{NAMES})[\w.-]*)(\\*["']?\s*(?:=>|:=|=|:)\s*)(\\*"(?:[^"\\]|\\.)*"?|\\*'(?:[^'\\]|\\.)*'?|[^\s,;&"'}}\)\]]+)"#
    );
    Rules {
        keys: re(r"(?s)-----BEGIN [A-Z0-9 ]*PRIVATE KEY-----.*?(?:-----END [A-Z0-9 ]*PRIVATE KEY-----|\z)"),
        urls: re(r#"([A-Za-z][A-Za-z0-9+.-]*://)([^\s"'`<>|]*)@"#),
        list: vec![
            // A header's value goes to the end of its line, or of its quotes.
            (
                re(
                    r#"(?i)\b((?:proxy-)?authorization|set-cookie|cookie|x-api-key|x-auth-token)(\\*["']?\s*[:=]\s*\\*["']?)[^"'\r\n\\]+"#,
                ),
                "$1$2***",
            ),
            (
                re(r"(?i)\b(bearer|basic|negotiate)(\s+)[A-Za-z0-9+/=_.~:-]{6,}"),
                "$1$2***",
            ),
            (re(&pair), "$1$2***"),
            (
                re(&format!(
                    r#"(?i)(--?[\w-]*(?:{NAMES})[\w-]*)(\s+)("[^"]*"?|'[^']*'?|[^\s"'-][^\s"']*)"#
                )),
                "$1$2***",
            ),
            (
                re(r#"(?i)\b(password|identified by)(\s+)(?:E?'(?:[^']|'')*'?|"[^"]*"?|\$\w*\$.*)"#),
                "$1$2***",
            ),
            (
                re(r#"\b(AUTH|requirepass|masterauth)(\\*"?\s+)(\S+)(\s+\S+)?"#),
                "$1$2***",
            ),
            (
                re(r"\b(?:AKIA|ASIA|AROA|AIDA|AGPA|ANPA|ABIA|ACCA)[A-Z0-9]{12,}\b"),
                MARK,
            ),
            (re(r"\bgh[pousr]_[A-Za-z0-9]{16,}"), MARK),
            (re(r"\bgithub_pat_\w{16,}"), MARK),
            (re(r"\bglpat-[\w-]{16,}"), MARK),
            (re(r"\bxox[abeoprs]-[\w-]{10,}"), MARK),
            (re(r"\bAIza[\w-]{30,}"), MARK),
            (re(r"\b[spr]k_(?:live|test)_\w{10,}"), MARK),
            (re(r"\bsk-[\w-]{20,}"), MARK),
            (re(r"\beyJ[\w-]{8,}\.[\w-]+(?:\.[\w-]*)?"), MARK),
            (re(r#"SCRAM-SHA-256\$[^\s"']+"#), MARK),
            (re(r"\bmd5[0-9a-f]{32}\b"), MARK),
        ],
        sql: re(
            r"(?i)\b(?:select\s|insert\s+into\b|update\s+\S+\s+(?:as\s+\S+\s+)?set\b|delete\s+from\b|merge\s+into\b|values\s*\(|where\s+\S+\s*(?:[=<>!~]|in\b|i?like\b|is\b|between\b|any\b)|(?:alter|create)\s+(?:role|user|subscription|server|foreign|group|function|procedure)\b|copy\s+\S+\s|execute\s+\S+\s*\(|call\s+\S+\s*\(|do\s+\$)",
        ),
        continued: re(r"^\s*(?:AND|OR|SET|VALUES|LIMIT|OFFSET|HAVING|ON|FROM|JOIN|IN|RETURNING|WHERE)\b"),
        key: re(&format!("(?i)(?:{NAMES})")),
        name: re(&format!(
            r"(?i)(?:{NAMES}|pass|pwd|key|secret|token|cred|auth|sign|salt|dsn|cookie|private|cert|hash)"
        )),
    }
});

/// Whether a name, of a variable or a key, is one of a secret; rather too many than too few.
#[must_use]
pub fn is_secret_name(name: &str) -> bool {
    !matches!(name, "PWD" | "OLDPWD" | "KEYMAP" | "SSH_AUTH_SOCK") && RULES.name.is_match(name)
}

/// A text without secrets and without literals of SQL.
#[must_use]
pub fn text(input: &str) -> String {
    let input = RULES.keys.replace_all(input, "*** (private key)");
    let mut out = String::with_capacity(input.len());
    let mut open = 0;
    for line in input.split_inclusive('\n') {
        let (body, end) = match line.strip_suffix('\n') {
            Some(body) => (body, "\n"),
            None => (line, ""),
        };
        out.push_str(&secrets(&literals(body, &mut open)));
        out.push_str(end);
    }
    out
}

/// The same of every text in a document; what a key with the name of a secret holds goes whole.
pub fn document(value: &mut serde_json::Value) {
    use serde_json::Value;
    match value {
        Value::String(s) => *s = text(s),
        Value::Array(items) => items.iter_mut().for_each(document),
        Value::Object(map) => {
            for (key, value) in map {
                let named = value.is_string() && RULES.key.is_match(key);
                if named {
                    *value = Value::String(MARK.to_owned());
                } else {
                    document(value);
                }
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

fn secrets(line: &str) -> String {
    let mut line: Cow<'_, str> = RULES
        .urls
        .replace_all(line, |c: &Captures<'_>| login(&c[1], &c[2]));
    for (rule, instead) in &RULES.list {
        if let Cow::Owned(changed) = rule.replace_all(&line, *instead) {
            line = Cow::Owned(changed);
        }
    }
    line.into_owned()
}

/// `postgres://ana:…@`: the user of a database stays, and what stands alone before an `@` elsewhere is a token.
fn login(scheme: &str, user: &str) -> String {
    let database = ["postgres", "redis", "valkey", "mysql", "mariadb"];
    let plain = |u: &str| {
        u.chars()
            .all(|c| c.is_alphanumeric() || matches!(c, '_' | '.' | '-' | '%'))
    };
    match user.split_once(':') {
        Some((name, _)) if plain(name) => format!("{scheme}{name}:{MARK}@"),
        None if plain(user) && database.iter().any(|d| scheme.starts_with(d)) => format!("{scheme}{user}@"),
        _ => format!("{scheme}{MARK}@"),
    }
}

/// A line without literals: everything from where SQL begins, and what is in single quotes anywhere. `open` counts the lines
/// for which a literal that was not closed may still go on.
fn literals(line: &str, open: &mut usize) -> String {
    let mut head = String::new();
    let mut line = line;
    if *open > 0 {
        match closing(line) {
            Some(end) => {
                *open = 0;
                head.push('?');
                line = &line[end..];
            }
            None => {
                *open -= 1;
                return "?".to_owned();
            }
        }
    }
    let from = RULES.sql.find(line).map(|m| m.start());
    let from = from.or_else(|| (!head.is_empty() || RULES.continued.is_match(line)).then_some(0));
    let Some(from) = from else {
        return head + &quotes(line);
    };
    let (before, sql) = line.split_at(from);
    if sql.matches('\'').count() % 2 == 1 {
        *open = LITERAL_LINES;
    }
    let lead: String = sql.chars().take_while(|c| c.is_whitespace()).collect();
    head + &quotes(before) + &lead + &quotes(&super::whole_statement(sql))
}

/// Behind the quote that closes a literal that began on an earlier line.
fn closing(line: &str) -> Option<usize> {
    let mut at = 0;
    while let Some(found) = line[at..].find('\'') {
        let after = at + found + 1;
        if !line[after..].starts_with('\'') {
            return Some(after);
        }
        at = after + 1;
    }
    None
}

/// Without what is in single quotes. A quote behind a letter is an apostrophe; one that is never closed goes to the end.
fn quotes(line: &str) -> String {
    if !line.contains('\'') {
        return line.to_owned();
    }
    let chars: Vec<char> = line.chars().collect();
    let mut out = String::with_capacity(line.len());
    let mut i = 0;
    while i < chars.len() {
        let apostrophe = i > 0 && chars[i - 1].is_alphanumeric() && !escape_prefix(&chars, i);
        if chars[i] != '\'' || apostrophe {
            out.push(chars[i]);
            i += 1;
            continue;
        }
        out.push('?');
        i += 1;
        while i < chars.len() {
            if chars[i] == '\\' {
                i += 2;
            } else if chars[i] == '\'' {
                i += 1;
                if chars.get(i) != Some(&'\'') {
                    break;
                }
                i += 1;
            } else {
                i += 1;
            }
        }
    }
    out
}

/// `E'…'`, `b'…'` and the like: one letter that begins a word.
fn escape_prefix(chars: &[char], quote: usize) -> bool {
    let letter = matches!(
        chars[quote - 1],
        'E' | 'e' | 'B' | 'b' | 'X' | 'x' | 'N' | 'n' | 'U' | 'u' | 'r' | 'f'
    );
    letter && (quote < 2 || !chars[quote - 2].is_alphanumeric())
}

/// Secrets that are known, to be taken out wherever they stand.
#[derive(Clone, Default)]
pub struct Known(Vec<SecretString>);

impl std::fmt::Debug for Known {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Known({})", self.0.len())
    }
}

impl Known {
    /// Adds secrets; those of fewer than six characters are left to the patterns.
    pub fn add(&mut self, secrets: impl IntoIterator<Item = SecretString>) {
        for secret in secrets {
            let text = secret.expose_secret().trim();
            if text.chars().count() < SHORTEST {
                continue;
            }
            let encoded =
                percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC).to_string();
            // As JSON writes it, too.
            let quoted = serde_json::Value::String(text.to_owned()).to_string();
            let quoted = quoted.trim_matches('"').to_owned();
            for form in [text.to_owned(), encoded, quoted] {
                if !self.0.iter().any(|s| s.expose_secret() == form) {
                    self.0.push(SecretString::from(form));
                }
            }
        }
        // The longest first: one secret may begin with another.
        self.0.sort_by_key(|s| std::cmp::Reverse(s.expose_secret().len()));
    }

    /// A text without them.
    #[must_use]
    pub fn scrub<'t>(&self, text: &'t str) -> Cow<'t, str> {
        let mut out = Cow::Borrowed(text);
        for secret in &self.0 {
            if out.contains(secret.expose_secret()) {
                out = Cow::Owned(out.replace(secret.expose_secret(), MARK));
            }
        }
        out
    }
}

/// The secrets inside an address: its password, and the values of its query that have the name of one.
#[must_use]
pub fn of_url(address: &str) -> Vec<SecretString> {
    let Ok(url) = url::Url::parse(address) else {
        let words = address.split_whitespace().filter_map(|w| w.split_once('='));
        return words
            .filter(|(k, _)| is_secret_name(k))
            .map(|(_, v)| SecretString::from(v.trim_matches('\'').to_owned()))
            .collect();
    };
    let decode = |s: &str| {
        percent_encoding::percent_decode_str(s)
            .decode_utf8_lossy()
            .into_owned()
    };
    let mut out: Vec<SecretString> = url
        .password()
        .map(|p| SecretString::from(decode(p)))
        .into_iter()
        .collect();
    let named = url.query_pairs().filter(|(k, _)| is_secret_name(k));
    out.extend(named.map(|(_, v)| SecretString::from(v.into_owned())));
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn secrets_with_a_name_or_a_shape_go_and_the_rest_stays() {
        for (said, expected) in [
            (
                "postgres://ana:pa@ss/w@db:5432/app?x=1",
                "postgres://ana:***@db:5432/app?x=1",
            ),
            ("redis://:geheim@h:6379/0", "redis://:***@h:6379/0"),
            (
                "amqps://u:p@h/v, redis://x:y@z",
                "amqps://u:***@h/v, redis://x:***@z",
            ),
            (
                "https://ghp_0123456789abcdef0123@github.com/x",
                "https://***@github.com/x",
            ),
            ("postgres://ana@db/app", "postgres://ana@db/app"),
            (
                "jdbc:postgresql://db/app?user=a&password=b&x=1",
                "jdbc:postgresql://db/app?user=a&password=***&x=1",
            ),
            (
                "host=h user=u password=geheim port=5",
                "host=h user=u password=*** port=5",
            ),
            (r#"{"api_key": "abc d", "n": 1}"#, r#"{"api_key": ***, "n": 1}"#),
            ("PGPASSWORD=abc psql", "PGPASSWORD=*** psql"),
            ("mysql --password abc -h x", "mysql --password *** -h x"),
            ("Authorization: Bearer abc.def", "Authorization: ***"),
            ("sent bearer abcdef0123", "sent bearer ***"),
            ("Cookie: a=b; c=d", "Cookie: ***"),
            ("ALTER ROLE x PASSWORD 'it''s'", "ALTER ROLE x PASSWORD ?"),
            ("alter role x password $a$geheim$a$", "alter role x password ?"),
            ("AUTH default geheim", "AUTH ***"),
            ("key AKIAIOSFODNN7EXAMPLE used", "key *** used"),
            ("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.abc", "***"),
            ("SCRAM-SHA-256$4096:abc$def:ghi", "***"),
            (
                "password authentication failed for user \"app\"",
                "password authentication failed for user \"app\"",
            ),
            ("I can't see why it won't", "I can't see why it won't"),
            ("KeyError: 'geheim' at x.py:7", "KeyError: ? at x.py:7"),
            (
                "2026-11-20 ERROR in INSERT INTO t (a) VALUES (4711, 'x')",
                "2026-11-20 ERROR in INSERT INTO t (a) VALUES (?, ?)",
            ),
            (
                "QueuePool limit of size 5 overflow 10 reached",
                "QueuePool limit of size 5 overflow 10 reached",
            ),
        ] {
            assert_eq!(text(said), expected, "{said}");
        }
    }

    #[test]
    fn what_goes_over_lines_goes_too() {
        let said = "INSERT INTO t VALUES ('first\nsecond geheim\nthird', 7)\n2026 next 7\n\
                    -----BEGIN RSA PRIVATE KEY-----\nMIIE\nabc\n-----END RSA PRIVATE KEY-----\n  AND card = 4111\n";
        assert_eq!(
            text(said),
            "INSERT INTO t VALUES (?\n?\n?, ?)\n2026 next 7\n*** (private key)\n  AND card = ?\n"
        );
    }

    #[test]
    fn documents_keep_their_form() {
        let mut said = serde_json::json!({"password": "x", "client_secret": "y", "n": 7,
            "rows": [{"query": "redis://:p@h", "auth": null}], "password_encryption": true});
        document(&mut said);
        assert_eq!(
            said,
            serde_json::json!({"password": "***", "client_secret": "***", "n": 7,
                "rows": [{"query": "redis://:***@h", "auth": null}], "password_encryption": true})
        );
    }

    #[test]
    fn known_secrets_go_wherever_they_stand() {
        let mut known = Known::default();
        known.add(["hunter22", "a/b\"c d", "ab"].map(|s| SecretString::from(s.to_owned())));
        assert_eq!(
            known.scrub("xhunter22y a%2Fb%22c%20d a/b\\\"c d ab"),
            "x***y *** *** ab"
        );
        assert!(!format!("{known:?}").contains("hunter"));
        let of: Vec<String> = of_url("postgres://u:p%40ss@h/d?token=abc&x=1")
            .iter()
            .map(|s| s.expose_secret().to_owned())
            .collect();
        assert_eq!(of, ["p@ss", "abc"]);
    }

    proptest! {
        #[test]
        fn a_planted_secret_is_not_in_what_comes_out(
            secret in "[A-Za-z0-9]{4}[A-Za-z0-9!%/+_.~]{6,20}[A-Za-z0-9]{3}",
            frame in 0usize..14,
            before in "[ a-zA-Z0-9:,.=]{0,20}",
        ) {
            let s = &secret;
            let line = match frame {
                0 => format!("postgres://u:{s}@h/d"),
                1 => format!("redis://:{s}@h:1"),
                2 => format!("password={s}"),
                3 => format!("{{\"secret\":\"{s}\"}}"),
                4 => format!("Authorization: Basic {s}"),
                5 => format!("SELECT * FROM t WHERE a = '{s}'"),
                6 => format!("x = '{s}'"),
                7 => format!("ALTER USER u WITH PASSWORD '{s}'"),
                8 => format!("--db-password {s}"),
                9 => format!("AWS_SECRET_ACCESS_KEY={s}"),
                10 => format!("{{\\\"token\\\":\\\"{s}\\\"}}"),
                11 => format!("-----BEGIN PRIVATE KEY-----\n{s}\n-----END PRIVATE KEY-----"),
                12 => format!("insert into t values ('a\n{s}\n')"),
                _ => format!("https://{s}@example.org/x"),
            };
            let said = text(&format!("{before} {line} after\n"));
            prop_assert!(!said.contains(s.as_str()), "{}", said);
        }

        #[test]
        fn any_text_is_survived_and_lines_stay(input in "[ -~\u{e4}\n']{0,200}") {
            let once = text(&input);
            if !input.contains("-----BEGIN") {
                prop_assert_eq!(once.matches('\n').count(), input.matches('\n').count());
            }
        }
    }
}
