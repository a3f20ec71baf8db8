//! `log_line_prefix`: the beginning of every line of a stderr log, taken apart by the pattern that wrote it.
//!
//! A pattern does not delimit its own fields, so a field ends where the next literal of the pattern begins. A line that does
//! not fit is tried with the default pattern (a server that cannot read its configuration uses that one), and at last
//! without any: the level is what counts.

use muster_model::Time;

use super::entry::{Entry, host, some};
use super::when::Zone;

/// What PostgreSQL uses when nothing is set.
pub const DEFAULT: &str = "%m [%p] ";

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Literal(String),
    /// `%x`, and whether blanks make it as wide as others.
    Escape(char, bool),
    /// `%q`: what follows is left out by processes without a session.
    Stop,
}

/// A pattern.
#[derive(Clone, Debug)]
pub struct Prefix {
    pieces: Vec<Piece>,
    zone: Zone,
}

/// What a prefix says.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Fields {
    /// Time.
    pub at: Option<Time>,
    /// Process.
    pub pid: Option<i32>,
    /// SQLSTATE.
    pub sqlstate: Option<String>,
    /// User.
    pub user: Option<String>,
    /// Database.
    pub database: Option<String>,
    /// Client host.
    pub client: Option<String>,
}

impl Fields {
    pub(crate) fn fill(self, entry: &mut Entry) {
        entry.at = self.at;
        entry.pid = self.pid;
        entry.sqlstate = self.sqlstate;
        entry.user = self.user;
        entry.database = self.database;
        entry.client = self.client;
    }
}

impl Prefix {
    /// From the setting and the zone the server logs in.
    #[must_use]
    pub fn new(pattern: &str, zone: Zone) -> Self {
        let mut pieces = Vec::new();
        let mut literal = String::new();
        let mut chars = pattern.chars().peekable();
        while let Some(c) = chars.next() {
            if c != '%' {
                literal.push(c);
                continue;
            }
            let mut padded = false;
            while chars.peek().is_some_and(|c| c.is_ascii_digit() || *c == '-') {
                chars.next();
                padded = true;
            }
            match chars.next() {
                Some('%') => literal.push('%'),
                Some(escape) => {
                    if !literal.is_empty() {
                        pieces.push(Piece::Literal(std::mem::take(&mut literal)));
                    }
                    pieces.push(if escape == 'q' {
                        Piece::Stop
                    } else {
                        Piece::Escape(escape, padded)
                    });
                }
                None => {}
            }
        }
        if !literal.is_empty() {
            pieces.push(Piece::Literal(literal));
        }
        Self { pieces, zone }
    }

    /// What processes without a session write: the pattern up to `%q`.
    #[must_use]
    pub fn short(&self) -> Option<Self> {
        let stop = self.pieces.iter().position(|p| *p == Piece::Stop)?;
        Some(Self {
            pieces: self.pieces[..stop].to_vec(),
            zone: self.zone.clone(),
        })
    }

    /// The fields of a line and what comes after them; `None` when the line was not written by this pattern.
    #[must_use]
    pub fn read<'l>(&self, line: &'l str) -> Option<(Fields, &'l str)> {
        let mut fields = Fields::default();
        let mut rest = line;
        for (i, piece) in self.pieces.iter().enumerate() {
            match piece {
                Piece::Literal(text) => match rest.strip_prefix(text.as_str()) {
                    Some(after) => rest = after,
                    None => return self.without_session(i, fields, rest),
                },
                Piece::Stop => {}
                Piece::Escape(escape, padded) => {
                    let next = match self.pieces.get(i + 1) {
                        Some(Piece::Literal(text)) => Some(text.as_str()),
                        _ => None,
                    };
                    let from = if *padded {
                        rest.trim_start_matches(' ')
                    } else {
                        rest
                    };
                    match self.field(*escape, next, from, &mut fields) {
                        Some(after) if *padded => rest = unpadded(after, next),
                        Some(after) => rest = after,
                        None => return self.without_session(i, fields, rest),
                    }
                }
            }
        }
        Some((fields, rest))
    }

    /// A process without a session stops at `%q`.
    fn without_session<'l>(&self, at: usize, fields: Fields, rest: &'l str) -> Option<(Fields, &'l str)> {
        self.pieces[..at].contains(&Piece::Stop).then_some((fields, rest))
    }

    fn field<'l>(
        &self,
        escape: char,
        next: Option<&str>,
        rest: &'l str,
        out: &mut Fields,
    ) -> Option<&'l str> {
        match escape {
            'm' | 't' => {
                let (at, long) = self.zone.read(rest)?;
                out.at = at;
                return Some(&rest[long..]);
            }
            's' => {
                let (_, long) = self.zone.read(rest)?;
                return Some(&rest[long..]);
            }
            'e' if next.is_none() => {
                let code = rest
                    .get(..5)
                    .filter(|c| c.bytes().all(|b| b.is_ascii_alphanumeric()))?;
                out.sqlstate = Some(code.to_owned());
                return Some(&rest[5..]);
            }
            _ => {}
        }
        let end = match next {
            Some(literal) => rest.find(literal)?,
            None if matches!(escape, 'n') => digits(rest, "."),
            None if matches!(escape, 'p' | 'l' | 'x' | 'P' | 'Q') => digits(rest, "-"),
            None => rest.find([' ', ':', ',', '[', ']', '@']).unwrap_or(rest.len()),
        };
        let (text, after) = (rest[..end].trim(), &rest[end..]);
        match escape {
            'n' => out.at = epoch(text),
            'p' => out.pid = Some(text.parse().ok()?),
            'e' => out.sqlstate = some(text),
            'u' => out.user = some(text),
            'd' => out.database = some(text),
            'h' | 'r' => out.client = host(text),
            _ => {}
        }
        Some(after)
    }
}

