//! Crates that must not be in `Cargo.lock`: they need a C compiler's extras or a system library to build.

use super::tree::{Finding, Tree};

const BANNED: [&str; 3] = ["aws-lc-sys", "openssl-sys", "native-tls"];

pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    let Some(lock) = tree.get("Cargo.lock") else {
        return Vec::new();
    };
    let mut findings = Vec::new();
    for (number, line) in lock.raw() {
        let name = line.strip_prefix("name = \"").and_then(|l| l.strip_suffix('"'));
        for banned in BANNED.iter().filter(|b| name == Some(**b)) {
            let remedy = format!("`cargo tree -i {banned}` says who brings it; use rustls with ring");
            findings.push(Finding::new(
                "Cargo.lock",
                number,
                "bans",
                format!("`{banned}` is in it"),
                &remedy,
            ));
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_banned_crate_is_found() {
        let lock = |name: &str| format!("[[package]]\nname = \"{name}\"\nversion = \"1\"\n");
        for banned in BANNED {
            assert_eq!(
                check(&Tree::of(&[("Cargo.lock", &lock(banned))])).len(),
                1,
                "{banned}"
            );
        }
        assert!(check(&Tree::of(&[("Cargo.lock", &lock("ring"))])).is_empty());
    }
}
