//! No file says where this checkout is: the next one is somewhere else.

use super::tree::{Finding, Tree};

pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    // `/src` or `/app` as a whole is a folder name in any text, and no trace of this machine.
    if tree.root.matches('/').count() < 2 {
        return Vec::new();
    }
    let mut findings = Vec::new();
    for file in &tree.files {
        for (number, line) in file.raw().filter(|(_, line)| names(line, &tree.root)) {
            findings.push(Finding::new(
                &file.path,
                number,
                "paths",
                format!("it names this machine's path in `{}`", line.trim()),
                "say it from the root of the checkout",
            ));
        }
    }
    findings
}

fn names(line: &str, root: &str) -> bool {
    let part = |c: char| c.is_alphanumeric() || "_-.".contains(c);
    line.match_indices(root).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        let after = line[at + root.len()..].chars().next();
        !before.is_some_and(part) && !after.is_some_and(part)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(text: &str) -> usize {
        check(&Tree::of(&[("docs/a.md", text)])).len()
    }

    #[test]
    fn the_path_of_the_checkout_is_found() {
        assert_eq!(count("cd /somewhere/checkout"), 1);
        assert_eq!(count("a\n\"/somewhere/checkout/target\""), 1);
        assert_eq!(count("cd /somewhere/checkouts or x/somewhere/checkout"), 0);
    }

    #[test]
    fn a_root_of_one_folder_is_no_trace() {
        let mut tree = Tree::of(&[("a.md", "GET /app/")]);
        tree.root = "/app".to_owned();
        assert!(check(&tree).is_empty());
    }
}
