//! Redaction: statements without literals, connection strings without secrets, and any other text without both. Pure.

mod text;

pub use text::{Known, MARK, document, is_secret_name, of_url, text};

/// Longest statement kept.
const LONGEST: usize = 500;

/// A statement with every literal and comment taken out, cut at 500 characters.
#[must_use]
pub fn statement(sql: &str) -> String {
    without_literals(sql, LONGEST)
}

/// The same in full, to make an id of.
#[must_use]
pub fn whole_statement(sql: &str) -> String {
    without_literals(sql, usize::MAX)
}

fn without_literals(sql: &str, longest: usize) -> String {
    let chars: Vec<char> = sql.chars().collect();
    let mut out = String::new();
    let mut i = 0;
    while i < chars.len() && out.len() < longest {
        let c = chars[i];
        let next = chars.get(i + 1).copied();
        let in_word = out
            .chars()
            .last()
            .is_some_and(|l| l.is_alphanumeric() || l == '_' || l == '$');
        if c == '-' && next == Some('-') {
            i = find(&chars, i, '\n');
        } else if c == '/' && next == Some('*') {
            i = block_comment(&chars, i);
            // It stands for a space: without one, what follows would be a part of the word before and stay.
            if in_word && chars.get(i).is_some_and(|c| c.is_alphanumeric() || *c == '_') {
                out.push(' ');
            }
        } else if c == '\'' {
            let escapes = out.ends_with(['E', 'e']) && !ends_in_longer_word(&out);
            i = quoted(&chars, i, '\'', escapes);
            out.push('?');
        } else if c == '"' {
            let end = quoted(&chars, i, '"', false);
            out.extend(&chars[i..end]);
            i = end;
        } else if c == '$'
            && !in_word
            && let Some(end) = dollar_quoted(&chars, i)
        {
            out.push('?');
            i = end;
        } else if c.is_ascii_digit() && !in_word {
            while i < chars.len() && (chars[i].is_alphanumeric() || matches!(chars[i], '.' | '_')) {
                i += 1;
            }
            out.push('?');
        } else if c.is_whitespace() {
            if !out.is_empty() && !out.ends_with(' ') {
                out.push(' ');
            }
            i += 1;
        } else {
            out.push(c);
            i += 1;
        }
    }
    if i < chars.len() {
        out.push('…');
    }
    out.trim().to_owned()
}

fn ends_in_longer_word(out: &str) -> bool {
    out.chars()
        .rev()
        .nth(1)
        .is_some_and(|c| c.is_alphanumeric() || c == '_')
}

fn find(chars: &[char], from: usize, what: char) -> usize {
    (from..chars.len())
        .find(|i| chars[*i] == what)
        .unwrap_or(chars.len())
}

fn block_comment(chars: &[char], from: usize) -> usize {
    let mut depth = 0;
    let mut i = from;
    while i < chars.len() {
        match (chars[i], chars.get(i + 1)) {
            ('/', Some('*')) => {
                depth += 1;
                i += 2;
            }
            ('*', Some('/')) => {
                depth -= 1;
                i += 2;
                if depth == 0 {
                    return i;
                }
            }
            _ => i += 1,
        }
    }
    i
}

fn quoted(chars: &[char], from: usize, quote: char, escapes: bool) -> usize {
    let mut i = from + 1;
    while i < chars.len() {
        if escapes && chars[i] == '\\' {
            i += 2;
        } else if chars[i] == quote {
            if chars.get(i + 1) == Some(&quote) {
                i += 2;
            } else {
                return i + 1;
            }
        } else {
            i += 1;
        }
    }
    chars.len()
}

fn dollar_quoted(chars: &[char], from: usize) -> Option<usize> {
    let mut i = from + 1;
    while chars.get(i).is_some_and(|c| c.is_alphanumeric() || *c == '_') {
        i += 1;
    }
    if chars.get(i) != Some(&'$') || chars.get(from + 1).is_some_and(char::is_ascii_digit) {
        return None;
    }
    let tag = &chars[from..=i];
    let body = i + 1;
    (body..chars.len())
        .find(|j| chars[*j..].starts_with(tag))
        .map(|j| j + tag.len())
        .or(Some(chars.len()))
}

/// What of a connection string is shown. Everything else, known or not, may be a secret.
const SHOWN: [&str; 8] = [
    "host",
    "hostaddr",
    "port",
    "user",
    "dbname",
    "application_name",
    "sslmode",
    "channel_binding",
];

/// A connection string with only what is no secret. One that cannot be read is a question mark.
#[must_use]
pub fn conninfo(text: &str) -> String {
    let text = text.trim();
    let shown = match text.split_once("://") {
        // `host=h options='-c x=a://b'` is none; a scheme is one word.
        Some((scheme, rest)) if scheme.chars().all(|c| c.is_ascii_alphanumeric()) => address(scheme, rest),
        _ => pairs(text),
    };
    shown.unwrap_or_else(|| "?".to_owned())
}

