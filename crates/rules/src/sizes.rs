//! Numbers of bytes, for people.

/// `3.2 GB`, `800 MB`, `12 kB`.
#[allow(clippy::cast_precision_loss)]
pub(crate) fn human(bytes: u64) -> String {
    let b = bytes as f64;
    let units = [
        (1u64 << 40, "TB"),
        (1 << 30, "GB"),
        (1 << 20, "MB"),
        (1 << 10, "kB"),
    ];
    for (size, unit) in units {
        if bytes >= size {
            let n = b / size as f64;
            return if n >= 100.0 {
                format!("{n:.0} {unit}")
            } else {
                format!("{n:.1} {unit}")
            };
        }
    }
    format!("{bytes} bytes")
}

/// Bytes of a threshold in gigabytes.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
pub(crate) fn gigabytes(n: f64) -> u64 {
    (n * f64::from(1u32 << 30)) as u64
}

/// Bytes of a threshold in megabytes.
pub(crate) fn megabytes(n: f64) -> u64 {
    gigabytes(n / 1024.0)
}

/// A count as a number that can be compared with a threshold.
#[allow(clippy::cast_precision_loss)]
pub(crate) fn number(n: u64) -> f64 {
    n as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_have_a_unit() {
        assert_eq!(human(900), "900 bytes");
        assert_eq!(human(800 << 20), "800 MB");
        assert_eq!(human((3 << 30) + (205 << 20)), "3.2 GB");
        assert_eq!((gigabytes(1.0), megabytes(10.0)), (1 << 30, 10 << 20));
    }
}
