//! Names of files and folders that say nothing.

use super::tree::{Finding, Tree};

const EMPTY_WORDS: [&str; 8] = [
    "util", "utils", "common", "misc", "manager", "helper", "helpers", "service",
];

pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    let ours = tree.under("crates/", "rs").chain(tree.under("xtask/", "rs"));
    let mut findings = Vec::new();
    for file in ours {
        if file.stem() == "mod" {
            let remedy = "make it `foo.rs` beside the folder `foo/`";
            findings.push(Finding::new(&file.path, 1, "names", "`mod.rs`", remedy));
        }
        let parts = file.path.trim_end_matches(".rs").split('/');
        for part in parts.filter(|p| EMPTY_WORDS.contains(p)) {
            findings.push(Finding::new(
                &file.path,
                1,
                "names",
                format!("`{part}` says nothing about what is in it"),
                "name it after its subject",
            ));
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn empty_names_are_found() {
        for path in [
            "crates/a/src/utils.rs",
            "crates/a/src/helpers/x.rs",
            "crates/a/src/x/mod.rs",
            "xtask/src/misc.rs",
        ] {
            assert_eq!(check(&Tree::of(&[(path, "")])).len(), 1, "{path}");
        }
        for path in [
            "crates/a/src/model.rs",
            "crates/a/src/services.rs",
            "docs/common.md",
        ] {
            assert!(check(&Tree::of(&[(path, "")])).is_empty(), "{path}");
        }
    }
}
