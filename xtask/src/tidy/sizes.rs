//! File sizes: a file is one unit, and a stranger reads it in one go.

use super::tree::{Finding, Tree};

const MEDIAN: usize = 200;
const P90: usize = 450;
const MAX: usize = 1200;

pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    let mut sizes: Vec<(usize, &str)> = tree
        .under("crates/", "rs")
        .map(|f| (f.text.lines().count(), f.path.as_str()))
        .collect();
    sizes.sort_unstable();
    let mut findings: Vec<Finding> = sizes
        .iter()
        .filter(|(lines, _)| *lines > MAX)
        .map(|(lines, path)| {
            let what = format!("it has {lines} lines, the most is {MAX}");
            Finding::new(path, 1, "sizes", what, "split it by subject: `foo.rs` and `foo/`")
        })
        .collect();
    for (name, percent, limit) in [("median", 50, MEDIAN), ("90th percentile", 90, P90)] {
        let Some((lines, path)) = percentile(&sizes, percent) else {
            continue;
        };
        if lines > limit {
            let what = format!("the {name} of all files is {lines} lines, the most is {limit}");
            findings.push(Finding::new(
                path,
                1,
                "sizes",
                what,
                "split the largest files by subject",
            ));
        }
    }
    findings
}

/// Nearest rank.
fn percentile<'a>(sorted: &[(usize, &'a str)], percent: usize) -> Option<(usize, &'a str)> {
    let rank = (sorted.len() * percent).div_ceil(100);
    sorted.get(rank.checked_sub(1)?).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whats(sizes: &[usize]) -> Vec<String> {
        let texts: Vec<(String, String)> = sizes
            .iter()
            .enumerate()
            .map(|(i, n)| (format!("crates/a/src/f{i}.rs"), "x\n".repeat(*n)))
            .collect();
        let files: Vec<(&str, &str)> = texts.iter().map(|(p, t)| (p.as_str(), t.as_str())).collect();
        check(&Tree::of(&files)).into_iter().map(|f| f.what).collect()
    }

    #[test]
    fn large_files_are_found_one_by_one_and_together() {
        assert_eq!(whats(&[]), Vec::<String>::new());
        assert_eq!(whats(&[200; 10]), Vec::<String>::new());
        assert!(whats(&[201; 10])[0].contains("median"));
        let mut tail = vec![10; 8];
        tail.extend([451, 451]);
        assert!(whats(&tail)[0].contains("90th"));
        let mut one = vec![10; 20];
        one.push(1201);
        assert_eq!(whats(&one), ["it has 1201 lines, the most is 1200"]);
    }
}
