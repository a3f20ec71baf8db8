//! Reference pages of probes and actions, from their signatures.

use std::fmt::Write as _;

use muster_model::{Kind, Signature};

/// The page, as Markdown.
#[must_use]
pub fn reference_page(s: &Signature) -> String {
    let mut out = String::new();
    let kind = if s.kind == Kind::Probe { "Probe" } else { "Action" };
    let _ = writeln!(
        out,
        "# {}\n\n{kind} · risk: {}\n\n{}\n",
        s.name,
        s.risk.word(),
        s.about
    );
    if let Some(target) = &s.target {
        let _ = writeln!(out, "Works on one {target} at a time.\n");
    }
    if let Some(undo) = &s.undo {
        let _ = writeln!(out, "Undo: {undo}.\n");
    }
    for (title, fields) in [("Inputs", &s.params), ("Outputs", &s.outputs)] {
        if fields.is_empty() {
            continue;
        }
        if title == "Outputs" {
            let _ = writeln!(out, "## {title}\n\n| name | type | meaning |\n|---|---|---|");
            for f in fields {
                let _ = writeln!(out, "| `{}` | `{}` | {} |", f.name, f.ty.name(), f.about);
            }
            out.push('\n');
            continue;
        }
        let _ = writeln!(
            out,
            "## {title}\n\n| name | type | default | meaning |\n|---|---|---|---|"
        );
        for f in fields {
            let default = match &f.default {
                Some(v) => v.as_str().map_or_else(|| v.to_string(), str::to_owned),
                None if f.optional => "optional".to_owned(),
                None => "–".to_owned(),
            };
            let _ = writeln!(
                out,
                "| `{}` | `{}` | {default} | {} |",
                f.name,
                f.ty.name(),
                f.about
            );
        }
        out.push('\n');
    }
    out
}
