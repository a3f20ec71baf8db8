//! The timeline of an incident, oldest first; every line cites the journal entry it was made from.

use maud::{Markup, html};
use muster_model::{Time, TimelineEntry};

use super::words::{at, prose};

/// Lines that are always shown; older ones are folded, because the last ones say where things stand.
const SHOWN: usize = 40;

/// The list.
pub(super) fn render(key: &str, entries: &[TimelineEntry], today: Time) -> Markup {
    let (older, newer) = entries.split_at(entries.len().saturating_sub(SHOWN));
    html! {
        @if !older.is_empty() {
            details data-key={ "older-" (key) } {
                summary { (older.len()) " earlier entries" }
                (lines(older, today))
            }
        }
        (lines(newer, today))
    }
}

fn lines(entries: &[TimelineEntry], today: Time) -> Markup {
    html! {
        ol.timeline {
            @for e in entries {
                li class={ "tone-" (tone(&e.tone)) } {
                    span.when { (at(e.at, today)) }
                    span.what {
                        (prose(&e.text))
                        " "
                        span.cite title={ "journal entry " (e.entry) } { (e.cite()) }
                        @if e.who != "daemon" { span.who { " " (e.who) } }
                    }
                }
            }
        }
    }
}

/// Only the known tones have a colour; any other text is not let into a class.
fn tone(tone: &str) -> &'static str {
    const KNOWN: [&str; 7] = ["seen", "plan", "person", "act", "proof", "trouble", "end"];
    KNOWN.into_iter().find(|k| *k == tone).unwrap_or("seen")
}

#[cfg(test)]
mod tests {
    use super::super::sample;
    use super::*;

    #[test]
    fn entries_are_cited_in_order_and_old_ones_folded() {
        let story = &sample::leak().stories[0];
        let few = render("k", &story.timeline, story.incident.detected_at).into_string();
        assert!(few.contains(&format!("[{}]", story.timeline[0].entry)) && !few.contains("earlier entries"));

        let many: Vec<TimelineEntry> = (0..100)
            .map(|n| TimelineEntry {
                entry: n,
                through: n,
                ..story.timeline[0].clone()
            })
            .collect();
        let folded = render("k", &many, story.incident.detected_at).into_string();
        assert!(folded.contains("60 earlier entries"));
        let place = |n: u64| folded.find(&format!("[{n}]")).expect("cited");
        assert!(place(0) < place(59) && place(59) < place(60) && place(60) < place(99));
    }
}
