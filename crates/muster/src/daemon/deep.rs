//! `muster check --deep`: amcheck over the indexes of one server of a cluster, as part of a pass.
//!
//! A fresh standby is looked at rather than the primary, unless a server is named: it costs clients nothing there. What a
//! standby says is of its own files, so the answer names the server.

use muster_model::snapshot::{DatabaseView, Part, Role, ServerView};
use muster_model::{Snapshot, Span, standby};
use muster_observe::deep_look;
use muster_reach::Cluster;
use muster_rules::Unknown;
use serde_json::{Value, json};

/// A standby farther behind is not looked at.
const FRESH: Span = Span::from_secs(5);
const KIND: &str = "data.index_corruption";

/// Looks, and puts what was found into the snapshot.
pub(super) async fn look(
    cluster: &Cluster,
    snapshot: &mut Snapshot,
    only: Option<&str>,
    within: Span,
) -> (Value, Vec<Unknown>) {
    let open = |target: &str, why: String| Unknown {
        kind: KIND.to_owned(),
        target: target.to_owned(),
        why,
    };
    let Some(address) = choose(snapshot, only) else {
        let why = "no server answers whose indexes could be checked".to_owned();
        let told =
            json!({"server": Value::Null, "checked": 0, "left_out": Value::Null, "broken": 0, "reason": why});
        return (told, vec![open(only.unwrap_or(&snapshot.cluster), why)]);
    };
    let Some(server) = cluster.servers.iter().find(|s| s.address == address) else {
        return (Value::Null, Vec::new());
    };
    let found = deep_look(server, within.duration()).await;
    let all = found.databases.iter().flat_map(|(_, checks)| checks);
    let broken = all.filter(|c| c.wrong.is_some()).count();
    let told = json!({
        "server": address, "databases": found.databases.len(), "checked": found.checked, "left_out": found.left_out,
        "broken": broken,
    });
    let undecided = found
        .gaps
        .iter()
        .map(|g| open(&address, g.reason.clone()))
        .collect();
    let taken_at = snapshot.taken_at;
    if let Some(view) = snapshot.servers.iter_mut().find(|s| s.address == address) {
        for (name, value) in found.databases {
            let part = Some(Part { taken_at, value });
            match view.databases.iter_mut().find(|d| d.name == name) {
                Some(known) => known.checked = part,
                None => view.databases.push(DatabaseView {
                    checked: part,
                    ..DatabaseView::unread(&name)
                }),
            }
        }
    }
    snapshot.gaps.extend(found.gaps);
    (told, undecided)
}

/// The server to look at: the one that is named, else a standby that keeps up, else the primary.
fn choose(snapshot: &Snapshot, only: Option<&str>) -> Option<String> {
    let answering = |s: &&ServerView| s.answers();
    let named = only.filter(|o| *o != snapshot.cluster);
    if let Some(named) = named {
        let server = snapshot.server(named).filter(answering);
        return server.map(|s| s.address.clone());
    }
    let fresh = |s: &&ServerView| {
        let state = standby::judge(snapshot.primary(), s);
        s.role() == Some(Role::Standby) && state.word != "unknown" && state.streaming && state.lag <= FRESH
    };
    let standby = snapshot.servers.iter().filter(answering).find(fresh);
    let server = standby.or_else(|| snapshot.primary().filter(answering));
    server.map(|s| s.address.clone())
}
