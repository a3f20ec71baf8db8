//! The set of runbooks: built in, then the user's folders; a later one overrides an earlier one of the same id.

use std::collections::BTreeMap;

use crate::ir::{Runbook, StepBody};

/// A runbook and the file it came from.
#[derive(Clone, Debug, PartialEq)]
pub struct Shelved {
    /// The runbook.
    pub runbook: Runbook,
    /// File as it was named.
    pub file: String,
    /// Its text.
    pub text: String,
    /// File that it overrides.
    pub overrides: Option<String>,
}

/// All runbooks by id.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Library {
    shelf: BTreeMap<String, Shelved>,
}

impl Library {
    /// Adds one; one of the same id is overridden.
    pub fn add(&mut self, runbook: Runbook, file: &str, text: &str) {
        let overrides = self.shelf.get(&runbook.id).map(|s| s.file.clone());
        let shelved = Shelved {
            file: file.to_owned(),
            text: text.to_owned(),
            overrides,
            runbook,
        };
        self.shelf.insert(shelved.runbook.id.clone(), shelved);
    }

    /// Checks what only the whole set can show: two answers to one kind, calls that lead nowhere or in a circle.
    ///
    /// # Errors
    /// One sentence each.
    pub fn check(&self) -> Result<(), Vec<String>> {
        let mut problems = Vec::new();
        let mut answers: BTreeMap<&str, &str> = BTreeMap::new();
        for shelved in self.shelf.values() {
            for kind in &shelved.runbook.answers {
                if let Some(other) = answers.insert(kind, &shelved.runbook.id) {
                    problems.push(format!(
                        "both `{other}` and `{}` answer {kind}; at most one may (take it out of `answers` in {})",
                        shelved.runbook.id, shelved.file
                    ));
                }
            }
            self.calls(
                &shelved.runbook,
                &mut vec![shelved.runbook.id.clone()],
                &mut problems,
            );
        }
        if problems.is_empty() {
            Ok(())
        } else {
            Err(problems)
        }
    }

    fn calls(&self, runbook: &Runbook, path: &mut Vec<String>, problems: &mut Vec<String>) {
        for step in &runbook.steps {
            let StepBody::Call { runbook: called, .. } = &step.body else {
                continue;
            };
            if path.contains(called) {
                problems.push(format!(
                    "runbooks call each other in a circle: {} -> {called}",
                    path.join(" -> ")
                ));
                continue;
            }
            match self.get(called) {
                None => problems.push(format!("`{}` calls `{called}`, which does not exist", runbook.id)),
                Some(next) => {
                    path.push(called.clone());
                    self.calls(next, path, problems);
                    path.pop();
                }
            }
        }
    }

    /// A runbook by its id.
    #[must_use]
    pub fn get(&self, id: &str) -> Option<&Runbook> {
        self.shelf.get(id).map(|s| &s.runbook)
    }

    /// The runbook that answers a finding kind.
    #[must_use]
    pub fn answers(&self, kind: &str) -> Option<&Runbook> {
        self.shelf
            .values()
            .map(|s| &s.runbook)
            .find(|r| r.answers.iter().any(|a| a == kind))
    }

    /// All, by id.
    pub fn iter(&self) -> impl Iterator<Item = &Shelved> {
        self.shelf.values()
    }
}
