//! Incidents over a restart, a plan for an incident, a changed config: through the program's own parts, over a real state.

use std::sync::Arc;

use muster::app::App;
use muster::config;
use muster::daemon::api::{Caller, handle};
use muster::daemon::incidents::Desk;
use muster::daemon::watch::Watch;
use muster_engine::incidents::{Root, Sight, opened};
use muster_engine::principals::Role;
use muster_engine::{Event, Place};
use muster_lab::testing;
use muster_model::{
    Finding, IncidentSeverity, IncidentState, Record, Severity, Snapshot, Span, Subject, Time,
};
use serde_json::json;

use crate::bad_input::lonely;
use crate::stage::Stage;

async fn app(file: &std::path::Path) -> Arc<App> {
    let resolved = config::load(file, &|_| None).expect("a good config");
    App::open(resolved).await.expect("opens")
}

/// Writes down that an incident was opened, an hour ago.
fn was_opened(app: &App, id: &str, cluster: &str, kind: &str) -> Time {
    let at = Time::from_micros(app.engine.now().micros() - 3_600_000_000);
    let root = Root {
        cause: Finding {
            kind: kind.to_owned(),
            severity: Severity::Critical,
            target: format!("{cluster}/a"),
            subject: Subject::new("server", "a"),
            since: at,
            summary: "it hurts".to_owned(),
            evidence: Record::new(),
            remedy: None,
            cause: true,
            pending: false,
            incident: true,
            ruled_out: Vec::new(),
        },
        symptoms: Vec::new(),
        severity: IncidentSeverity::P1,
        opens: true,
    };
    let sight = Sight {
        cluster: cluster.to_owned(),
        identity: "7".to_owned(),
        at,
        roots: Vec::new(),
        blind: Vec::new(),
        unsure: Vec::new(),
        early: Vec::new(),
    };
    let incident = opened(&root, &sight, id.to_owned());
    let event = Event::IncidentOpened { incident };
    app.engine
        .append("daemon", &Place::incident(id), event)
        .expect("writes");
    at
}

/// A rule that has to look for a while says nothing in the first seconds of a process: that closes no incident of before.
/// What was seen is frozen with the first look, where the one before was killed in between.
#[tokio::test]
async fn after_a_restart_an_incident_is_not_over_before_its_rule_can_see_it() {
    let dir = tempfile::tempdir().expect("dir");
    let app = app(&lonely(
        dir.path(),
        "thresholds: {replication.lagging: {for: 4m}}\n",
    ))
    .await;
    was_opened(&app, "i-1", "shop", "replication.lagging");
    let began = app.engine.now();
    let desk = Desk::read(&app.engine).expect("reads");
    let look = |after: Span| {
        let snapshot = Snapshot::new("shop", began.plus(after));
        let told = muster_rules::correlate(&snapshot, &[]);
        desk.absorb(&app, &snapshot, &told, Vec::new(), Vec::new())
            .expect("absorbs");
        desk.get("i-1").expect("is there")
    };
    for seconds in [1, 31, 200, 260] {
        assert_eq!(
            look(Span::from_secs(seconds)).state,
            IncidentState::Open,
            "after {seconds} s"
        );
    }
    let evidence = app.engine.journal().evidence("i-1").expect("reads");
    assert_eq!(evidence.len(), 1, "what was not frozen before, once");
    let over = look(Span::from_secs(300));
    assert_eq!(over.state, IncidentState::Resolved);
    assert!(
        over.resolved_at >= Some(began),
        "it was not gone before anybody looked: {over:?}"
    );
}

#[tokio::test]
async fn the_incidents_of_a_cluster_that_left_the_config_are_closed_with_that_reason() {
    let dir = tempfile::tempdir().expect("dir");
    let app = app(&lonely(dir.path(), "")).await;
    was_opened(&app, "i-1", "gone", "server.down");
    was_opened(&app, "i-2", "shop", "server.down");
    let desk = Desk::read(&app.engine).expect("reads");
    desk.leave(&app).expect("closes");
    let left = desk.get("i-1").expect("is there");
    assert_eq!(left.state, IncidentState::Resolved);
    assert!(
        left.resolution
            .as_deref()
            .is_some_and(|r| r.contains("not in the config any more")),
        "{left:?}"
    );
    assert_eq!(desk.get("i-2").expect("is there").state, IncidentState::Open);
    let again = Desk::read(&app.engine).expect("reads");
    assert_eq!(
        again.get("i-1").expect("is there").state,
        IncidentState::Resolved,
        "written down"
    );
}

/// What needs a restart does not half happen: the clusters are those that are watched, with their new guards.
#[tokio::test]
async fn a_reload_takes_over_guards_and_no_clusters() {
    let dir = tempfile::tempdir().expect("dir");
    let file = lonely(dir.path(), "");
    let app = app(&file).await;
    let text = std::fs::read_to_string(&file).expect("reads");
    let other = text.replace("127.0.0.1:1", "127.0.0.1:2").replace(
        "clusters:",
        "clusters:\n  new: {servers: [{name: a, url: \"postgres://m@127.0.0.1:3/x\"}]}",
    );
    std::fs::write(
        &file,
        other.replace("  shop:", "  shop:\n    protect: {users: [erp]}"),
    )
    .expect("writes");
    for _ in 0..2 {
        let notes = app
            .reload(config::load(&file, &|_| None).expect("good"))
            .expect("reloads");
        assert!(notes.iter().any(|n| n.contains("need a restart")), "{notes:?}");
        let config = app.config();
        let names: Vec<&str> = config.clusters.iter().map(|c| c.reach.name.as_str()).collect();
        assert_eq!(names, ["shop"], "what is watched");
        assert!(
            config.clusters[0].reach.servers[0].observe.url.contains(":1/"),
            "where it is reached"
        );
        assert_eq!(config.clusters[0].protect.users, ["erp"]);
    }
    std::fs::write(&file, &text).expect("writes");
    let notes = app
        .reload(config::load(&file, &|_| None).expect("good"))
        .expect("reloads");
    assert_eq!(notes, [""; 0]);
}

/// The exemption of incidents from windows is for the runbook that answers them; its plan is the incident's, and is found by it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_plan_for_an_incident_is_of_the_runbook_that_answers_it() {
    let Some(stage) = Stage::new(testing::small(15)).await else {
        return;
    };
    let app = app(&stage.config).await;
    was_opened(&app, "i-1", "lab", "replication.lagging");
    let watch = Watch::new(app).expect("reads");
    let caller = Caller {
        who: "otto".to_owned(),
        role: Some(Role::Operator),
        inline: true,
    };
    let plan = async |runbook: &str| {
        let body = json!({"runbook": runbook, "incident": "i-1"});
        handle(&watch, &caller, "POST", "/api/v1/plans", &body).await
    };
    let refused = plan("blocking-chain").await.expect_err("another runbook");
    assert_eq!(refused.status, 400);
    assert!(
        refused
            .error
            .contains("`blocking-chain` does not answer replication.lagging"),
        "{refused:?}"
    );
    assert!(refused.remedy.contains("plan `replica-health`"), "{refused:?}");
    let planned = plan("replica-health").await.expect("plans");
    let id = planned["plan"]["id"].as_str().expect("an id").to_owned();
    assert_eq!(watch.desk.get("i-1").expect("is there").runs, [id.as_str()]);
    let by_incident = handle(&watch, &caller, "GET", "/api/v1/runs/i-1", &json!({}))
        .await
        .expect("finds");
    assert_eq!(by_incident["plan"]["id"], *id);
}
