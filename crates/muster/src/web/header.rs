//! The head of the page: the one word, the age of what is shown, whether updates arrive; and the notices under it.

use maud::{Markup, html};

use super::overall::judge;
use super::words::{ago, health_class, prose};
use crate::view::View;

/// The head.
pub(super) fn render(view: &View) -> Markup {
    let overall = judge(view);
    // The oldest pass: the page is only as fresh as its stalest cluster.
    let pass = view.clusters.iter().map(|c| c.snapshot.taken_at).min();
    html! {
        div.bar data-now=(view.at) data-version=(view.version) data-word=(overall.word) {
            h1 { "Muster" }
            p class={ "state " (health_class(overall.health)) } {
                strong { (overall.word) }
                @if !overall.why.is_empty() { span.why { (overall.why) } }
            }
            p.pass {
                @if let Some(t) = pass { span.label { "last pass " } span #pass { (ago(t, view.at)) } span.utc { " UTC" } }
                @else { span.not-known { "no pass yet" } }
            }
            p.live {
                span.is-live { "live" }
                span.is-lost { "reconnecting" }
                span.is-off { "not updating" }
            }
            p.version { "v" (view.version) }
        }
    }
}

/// What every page must say.
pub(super) fn notices(view: &View) -> Markup {
    html! {
        @if !view.notices.is_empty() {
            ul.notices aria-label="Notices" {
                @for n in &view.notices { li { (prose(n)) } }
            }
        }
    }
}
