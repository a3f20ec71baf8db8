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

/// A connection string without its secrets.
#[must_use]
pub fn conninfo(text: &str) -> String {
    if let Ok(mut url) = url::Url::parse(text)
        && url.has_host()
    {
        let _ = url.set_password(None);
        let pairs: Vec<(String, String)> = url
            .query_pairs()
            .filter(|(k, _)| !secret_key(k))
            .map(|(k, v)| (k.into_owned(), v.into_owned()))
            .collect();
        url.set_query(None);
        if !pairs.is_empty() {
            url.query_pairs_mut().extend_pairs(pairs);
        }
        return url.to_string();
    }
    text.split_whitespace()
        .filter(|word| !word.split('=').next().is_some_and(secret_key))
        .collect::<Vec<_>>()
        .join(" ")
}

fn secret_key(key: &str) -> bool {
    matches!(key, "password" | "sslpassword" | "passfile" | "sslkey")
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
    fn secrets_leave_connection_strings() {
        assert_eq!(
            conninfo("postgres://u:p@h:1/db?sslmode=require&password=x"),
            "postgres://u@h:1/db?sslmode=require"
        );
        assert_eq!(
            conninfo("host=h user=u password=geheim port=5"),
            "host=h user=u port=5"
        );
    }
}
