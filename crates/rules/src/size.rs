//! Sizes for people.

/// `512 B`, `1.5 MB`, `3.2 GB`: by 1024, as PostgreSQL's own settings count.
#[allow(clippy::cast_precision_loss)]
pub(crate) fn bytes(n: u64) -> String {
    const UNITS: [&str; 5] = ["kB", "MB", "GB", "TB", "PB"];
    if n < 1024 {
        return format!("{n} B");
    }
    let mut size = n as f64 / 1024.0;
    let mut unit = 0;
    while size >= 1024.0 && unit + 1 < UNITS.len() {
        size /= 1024.0;
        unit += 1;
    }
    if size < 10.0 {
        format!("{size:.1} {}", UNITS[unit])
    } else {
        format!("{size:.0} {}", UNITS[unit])
    }
}

/// A count as a number that thresholds compare with.
#[allow(clippy::cast_precision_loss)]
pub(crate) fn number(n: u64) -> f64 {
    n as f64
}

/// `1 commit`, `3 commits`.
pub(crate) fn several(n: u64, what: &str) -> String {
    format!("{n} {what}{}", if n == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::bytes;

    #[test]
    fn sizes_are_short() {
        let said: Vec<String> = [0, 1023, 1536, 16 << 20, 5 << 30, u64::MAX].map(bytes).into();
        assert_eq!(said, ["0 B", "1023 B", "1.5 kB", "16 MB", "5.0 GB", "16384 PB"]);
    }
}
