//! Bundles of evidence of real fleets: everything is in them, no secret is, what cannot be read is said, an edit is found.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use muster_lab::fleet::{Fleet, User, connect};
use muster_lab::testing;
use serde_json::{Value, json};

use crate::stage::{Said, Stage, command, muster, until};

/// Planted where secrets turn up; none of it may be in a bundle.
const PLANTED: [&str; 9] = [
    "plantedInStatement1",
    "plantedInError2",
    "plantedInAppLog3",
    "plantedInUrl4",
    "plantedInCommand5",
    "plantedInToken6",
    "plantedInEnvironment7",
    "plantedInIdle8",
    "AKIAPLANTED9PLANTED9",
];

struct Bundle {
    dir: PathBuf,
    digest: String,
    manifest: Value,
}

fn bundle(said: &Said) -> Bundle {
    let json = said.json();
    Bundle {
        dir: json["dir"].as_str().expect("a folder").into(),
        digest: json["manifest_sha256"].as_str().expect("a digest").to_owned(),
        manifest: json["manifest"].clone(),
    }
}

impl Bundle {
    fn section(&self, name: &str, target: &str) -> &Value {
        let sections = self.manifest["sections"].as_array().expect("sections");
        let found = sections
            .iter()
            .find(|s| s["name"] == name && s["target"].as_str().unwrap_or_default() == target);
        found.unwrap_or_else(|| panic!("no {name} of {target}: {sections:#?}"))
    }

    fn text(&self, name: &str, target: &str) -> String {
        let section = self.section(name, target);
        let file = section["file"].as_str().unwrap_or_else(|| panic!("{section:#}"));
        std::fs::read_to_string(self.dir.join(file)).expect("reads")
    }

    fn json(&self, name: &str, target: &str) -> Value {
        serde_json::from_str(&self.text(name, target)).expect("JSON")
    }

    fn ok(&self, name: &str, target: &str) {
        let section = self.section(name, target);
        assert_eq!(section["state"], "ok", "{section:#}");
        assert_eq!(section["sha256"].as_str().map(str::len), Some(64), "{section:#}");
    }

    /// Every byte of every file.
    fn all(&self) -> String {
        let mut all = String::new();
        for entry in std::fs::read_dir(&self.dir).expect("lists").flatten() {
            let mode = entry.metadata().expect("there").permissions().mode() & 0o777;
            assert_eq!(mode, 0o600, "{:?}", entry.path());
            all.push_str(&String::from_utf8_lossy(
                &std::fs::read(entry.path()).expect("reads"),
            ));
        }
        let mode = std::fs::metadata(&self.dir).expect("there").permissions().mode() & 0o777;
        assert_eq!(mode, 0o700);
        all
    }

    fn without_secrets(&self, fleet: &Fleet) {
        let all = self.all();
        let own = User::ALL.map(|u| fleet.password(u).expect("password"));
        let redis = std::fs::read_to_string(fleet.dir.join("secrets/redis")).unwrap_or_default();
        let redis = (!redis.trim().is_empty()).then(|| redis.trim().to_owned());
        for secret in PLANTED.iter().map(|s| (*s).to_owned()).chain(own).chain(redis) {
            if let Some(at) = all.find(&secret) {
                let (from, to) = (at.saturating_sub(200), (at + 100).min(all.len()));
                panic!(
                    "`{secret}` is in it: {}",
                    String::from_utf8_lossy(&all.as_bytes()[from..to])
                );
            }
        }
    }
}

fn whole(major: u32) -> muster_lab::LabOptions {
    let mut options = testing::small(major);
    options.standbys = 1;
    options.pooler = true;
    options.cache = true;
    options
}

