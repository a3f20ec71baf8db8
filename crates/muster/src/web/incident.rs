//! The open incidents: cause in plain words, symptoms merged under it, the drawing, the plan, the run, the timeline.

use maud::{Markup, html};
use muster_model::{Finding, RunState, Time};

use super::overall::is_open;
use super::words::{ago, fact, incident_severity, incident_state, sentence};
use super::{plan, progress, svg_locks, svg_pool, timeline};
use crate::view::{Story, View};

/// All open incidents, the newest first within the order of the view.
pub(super) fn render(view: &View) -> Markup {
    let open: Vec<&Story> = view.stories.iter().filter(|s| is_open(s)).collect();
    html! {
        @if open.is_empty() {
            h2 { "No open incident" }
            @if view.clusters.is_empty() { p.muted { "No cluster is watched, so none can be seen." } }
        } @else {
            h2 { @if open.len() == 1 { "Open incident" } @else { "Open incidents (" (open.len()) ")" } }
            @for story in open { (one(story, view.at)) }
        }
    }
}

fn one(story: &Story, today: Time) -> Markup {
    let i = &story.incident;
    let drawing = draw(&i.finding, &format!("{}-now", i.id));
    let onset = story.onset.iter().find(|f| f.key() == i.finding.key());
    let onset = onset.filter(|f| f.evidence != i.finding.evidence);
    let onset = onset.and_then(|f| draw(f, &format!("{}-onset", i.id)));
    html! {
        article.incident id={ "incident-" (i.id) } {
            header.incident-head {
                (incident_severity(i.severity))
                h3 { (sentence(&i.finding.summary)) }
                (incident_state(i.state))
            }
            dl.facts {
                (fact("cause", &html! { code { (i.cause.kind) } }))
                (fact("where", &html! { (i.target) }))
                @if i.cause.subject.0 != i.target { (fact("what", &html! { (i.cause.subject) })) }
                (fact("onset", &ago(i.opened_at, today)))
                (fact("detected", &html! {
                    (ago(i.detected_at, today))
                    span.muted { " · " (i.detected_at.since(i.opened_at).human()) " after onset" }
                }))
                @if let Some(t) = i.first_action_at { (fact("first change", &ago(t, today))) }
                @match &story.taken {
                    Some((who, at)) => (fact("in hand of", &html! { (who) span.muted { " since " (at.clock()) } })),
                    None => (fact("in hand of", &html! { span.muted { "nobody: " } code { "muster ack " (i.id) } })),
                }
                (fact("incident", &html! { code { (i.id) } }))
            }
            div.split {
                div { (symptoms(story)) (ruled_out(&i.finding)) }
                @if drawing.is_some() || onset.is_some() {
                    div.drawings {
                        @if let Some(svg) = &drawing {
                            figure { (svg) figcaption.muted { "as last seen, " time datetime=(i.last_seen_at) { (i.last_seen_at.clock()) } } }
                        }
                        @if let Some(svg) = &onset {
                            details data-key={ "onset-" (i.id) } open[drawing.is_none()] {
                                summary { "at onset" }
                                figure { (svg) }
                            }
                        }
                    }
                }
            }
            @for (p, r) in story.runs.iter().rev() {
                @if r.state == RunState::WaitingApproval { (plan::render(p, r, today)) }
                @else { (progress::render(p, r, today)) }
            }
            h4 { "Timeline" }
            (timeline::render(&i.id, &story.timeline, today))
        }
    }
}

/// So many symptoms of one kind are told; of the rest only how many.
const ALIKE: usize = 3;

/// Symptoms with their own sentence where a finding has one.
pub(super) fn symptoms(story: &Story) -> Markup {
    let i = &story.incident;
    html! {
        @if !i.symptoms.is_empty() {
            h4 { "Symptoms of it" }
            ul.merged {
                @for kind in &i.symptoms {
                    @let told: Vec<&Finding> = i.findings.iter().filter(|f| &f.kind == kind).collect();
                    @if told.is_empty() { li { code { (kind) } } }
                    @for f in told.iter().take(ALIKE) { li { code { (kind) } " " (f.summary) span.muted { " · " (f.target) } } }
                    @if told.len() > ALIKE { li.muted { "and " (told.len() - ALIKE) " more of " code { (kind) } } }
                }
            }
        }
    }
}

/// What was looked at and is not the cause.
pub(super) fn ruled_out(finding: &Finding) -> Markup {
    html! {
        @if !finding.ruled_out.is_empty() {
            h4 { "Ruled out" }
            ul.merged { @for r in &finding.ruled_out { li { (r) } } }
        }
    }
}

/// The drawing that belongs to a kind, when its evidence has what it needs.
pub(super) fn draw(finding: &Finding, key: &str) -> Option<Markup> {
    match finding.kind.split_once('.')?.0 {
        "locks" => svg_locks::draw(&finding.evidence, key),
        "pool" | "connections" => svg_pool::draw(&finding.evidence, key),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::sample;
    use super::*;

    #[test]
    fn cause_symptoms_and_ruled_out_are_told() {
        let html = render(&sample::leak()).into_string();
        assert!(html.contains("connections.leak") && html.contains("pool.exhausted"));
        assert!(html.contains("Ruled out") && html.contains("pool.too_small: the connections do nothing"));
        assert!(html.contains("6s after onset") && html.contains("<svg"));
    }

    #[test]
    fn nothing_is_drawn_from_evidence_without_the_data() {
        let mut view = sample::leak();
        view.stories[0].incident.finding.evidence.clear();
        view.stories[0].onset.clear();
        assert!(!render(&view).into_string().contains("<svg"));
    }

    #[test]
    fn no_incident_is_not_the_same_as_nobody_looking() {
        let mut view = sample::calm();
        assert!(!render(&view).into_string().contains("none can be seen"));
        view.clusters.clear();
        assert!(render(&view).into_string().contains("none can be seen"));
    }
}
