//! The fleet: every server, pooler and cache with what was read of it.
//!
//! What was not read says `unknown` in its own look, and so does what was read before a server fell silent.

use maud::{Markup, html};
use muster_model::policy::Autopilot;
use muster_model::snapshot::{AppView, CacheView, Pool, PoolerView, Reach, Role, Rung, ServerView};
use muster_model::standby;

use super::overall::of_component;
use super::words::{chip, count, fact, health, health_class, unknown};
use crate::view::{ClusterPicture, View};

/// All clusters.
pub(super) fn render(view: &View) -> Markup {
    html! {
        h2 { "Fleet" }
        @if view.clusters.is_empty() { p.muted { "No cluster is watched." } }
        @for c in &view.clusters { (cluster(c)) }
    }
}

fn cluster(c: &ClusterPicture) -> Markup {
    let primary = c.snapshot.primary();
    html! {
        h3.cluster { (c.name) span.muted { " " (autopilot(c.autopilot)) } }
        ul.fleet {
            @for s in &c.snapshot.servers { (part(c, &s.name, "PostgreSQL", &s.reach, &s.address, &server(primary, s))) }
            @for p in &c.snapshot.poolers { (part(c, &p.name, "PgBouncer", &p.reach, &p.address, &pooler(p))) }
            @for r in &c.snapshot.caches { (part(c, &r.name, "Redis", &r.reach, &r.address, &cache(r))) }
            @for a in &c.snapshot.apps { (part(c, &a.name, "application", &a.reach, &a.address, &app(a))) }
        }
    }
}

fn app(a: &AppView) -> Markup {
    let Some(health) = a.health.as_ref().map(|h| &h.value) else {
        return html! { (fact("health", &html! { span.muted { "not read" } })) };
    };
    let said = health.said.as_deref().unwrap_or("no word");
    html! {
        (fact("says", &html! { (health.status) " " (said) }))
        (fact("answers in", &html! { (format!("{:.0} ms", health.latency_ms)) }))
        @if let Some(pool) = &health.pool {
            (fact("pool", &html! { (pool.checked_out) " of " (pool.size + pool.overflow) " in use" }))
        }
    }
}

fn autopilot(a: Autopilot) -> &'static str {
    match a {
        Autopilot::Observe => "Muster observes",
        Autopilot::Propose => "Muster proposes, a person starts",
        Autopilot::Act => "Muster acts where policy and proof allow",
    }
}

fn part(
    c: &ClusterPicture,
    name: &str,
    product: &str,
    reach: &Reach,
    address: &str,
    facts: &Markup,
) -> Markup {
    let state = of_component(c, address, !matches!(reach, Reach::Unknown));
    html! {
        li class={ "part " (health_class(state)) } {
            p.part-head { strong title=(address) { (name) } span.muted { (product) } (health(state)) }
            dl.facts { (facts) (fact("reach", &reach_in_words(reach))) }
        }
    }
}

fn reach_in_words(reach: &Reach) -> Markup {
    match reach {
        Reach::Up => html! { "answers" },
        Reach::Full { reason } => html! { (chip("crit", "full")) " " (reason) },
        Reach::Starting { reason } => html! { (chip("warn", "starting")) " " (reason) },
        Reach::Down {
            rung,
            reason,
            misses,
            since,
        } => html! {
            (chip("crit", "down")) " " (rung_in_words(*rung)) ": " (reason) " · "
            (count(*misses as usize, "try", "tries")) " since " (since.clock())
        },
        Reach::Unknown => unknown("not tried yet"),
    }
}

fn rung_in_words(rung: Rung) -> &'static str {
    match rung {
        Rung::Dns => "its name does not resolve",
        Rung::Tcp => "nothing answers at its address",
        Rung::Tls => "TLS cannot be agreed on",
        Rung::Auth => "the login is refused",
        Rung::Database => "the database lets nobody in",
        Rung::Query => "a query gets no answer",
    }
}

fn server(primary: Option<&ServerView>, s: &ServerView) -> Markup {
    let silent = !s.answers();
    html! {
        (fact("role", &match (&s.identity, s.role()) {
            (Some(i), Some(role)) => html! {
                @match role { Role::Primary => "primary", Role::Standby => "standby" }
                @if silent { " " (unknown("as last read")) } @else { span.muted { " " (i.value.version) } }
            },
            _ => unknown(""),
        }))
        (fact("sessions", &sessions(s)))
        (fact("replication", &replication(primary, s)))
    }
}

fn sessions(s: &ServerView) -> Markup {
    match &s.activity {
        Some(a) if s.answers() && a.value.sees_all => {
            let used = a.value.sessions.iter().filter(|x| x.is_client()).count();
            let usable = a.value.max_connections.saturating_sub(a.value.reserved) as usize;
            html! { (used) " of " (usable) " " (bar(used, usable, false)) }
        }
        Some(_) if s.answers() => unknown("this role does not see all"),
        _ => unknown(""),
    }
}

