//! Which crate may depend on which: the picture in ARCHITECTURE.md, as data.

use super::tree::{File, Finding, Tree};

const LAW: &str = "edges";

/// Folder → the folders it depends on, exactly.
const EDGES: [(&str, &[&str]); 11] = [
    ("model", &[]),
    ("reach", &["model"]),
    ("rules", &["model"]),
    ("runbooks", &["model"]),
    ("observe", &["model", "reach"]),
    ("engine", &["model", "runbooks"]),
    ("act", &["engine", "model", "observe", "reach"]),
    ("lab", &["model", "reach"]),
    (
        "muster",
        &[
            "act", "engine", "lab", "model", "observe", "reach", "rules", "runbooks",
        ],
    ),
    ("xtask", &[]),
    // Outside the workspace: targets for cargo-fuzz.
    ("fuzz", &["act", "engine", "model", "muster", "runbooks"]),
];

/// Tests of any crate may start a fleet.
const FOR_TESTS: &str = "lab";

pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    let manifests = tree.files.iter().filter_map(|f| {
        let folder = f.path.strip_suffix("/Cargo.toml")?;
        let name = folder.strip_prefix("crates/").unwrap_or(folder);
        (!name.contains('/')).then_some((f, name))
    });
    manifests.flat_map(|(file, name)| judge(file, name)).collect()
}

fn judge(file: &File, name: &str) -> Vec<Finding> {
    let Some((_, allowed)) = EDGES.iter().find(|(n, _)| *n == name) else {
        return vec![Finding::new(
            &file.path,
            1,
            LAW,
            format!("the crate `{name}` is not in the picture"),
            "add it with its edges to ARCHITECTURE.md and xtask/src/tidy/edges.rs",
        )];
    };
    let used = dependencies(file);
    let mut findings = Vec::new();
    for (line, to, test) in &used {
        let may = allowed.contains(&to.as_str()) || (*test && to == FOR_TESTS);
        if !may {
            findings.push(Finding::new(
                &file.path,
                *line,
                LAW,
                format!("`{name}` depends on `{to}`, and the picture has no such edge"),
                "move the code to the crate that may, or change the picture (ARCHITECTURE.md) first",
            ));
        }
    }
    for to in *allowed {
        if !used.iter().any(|(_, u, test)| u == to && !test) {
            findings.push(Finding::new(
                &file.path,
                1,
                LAW,
                format!("`{name}` no longer depends on `{to}`"),
                "take the edge out of ARCHITECTURE.md and xtask/src/tidy/edges.rs",
            ));
        }
    }
    findings
}

/// `(line, folder, whether only tests have it)`. Build and platform dependencies count as dependencies.
fn dependencies(file: &File) -> Vec<(usize, String, bool)> {
    let mut found = Vec::new();
    let mut section: Option<bool> = None;
    for (number, line) in file.raw() {
        let line = line.trim();
        if let Some(header) = line.strip_prefix('[').and_then(|l| l.strip_suffix(']')) {
            let parts: Vec<&str> = header.split('.').collect();
            section = parts
                .iter()
                .find(|p| p.ends_with("dependencies"))
                .map(|p| *p == "dev-dependencies");
            // `[dependencies.muster-x]`
            if let (Some(test), Some(name)) = (section, parts.last().and_then(|p| ours(p))) {
                found.push((number, name, test));
            }
            continue;
        }
        let Some(test) = section else { continue };
        let key = line.split(['.', '=', ' ']).next().unwrap_or_default();
        let renamed = line
            .split_once("package = \"")
            .and_then(|(_, rest)| rest.split('"').next());
        if let Some(name) = ours(key).or_else(|| renamed.and_then(ours)) {
            found.push((number, name, test));
        }
    }
    found
}

fn ours(package: &str) -> Option<String> {
    let package = package.trim_matches('"');
    if package == "muster" || package == "xtask" {
        return Some(package.to_owned());
    }
    package.strip_prefix("muster-").map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(path: &str, text: &str) -> Vec<String> {
        check(&Tree::of(&[(path, text)]))
            .iter()
            .map(ToString::to_string)
            .collect()
    }

    #[test]
    fn the_picture_holds() {
        let good = "[package]\nname = \"muster-rules\"\n[dependencies]\nmuster-model.workspace = true\n[dev-dependencies]\nmuster-lab.workspace = true\n";
        assert_eq!(of("crates/rules/Cargo.toml", good), Vec::<String>::new());
    }

    #[test]
    fn an_edge_too_many_is_found_in_each_way_to_write_it() {
        for line in [
            "[dependencies]\nmuster-act.workspace = true",
            "[dependencies]\nmuster-act = { path = \"../act\" }",
            "[dependencies]\nx = { package = \"muster-act\", path = \"../act\" }",
            "[dependencies.muster-act]\nworkspace = true",
            "[target.'cfg(unix)'.dependencies]\nmuster-act.workspace = true",
            "[build-dependencies]\nmuster-act.workspace = true",
            "[dev-dependencies]\nmuster-act.workspace = true",
        ] {
            let findings = of("crates/model/Cargo.toml", line);
            assert_eq!(findings.len(), 1, "{line}: {findings:?}");
            assert!(findings[0].contains("`model` depends on `act`"), "{findings:?}");
        }
        assert_eq!(
            of(
                "xtask/Cargo.toml",
                "[dependencies]\nmuster-model.workspace = true"
            )
            .len(),
            1
        );
    }

    #[test]
    fn an_edge_too_few_and_an_unknown_crate_are_found() {
        assert!(
            of("crates/rules/Cargo.toml", "[dependencies]\n")[0].contains("no longer depends on `model`")
        );
        assert!(of("crates/new/Cargo.toml", "")[0].contains("not in the picture"));
    }
}