/// `postgres://user:password@host1:1,host2:2/db?key=value`, as libpq reads it.
fn address(scheme: &str, rest: &str) -> Option<String> {
    let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
    // A password may hold anything that somebody forgot to encode; the last `@` before the database ends it.
    let (front, database) = match rest.rsplit_once('@') {
        Some((login, place)) => {
            let user = login.split(':').next().filter(|u| !u.contains('/'))?;
            let (hosts, database) = place.split_once('/').unwrap_or((place, ""));
            (format!("{user}@{hosts}"), database)
        }
        None => {
            let (hosts, database) = rest.split_once('/').unwrap_or((rest, ""));
            (hosts.to_owned(), database)
        }
    };
    // What does not look like hosts and ports may be a password that somebody did not encode.
    let hosts = front.rsplit('@').next().unwrap_or_default();
    let place = |host: &str| {
        let port = host.rsplit_once(':').filter(|_| !host.ends_with(']'));
        port.is_none_or(|(_, p)| p.chars().all(|c| c.is_ascii_digit()))
    };
    let strange = [':', '@', '?', '=', '#'];
    if front.matches('@').count() > 1
        || !hosts.split(',').all(place)
        || database.contains(strange)
        || query.contains('@')
    {
        return None;
    }
    let mut out = format!("{scheme}://{front}");
    if !database.is_empty() {
        out.push('/');
        out.push_str(database);
    }
    let kept: Vec<&str> = query
        .split('&')
        .filter(|pair| pair.split_once('=').is_some_and(|(key, _)| SHOWN.contains(&key)))
        .collect();
    if !kept.is_empty() {
        out.push('?');
        out.push_str(&kept.join("&"));
    }
    Some(out)
}

/// `key = value key='a value'`, as libpq reads it: spaces around the sign, quotes, backslashes.
fn pairs(text: &str) -> Option<String> {
    let chars: Vec<char> = text.chars().collect();
    let space = |i: usize| chars.get(i).is_some_and(|c| c.is_whitespace());
    let mut out: Vec<String> = Vec::new();
    let mut i = 0;
    loop {
        while space(i) {
            i += 1;
        }
        if i >= chars.len() {
            return Some(out.join(" "));
        }
        let from = i;
        while i < chars.len() && chars[i] != '=' && !space(i) {
            i += 1;
        }
        let key: String = chars[from..i].iter().collect();
        while space(i) {
            i += 1;
        }
        if chars.get(i) != Some(&'=') {
            return None;
        }
        i += 1;
        while space(i) {
            i += 1;
        }
        let from = i;
        if chars.get(i) == Some(&'\'') {
            i += 1;
            loop {
                match chars.get(i)? {
                    '\\' => i += 2,
                    '\'' => break,
                    _ => i += 1,
                }
            }
            i += 1;
        } else {
            while i < chars.len() && !space(i) {
                i += if chars[i] == '\\' { 2 } else { 1 };
            }
        }
        i = i.min(chars.len());
        if SHOWN.contains(&key.as_str()) {
            out.push(format!("{key}={}", chars[from..i].iter().collect::<String>()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn literals_and_comments_go_and_names_stay() {
        for (sql, expected) in [
            (
                "SELECT * FROM users WHERE id = 42 AND name='Ann O''Hara'",
                "SELECT * FROM users WHERE id = ? AND name=?",
            ),
            ("select E'it\\'s', $1, $$body 1$$, $x$a$x$", "select E?, $1, ?, ?"),
            (
                "update t1 set c2=0x1F -- secret 7\n where a/*x*/=1.5e3",
                "update t1 set c2=? where a=?",
            ),
            ("select \"Col 1\" from \"a\"", "select \"Col 1\" from \"a\""),
            ("select 'unterminated", "select ?"),
            ("select/* a number */42", "select ?"),
        ] {
            assert_eq!(statement(sql), expected);
        }
        assert!(statement(&"x ".repeat(600)).ends_with('…'));
        assert_eq!(whole_statement(&"x ".repeat(600)).len(), 1199);
    }

    #[test]
    fn of_connection_strings_only_what_is_no_secret_stays() {
        for (text, shown) in [
            (
                "postgres://u:p@h:1/db?sslmode=require&password=geheim",
                "postgres://u@h:1/db?sslmode=require",
            ),
            ("host=h user=u password=geheim port=5", "host=h user=u port=5"),
            ("host = h password = geheim port = 5", "host=h port=5"),
            (
                "password='two geheim words' host='a b' user=u",
                "host='a b' user=u",
            ),
            (r"password='it\'s geheim' host=h", "host=h"),
            (r"password=a\ geheim host=h", "host=h"),
            ("host=h password=geh\neim", "?"),
            (
                "postgres://u:geheim@h1:1,h2:2/db?target_session_attrs=any&sslkey=geheim",
                "postgres://u@h1:1,h2:2/db",
            ),
            (
                "postgresql:///db?password=geheim&host=/run",
                "postgresql:///db?host=/run",
            ),
            ("postgresql://u:geheim@/db", "postgresql://u@/db"),
            ("postgres://u:p/geheim@h/db", "postgres://u@h/db"),
            ("postgres://u:p@geheim@h/db", "postgres://u@h/db"),
            ("postgres://u:p?geheim@h/db", "?"),
            ("redis://:geheim@h:6379/0", "redis://@h:6379/0"),
            ("postgres://u:geheim", "?"),
            ("postgres://u:p@[::1]:5432/db", "postgres://u@[::1]:5432/db"),
            ("geheim", "?"),
            ("password='geheim", "?"),
            (
                "host=h options='-c a.b=c://geheim' sslpassword=geheim passfile=geheim",
                "host=h",
            ),
            ("", ""),
        ] {
            let said = conninfo(text);
            assert!(!said.contains("geheim"), "{text}: {said}");
            assert_eq!(said, shown, "{text}");
        }
    }
}
