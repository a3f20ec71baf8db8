//! The time of an entry as a log writes it: `2026-11-20 03:04:05.678 CET`, or seconds since the epoch.
//!
//! An abbreviation such as CET or IST names no zone by itself, so the zone comes from `log_timezone`. Where that is not
//! known and the text does not say UTC or an offset, there is no time: a guess may be hours off.

use muster_model::Time;

/// The zone that a server logs in.
#[derive(Clone, Debug, Default)]
pub struct Zone(Option<jiff::tz::TimeZone>);

impl Zone {
    /// By the name that `log_timezone` has; a name that is not known is no zone.
    #[must_use]
    pub fn named(name: &str) -> Self {
        Self(jiff::tz::TimeZone::get(name).ok())
    }

    /// The time that a text begins with, and how many bytes it takes: date, time, perhaps a fraction, perhaps a zone.
    #[must_use]
    pub fn read(&self, text: &str) -> Option<(Option<Time>, usize)> {
        let bytes = text.as_bytes();
        let shape = b"dddd-dd-dd dd:dd:dd";
        let fits = bytes.len() >= shape.len()
            && shape.iter().zip(bytes).all(|(s, b)| match s {
                b'd' => b.is_ascii_digit(),
                other => other == b || (*other == b' ' && *b == b'T'),
            });
        if !fits {
            return None;
        }
        let mut end = shape.len();
        if bytes.get(end) == Some(&b'.') {
            let digits = bytes[end + 1..].iter().take_while(|b| b.is_ascii_digit()).count();
            if digits > 0 {
                end += 1 + digits;
            }
        }
        let civil: Option<jiff::civil::DateTime> = text[..end].replacen(' ', "T", 1).parse().ok();
        let rest = &text[end..];
        let word = rest.strip_prefix(' ').map_or("", |r| {
            let signed = r.starts_with(['+', '-']);
            let part = |b: &u8| {
                if signed {
                    matches!(b, b'+' | b'-' | b':' | b'0'..=b'9')
                } else {
                    b.is_ascii_alphabetic()
                }
            };
            &r[..r.bytes().take_while(part).count()]
        });
        let zoned = zone_word(word);
        if zoned {
            end += 1 + word.len();
        }
        Some((
            civil.and_then(|c| self.place(c, if zoned { word } else { "" })),
            end,
        ))
    }

    fn place(&self, civil: jiff::civil::DateTime, word: &str) -> Option<Time> {
        let zone = match word {
            "UTC" | "GMT" | "Z" => jiff::tz::TimeZone::UTC,
            w if w.starts_with(['+', '-']) => offset(w)?,
            _ => self.0.clone()?,
        };
        let at = zone.to_ambiguous_timestamp(civil).compatible().ok()?;
        Some(Time::from_micros(at.as_microsecond()))
    }
}

/// Whether a word after a time is a zone: `UTC`, `CEST`, `+02`, `-03:30`.
fn zone_word(word: &str) -> bool {
    let signed = word.starts_with(['+', '-'])
        && word.len() > 1
        && word[1..].bytes().all(|b| b.is_ascii_digit() || b == b':');
    let letters = (1..=5).contains(&word.len()) && word.bytes().all(|b| b.is_ascii_uppercase());
    signed || letters
}

fn offset(word: &str) -> Option<jiff::tz::TimeZone> {
    let digits: String = word[1..].chars().filter(char::is_ascii_digit).collect();
    let hours: i32 = digits.get(..2)?.parse().ok()?;
    let minutes: i32 = digits.get(2..4).map_or(Some(0), |m| m.parse().ok())?;
    let seconds = (hours * 60 + minutes) * 60;
    let seconds = if word.starts_with('-') { -seconds } else { seconds };
    let offset = jiff::tz::Offset::from_seconds(seconds).ok()?;
    Some(jiff::tz::TimeZone::fixed(offset))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_where_the_zone_is_known_and_not_guessed_where_it_is_not() {
        let berlin = Zone::named("Europe/Berlin");
        let read = |zone: &Zone, text: &str| zone.read(text).map(|(t, n)| (t.map(|t| t.to_string()), n));
        let at = |text: &str| Some(text.to_owned());
        for (zone, text, expected) in [
            (
                &berlin,
                "2026-11-20 03:04:05.678 UTC [1]",
                Some((at("2026-11-20T03:04:05.678000Z"), 27)),
            ),
            (
                &berlin,
                "2026-11-20 03:04:05 CET x",
                Some((at("2026-11-20T02:04:05.000000Z"), 23)),
            ),
            (
                &berlin,
                "2026-07-20 03:04:05 CEST",
                Some((at("2026-07-20T01:04:05.000000Z"), 24)),
            ),
            (
                &berlin,
                "2026-07-20 03:04:05 -03:30",
                Some((at("2026-07-20T06:34:05.000000Z"), 26)),
            ),
            (&Zone::default(), "2026-07-20 03:04:05 CEST", Some((None, 24))),
            (
                &Zone::default(),
                "2026-07-20 03:04:05 +02",
                Some((at("2026-07-20T01:04:05.000000Z"), 23)),
            ),
            (&berlin, "2026-13-40 03:04:05 CET", Some((None, 23))),
            (&berlin, "yesterday", None),
            (&berlin, "2026-07-20 03:0\u{e4}:05", None),
        ] {
            assert_eq!(read(zone, text), expected, "{text}");
        }
    }
}
