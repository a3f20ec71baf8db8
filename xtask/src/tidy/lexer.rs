//! Rust text without its comments, and without its quoted text; lines stay where they are.
//!
//! Knows only where comments, strings and characters begin and end. A word in a comment breaks no law, and a check that
//! names what it forbids must not find itself.

/// `(without comments, without comments and quoted text)`.
pub(super) fn strip(text: &str) -> (String, String) {
    let mut scan = Scan {
        chars: text.chars().collect(),
        at: 0,
        code: String::with_capacity(text.len()),
        bare: String::with_capacity(text.len()),
    };
    while scan.at < scan.chars.len() {
        scan.step();
    }
    (scan.code, scan.bare)
}

struct Scan {
    chars: Vec<char>,
    at: usize,
    code: String,
    bare: String,
}

impl Scan {
    fn peek(&self, ahead: usize) -> Option<char> {
        self.chars.get(self.at + ahead).copied()
    }

    /// Takes one character: into the code, into both, or into neither. A line break always stays.
    fn take(&mut self, code: bool, bare: bool) {
        if let Some(c) = self.peek(0) {
            let or_space = |keep: bool| if keep || c == '\n' { c } else { ' ' };
            self.code.push(or_space(code));
            self.bare.push(or_space(bare));
            self.at += 1;
        }
    }

    fn step(&mut self) {
        let before = self.at.checked_sub(1).and_then(|i| self.chars.get(i).copied());
        let word = before.is_some_and(|c| c.is_alphanumeric() || c == '_');
        match (self.peek(0), self.peek(1)) {
            (Some('/'), Some('/')) => {
                while self.peek(0).is_some_and(|c| c != '\n') {
                    self.take(false, false);
                }
            }
            (Some('/'), Some('*')) => self.block_comment(),
            (Some('"'), _) => self.string(),
            (Some('r'), Some('"' | '#')) if !word || before == Some('b') || before == Some('c') => {
                self.raw_string();
            }
            (Some('\''), _) => self.character(),
            _ => self.take(true, true),
        }
    }

    fn block_comment(&mut self) {
        let mut depth = 0_u32;
        while self.peek(0).is_some() {
            match (self.peek(0), self.peek(1)) {
                (Some('/'), Some('*')) => depth += 1,
                (Some('*'), Some('/')) => depth -= 1,
                _ => {
                    self.take(false, false);
                    continue;
                }
            }
            self.take(false, false);
            self.take(false, false);
            if depth == 0 {
                return;
            }
        }
    }

    fn string(&mut self) {
        self.take(true, true);
        while let Some(c) = self.peek(0) {
            if c == '"' {
                self.take(true, true);
                return;
            }
            if c == '\\' {
                self.take(true, false);
            }
            self.take(true, false);
        }
    }

    fn raw_string(&mut self) {
        let mut hashes = 0;
        while self.peek(1 + hashes) == Some('#') {
            hashes += 1;
        }
        if self.peek(1 + hashes) != Some('"') {
            self.take(true, true); // r#identifier
            return;
        }
        for _ in 0..hashes + 2 {
            self.take(true, true);
        }
        while self.peek(0).is_some() {
            if self.peek(0) == Some('"') && (1..=hashes).all(|i| self.peek(i) == Some('#')) {
                for _ in 0..=hashes {
                    self.take(true, true);
                }
                return;
            }
            self.take(true, false);
        }
    }

    /// A character, or a lifetime.
    fn character(&mut self) {
        if self.peek(1) == Some('\\') {
            self.take(true, true);
            self.take(true, false);
            self.take(true, false);
            while self.peek(0).is_some_and(|c| c != '\'' && c != '\n') {
                self.take(true, false);
            }
        } else if self.peek(2) == Some('\'') {
            self.take(true, true);
            self.take(true, false);
        }
        self.take(true, true);
    }
}

/// Whether a word stands in a line by itself: no letter, digit or `_` beside it where it begins or ends with one.
pub(super) fn has(line: &str, word: &str) -> bool {
    let of_word = |c: char| c.is_alphanumeric() || c == '_';
    line.match_indices(word).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        let after = line[at + word.len()..].chars().next();
        let left = !word.starts_with(of_word) || !before.is_some_and(of_word);
        let right = !word.ends_with(of_word) || !after.is_some_and(of_word);
        left && right
    })
}

/// `(line, module)` for every `std::module` in bare text, those of a group `std::{…}` too.
pub(super) fn std_modules(bare: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    for (at, _) in bare.match_indices("std::") {
        let word = |c: char| c.is_alphanumeric() || c == '_';
        if bare[..at].ends_with(word) {
            continue;
        }
        let line = bare[..at].matches('\n').count() + 1;
        let rest = &bare[at + 5..];
        let Some(group) = rest.strip_prefix('{') else {
            found.push((
                line,
                rest.split(|c| !word(c)).next().unwrap_or_default().to_owned(),
            ));
            continue;
        };
        let mut depth = 0_u32;
        let mut name = String::new();
        let mut number = line;
        for c in group.chars() {
            match c {
                '{' => depth += 1,
                '}' if depth == 0 => break,
                '}' => depth -= 1,
                '\n' => number += 1,
                c if depth == 0 && word(c) => {
                    name.push(c);
                    continue;
                }
                _ => {}
            }
            if depth == 0 && !name.is_empty() {
                found.push((number, std::mem::take(&mut name)));
            }
        }
        if !name.is_empty() {
            found.push((number, name));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_and_quotes_go_and_lines_stay() {
        let text = "a(\"x // y\"); // c\nb('\"', 'z', '\\''); /* d\n /* e */ f */ g<'l>(r#\"h\"i\"#);\n";
        let (code, bare) = strip(text);
        assert_eq!(code.lines().count(), 3);
        assert!(code.contains("x // y") && !code.contains(" c") && code.contains("h\"i"));
        assert!(!bare.contains('x') && !bare.contains('h') && !bare.contains('e'));
        assert!(bare.contains("a(") && bare.contains("b(") && bare.contains("g<'l>("));
    }

    #[test]
    fn words_stand_alone() {
        assert!(has("a rand::x", "rand::") && !has("operand::x", "rand::"));
        assert!(has("sleep(1)", "sleep(") && !has("pg_sleep(1)", "sleep("));
        assert!(has("tokio", "tokio") && !has("tokios", "tokio"));
    }

    #[test]
    fn grouped_imports_are_seen() {
        let text = "use std::{\n    collections::{BTreeMap, fs_like},\n    fs,\n    net::IpAddr,\n};\nlet x = std::env::var(y);\n";
        let all: Vec<_> = std_modules(text)
            .into_iter()
            .map(|(l, m)| format!("{l}{m}"))
            .collect();
        assert!(
            ["2collections", "3fs", "4net", "6env"]
                .iter()
                .all(|x| all.contains(&(*x).to_owned())),
            "{all:?}"
        );
        assert!(
            !all.iter()
                .any(|x| x.contains("fs_like") || x.contains("BTreeMap"))
        );
    }
}
