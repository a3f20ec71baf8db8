//! Lines of a stderr log into entries: a level begins one, DETAIL and the like and lines that begin with a tab belong to it.

use muster_model::snapshot::LogLevel;

use super::entry::{Entry, grow, level};
use super::prefix::{DEFAULT, Fields, Prefix};
use super::when::Zone;

/// What the next lines may belong to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Message,
    Detail,
    Hint,
    Context,
    Statement,
    /// A part that nobody asks for.
    Other,
}

/// Reads lines.
#[derive(Debug)]
pub struct Reader {
    prefixes: Vec<Prefix>,
    zone: Zone,
    pending: Option<(Entry, Part)>,
}

impl Reader {
    /// With the pattern of the server.
    #[must_use]
    pub fn new(prefix: Prefix, zone: Zone) -> Self {
        let short = prefix.short();
        let default = Prefix::new(DEFAULT, zone.clone());
        Self {
            prefixes: [Some(prefix), short, Some(default)]
                .into_iter()
                .flatten()
                .collect(),
            zone,
            pending: None,
        }
    }

    /// Takes a line; whether it belongs to an entry.
    pub fn line(&mut self, line: &str, out: &mut Vec<Entry>) -> bool {
        if let Some(more) = line.strip_prefix('\t') {
            let Some((entry, part)) = &mut self.pending else {
                return false;
            };
            if let Some(field) = field(entry, *part) {
                grow(field, "\n");
                grow(field, more);
            }
            return true;
        }
        let Some((fields, word, text)) = self.begin(line) else {
            return self.plain(line, out);
        };
        if let Some(level) = level(word) {
            self.end(out);
            let mut entry = Entry::new(level);
            fields.fill(&mut entry);
            grow(&mut entry.message, text);
            self.pending = Some((entry, Part::Message));
            return true;
        }
        let Some((entry, part)) = &mut self.pending else {
            return false;
        };
        *part = match word {
            "DETAIL" => Part::Detail,
            "HINT" => Part::Hint,
            "CONTEXT" => Part::Context,
            "STATEMENT" => Part::Statement,
            _ => Part::Other,
        };
        if let Some(field) = field(entry, *part) {
            grow(field, text);
        }
        true
    }

    /// What was begun is complete.
    pub fn end(&mut self, out: &mut Vec<Entry>) {
        out.extend(self.pending.take().map(|(entry, _)| entry));
    }

    /// The prefix, the word that says what the line is, and its text.
    fn begin<'l>(&self, line: &'l str) -> Option<(Fields, &'l str, &'l str)> {
        for prefix in &self.prefixes {
            if let Some((fields, rest)) = prefix.read(line)
                && let Some((word, text)) = word(rest)
            {
                return Some((fields, word, text));
            }
        }
        // Some other pattern: the first level in the line, and the time if it begins with one.
        let at = line.match_indices(":  ").find_map(|(end, _)| {
            let start = line[..end]
                .rfind(|c: char| !c.is_ascii_alphanumeric())
                .map_or(0, |i| i + line[i..].chars().next().map_or(1, char::len_utf8));
            word(&line[start..]).map(|_| start)
        })?;
        let (word, text) = word(&line[at..])?;
        let fields = Fields {
            at: self.zone.read(line).and_then(|(t, _)| t),
            ..Fields::default()
        };
        Some((fields, word, text))
    }

    /// What a program says before it has a log: `postgres: could not find …`, and that it does not run as root.
    fn plain(&mut self, line: &str, out: &mut Vec<Entry>) -> bool {
        let said = line.strip_prefix("postgres: ").or_else(|| {
            (line.starts_with("\"root\" execution") || line.starts_with("postgres ")).then_some(line)
        });
        let Some(text) = said else {
            return false;
        };
        self.end(out);
        let mut entry = Entry::new(LogLevel::Fatal);
        grow(&mut entry.message, text);
        self.pending = Some((entry, Part::Other));
        true
    }
}

fn field(entry: &mut Entry, part: Part) -> Option<&mut String> {
    Some(match part {
        Part::Message => &mut entry.message,
        Part::Detail => entry.detail.get_or_insert_default(),
        Part::Hint => entry.hint.get_or_insert_default(),
        Part::Context => entry.context.get_or_insert_default(),
        Part::Statement => entry.statement.get_or_insert_default(),
        Part::Other => return None,
    })
}

/// `ERROR:  text`, `DETAIL:  text`.
fn word(text: &str) -> Option<(&str, &str)> {
    let (word, rest) = text.split_once(":  ")?;
    let known = level(word).is_some()
        || matches!(
            word,
            "DETAIL" | "HINT" | "CONTEXT" | "STATEMENT" | "QUERY" | "LOCATION" | "BACKTRACE"
        );
    known.then_some((word, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(pattern: &str, lines: &[&str]) -> (Vec<Entry>, usize) {
        let mut reader = Reader::new(Prefix::new(pattern, Zone::named("UTC")), Zone::named("UTC"));
        let mut out = Vec::new();
        let strange = lines.iter().filter(|l| !reader.line(l, &mut out)).count();
        reader.end(&mut out);
        (out, strange)
    }

    #[test]
    fn a_line_of_another_pattern_is_still_an_entry() {
        let lines = [
            "2026-11-20 03:04:05.678 UTC [9] FATAL:  lock file \"postmaster.pid\" already exists",
            "2026-11-20 03:04:05.678 UTC [9] HINT:  Is another postmaster (PID 8) running in data directory \"/x\"?",
            "2026-11-20 03:04:06 UTC|app|\u{e4} ERROR:  x:  y",
            "postgres: could not access the server configuration file \"/x/postgresql.conf\": No such file",
        ];
        let (entries, strange) = read("%t|%u|%d|%e|", &lines);
        assert_eq!((entries.len(), strange), (3, 0));
        assert_eq!(entries[0].pid, Some(9), "by the default pattern");
        assert!(entries[0].hint.as_ref().is_some_and(|h| h.contains("PID 8")));
        assert_eq!(
            (entries[1].message.as_str(), entries[1].at.is_some()),
            ("x:  y", true)
        );
        assert_eq!(entries[2].level, LogLevel::Fatal);
    }

    #[test]
    fn words_of_a_message_are_no_fields_of_its_prefix() {
        let line = "2026-11-20 03:04:05 UTC <7> LOG:  connection authorized: user=a@b x";
        let (entries, strange) = read("%t <%p> %q%u@%d ", &[line]);
        assert_eq!((entries.len(), strange), (1, 0));
        assert_eq!((entries[0].pid, entries[0].user.as_deref()), (Some(7), None));
    }

    #[test]
    fn what_belongs_to_nothing_is_strange() {
        let (entries, strange) = read(DEFAULT, &["\tcontinued", "hello", "DETAIL:  of what?", ""]);
        assert_eq!((entries.len(), strange), (0, 4));
    }
}
