//! Entries of a server's log as lines for people, without what clients sent.
//!
//! Names of the server's objects stay, values go: literals of statements, keys of violated constraints, rows, parameters, the
//! input that was no number. A message of a `RAISE` in somebody's function is that function's own word and stays, without
//! what stands in single quotes.

use muster_model::snapshot::LogLevel;
use muster_reach::redact;

use super::entry::Entry;

/// Longest line that is made of an entry.
const LONGEST: usize = 2000;

/// One line.
#[must_use]
pub fn line(entry: &Entry) -> String {
    let mut out = entry.at.map_or_else(|| "-".to_owned(), |t| t.to_string());
    if let Some(pid) = entry.pid {
        out.push_str(&format!(" [{pid}]"));
    }
    for (name, value) in [
        ("user", &entry.user),
        ("database", &entry.database),
        ("client", &entry.client),
        ("sqlstate", &entry.sqlstate),
    ] {
        if let Some(value) = value {
            out.push_str(&format!(" {name}={value}"));
        }
    }
    let level = format!("{:?}", entry.level).to_uppercase();
    out.push_str(&format!(" {level}: {}", message(&entry.message, entry.level)));
    for (name, value) in [
        ("DETAIL", &entry.detail),
        ("HINT", &entry.hint),
        ("CONTEXT", &entry.context),
    ] {
        if let Some(value) = value {
            out.push_str(&format!(" | {name}: {}", values(value)));
        }
    }
    if let Some(sql) = &entry.statement {
        out.push_str(&format!(" | STATEMENT: {}", redact::statement(sql)));
    }
    let mut line = out.replace(['\n', '\r'], " ");
    if line.chars().count() > LONGEST {
        line = line.chars().take(LONGEST).collect::<String>() + "…";
    }
    line
}

/// A message: the statement in it without literals, the input of a client without its value.
fn message(text: &str, level: LogLevel) -> String {
    for word in ["statement: ", "Query Text: ", "plan:"] {
        if let Some((before, sql)) = text.split_once(word) {
            let sql = if word == "plan:" {
                "(left out)".to_owned()
            } else {
                redact::statement(sql)
            };
            return format!("{before}{word}{sql}");
        }
    }
    for word in ["execute ", "parse ", "bind "] {
        if let Some((before, rest)) = text.split_once(word)
            && (before.is_empty() || before.ends_with("ms  "))
            && let Some((name, sql)) = rest.split_once(": ")
        {
            return format!("{before}{word}{name}: {}", redact::statement(sql));
        }
    }
    if level < LogLevel::Error {
        return redact::text(text);
    }
    // `… for type integer: "x"`, `value "x" is out of range`, `at or near "x"`, `input string "x"`.
    let mut out = text.to_owned();
    for word in [
        ": \"",
        "value \"",
        "near \"",
        "string \"",
        "timestamp \"",
        "input \"",
        "token \"",
    ] {
        out = masked(&out, word);
    }
    redact::text(&out)
}

/// What follows the word up to its closing quote goes; where it is not closed, the rest.
fn masked(text: &str, word: &str) -> String {
    let Some((before, rest)) = text.split_once(word) else {
        return text.to_owned();
    };
    let after = rest.rsplit_once('"').map_or("", |(_, after)| after);
    format!("{before}{word}?\"{after}")
}

/// DETAIL, HINT, CONTEXT: what is in brackets behind `=` or `contains`, and whatever is quoted, goes.
fn values(text: &str) -> String {
    let mut text = text.to_owned();
    for word in [
        "Failing row contains (",
        "JSON data, line ",
        "parameters: ",
        "Parameters: ",
    ] {
        if let Some((before, _)) = text.split_once(word) {
            text = format!("{before}{word}…");
        }
    }
    let mut out = String::new();
    let mut rest = text.as_str();
    while let Some((before, after)) = rest.split_once(")=(") {
        out.push_str(before);
        out.push_str(")=(?");
        rest = after
            .find(") ")
            .or_else(|| after.rfind(')'))
            .map_or("", |end| &after[end..]);
    }
    out.push_str(rest);
    // Deadlock reports and SQL statements stand in DETAIL and CONTEXT without quotes, or in double ones.
    let unquoted: String = out
        .split('"')
        .enumerate()
        .map(|(i, part)| {
            let named = part.len() <= 64 && part.chars().all(|c| c.is_alphanumeric() || "_.$-".contains(c));
            if i % 2 == 0 || named {
                part.to_owned()
            } else {
                redact::statement(part)
            }
        })
        .collect::<Vec<_>>()
        .join("\"");
    let mut out = unquoted;
    // What a client sent stands in quotes here like a name.
    for word in [", column ", "Token \"", "near \"", "value \""] {
        out = masked(&out, word);
    }
    redact::text(&out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(level: LogLevel, message: &str, detail: Option<&str>, statement: Option<&str>) -> String {
        let mut e = Entry::new(level);
        e.message = message.to_owned();
        e.detail = detail.map(str::to_owned);
        e.statement = statement.map(str::to_owned);
        line(&e)
    }

    #[test]
    fn values_of_clients_go_and_names_of_the_server_stay() {
        for (message, kept) in [
            (
                "duration: 12.5 ms  statement: SELECT * FROM t WHERE a = 'geheim'",
                "WHERE a = ?",
            ),
            (
                "duration: 12.5 ms  execute s1: SELECT 'geheim', $1",
                "execute s1: SELECT ?, $1",
            ),
            (
                "duration: 1 ms  plan:\nQuery Text: SELECT 'geheim'\nFilter: (a = 'geheim')",
                "Query Text",
            ),
            (
                "statement: ALTER ROLE x PASSWORD 'geheim'",
                "ALTER ROLE x PASSWORD ?",
            ),
        ] {
            let line = said(LogLevel::Log, message, None, None);
            assert!(!line.contains("geheim") && line.contains(kept), "{line}");
        }
        for message in [
            "invalid input syntax for type integer: \"geheim\"",
            "value \"geheim\" is out of range for type integer",
            "syntax error at or near \"geheim\"",
            "malformed array literal: \"{geheim \"x\"",
        ] {
            let line = said(LogLevel::Error, message, None, Some("SELECT 'geheim'"));
            assert!(!line.contains("geheim"), "{line}");
        }
        let unique = said(
            LogLevel::Error,
            "duplicate key value violates unique constraint \"users_email\"",
            Some("Key (email)=(geheim@x.org) already exists."),
            Some("INSERT INTO users VALUES ('geheim')"),
        );
        assert!(
            unique.contains("\"users_email\"")
                && unique.contains("Key (email)=(?) already")
                && !unique.contains("geheim"),
            "{unique}"
        );
        let row = said(
            LogLevel::Error,
            "null value in column \"a\" of relation \"t\" violates not-null constraint",
            Some("Failing row contains (1, geheim)."),
            None,
        );
        assert!(row.contains("relation \"t\"") && !row.contains("geheim"), "{row}");
        let lock = said(
            LogLevel::Error,
            "deadlock detected",
            Some("Process 1: UPDATE t SET a = 'geheim' WHERE id = 4711"),
            None,
        );
        assert!(
            lock.contains("UPDATE t SET a = ?") && !lock.contains("4711"),
            "{lock}"
        );
    }
}
