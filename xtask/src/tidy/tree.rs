//! A tree of text files, real or made up for a test, and what a check says about it.

use std::fmt;
use std::path::Path;

use anyhow::{Context, Result};

use super::lexer;
use crate::children;

/// One text file.
pub(super) struct File {
    /// From the root, with `/`.
    pub(super) path: String,
    pub(super) text: String,
    /// Whether its module is declared under `#[cfg(test)]`.
    for_tests: bool,
}

/// One line of Rust.
pub(super) struct Line {
    /// From 1.
    pub(super) number: usize,
    /// Without comments.
    pub(super) code: String,
    /// Without comments and without what stands in quotes.
    pub(super) bare: String,
    /// Whether it belongs to a test.
    pub(super) test: bool,
}

impl File {
    /// `foo` of `src/foo.rs`.
    pub(super) fn stem(&self) -> &str {
        let name = self.path.rsplit('/').next().unwrap_or_default();
        name.rsplit_once('.').map_or(name, |(stem, _)| stem)
    }

    /// `rs`.
    pub(super) fn ext(&self) -> &str {
        self.path.rsplit_once('.').map_or("", |(_, ext)| ext)
    }

    /// Its crate's folder, such as `model`.
    pub(super) fn crate_name(&self) -> Option<&str> {
        self.path.strip_prefix("crates/")?.split_once('/').map(|(c, _)| c)
    }

    /// Whether all of it is test code.
    pub(super) fn is_test(&self) -> bool {
        self.for_tests
            || self.path.contains("/tests/")
            || self.path.contains("/benches/")
            || self.stem() == "tests"
    }

    /// The lines of a Rust file.
    pub(super) fn lines(&self) -> Vec<Line> {
        let (code, bare) = lexer::strip(&self.text);
        let mut lines: Vec<Line> = code
            .lines()
            .zip(bare.lines())
            .enumerate()
            .map(|(i, (code, bare))| Line {
                number: i + 1,
                code: code.to_owned(),
                bare: bare.to_owned(),
                test: self.is_test(),
            })
            .collect();
        mark_tests(&mut lines);
        lines
    }

    /// Line numbers and raw lines.
    pub(super) fn raw(&self) -> impl Iterator<Item = (usize, &str)> {
        self.text.lines().enumerate().map(|(i, line)| (i + 1, line))
    }
}

/// What stands under `#[cfg(test)]`, by the indentation that rustfmt guarantees.
fn mark_tests(lines: &mut [Line]) {
    let mut i = 0;
    while i < lines.len() {
        if lines[i].bare.trim() != "#[cfg(test)]" {
            i += 1;
            continue;
        }
        let indent = indentation(&lines[i].bare);
        let mut opened = false;
        let item = i + 1;
        while i < lines.len() {
            lines[i].test = true;
            let line = lines[i].bare.trim_end();
            i += 1;
            opened = opened || line.ends_with('{');
            let ends = !opened && (line.ends_with(';') || (line.ends_with(',') && i == item + 1));
            if ends || (opened && indentation(line) == indent && line.trim_start().starts_with('}')) {
                break;
            }
        }
    }
}

/// The files of modules that are declared here for tests only.
fn test_modules(file: &File) -> Vec<String> {
    let lines = file.lines().into_iter().filter(|l| l.test);
    let folder = match file.path.rsplit_once('/') {
        Some((folder, "lib.rs" | "main.rs")) => folder,
        _ => file.path.trim_end_matches(".rs"),
    };
    lines
        .filter_map(|l| {
            let name = l.bare.trim().strip_suffix(';')?.rsplit_once("mod ")?.1.to_owned();
            Some(format!("{folder}/{name}.rs"))
        })
        .collect()
}

fn indentation(line: &str) -> usize {
    line.len() - line.trim_start().len()
}

/// The files of a checkout.
pub(super) struct Tree {
    /// Where it is on this machine; no file may say so.
    pub(super) root: String,
    pub(super) files: Vec<File>,
}

