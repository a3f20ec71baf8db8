//! What Muster cannot see, and what would close it.

use maud::{Markup, html};

use super::words::prose;
use crate::view::View;

/// Gaps of collectors, then rules that could not decide.
pub(super) fn render(view: &View) -> Markup {
    let gaps: Vec<_> = view.clusters.iter().flat_map(|c| &c.snapshot.gaps).collect();
    let rules: Vec<_> = view.clusters.iter().flat_map(|c| &c.unknown).collect();
    html! {
        @if !gaps.is_empty() || !rules.is_empty() {
            h2 { "What Muster cannot see" }
            ul.gaps {
                @for g in gaps {
                    li {
                        p { (prose(&g.reason)) }
                        p.muted { (g.target) " · " (g.collector) }
                        @match &g.remedy {
                            Some(r) => { p.closes { "Closed by:" } pre.by-hand { (r) } }
                            None => p.muted { "Nothing is known that would close it." },
                        }
                    }
                }
                @for (kind, target, why) in rules {
                    li { p { code { (kind) } " cannot be decided: " (why) } p.muted { (target) } }
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
    fn a_gap_tells_what_would_close_it() {
        let html = render(&sample::blind()).into_string();
        assert!(html.contains("GRANT pg_monitor TO muster_watch") && html.contains("cannot be decided"));
        assert!(render(&sample::calm()).into_string().is_empty());
    }
}
