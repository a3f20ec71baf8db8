//! Numbers as people say them: `12.5 million`, `1 session waits`.

/// A count in words that fit a sentence.
#[allow(clippy::cast_precision_loss)]
pub(crate) fn amount(n: u64) -> String {
    match n {
        0..=99_999 => n.to_string(),
        100_000..=999_499 => format!("{} thousand", (n + 500) / 1000),
        999_500..=999_949_999 => format!("{:.1} million", n as f64 / 1e6),
        _ => format!("{:.2} billion", n as f64 / 1e9),
    }
}

/// `1 session waits`, `5 sessions wait`.
pub(crate) fn wait(sessions: usize) -> String {
    if sessions == 1 {
        "1 session waits".to_owned()
    } else {
        format!("{sessions} sessions wait")
    }
}

#[cfg(test)]
mod tests {
    use super::{amount, wait};

    #[test]
    fn one_session_waits_and_two_wait() {
        assert_eq!(
            (wait(1).as_str(), wait(2).as_str()),
            ("1 session waits", "2 sessions wait")
        );
    }

    #[test]
    fn big_numbers_are_said_short() {
        for (n, said) in [
            (0, "0"),
            (99_999, "99999"),
            (150_400, "150 thousand"),
            (999_600, "1.0 million"),
            (12_480_000, "12.5 million"),
            (1_717_986_918, "1.72 billion"),
        ] {
            assert_eq!(amount(n), said);
        }
    }
}
