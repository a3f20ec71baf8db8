//! Every Rust file begins with what it knows and what it refuses to know.

use super::tree::{Finding, Tree};

pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    let ours = tree.under("crates/", "rs").chain(tree.under("xtask/", "rs"));
    ours.filter(|f| !f.text.starts_with("//!"))
        .map(|f| {
            Finding::new(
                &f.path,
                1,
                "header",
                "it does not begin with `//!`",
                "say in its first lines what it knows, what it refuses to know, and why",
            )
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_without_a_header_is_found() {
        let found = |path: &str, text: &str| check(&Tree::of(&[(path, text)])).len();
        assert_eq!(found("crates/a/src/a.rs", "//! This.\n"), 0);
        assert_eq!(found("crates/a/tests/it/a.rs", "use x;\n//! This.\n"), 1);
        assert_eq!(found("xtask/src/a.rs", ""), 1);
    }
}