async fn everything(major: u32) {
    let Some(stage) = Stage::new(whole(major)).await else {
        return;
    };
    let fleet = stage.fleet();
    let log = fleet.dir.join("notes.log");
    let now = jiff::Timestamp::now();
    std::fs::write(
        &log,
        format!(
            "2001-01-01T00:00:00Z long ago\n{now} POST /login token=plantedInToken6 postgres://app:plantedInUrl4@db/app\n\
             {now} ERROR in INSERT INTO notes VALUES ('plantedInAppLog3', 4711222333444)\n{now} kept because it is harmless\n"
        ),
    )
    .expect("writes");
    // Its own page is an application that answers.
    let daemon = stage.daemon(&[]).await;
    stage.edit(|t| {
        let text = t.replace(
            "policy:\n",
            &format!(
                "    apps:\n      - {{name: notes, health: \"http://{}/health?token=plantedInToken6\", log: {{file: {}}}}}\npolicy:\n",
                daemon.address,
                log.display()
            ),
        );
        text + "evidence:\n  commands:\n    - {name: said, run: [echo, \"DB_PASSWORD=plantedInCommand5 AKIAPLANTED9PLANTED9 harmless\"]}\n    \
                - {name: absent, run: [muster-no-such-program]}\n    - {name: slow, run: [sleep, \"60\"], timeout: 200ms}\n"
    });

    // A session that holds a row, one that waits for it, one that failed: all with literals.
    let session = async || {
        connect(&fleet.config("a", User::App, "app").expect("config"))
            .await
            .expect("login")
    };
    let holder = session().await;
    holder
        .batch_execute("BEGIN; UPDATE notes SET body = 'plantedInIdle8' WHERE id = 900")
        .await
        .expect("holds");
    let waiter = session().await;
    let waits = tokio::spawn(async move {
        let _ = waiter
            .batch_execute("UPDATE notes SET body = 'plantedInStatement1' WHERE id = 900")
            .await;
    });
    let failing = session().await;
    failing
        .batch_execute("SELECT 'plantedInError2'::int")
        .await
        .expect_err("no number");
    let admin = connect(&fleet.config("a", User::Postgres, "app").expect("config"))
        .await
        .expect("login");
    until("somebody waits", async || {
        let rows = admin
            .query("SELECT 1 FROM pg_locks WHERE NOT granted", &[])
            .await
            .ok()?;
        (!rows.is_empty()).then_some(())
    })
    .await;

    let out = fleet.dir.join("bundles");
    let said = command(
        Some(&stage.config),
        &["evidence", "--json", "--out", out.to_str().expect("path")],
    )
    .env("APP_API_TOKEN", "plantedInEnvironment7")
    .env("FLASK_LIMITER_STORAGE_URI", "redis://:plantedInUrl4@h:6379/0")
    .env("P12_ENABLE_ADVISORY_LOCKS", "1")
    .output()
    .await
    .expect("runs");
    let said = Said {
        code: said.status.code().unwrap_or(-1),
        out: String::from_utf8_lossy(&said.stdout).into_owned(),
        err: String::from_utf8_lossy(&said.stderr).into_owned(),
    };
    let b = bundle(&said);
    assert_eq!(said.code, 1, "two commands fail: {said:?}");
    for server in ["lab/a", "lab/b"] {
        for name in [
            "activity",
            "locks",
            "databases",
            "connections",
            "replication",
            "server_log",
        ] {
            b.ok(name, server);
        }
        let who = &b.section("activity", server)["server"];
        assert_eq!(
            who["system_identifier"],
            fleet.system_identifier.as_str(),
            "{who}"
        );
    }
    for (name, target) in [
        ("pooler", "lab/bouncer"),
        ("cache", "lab/cache"),
        ("http_health", "lab/notes"),
        ("app_log", "lab/notes"),
        ("app_log_24h", "lab/notes"),
        ("environment", ""),
        ("command_said", ""),
    ] {
        b.ok(name, target);
    }
    b.without_secrets(fleet);

    // Everything is there, and only its values are gone.
    let waiting = b.json("locks", "lab/a");
    let row = &waiting["rows"][0];
    assert_eq!(
        row["query"], "UPDATE notes SET body = ? WHERE id = ?",
        "{waiting:#}"
    );
    assert_eq!(row["blocked_by"].as_array().map(Vec::len), Some(1), "{row:#}");
    let sessions = b.text("activity", "lab/a");
    assert!(sessions.contains("idle in transaction"), "{sessions}");
    let connections = b.json("connections", "lab/a");
    assert!(connections["used"].as_i64() > Some(2), "{connections:#}");
    assert_eq!(connections["max_connections"], 250, "{connections:#}");
    let senders = b.json("replication", "lab/a");
    assert_eq!(senders["senders"][0]["state"], "streaming", "{senders:#}");
    assert_eq!(b.json("replication", "lab/b")["receiver"]["status"], "streaming");
    assert!(b.json("pooler", "lab/bouncer")["pools_rows"].as_i64() >= Some(1));
    assert!(b.json("cache", "lab/cache")["redis_version"].is_string());
    assert_eq!(b.json("http_health", "lab/notes")["status"], 200);
    let server_log = b.text("server_log", "lab/a");
    assert!(
        server_log.contains("invalid input syntax for type integer: \"?\"")
            && server_log.contains("STATEMENT: SELECT ?::int"),
        "{server_log}"
    );
    let app_log = b.text("app_log", "lab/notes");
    assert!(
        app_log.contains("kept because it is harmless")
            && app_log.contains("postgres://app:***@db/app")
            && !app_log.contains("long ago"),
        "{app_log}"
    );
    assert!(app_log.contains("VALUES (?, ?)"), "{app_log}");
    let environment = b.text("environment", "");
    assert!(environment.contains("APP_API_TOKEN=***") && environment.contains("P12_ENABLE_ADVISORY_LOCKS=1"));
    assert!(b.text("command_said", "").contains("harmless"));
    let absent = b.section("command_absent", "");
    assert!(
        absent["state"] == "failed"
            && absent["reason"]
                .as_str()
                .expect("why")
                .contains("no such program")
    );
    let slow = b.section("command_slow", "");
    assert!(
        slow["reason"]
            .as_str()
            .expect("why")
            .contains("ended after 0.2 s"),
        "{slow}"
    );

    // One session a server, and it is gone again.
    until("its session is gone", async || {
        let rows = admin
            .query(
                "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'muster/observe'",
                &[],
            )
            .await
            .ok()?;
        (rows[0].get::<_, i64>(0) <= 1).then_some(())
    })
    .await;

    // As it was written; then edited.
    let dir = b.dir.to_str().expect("path");
    let same = stage
        .muster(&["evidence", "verify", dir, "--digest", &b.digest])
        .await;
    assert!(
        same.code == 0 && same.out.contains("as they were written"),
        "{same:?}"
    );
    std::fs::write(b.dir.join("environment.log"), "nothing\n").expect("writes");
    let edited = stage.muster(&["evidence", "verify", dir]).await;
    assert!(
        edited.code == 1 && edited.out.contains("environment.log was edited"),
        "{edited:?}"
    );

    // As a runbook, through the daemon; the journal says where it is and what its digest was.
    let run = stage.muster(&["run", "evidence", "--yes"]).await;
    assert!(run.code == 0, "{run:?}\n{}", daemon.said());
    let journal = stage.muster(&["journal", "export"]).await;
    let planned = journal
        .out
        .lines()
        .filter_map(|l| serde_json::from_str::<Value>(l).ok())
        .find(|e| e["event"]["plan"]["runbook"]["id"] == "evidence")
        .expect("planned");
    let outputs = &planned["event"]["plan"]["outputs"]["collected"];
    assert_eq!(outputs["verdict"], "ok", "{outputs:#}");
    let (path, digest) = (
        outputs["bundle"].as_str().expect("a path"),
        outputs["manifest"].as_str().expect("a digest"),
    );
    assert!(run.out.contains(path) && run.out.contains(digest), "{run:?}");
    let verified = stage
        .muster(&["evidence", "verify", path, "--digest", digest])
        .await;
    assert_eq!(verified.code, 0, "{verified:?}");
    holder.batch_execute("ROLLBACK").await.expect("ends");
    waits.await.expect("ends");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_section_of_a_real_fleet_is_there_and_no_secret_is() {
    for major in [15, 18] {
        everything(major).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_down_fails_with_its_reason_and_two_bundles_of_a_second_do_not_collide() {
    let mut options = testing::small(18);
    options.standbys = 1;
    let Some(mut stage) = Stage::new(options).await else {
        return;
    };
    stage.test.inject("standby-stopped", &[("server", "b")]).await;
    let out = stage.fleet().dir.join("bundles");
    let args = ["evidence", "--json", "--out", out.to_str().expect("path")];
    let all = futures::future::join_all((0..4).map(|_| stage.muster(&args))).await;
    let mut dirs: Vec<PathBuf> = Vec::new();
    for said in &all {
        let b = bundle(said);
        assert_eq!(said.code, 1, "{said:?}");
        b.ok("activity", "lab/a");
        let down = b.section("activity", "lab/b");
        assert_eq!(
            (&down["state"], &down["file"], &down["bytes"]),
            (&json!("failed"), &Value::Null, &json!(0))
        );
        let why = down["reason"].as_str().expect("why");
        assert!(!why.is_empty() && down["remedy"].is_string(), "{down}");
        // Its log is on this machine, and tells.
        b.ok("server_log", "lab/b");
        assert!(
            b.text("server_log", "lab/b").contains("shut"),
            "{}",
            b.text("server_log", "lab/b")
        );
        dirs.push(b.dir);
    }
    dirs.sort();
    dirs.dedup();
    assert_eq!(dirs.len(), 4, "{dirs:?}");
    stage.test.heal().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_config_a_role_with_nothing_is_told_what_it_lacks() {
    for major in [15, 18] {
        let Some(test) = testing::fleet(testing::small(major)).await else {
            return;
        };
        let admin = connect(
            &test
                .fleet
                .config("a", User::Postgres, "postgres")
                .expect("config"),
        )
        .await
        .expect("login");
        admin
            .batch_execute("CREATE ROLE nobody LOGIN PASSWORD 'plantedInUrl4'")
            .await
            .expect("role");
        let dir = tempfile::tempdir().expect("dir");
        let port = test.fleet.servers[0].port;
        let url = format!("postgres://nobody:plantedInUrl4@127.0.0.1:{port}/postgres?sslmode=disable");
        let out = dir.path().join("out");
        let closed = "http://127.0.0.1:1";
        let args = [
            "evidence",
            "--json",
            "--url",
            &url,
            "--base-url",
            closed,
            "--out",
            out.to_str().expect("path"),
        ];
        let said = muster(None, &args).await;
        let b = bundle(&said);
        assert_eq!(said.code, 1, "{said:?}");
        for name in ["databases", "connections", "locks", "replication"] {
            b.ok(name, "given/server-1");
        }
        let activity = b.section("activity", "given/server-1");
        assert_eq!(activity["state"], "failed");
        assert!(
            activity["reason"]
                .as_str()
                .expect("why")
                .contains("nobody lacks pg_monitor")
                && activity["remedy"]
                    .as_str()
                    .expect("remedy")
                    .contains("GRANT pg_monitor"),
            "{activity}"
        );
        assert!(activity["file"].is_string(), "what was seen is kept");
        let health = b.section("http_health", "given/healthz");
        assert!(
            health["state"] == "failed" && health["reason"].is_string(),
            "{health}"
        );
        assert_eq!(b.section("server_log", "given/server-1")["state"], "skipped");
        assert!(!b.all().contains("plantedInUrl4"));

        let gone = "postgres://x@127.0.0.1:1/postgres?sslmode=disable";
        let nothing = muster(
            None,
            &[
                "evidence",
                "--json",
                "--url",
                gone,
                "--out",
                out.to_str().expect("path"),
            ],
        )
        .await;
        let b = bundle(&nothing);
        assert_eq!(
            (
                nothing.code,
                b.section("connections", "given/server-1")["state"].clone()
            ),
            (1, json!("failed"))
        );
    }
}

#[tokio::test]
async fn what_is_wrong_on_the_command_line_is_said_in_one_line() {
    let dir = tempfile::tempdir().expect("dir");
    let at = |path: &Path| path.to_str().expect("path").to_owned();
    muster(None, &["evidence", "--url", "ftp://x"])
        .await
        .refused(64, &["ftp://", "postgres://"]);
    muster(None, &["evidence", "--base-url", "ftp://x"])
        .await
        .refused(64, &["--base-url"]);
    muster(None, &["evidence", "verify", &at(dir.path())])
        .await
        .refused(1, &["manifest.json", "cut off"]);
    std::fs::write(dir.path().join("file"), "").expect("writes");
    let out = at(&dir.path().join("file/below"));
    muster(None, &["evidence", "--url", "redis://127.0.0.1:1", "--out", &out])
        .await
        .refused(1, &["cannot be written", "--out"]);
}