/// A bar of a share; its colour changes where little is left.
fn bar(used: usize, of: usize, wide: bool) -> Markup {
    let filled = (used * 100).checked_div(of).unwrap_or(100).min(100);
    html! {
        svg class={ "meter" @if wide { " wide" } @if filled >= 95 { " crit" } @else if filled >= 80 { " warn" } }
            viewBox="0 0 100 8" preserveAspectRatio="none" aria-hidden="true" {
            rect.track x="0" y="0" width="100" height="8" {}
            rect.fill x="0" y="0" width=(filled) height="8" {}
        }
    }
}

fn replication(primary: Option<&ServerView>, s: &ServerView) -> Markup {
    match (s.role(), &s.replication) {
        (Some(Role::Standby), _) => {
            let state = standby::judge(primary, s);
            match state.word {
                "ok" => {
                    html! { "streams, " @if state.lag_bytes == 0 && state.lag.millis() == 0 { "caught up" } @else { "lag " (state.lag.human()) } @if !state.sync.is_empty() { span.muted { " " (state.sync) } } }
                }
                "unknown" => unknown(&state.why),
                word => html! {
                    (chip(if word == "replication.lagging" { "warn" } else { "crit" }, word.rsplit('.').next().unwrap_or(word)))
                    " " (state.why)
                },
            }
        }
        (Some(Role::Primary), Some(r)) if s.answers() && r.value.sees_all => {
            let streaming = r
                .value
                .senders
                .iter()
                .filter(|x| x.state.as_deref() == Some("streaming"))
                .count();
            html! {
                @if r.value.senders.is_empty() { "nobody streams from it" }
                @else { (streaming) " of " (count(r.value.senders.len(), "standby streams", "standbys stream")) }
            }
        }
        (_, Some(_)) if s.answers() => unknown("this role does not see it"),
        _ => unknown(""),
    }
}

fn pooler(p: &PoolerView) -> Markup {
    let state = p
        .state
        .as_ref()
        .filter(|_| matches!(p.reach, Reach::Up | Reach::Full { .. }));
    html! {
        @match state {
            Some(s) => {
                @if s.value.pools.is_empty() { (fact("pools", &html! { "none in use" })) }
                @for pool in &s.value.pools {
                    (fact(&format!("{}/{}", pool.database, pool.user), &in_words(pool)))
                }
            }
            None => (fact("pools", &unknown(""))),
        }
    }
}

fn in_words(pool: &Pool) -> Markup {
    html! {
        (pool.sv_active) " active of "
        @if pool.size == 0 { (unknown("size")) } @else { (pool.size) }
        " · "
        @if pool.cl_waiting > 0 { strong.waits { (pool.cl_waiting) " waiting" } } @else { "0 waiting" }
        @if pool.size > 0 { " " (bar(pool.sv_active as usize, pool.size as usize, true)) }
    }
}

fn cache(r: &CacheView) -> Markup {
    let answers = matches!(r.reach, Reach::Up | Reach::Full { .. });
    html! {
        (fact("memory", &match (r.used_memory.filter(|_| answers), r.max_memory) {
            (Some(used), Some(0)) => html! { (mib(used)) span.muted { " no limit" } },
            (Some(used), Some(max)) => html! { (mib(used)) " of " (mib(max)) },
            (Some(used), None) => html! { (mib(used)) " of " (unknown("limit")) },
            (None, _) => unknown(""),
        }))
        @if let Some(v) = &r.version { (fact("version", &html! { (v) })) }
    }
}

fn mib(bytes: u64) -> String {
    format!("{} MiB", bytes.div_ceil(1024 * 1024))
}

#[cfg(test)]
mod tests {
    use muster_model::Health;

    use super::super::sample;
    use super::*;

    /// How many components look like this state.
    fn looks(html: &str, h: Health) -> usize {
        html.matches(&format!("class=\"part {}\"", health_class(h)))
            .count()
    }

    #[test]
    fn unknown_never_looks_like_ok() {
        let view = sample::blind();
        let html = render(&view).into_string();
        assert_eq!(looks(&html, Health::Ok), 0, "{html}");
        assert!(looks(&html, Health::Unknown) >= 1 && !html.contains("chip ok"));
        assert!(html.contains("not-known"));
    }

    #[test]
    fn a_component_without_health_is_unknown_even_when_it_answers() {
        let mut view = sample::calm();
        let all = view.clusters[0].health.len();
        assert_eq!(looks(&render(&view).into_string(), Health::Ok), all);
        view.clusters[0].health.clear();
        let html = render(&view).into_string();
        assert_eq!(
            (looks(&html, Health::Ok), looks(&html, Health::Unknown)),
            (0, all)
        );
    }

    #[test]
    fn numbers_of_a_silent_server_are_not_shown_as_if_they_were_fresh() {
        let mut view = sample::calm();
        let s = &mut view.clusters[0].snapshot.servers[0];
        s.reach = Reach::Down {
            rung: Rung::Tcp,
            reason: "connection refused".into(),
            misses: 3,
            since: view.at,
        };
        let html = sessions(s).into_string();
        assert!(html.contains("unknown") && !html.contains(" of "), "{html}");
    }

    #[test]
    fn numbers_are_told() {
        let html = render(&sample::leak()).into_string();
        assert!(html.contains("10 active of 10") && html.contains("8 waiting") && html.contains("of 97"));
        assert!(html.contains("streams, caught up"), "{html}");
    }
}
