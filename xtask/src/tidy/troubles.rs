//! Every built-in runbook has its line in the harness of troubles, and one that changes something its line in the kill test.

use super::tree::{File, Finding, Tree};

const HARNESS: &str = "crates/muster/tests/it/harness.rs";
const CRASH: &str = "crates/muster/tests/it/crash.rs";

pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for runbook in tree.under("runbooks/", "yaml") {
        let wanted = [(HARNESS, true), (CRASH, changes(runbook))];
        for (test, _) in wanted.into_iter().filter(|(_, wanted)| *wanted) {
            let name = runbook.stem().replace('-', "_");
            let line = format!("fn {name}()");
            if !tree.get(test).is_some_and(|f| f.text.contains(&line)) {
                findings.push(Finding::new(
                    &runbook.path,
                    1,
                    "troubles",
                    format!("{test} has no `{line}`"),
                    "add its line: a runbook that nobody troubled has not passed muster",
                ));
            }
        }
    }
    findings
}

/// Whether a step of it acts.
fn changes(runbook: &File) -> bool {
    runbook
        .raw()
        .any(|(_, line)| line.trim_start().trim_start_matches("- ").starts_with("action:"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_runbook_that_nobody_troubled_is_found() {
        let reads = ("runbooks/look-at.yaml", "steps:\n  - id: a\n    probe: x@1\n");
        let acts = ("runbooks/end-it.yaml", "steps:\n  - action: x@1\n    id: a\n");
        let said = |files: &[(&str, &str)]| {
            let found = check(&Tree::of(files));
            found.iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        assert_eq!(said(&[reads]).len(), 1);
        assert_eq!(said(&[acts]).len(), 2);
        let harness = (HARNESS, "async fn look_at() {}\nasync fn end_it() {}");
        assert_eq!(said(&[reads, harness]).len(), 0);
        let left = said(&[acts, harness]);
        assert!(left.len() == 1 && left[0].contains("crash.rs"), "{left:?}");
        assert_eq!(said(&[acts, harness, (CRASH, "async fn end_it() {}")]).len(), 0);
    }
}
