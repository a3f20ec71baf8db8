//! Records of a `csvlog`: fields may hold line breaks, so a record ends where its quotes do.

use super::entry::{Entry, grow, host, level, some};
use super::when::Zone;

/// Longest record that is kept.
const RECORD: usize = 1024 * 1024;

/// Reads records.
#[derive(Debug)]
pub struct Reader {
    zone: Zone,
    record: String,
    open: bool,
    /// After a cut nothing counts before a line that begins like a record.
    lost: bool,
}

impl Reader {
    /// With the zone that the server logs in.
    #[must_use]
    pub fn new(zone: Zone) -> Self {
        Self {
            zone,
            record: String::new(),
            open: false,
            lost: true,
        }
    }

    /// The server logs in another zone from here on.
    pub fn retune(&mut self, zone: Zone) {
        self.zone = zone;
    }

    /// What was begun does not go on.
    pub fn cut(&mut self) {
        self.record.clear();
        (self.open, self.lost) = (false, true);
    }

    /// Takes a line; whether it belongs to a record.
    pub fn line(&mut self, line: &str, out: &mut Vec<Entry>) -> bool {
        if self.lost {
            let begins = self
                .zone
                .read(line)
                .is_some_and(|(_, n)| line[n..].starts_with(','));
            if !begins {
                return false;
            }
            self.lost = false;
        }
        if self.open {
            self.record.push('\n');
        }
        self.record.push_str(line);
        self.open ^= line.bytes().filter(|b| *b == b'"').count() % 2 == 1;
        if self.open {
            if self.record.len() > RECORD {
                self.cut();
                return false;
            }
            return true;
        }
        let record = std::mem::take(&mut self.record);
        match self.entry(&record) {
            Some(entry) => {
                out.push(entry);
                true
            }
            None => {
                self.lost = true;
                false
            }
        }
    }

    fn entry(&self, record: &str) -> Option<Entry> {
        let f = fields(record);
        let (at, _) = self.zone.read(f.first()?)?;
        let get = |i: usize| f.get(i).map_or("", String::as_str);
        let mut entry = Entry::new(level(get(11))?);
        entry.at = at;
        entry.user = some(get(1));
        entry.database = some(get(2));
        entry.pid = get(3).parse().ok();
        entry.client = host(get(4));
        entry.sqlstate = some(get(12));
        grow(&mut entry.message, get(13));
        let text = |i: usize| {
            let mut kept = String::new();
            grow(&mut kept, get(i));
            (!kept.is_empty()).then_some(kept)
        };
        entry.detail = text(14);
        entry.hint = text(15);
        entry.context = text(18);
        entry.statement = text(19);
        Some(entry)
    }
}

fn fields(record: &str) -> Vec<String> {
    let mut out = Vec::new();
    let mut field = String::new();
    let mut quoted = false;
    let mut chars = record.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '"' if quoted && chars.peek() == Some(&'"') => {
                field.push('"');
                chars.next();
            }
            '"' => quoted = !quoted,
            ',' if !quoted => out.push(std::mem::take(&mut field)),
            other => field.push(other),
        }
    }
    out.push(field);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn after_a_cut_reading_begins_at_the_next_record() {
        let mut reader = Reader::new(Zone::named("UTC"));
        let mut out = Vec::new();
        let whole = "2026-11-20 03:04:06.678 UTC,,,1,,s,1,,t,,0,LOG,00000,\"the \"\"end\"\"\",,,,,,,,,\"\"";
        let lines = ["of a statement', \"x\"\"", "second\",,,", whole, whole];
        let strange = lines.iter().filter(|l| !reader.line(l, &mut out)).count();
        assert_eq!((out.len(), strange), (2, 2));
        assert_eq!(out[0].message, "the \"end\"");
    }
}
