//! The end of a certificate's life, read out of its DER.
//!
//! It reads the way to one field and nothing else: whether a certificate is to be trusted is for the TLS library. So there is no
//! need for a library that understands all of X.509, and what a server sends can do no harm here: every length is checked.

use muster_model::Time;

const SEQUENCE: u8 = 0x30;
const INTEGER: u8 = 0x02;
const VERSION: u8 = 0xa0;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;

/// `notAfter` of a certificate in DER; `None` when it is none.
pub(crate) fn not_after(der: &[u8]) -> Option<Time> {
    let (certificate, _) = expect(der, SEQUENCE)?;
    let (body, _) = expect(certificate, SEQUENCE)?;
    // Version 1 leaves its number out.
    let rest = expect(body, VERSION).map_or(body, |(_, rest)| rest);
    let (_serial, rest) = expect(rest, INTEGER)?;
    let (_algorithm, rest) = expect(rest, SEQUENCE)?;
    let (_issuer, rest) = expect(rest, SEQUENCE)?;
    let (validity, _) = expect(rest, SEQUENCE)?;
    let (_, _, rest) = element(validity)?;
    let (tag, text, _) = element(rest)?;
    time(tag, std::str::from_utf8(text).ok()?)
}

fn expect(bytes: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (found, content, rest) = element(bytes)?;
    (found == tag).then_some((content, rest))
}

/// The first element: tag, content, and what follows it.
fn element(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&tag, rest) = bytes.split_first()?;
    let (&first, rest) = rest.split_first()?;
    let (length, rest) = if first < 0x80 {
        (usize::from(first), rest)
    } else {
        let (digits, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
        if digits.is_empty() || digits.len() > 4 {
            return None;
        }
        let length = digits.iter().fold(0usize, |n, b| (n << 8) | usize::from(*b));
        (length, rest)
    };
    let (content, rest) = rest.split_at_checked(length)?;
    Some((tag, content, rest))
}

/// `YYMMDDhhmmssZ`, or with four digits for the year.
fn time(tag: u8, text: &str) -> Option<Time> {
    let digits = text.strip_suffix('Z')?;
    if !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let full = match (tag, digits.len()) {
        // RFC 5280: 50 to 99 are of the last century.
        (UTC_TIME, 12) => {
            let century = if digits >= "50" { "19" } else { "20" };
            format!("{century}{digits}")
        }
        (GENERALIZED_TIME, 14) => digits.to_owned(),
        _ => return None,
    };
    let part = |at: std::ops::Range<usize>| full.get(at);
    format!(
        "{}-{}-{}T{}:{}:{}Z",
        part(0..4)?,
        part(4..6)?,
        part(6..8)?,
        part(8..10)?,
        part(10..12)?,
        part(12..14)?
    )
    .parse()
    .ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(year: i32) -> Vec<u8> {
        let mut params = rcgen::CertificateParams::new(vec!["db".to_owned()]).expect("params");
        params.not_after = rcgen::date_time_ymd(year, 3, 7);
        let key = rcgen::KeyPair::generate().expect("key");
        params.self_signed(&key).expect("signs").der().to_vec()
    }

    #[test]
    fn the_end_is_read_in_both_forms_of_time() {
        for (year, end) in [
            (2031, "2031-03-07T00:00:00Z"),
            (1999, "1999-03-07T00:00:00Z"),
            (2071, "2071-03-07T00:00:00Z"),
        ] {
            assert_eq!(
                not_after(&made(year)),
                Some(end.parse().expect("a time")),
                "{year}"
            );
        }
    }

    #[test]
    fn what_is_cut_or_spoiled_is_none_and_never_a_panic() {
        let whole = made(2031);
        for end in 0..whole.len().min(200) {
            assert_eq!(not_after(&whole[..end]), None);
        }
        for at in 0..whole.len().min(200) {
            for bits in [0x00, 0x7f, 0x80, 0xff] {
                let mut bad = whole.clone();
                bad[at] = bits;
                let _ = not_after(&bad);
            }
        }
        assert_eq!(time(UTC_TIME, "310307000000"), None, "a time without a zone");
        assert_eq!(time(UTC_TIME, "319907000000Z"), None, "no such month");
        assert_eq!(time(GENERALIZED_TIME, "2031030700000éZ"), None);
    }
}