/// What comes after the blanks of a padded field, but for the one that the next literal begins with.
fn unpadded<'l>(text: &'l str, next: Option<&str>) -> &'l str {
    let bare = text.trim_start_matches(' ');
    let blanks = text.len() - bare.len();
    let kept = usize::from(blanks > 0 && next.is_some_and(|n| n.starts_with(' ')));
    &text[blanks - kept..]
}

fn digits(text: &str, also: &str) -> usize {
    text.bytes()
        .take_while(|b| b.is_ascii_digit() || also.as_bytes().contains(b))
        .count()
}

/// `%n`: seconds with three digits after the point.
fn epoch(text: &str) -> Option<Time> {
    let (seconds, millis) = text.split_once('.').unwrap_or((text, "0"));
    let millis: i64 = format!("{millis:0<3}").get(..3)?.parse().ok()?;
    let seconds: i64 = seconds.parse().ok()?;
    Some(Time::from_millis(seconds.checked_mul(1000)?.checked_add(millis)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(pattern: &str, line: &str) -> Option<(Fields, String)> {
        let p = Prefix::new(pattern, Zone::named("UTC"));
        p.read(line).map(|(f, r)| (f, r.to_owned()))
    }

    #[test]
    fn fields_come_out_of_the_patterns_that_people_use() {
        let (f, rest) = read(DEFAULT, "2026-11-20 03:04:05.678 UTC [4711] LOG:  ok").expect("default");
        assert_eq!((f.pid, rest.as_str()), (Some(4711), "LOG:  ok"));
        assert_eq!(
            f.at.map(|t| t.to_string()).as_deref(),
            Some("2026-11-20T03:04:05.678000Z")
        );

        let debian = "%m [%p] %q%u@%d ";
        let (f, rest) = read(debian, "2026-11-20 03:04:05 UTC [7] app@shop ERROR:  x").expect("debian");
        assert_eq!(
            (f.user.as_deref(), f.database.as_deref()),
            (Some("app"), Some("shop"))
        );
        assert_eq!(rest, "ERROR:  x");
        let (f, rest) = read(debian, "2026-11-20 03:04:05 UTC [7] LOG:  checkpoint").expect("no session");
        assert_eq!((f.user, rest.as_str()), (None, "LOG:  checkpoint"));

        let rds = "%t:%r:%u@%d:[%p]:";
        let line = "2026-11-20 03:04:05 UTC:10.0.0.7(51234):app@shop:[99]:FATAL:  no";
        let (f, rest) = read(rds, line).expect("rds");
        assert_eq!((f.client.as_deref(), f.pid), (Some("10.0.0.7"), Some(99)));
        assert_eq!((f.user.as_deref(), rest.as_str()), (Some("app"), "FATAL:  no"));

        let badger = "%t [%p]: [%l-1] user=%u,db=%d,app=%a,client=%h ";
        let line = "2026-11-20 03:04:05 UTC [12]: [3-1] user=app,db=shop,app=psql -x,client=[local] LOG:  x";
        let (f, _) = read(badger, line).expect("pgbadger");
        assert_eq!((f.client.as_deref(), f.pid), (Some("[local]"), Some(12)));

        let (f, rest) = read("%n %-8p %e ", "1795312345.678 4711     28P01 FATAL:  x").expect("padded");
        assert_eq!((f.sqlstate.as_deref(), f.pid), (Some("28P01"), Some(4711)));
        assert_eq!(
            (f.at, rest.as_str()),
            (Some(Time::from_millis(1_795_312_345_678)), "FATAL:  x")
        );
        assert_eq!(read(DEFAULT, "LOG:  without"), None);
    }
}
