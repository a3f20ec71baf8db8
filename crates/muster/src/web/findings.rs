//! Findings that belong to no open incident.

use std::collections::BTreeSet;

use maud::{Markup, html};

use super::overall::is_open;
use super::words::{ago, chip, sentence, severity};
use crate::view::View;

/// The list.
pub(super) fn render(view: &View) -> Markup {
    let told: BTreeSet<String> = view
        .stories
        .iter()
        .filter(|s| is_open(s))
        .flat_map(|s| s.incident.findings.iter().chain([&s.incident.finding]))
        .map(muster_model::Finding::key)
        .collect();
    let loose: Vec<_> = view
        .clusters
        .iter()
        .flat_map(|c| &c.findings)
        .filter(|f| !told.contains(&f.key()))
        .collect();
    html! {
        @if !loose.is_empty() {
            h2 { "Findings without incident" }
            ul.findings {
                @for f in loose {
                    li {
                        (severity(f.severity))
                        div {
                            p { (sentence(&f.summary)) @if f.pending { " " (chip("unknown", "needs a longer look")) } }
                            p.muted {
                                code { (f.kind) } " · " (f.target)
                                @if f.subject.0 != f.target { " · " (f.subject) }
                                " · since " (ago(f.since, view.at))
                                @if let Some(r) = &f.remedy { " · answered by " code { (r.runbook) } }
                            }
                        }
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::sample;
    use super::*;

    #[test]
    fn what_an_incident_tells_is_not_told_twice() {
        let html = render(&sample::leak()).into_string();
        assert!(html.contains("transactions.long") && !html.contains("connections.leak"));
    }
}
