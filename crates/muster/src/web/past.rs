//! Incidents that are over, each folded to one line.

use maud::{Markup, html};
use muster_model::Time;

use super::overall::is_open;
use super::words::{at, digest, fact, incident_severity, sentence};
use super::{incident, progress, timeline};
use crate::view::{Story, View};

/// The list.
pub(super) fn render(view: &View) -> Markup {
    let over: Vec<&Story> = view.stories.iter().filter(|s| !is_open(s)).collect();
    html! {
        @if !over.is_empty() {
            h2 { "Past incidents" }
            @for story in over { (one(story, view.at)) }
        }
    }
}

fn one(story: &Story, today: Time) -> Markup {
    let i = &story.incident;
    let first = story
        .onset
        .iter()
        .find(|f| f.key() == i.finding.key())
        .unwrap_or(&i.finding);
    html! {
        details.over data-key={ "past-" (i.id) } {
            summary {
                (incident_severity(i.severity))
                span.over-what { (sentence(&i.finding.summary)) }
                span.muted {
                    (i.target) " · " (at(i.opened_at, today))
                    @if let Some(t) = i.resolved_at { " · over after " (t.since(i.opened_at).human()) }
                }
            }
            div.over-body {
                p { @match &i.resolution { Some(r) => (sentence(r)), None => "Nobody wrote down how it ended." } }
                dl.facts {
                    (fact("cause", &html! { code { (i.cause.kind) } }))
                    (fact("incident", &html! { code { (i.id) } }))
                    @if let Some(t) = i.first_action_at { (fact("first change", &at(t, today))) }
                    @if let Some(t) = i.resolved_at { (fact("over", &at(t, today))) }
                }
                @for (plan, run) in &story.runs {
                    p {
                        @if let Some(o) = run.outcome { (progress::run_outcome(o)) " " }
                        (run.runbook.title) " · " (digest(&plan.digest)) " · " (run.detail)
                    }
                }
                (incident::symptoms(story))
                (incident::ruled_out(&i.finding))
                @if let Some(svg) = incident::draw(first, &format!("{}-past", i.id)) {
                    figure { (svg) figcaption.muted { "at onset" } }
                }
                h4 { "Timeline" }
                (timeline::render(&i.id, &story.timeline, today))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::sample;
    use super::*;

    #[test]
    fn past_incidents_are_folded_and_tell_how_they_ended() {
        let html = render(&sample::leak()).into_string();
        assert!(
            html.contains("<details class=\"over\"") && !html.contains(" open>") && !html.contains(" open ")
        );
        assert!(html.contains("over after 41s") && html.contains("2026-11-19"));
    }
}
