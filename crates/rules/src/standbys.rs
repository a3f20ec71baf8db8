//! Verdicts on standbys, shared by the three rules about replication.

use muster_model::snapshot::Role;
use muster_model::{Severity, Span, Subject, standby};
use serde_json::json;

use crate::judge::{Context, Mode};
use crate::reachability;

/// Reports the standbys whose verdict is `kind`.
pub(crate) fn rule(c: &mut Context<'_>, kind: &'static str) {
    let snapshot = c.snapshot;
    let (warning, critical, lasting) = (
        c.span(kind, "warning"),
        c.span(kind, "critical"),
        c.span(kind, "for"),
    );
    let primary = snapshot.primary().filter(|p| p.answers());
    for server in snapshot
        .servers
        .iter()
        .filter(|s| s.role() == Some(Role::Standby))
    {
        let state = standby::judge(primary, server);
        if state.word == "unknown" && kind == "replication.broken" && server.answers() {
            c.lacks(kind, &server.address, state.why.clone());
        }
        // A standby that is down is broken too: the primary has one less.
        let dead = reachability::kind(snapshot, server).is_some_and(|(k, _)| k == "server.down");
        if state.word == "server.down" && !dead && kind == "replication.broken" {
            c.lacks(kind, &server.address, format!("we cannot ask it: {}", state.why));
        }
        let broken_by_death = dead && kind == "replication.broken";
        let lagging = kind == "replication.lagging";
        // By the threshold, not by what the page calls behind.
        let late = lagging && state.word == "ok" && state.lag >= warning && state.lag > Span::ZERO;
        if state.word != kind && !broken_by_death && !late {
            continue;
        }
        let held = c.held(&format!("{kind}|{}", server.address));
        let size = if lagging { state.lag } else { held };
        let severe = size >= critical && c.held(&format!("{kind}|{}|critical", server.address)) >= lasting;
        let pending = !lagging && held < warning;
        if (pending && c.mode == Mode::Watch) || (lagging && state.lag < warning) {
            continue;
        }
        let since = c.now().minus(if lagging { held.max(state.lag) } else { held });
        let mut f = crate::rules::finding(
            kind,
            if severe {
                Severity::Critical
            } else {
                Severity::Warning
            },
            &server.address,
            Subject::new("server", &server.name),
            since,
            format!(
                "standby {}: {}",
                server.address,
                if late { state.behind() } else { state.why.clone() }
            ),
        );
        f.pending = pending;
        // Redundancy is lost from the first second on; a little lag is only worth knowing.
        f.incident = !pending && (!lagging || severe);
        if let serde_json::Value::Object(map) = json!({
            "lag_ms": state.lag.millis(), "lag_bytes": state.lag_bytes, "streaming": state.streaming, "slot": state.slot,
            "sync": state.sync, "held_ms": held.millis(), "primary": primary.map(|p| p.address.clone()),
        }) {
            f.evidence = map;
        }
        c.findings.push(f);
    }
}
