//! The time that stands in a line of somebody's log, in the forms that most programs write.
//!
//! Says whether the line names its zone: a time without one may be hours off, and who reads it must know.

use muster_model::Time;
use serde_json::Value;

/// The time that stands near the beginning of a line, and whether it says in which zone it is.
pub(crate) fn stamp(line: &str) -> Option<(Time, bool)> {
    let trimmed = line.trim_start();
    if trimmed.starts_with('{')
        && let Ok(Value::Object(map)) = serde_json::from_str::<Value>(trimmed)
    {
        let keys = ["time", "timestamp", "ts", "@timestamp", "datetime", "asctime"];
        return keys.iter().find_map(|k| match map.get(*k)? {
            Value::String(text) => civil(text),
            Value::Number(n) => {
                let n = n.as_f64()?;
                let secs = if n > 1e11 { n / 1000.0 } else { n };
                #[allow(clippy::cast_possible_truncation)]
                (secs > 1e8).then(|| (Time::from_millis((secs * 1000.0) as i64), true))
            }
            _ => None,
        });
    }
    civil(line)
}

/// `2026-11-20T03:04:05.678Z`, `2026-11-20 03:04:05,678`, with or without an offset, within the first 64 characters.
pub(crate) fn civil(text: &str) -> Option<(Time, bool)> {
    let bytes = text.as_bytes();
    let shape = b"dddd-dd-dd dd:dd:dd";
    let fits = |at: usize| {
        bytes.len() >= at + shape.len()
            && shape.iter().zip(&bytes[at..]).all(|(s, b)| match s {
                b'd' => b.is_ascii_digit(),
                b' ' => matches!(b, b' ' | b'T'),
                other => other == b,
            })
    };
    let at = (0..bytes.len().min(64)).find(|i| fits(*i))?;
    let mut end = at + shape.len();
    let second = end;
    let mut fraction = String::new();
    if matches!(bytes.get(end), Some(b'.' | b',')) {
        let digits = bytes[end + 1..].iter().take_while(|b| b.is_ascii_digit()).count();
        end += 1 + digits;
        if digits > 0 {
            fraction = format!(".{}", text.get(second + 1..second + 1 + digits.min(9))?);
        }
    }
    let written = text.get(at..second)?.replacen(' ', "T", 1) + &fraction;
    let written: jiff::civil::DateTime = written.parse().ok()?;
    let rest = text.get(end..)?;
    let rest = rest
        .strip_prefix(' ')
        .filter(|r| r.starts_with(['+', '-', 'U', 'Z']))
        .unwrap_or(rest);
    let utc = ["Z", "UTC"].iter().any(|z| rest.starts_with(z));
    let minutes = if utc { Some(0) } else { offset(rest) };
    let utc = written
        .to_zoned(jiff::tz::TimeZone::UTC)
        .ok()?
        .timestamp()
        .as_microsecond();
    let at = utc - minutes.unwrap_or(0) * 60_000_000;
    Some((Time::from_micros(at), minutes.is_some()))
}

/// `+02`, `-0330`, `+05:30`, in minutes.
fn offset(text: &str) -> Option<i64> {
    let sign = match text.as_bytes().first()? {
        b'+' => 1,
        b'-' => -1,
        _ => return None,
    };
    let digits: Vec<i64> = text[1..]
        .bytes()
        .filter(|b| *b != b':')
        .take_while(u8::is_ascii_digit)
        .map(|b| i64::from(b - b'0'))
        .collect();
    match digits[..] {
        [a, b] => Some(sign * (a * 10 + b) * 60),
        [a, b, c, d] => Some(sign * ((a * 10 + b) * 60 + c * 10 + d)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_of_many_forms_are_read_with_their_zone() {
        let at = |text: &str| stamp(text).map(|(t, exact)| (t.to_string()[..19].to_owned(), exact));
        let same = Some(("2026-11-20T03:04:05".to_owned(), true));
        for line in [
            "2026-11-20T03:04:05.678Z x",
            "[2026-11-20 03:04:05 +0000] x",
            "INFO 2026-11-20T05:04:05+02:00 x",
            "2026-11-19 23:34:05-0330",
            "{\"ts\": 1795143845.2, \"msg\": \"x\"}",
            "{\"time\":\"2026-11-20T03:04:05Z\"}",
            "2026-11-20 03:04:05 UTC x",
        ] {
            assert_eq!(at(line), same, "{line}");
        }
        assert_eq!(
            at("2026-11-20 03:04:05,123 ERROR x"),
            same.map(|(t, _)| (t, false))
        );
        for line in ["Traceback", "{\"msg\": 7}", "at 12:00", ""] {
            assert_eq!(stamp(line), None, "{line}");
        }
    }
}
