//! One drill of every runbook, as a user runs it, on both majors in turn; the report has the promised shape.

use serde_json::Value;

use crate::shapes::fits;
use crate::stage::muster;

async fn passes(drill: &str, major: &str) {
    let said = muster(None, &["drill", drill, "--only", "--pg", major, "--json"]).await;
    let missing = said.err.contains("cannot be found") || said.err.contains("is not installed");
    if missing && std::env::var_os("MUSTER_TEST_REQUIRE_ALL").is_none() {
        return;
    }
    let rows = said.json();
    fits("drill", &rows);
    let all = rows.as_array().expect("rows");
    assert!(!all.is_empty());
    for row in all {
        assert_eq!(row["safe_pass"], true, "{row:#}\n{}", said.err);
        assert_eq!(row["harm"], Value::Array(vec![]), "{row:#}");
        assert_eq!(row["lost_writes"], 0, "{row:#}");
        assert_eq!(row["pg_major"].to_string(), major, "{row:#}");
        for (control, held) in row["controls"].as_object().expect("controls") {
            assert_eq!(held, true, "{control}: {row:#}\n{}", said.err);
        }
    }
    assert_eq!(said.code, 0, "{said:?}");
}

#[tokio::test]
async fn pool_exhausted() {
    passes("pool-exhausted", "18").await;
}

#[tokio::test]
async fn pool_exhausted_relapse() {
    passes("pool-exhausted-relapse", "15").await;
}

#[tokio::test]
async fn blocking_chain() {
    passes("blocking-chain", "15").await;
}

#[tokio::test]
async fn blocking_chain_relapse() {
    passes("blocking-chain-relapse", "18").await;
}

#[tokio::test]
async fn ddl_queue() {
    passes("ddl-queue", "18").await;
}

#[tokio::test]
async fn connections_saturated() {
    passes("connections-saturated", "15").await;
}

#[tokio::test]
async fn pool_status() {
    passes("pool-status", "15").await;
}

#[tokio::test]
async fn evidence() {
    passes("evidence", "15").await;
}

#[tokio::test]
async fn replica_health() {
    passes("replica-health", "18").await;
}

/// A runbook and a drill of one's own, under thresholds of one's own: its Proof is for that text and those thresholds.
#[tokio::test]
async fn a_runbook_of_ones_own_passes_muster_too() {
    let dir = tempfile::tempdir().expect("dir");
    std::fs::create_dir(dir.path().join("books")).expect("dir");
    let repo = crate::shapes::root();
    let text = |path: &str| std::fs::read_to_string(repo.join(path)).expect("reads");
    let renamed = |text: String| text.replace("id: replica-health", "id: my-health");
    // Its kinds are answered by the built-in one.
    let book: String = renamed(text("runbooks/replica-health.yaml"))
        .lines()
        .filter(|l| !l.starts_with("answers:"))
        .map(|l| format!("{l}\n"))
        .collect();
    std::fs::write(dir.path().join("books/my-health.yaml"), book).expect("writes");
    let drill =
        renamed(text("drills/replica-health.yaml")).replace("runbook: replica-health", "runbook: my-health");
    let file = dir.path().join("my-health.yaml").display().to_string();
    std::fs::write(&file, drill).expect("writes");
    let config = dir.path().join("muster.yaml");
    let settings = "runbooks: [./books]\nthresholds: {replication.lagging: {warning: 7s}}\nclusters:\n  shop:\n    servers:\n      - {name: a, url: \"postgres://muster@127.0.0.1:1/postgres\"}\n";
    std::fs::write(&config, settings).expect("writes");
    let proofs = dir.path().join("proofs.json");
    let out = proofs.display().to_string();
    let said = muster(
        Some(&config),
        &["drill", &file, "--pg", "15", "--json", "--proof-out", &out],
    )
    .await;
    let missing = said.err.contains("cannot be found") || said.err.contains("is not installed");
    if missing && std::env::var_os("MUSTER_TEST_REQUIRE_ALL").is_none() {
        return;
    }
    assert_eq!(said.code, 0, "{said:?}");
    let rows = said.json();
    fits("drill", &rows);
    assert_eq!(
        (&rows[0]["runbook"], &rows[0]["safe_pass"]),
        (&"my-health".into(), &true.into())
    );
    let list = muster(Some(&config), &["runbook", "list", "--json"]).await.json();
    let own = list
        .as_array()
        .expect("list")
        .iter()
        .find(|r| r["id"] == "my-health");
    let proof: Value =
        serde_json::from_str(&std::fs::read_to_string(&proofs).expect("proofs")).expect("json");
    assert_eq!(proof.as_array().map(Vec::len), Some(1), "{proof:#}");
    assert_eq!(Some(&proof[0]["runbook_digest"]), own.map(|r| &r["digest"]));
    let defaults = muster_model::digest_of(&muster_rules::defaults()).to_string();
    assert_ne!(
        proof[0]["settings_digest"],
        Value::String(defaults),
        "under its own thresholds"
    );
    let taken = muster(Some(&config), &["proof", "import", &out]).await;
    assert_eq!(taken.code, 0, "{taken:?}");
}
