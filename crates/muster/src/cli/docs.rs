//! The generated reference pages and schemas: written, or compared with what is there.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use muster_model::Kind;
use serde_json::{Value, json};

use super::exit::Failure;
use super::print;
use crate::app::BUILT_IN;

/// Every generated file: path from the repository's root, and text.
///
/// # Errors
/// When a built-in runbook or drill is wrong.
pub fn generated() -> Result<Vec<(PathBuf, String)>, Failure> {
    let signatures = muster_act::signatures();
    let mut out: Vec<(PathBuf, String)> = Vec::new();
    let mut page = |path: String, text: String| out.push((PathBuf::from(path), text));
    for c in muster_observe::collectors() {
        let text = format!(
            "# {}\n\nCollector · every {} · needs {}\n\n{}\n\nReads: {}.\n\nWhat it may not read becomes a gap: {}.\n",
            c.name, c.cadence, c.needs, c.about, c.reads, c.gap
        );
        page(format!("docs/reference/collectors/{}.md", c.name), text);
    }
    let books: Vec<muster_runbooks::Runbook> = BUILT_IN
        .iter()
        .filter_map(|(file, text)| muster_runbooks::check(file, text, &signatures).ok())
        .collect();
    let mut index = String::from(
        "# Finding kinds\n\nEvery kind has a self-test: it finds its specimen and leaves its look-alike alone. The daemon plays them every \
         ten minutes with the thresholds in force; `muster explain KIND` says when it was last proved able to fire.\n\n| kind | what |\n|---|---|\n",
    );
    for r in muster_rules::catalogue() {
        let _ = writeln!(index, "| [`{}`]({}.md) | {} |", r.kind, r.kind, r.title);
        page(
            format!("docs/reference/findings/{}.md", r.kind),
            finding_page(&r, &books),
        );
    }
    page("docs/reference/findings/README.md".to_owned(), index);
    for s in &signatures {
        let folder = if s.kind == Kind::Probe {
            "probes"
        } else {
            "actions"
        };
        let stem = s.name.split('@').next().unwrap_or(&s.name);
        page(
            format!("docs/reference/{folder}/{stem}.md"),
            muster_act::reference_page(s),
        );
    }
    for (file, text) in BUILT_IN {
        let book = muster_runbooks::check(file, text, &signatures).map_err(crate::app::AppError::Runbooks)?;
        page(
            format!("docs/reference/runbooks/{}.md", book.id),
            muster_runbooks::reference_page(&book, &signatures),
        );
    }
    for drill in crate::drill::built_in()? {
        page(format!("docs/reference/drills/{}.md", drill.id), drill.page());
    }
    let mut titles: Vec<(String, String)> = out
        .iter()
        .filter(|(path, _)| path.file_name().is_some_and(|n| n != "README.md"))
        .map(|(path, text)| {
            let path = path
                .strip_prefix("docs/reference")
                .unwrap_or(path)
                .display()
                .to_string();
            let title = text
                .lines()
                .next()
                .unwrap_or_default()
                .trim_start_matches("# ")
                .to_owned();
            (path, title)
        })
        .collect();
    titles.sort();
    let mut index = String::from(
        "# Reference\n\nGenerated from the code by `cargo xtask docs`; a test fails when a page is old.\n",
    );
    let mut folder = String::new();
    for (path, title) in &titles {
        let here = path.split('/').next().unwrap_or_default();
        if here != folder {
            folder = here.to_owned();
            let _ = write!(index, "\n## {}{}\n\n", here[..1].to_uppercase(), &here[1..]);
        }
        let _ = writeln!(index, "- [{title}]({path})");
    }
    out.push((PathBuf::from("docs/reference/README.md"), index));
    let mut schema = |name: &str, value: Value| {
        let text = serde_json::to_string_pretty(&value).unwrap_or_default() + "\n";
        out.push((PathBuf::from(format!("schema/{name}.json")), text));
    };
    schema("config", crate::config::schema::schema());
    schema("runbook", muster_runbooks::json_schema(&signatures));
    schema("finding", json!(schemars::schema_for!(muster_model::Finding)));
    schema("plan", json!(schemars::schema_for!(muster_model::Plan)));
    schema("incident", json!(schemars::schema_for!(muster_model::Incident)));
    schema(
        "journal",
        json!(schemars::schema_for!(muster_engine::journal::Entry)),
    );
    schema("check", crate::shapes::check());
    schema("incident-list", crate::shapes::incident_list());
    schema("drill", crate::shapes::drill());
    Ok(out)
}

/// The page of one finding kind.
fn finding_page(r: &muster_rules::RuleInfo, books: &[muster_runbooks::Runbook]) -> String {
    let mut text = format!(
        "# {}\n\n`{}`\n\n## What it means and how it is seen\n\n{}\n\nNot this: {}\n",
        r.title, r.kind, r.about, r.ignores
    );
    if !r.needs.is_empty() {
        let needs: Vec<String> = r
            .needs
            .iter()
            .map(|n| format!("[{n}](../collectors/{n}.md)"))
            .collect();
        let _ = write!(
            text,
            "\nNeeds the collectors {}. Without them it says `unknown`, never healthy.\n",
            needs.join(", ")
        );
    }
    if !r.keys.is_empty() {
        text.push_str("\n## Thresholds\n\n| threshold | default | meaning |\n|---|---|---|\n");
        for k in r.keys {
            let _ = writeln!(text, "| `{}` | {} | {} |", k.key, k.default, k.about);
        }
        let _ = write!(
            text,
            "\nOverride: `thresholds: {{{}: {{{}: …}}}}` in `muster.yaml`.\n",
            r.kind, r.keys[0].key
        );
    }
    let _ = write!(text, "\n## What to do\n\n{}\n", r.advice);
    let answering: Vec<String> = books
        .iter()
        .filter(|b| b.answers.iter().any(|a| a == r.kind))
        .map(|b| format!("[`{}`](../runbooks/{}.md)", b.id, b.id))
        .collect();
    if answering.is_empty() {
        text.push_str("\nNo built-in runbook answers it.\n");
    } else {
        let _ = write!(text, "\nAnswered by the runbook {}.\n", answering.join(", "));
    }
    text
}

/// `muster docs`.
///
/// # Errors
/// When a page is missing or old, or cannot be written.
pub fn docs(root: &Path, write: bool) -> Result<u8, Failure> {
    let mut old = Vec::new();
    for (path, text) in generated()? {
        let file = root.join(&path);
        if std::fs::read_to_string(&file).is_ok_and(|t| t == text) {
            continue;
        }
        if write {
            let fail =
                |e: std::io::Error| Failure::new(1, format!("{}: {e}", file.display()), "check the folder");
            if let Some(dir) = file.parent() {
                std::fs::create_dir_all(dir).map_err(fail)?;
            }
            std::fs::write(&file, text).map_err(fail)?;
            print::line(format!("wrote {}", path.display()));
        } else {
            old.push(path.display().to_string());
        }
    }
    if old.is_empty() {
        return Ok(0);
    }
    Err(Failure::new(
        1,
        format!("not up to date: {}", old.join(", ")),
        "run `cargo xtask docs`",
    ))
}