impl Tree {
    /// What git tracks or would track, so that a new file is judged before it is committed.
    pub(super) fn read(root: &Path) -> Result<Self> {
        let root_text = root.to_string_lossy().into_owned();
        let listed = children::output(
            &[
                "git",
                "ls-files",
                "-z",
                "--cached",
                "--others",
                "--exclude-standard",
            ],
            Some(root),
        );
        // Without git (an unpacked archive, or another user's checkout) everything that is there counts.
        let mut paths = match listed {
            Ok(text) => text
                .split('\0')
                .filter(|p| !p.is_empty())
                .map(str::to_owned)
                .collect(),
            Err(_) => walk(root, "")?,
        };
        paths.sort();
        paths.dedup();
        let mut files = Vec::new();
        for path in paths {
            let full = root.join(&path);
            if !full.is_file() {
                continue; // deleted, not committed yet
            }
            let bytes = std::fs::read(&full).with_context(|| format!("{path} cannot be read"))?;
            files.push(File {
                path,
                text: String::from_utf8_lossy(&bytes).into_owned(),
                for_tests: false,
            });
        }
        Ok(Self::new(root_text, files))
    }

    fn new(root: String, mut files: Vec<File>) -> Self {
        let declared: Vec<String> = files
            .iter()
            .filter(|f| f.ext() == "rs")
            .flat_map(test_modules)
            .collect();
        for file in &mut files {
            file.for_tests = declared.contains(&file.path);
        }
        Self { root, files }
    }

    /// A made-up tree.
    #[cfg(test)]
    pub(super) fn of(files: &[(&str, &str)]) -> Self {
        let files = files.iter().map(|(path, text)| File {
            path: (*path).to_owned(),
            text: (*text).to_owned(),
            for_tests: false,
        });
        Self::new("/somewhere/checkout".to_owned(), files.collect())
    }

    /// Files below a folder with an extension.
    pub(super) fn under<'a>(&'a self, folder: &'a str, ext: &'a str) -> impl Iterator<Item = &'a File> {
        self.files
            .iter()
            .filter(move |f| f.path.starts_with(folder) && f.ext() == ext)
    }

    /// One file.
    pub(super) fn get(&self, path: &str) -> Option<&File> {
        self.files.iter().find(|f| f.path == path)
    }
}

fn walk(root: &Path, below: &str) -> Result<Vec<String>> {
    let mut all = Vec::new();
    for entry in std::fs::read_dir(root.join(below))? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let path = if below.is_empty() {
            name.clone()
        } else {
            format!("{below}/{name}")
        };
        let kind = entry.file_type()?;
        if kind.is_file() {
            all.push(path);
        } else if kind.is_dir() && name != ".git" && name != "target" {
            all.extend(walk(root, &path)?);
        }
    }
    Ok(all)
}

/// What a check says.
#[derive(Debug)]
pub(super) struct Finding {
    pub(super) file: String,
    /// 0 for the whole file.
    pub(super) line: usize,
    /// `L4`, or the name of a house check.
    pub(super) law: &'static str,
    pub(super) what: String,
    /// What to do.
    pub(super) remedy: String,
}

impl Finding {
    /// One.
    pub(super) fn new(
        file: &str,
        line: usize,
        law: &'static str,
        what: impl Into<String>,
        remedy: &str,
    ) -> Self {
        Self {
            file: file.to_owned(),
            line,
            law,
            what: what.into(),
            remedy: remedy.to_owned(),
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let line = self.line.max(1);
        write!(
            f,
            "{}:{line}: {}: {}; {}",
            self.file, self.law, self.what, self.remedy
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn test_code_is_known_by_its_module_or_its_file() {
        let text = "fn a() {}\n#[cfg(test)]\nuse x::y;\nfn b() {}\n#[cfg(test)]\nmod tests {\n    fn c() {\n    }\n}\nfn d() {}\n";
        let tree = Tree::of(&[("crates/a/src/x.rs", text), ("crates/a/tests/it/x.rs", text)]);
        let marks = |i: usize| tree.files[i].lines().iter().map(|l| l.test).collect::<Vec<_>>();
        assert_eq!(
            marks(0),
            [false, true, true, false, true, true, true, true, true, false]
        );
        assert!(marks(1).iter().all(|t| *t));
    }

    #[test]
    fn a_module_for_tests_is_test_code_in_its_own_file() {
        let tree = Tree::of(&[
            ("crates/a/src/x.rs", "mod real;\n#[cfg(test)]\nmod sample;\n"),
            ("crates/a/src/x/real.rs", ""),
            ("crates/a/src/x/sample.rs", ""),
        ]);
        let marks: Vec<bool> = tree.files.iter().map(File::is_test).collect();
        assert_eq!(marks, [false, false, true]);
    }

    #[test]
    fn a_finding_says_where_which_law_what_and_what_to_do() {
        let finding = Finding::new("a.rs", 7, "L4", "this", "do that");
        assert_eq!(finding.to_string(), "a.rs:7: L4: this; do that");
    }
}
