//! L8: every collector, rule, probe, action, runbook and drill has a page, and every runbook a drill.

use std::collections::BTreeMap;

use super::tree::{File, Finding, Tree};

pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    // One unit is one file directly in its folder; what is below belongs to it.
    for (folder, ext, kind) in [
        ("crates/observe/src/collectors/", "rs", "collectors"),
        ("crates/rules/src/rules/", "rs", "findings"),
        ("runbooks/", "yaml", "runbooks"),
        ("drills/", "yaml", "drills"),
    ] {
        let units = tree
            .under(folder, ext)
            .filter(|f| !f.path[folder.len()..].contains('/') && !f.is_test());
        for unit in units {
            let name = if kind == "findings" {
                unit.stem().replacen('_', ".", 1)
            } else {
                unit.stem().to_owned()
            };
            findings.extend(page(tree, &unit.path, 1, kind, &name));
        }
    }
    for (folder, kind) in [
        ("crates/act/src/probes", "probes"),
        ("crates/act/src/actions", "actions"),
    ] {
        for (name, (file, line)) in signatures(tree, folder) {
            findings.extend(page(tree, &file, line, kind, &name));
        }
    }
    findings.extend(without_drill(tree));
    findings
}

fn page(tree: &Tree, unit: &str, line: usize, kind: &str, name: &str) -> Option<Finding> {
    let path = format!("docs/reference/{kind}/{name}.md");
    if tree.get(&path).is_some_and(|f| !f.text.trim().is_empty()) {
        return None;
    }
    Some(Finding::new(
        unit,
        line,
        "L8",
        format!("it has no page {path}"),
        "run `cargo xtask docs` and commit what it writes",
    ))
}

/// `pg.blocking` → where it is first named. A signature's name is a string of its own, such as `"pg.blocking@1"`.
fn signatures(tree: &Tree, folder: &str) -> BTreeMap<String, (String, usize)> {
    let mut found = BTreeMap::new();
    for file in tree.under(folder, "rs").filter(|f| !f.is_test()) {
        for line in file.lines().iter().filter(|l| !l.test) {
            for quoted in line.code.split('"').skip(1).step_by(2) {
                if let Some(name) = signature(quoted) {
                    let place = (file.path.clone(), line.number);
                    found.entry(name.to_owned()).or_insert(place);
                }
            }
        }
    }
    found
}

fn signature(text: &str) -> Option<&str> {
    let (name, version) = text.split_once('@')?;
    let word = |w: &str| {
        !w.is_empty()
            && w.chars()
                .all(|c| c.is_ascii_lowercase() || c == '_' || c.is_ascii_digit())
    };
    let (product, what) = name.split_once('.')?;
    let good = word(product) && word(what) && version.parse::<u32>().is_ok();
    good.then_some(name)
}

fn without_drill(tree: &Tree) -> Vec<Finding> {
    let value = |file: &File, key: &str| -> Vec<String> {
        let lines = file.text.lines().map(str::trim);
        let values = lines.filter_map(|l| l.trim_start_matches("- ").strip_prefix(key)?.strip_prefix(':'));
        values
            .map(|v| {
                v.split(" #")
                    .next()
                    .unwrap_or_default()
                    .trim()
                    .trim_matches(['"', '\''])
                    .to_owned()
            })
            .collect()
    };
    let drilled: Vec<String> = tree
        .under("drills/", "yaml")
        .flat_map(|f| value(f, "runbook"))
        .collect();
    let mut findings = Vec::new();
    for file in tree.under("runbooks/", "yaml") {
        let id = top_level_id(file).unwrap_or_else(|| file.stem().to_owned());
        if !drilled.contains(&id) {
            findings.push(Finding::new(
                &file.path,
                1,
                "L8",
                format!("no drill says `runbook: {id}`"),
                "write one with `cargo xtask new-drill`: a runbook that nobody has seen repair is a guess",
            ));
        }
    }
    findings
}

/// The `id:` that is not indented; a step has one too.
fn top_level_id(file: &File) -> Option<String> {
    file.text.lines().find_map(|l| l.strip_prefix("id:")).map(|v| {
        v.split(" #")
            .next()
            .unwrap_or_default()
            .trim()
            .trim_matches(['"', '\''])
            .to_owned()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const UNITS: [(&str, &str); 6] = [
        ("crates/observe/src/collectors/cache.rs", "//! x"),
        ("crates/rules/src/rules/pool_exhausted_now.rs", "//! x"),
        (
            "crates/act/src/probes/blocking.rs",
            "probe(\"pg.blocking@1\", \"as pg.blocking@1 says\")",
        ),
        (
            "crates/act/src/actions/end.rs",
            "signature(\"pg.cancel_backend@1\")",
        ),
        (
            "runbooks/chain.yaml",
            "schema: x\nid: chain\nsteps:\n  - id: other\n",
        ),
        ("drills/chain.yaml", "runbook: chain # why\n"),
    ];
    const PAGES: [(&str, &str); 6] = [
        ("docs/reference/collectors/cache.md", "x"),
        ("docs/reference/findings/pool.exhausted_now.md", "x"),
        ("docs/reference/probes/pg.blocking.md", "x"),
        ("docs/reference/actions/pg.cancel_backend.md", "x"),
        ("docs/reference/runbooks/chain.md", "x"),
        ("docs/reference/drills/chain.md", "x"),
    ];

    #[test]
    fn a_missing_or_empty_page_is_found_and_names_its_path() {
        let all: Vec<_> = UNITS.iter().chain(&PAGES).copied().collect();
        assert!(check(&Tree::of(&all)).is_empty());
        for (path, _) in PAGES {
            let mut less: Vec<_> = all.iter().filter(|(p, _)| *p != path).copied().collect();
            let found = check(&Tree::of(&less));
            assert_eq!(found.len(), 1, "{path}");
            assert!(found[0].what.contains(path), "{}", found[0]);
            less.push((path, " \n"));
            assert_eq!(check(&Tree::of(&less)).len(), 1, "{path}");
        }
    }

    #[test]
    fn a_runbook_without_a_drill_is_found() {
        let tree = Tree::of(&[
            UNITS[4],
            PAGES[4],
            ("drills/chain.yaml", "runbook: chains\n"),
            PAGES[5],
        ]);
        let found = check(&tree);
        assert_eq!(found.len(), 1);
        assert!(found[0].what.contains("runbook: chain`"), "{}", found[0]);
    }

    #[test]
    fn only_a_whole_string_is_a_signature() {
        assert_eq!(signature("pg.blocking@1"), Some("pg.blocking"));
        for text in ["pg.blocking", "see pg.blocking@1", "a@b", "pg.blocking@x"] {
            assert_eq!(signature(text), None, "{text}");
        }
    }
}
