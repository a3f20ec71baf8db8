//! The page: one [`View`] drawn as HTML, whole or by sections.
//!
//! Knows how things look and in which order a tired person needs them: the incident and its plan first, the fleet
//! beside it. Refuses to know where the picture comes from or how it is served; it draws what it is given, so the same
//! view is always the same bytes. No inline script or style, so `Content-Security-Policy: default-src 'self'` holds.

use maud::{DOCTYPE, Markup, PreEscaped, html};

use crate::view::View;

mod findings;
mod fleet;
mod gaps;
mod header;
mod incident;
mod overall;
mod past;
mod pipeline;
mod plan;
mod progress;
#[cfg(test)]
pub(crate) mod sample;
mod svg_locks;
mod svg_pool;
mod timeline;
mod words;

/// The style sheet, served at `/assets/muster.css`.
pub const CSS: &str = include_str!("web/assets/muster.css");
/// The script, served at `/assets/muster.js`.
pub const JS: &str = include_str!("web/assets/muster.js");
/// The icon, served at `/favicon.svg`.
pub const FAVICON: &str = include_str!("web/assets/favicon.svg");

/// Every section: its id on the page and what stands in it. The same view gives the same text, so a caller that
/// remembers the last one sends only what changed.
#[must_use]
pub fn sections(view: &View) -> Vec<(&'static str, String)> {
    [
        ("header", header::render(view)),
        ("notices", header::notices(view)),
        ("pipeline", pipeline::render(view)),
        ("incidents", incident::render(view)),
        ("findings", findings::render(view)),
        ("past", past::render(view)),
        ("fleet", fleet::render(view)),
        ("gaps", gaps::render(view)),
    ]
    .into_iter()
    .map(|(id, html)| (id, html.into_string()))
    .collect()
}

/// The whole page.
#[must_use]
pub fn page(view: &View) -> String {
    let drawn = sections(view);
    let inner = |id: &str| {
        PreEscaped(
            drawn
                .iter()
                .find(|(i, _)| *i == id)
                .map_or(String::new(), |(_, html)| html.clone()),
        )
    };
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (overall::judge(view).word) " · Muster" }
                link rel="icon" type="image/svg+xml" href="/favicon.svg";
                link rel="stylesheet" href="/assets/muster.css";
                script src="/assets/muster.js" defer {}
            }
            body data-live="off" {
                a.skip href="#incidents" { "Skip to incidents" }
                header #header { (inner("header")) }
                main {
                    div #notices { (inner("notices")) }
                    nav #pipeline aria-label="Stage of the newest open incident" { (inner("pipeline")) }
                    div.columns {
                        div.story {
                            section #incidents tabindex="-1" aria-label="Open incidents" { (inner("incidents")) }
                            section #findings aria-label="Findings without incident" { (inner("findings")) }
                            section #past aria-label="Past incidents" { (inner("past")) }
                        }
                        div.beside {
                            section #fleet aria-label="Fleet" { (inner("fleet")) }
                            section #gaps aria-label="What Muster cannot see" { (inner("gaps")) }
                        }
                    }
                }
                p #announce .sr role="status" {}
                (sign_dialog())
            }
        }
    }
    .into_string()
}

/// The dialog that asks who signs. It stands outside the sections, so an update never closes it.
fn sign_dialog() -> Markup {
    html! {
        dialog #sign aria-labelledby="sign-title" {
            form #sign-form {
                h2 #sign-title {}
                p #sign-what .muted {}
                div #sign-token-row {
                    label {
                        "Your token"
                        input #sign-token name="token" type="password" autocomplete="off" spellcheck="false"
                            aria-describedby="sign-token-help";
                    }
                    p #sign-token-help .muted {
                        "It says who you are; an admin makes it with " code { "muster auth add NAME --role approver" }
                        ". That of the user who runs Muster is in the file " code { "approval.token" }
                        " of the state folder; " code { "muster up" } " prints its path. This tab remembers it until it is closed."
                    }
                }
                label { span #sign-why-label {} textarea #sign-why name="why" rows="2" {} }
                div.buttons {
                    button #sign-go .primary type="submit" {}
                    button #sign-cancel type="button" { "Not now" }
                    button #sign-forget .quiet type="button" { "Forget my token" }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_strict_policy_holds_no_inline_style_or_script() {
        let html = page(&sample::leak());
        assert!(
            !html.contains(" style=\"") && !html.contains("<style"),
            "inline style"
        );
        assert_eq!(html.matches("<script").count(), 1, "only the one file");
        assert!(!html.contains(" onclick") && !html.contains("javascript:"));
        assert!(
            !html.contains("http://") && !html.contains("https://"),
            "an address outside"
        );
    }

    #[test]
    fn every_section_has_its_place_on_the_page() {
        let view = sample::leak();
        let html = page(&view);
        for (id, inner) in sections(&view) {
            assert_eq!(html.matches(&format!(" id=\"{id}\"")).count(), 1, "{id}");
            assert!(html.contains(&inner), "{id}");
        }
    }

    #[test]
    fn the_same_view_is_the_same_bytes_and_ids_are_unique() {
        let view = sample::leak();
        let html = page(&view);
        assert_eq!(html, page(&view));
        let mut ids: Vec<&str> = html
            .split(" id=\"")
            .skip(1)
            .filter_map(|rest| rest.split('"').next())
            .collect();
        let all = ids.len();
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), all, "an id stands twice");
    }

    #[test]
    fn hostile_text_is_escaped_everywhere() {
        let evil = "<img src=x onerror=alert(1)>\"'&";
        let view = sample::with_text(evil);
        let html = page(&view);
        assert!(
            !html.contains("<img"),
            "{}",
            html.split("<img").next().unwrap_or_default().len()
        );
        assert!(
            html.matches("&lt;img").count() >= 20,
            "the text must be shown, only escaped"
        );
        // Within attributes the quote is what matters.
        assert!(!html.contains("alert(1)>\""));
    }

    #[test]
    fn what_changes_from_pass_to_pass_alone_is_only_the_header() {
        let before = sample::leak();
        let mut after = before.clone();
        after.at = before.at.plus(muster_model::Span::from_secs(1));
        let changed: Vec<&str> = sections(&before)
            .into_iter()
            .zip(sections(&after))
            .filter(|(a, b)| a != b)
            .map(|(a, _)| a.0)
            .collect();
        assert_eq!(changed, ["header"]);
    }

    /// For the eye: the page and its assets, as files to open in a browser.
    #[test]
    fn the_page_can_be_looked_at() {
        let dir = std::path::Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../target/page"));
        std::fs::create_dir_all(dir.join("assets")).expect("a folder for the page");
        let local = |html: String| {
            html.replace("\"/assets/", "\"assets/")
                .replace("\"/favicon", "\"favicon")
        };
        for (name, view) in [
            ("leak.html", sample::leak()),
            ("locks.html", sample::locks(150)),
            ("calm.html", sample::calm()),
            ("dark-spots.html", sample::blind()),
        ] {
            std::fs::write(dir.join(name), local(page(&view))).expect("page written");
        }
        for (name, text) in [
            ("assets/muster.css", CSS),
            ("assets/muster.js", JS),
            ("favicon.svg", FAVICON),
        ] {
            std::fs::write(dir.join(name), text).expect("asset written");
        }
        let written = std::fs::read_to_string(dir.join("leak.html")).expect("page read");
        assert!(written.starts_with("<!DOCTYPE html>") && written.ends_with("</html>"));
    }
}
