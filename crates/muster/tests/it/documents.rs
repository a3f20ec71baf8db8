//! The documents are true: generated pages are up to date, and the guide's commands are run.

use muster_lab::fleet::User;
use muster_lab::testing;

use crate::shapes::root;

#[test]
fn generated_pages_and_schemas_are_up_to_date() {
    for (path, text) in muster::cli::docs::generated().expect("generates") {
        let found = std::fs::read_to_string(root().join(&path)).unwrap_or_default();
        assert!(found == text, "{}: run `cargo xtask docs`", path.display());
    }
}

/// The blocks of a guide that are marked to be run.
fn blocks(text: &str) -> Vec<String> {
    text.split("```sh run\n")
        .skip(1)
        .map(|rest| rest.split("```").next().unwrap_or_default().to_owned())
        .collect()
}

/// Makes a server of one that is not the lab's: no role of Muster is there. Gives the superuser's login to `postgres`.
async fn without_our_roles(fleet: &muster_lab::fleet::Fleet) -> tokio_postgres::Client {
    let login = async |database| {
        let admin = fleet.config("a", User::Postgres, database).expect("config");
        muster_lab::fleet::connect(&admin).await.expect("login")
    };
    // What a role may do is written in each database.
    let app = login("app").await;
    app.batch_execute("DROP OWNED BY muster, muster_act")
        .await
        .expect("drops");
    let client = login("postgres").await;
    client
        .batch_execute("DROP OWNED BY muster, muster_act; DROP ROLE muster, muster_act")
        .await
        .expect("drops");
    client
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_guide_leads_from_ones_own_server_to_the_first_finding() {
    for major in [15, 18] {
        let Some(test) = testing::fleet(testing::small(major)).await else {
            continue;
        };
        without_our_roles(&test.fleet).await;
        let guide = std::fs::read_to_string(root().join("docs/guides/first-server.md")).expect("guide");
        let steps = blocks(&guide);
        assert!(steps.len() >= 6, "{steps:?}");
        let dir = tempfile::tempdir().expect("dir");
        let script = dir.path().join("guide.sh");
        std::fs::write(&script, format!("set -eu\n{}", steps.join("\n"))).expect("writes");
        let program = std::path::Path::new(env!("CARGO_BIN_EXE_muster"));
        let path = format!(
            "{}:{}:{}",
            program.parent().expect("folder").display(),
            test.fleet.pg.bindir.display(),
            std::env::var("PATH").unwrap_or_default()
        );
        let server = test.fleet.server("a").expect("server");
        let out = tokio::process::Command::new("sh")
            .arg(&script)
            .current_dir(dir.path())
            .env("PATH", path)
            .env("PGHOST", "127.0.0.1")
            .env("PGPORT", server.port.to_string())
            .env("PGUSER", "postgres")
            .env(
                "PGPASSWORD",
                test.fleet.password(User::Postgres).expect("password"),
            )
            .env_remove("MUSTER_CONFIG")
            .output()
            .await
            .expect("runs");
        let (said, err) = (
            String::from_utf8_lossy(&out.stdout).into_owned(),
            String::from_utf8_lossy(&out.stderr).into_owned(),
        );
        assert!(out.status.success(), "{major}: {said}\n{err}");
        for kind in ["locks.blocking_chain", "locks.idle_in_transaction"] {
            assert!(said.contains(kind), "{major}: {kind} is not in {said}\n{err}");
        }
        assert!(
            said.contains("warning") && said.contains("no `act` login"),
            "{said}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn config_check_prints_the_exact_lines_that_are_missing_and_they_are_enough() {
    for major in [15, 18] {
        let Some(stage) = crate::stage::Stage::new(testing::small(major)).await else {
            continue;
        };
        let client = without_our_roles(stage.fleet()).await;
        let ok = crate::stage::until("its own lines are enough", async || {
            let said = stage.muster(&["config", "check", "--json"]).await;
            let lines = said.json();
            let mut fixes = 0;
            for line in lines.as_array().expect("lines") {
                let user = if line["what"] == "act" {
                    User::MusterAct
                } else {
                    User::Muster
                };
                let password = stage.fleet().password(user).expect("password");
                for fix in line["fix"].as_array().into_iter().flatten() {
                    let fix = fix.as_str().expect("a line").replace('…', &password);
                    client
                        .batch_execute(&fix)
                        .await
                        .unwrap_or_else(|e| panic!("{fix}: {e}"));
                    fixes += 1;
                }
            }
            (fixes == 0).then_some(said)
        })
        .await;
        assert_eq!(ok.code, 0, "{ok:?}");
        assert!(!ok.out.contains("failed"), "{ok:?}");
    }
}

#[tokio::test]
async fn the_configs_of_the_guide_are_accepted_and_shown_in_full() {
    let read = |name: &str| std::fs::read_to_string(root().join("docs/guides").join(name)).expect("guide");
    let configs_of = |guide: &str| -> Vec<String> {
        let parts = guide.split("```yaml\n").skip(1);
        let config = |rest: &str| rest.split("```").next().unwrap_or_default().to_owned();
        parts.map(config).collect()
    };
    let mut configs = configs_of(&read("configuration.md"));
    // That one shows a part: the rest is the smallest config that there is.
    let least = configs[0].clone();
    configs.extend(
        configs_of(&read("notifications.md"))
            .iter()
            .map(|part| format!("{least}{part}")),
    );
    assert_eq!(configs.len(), 3);
    let dir = tempfile::tempdir().expect("dir");
    for folder in ["secrets", "runbooks"] {
        std::fs::create_dir(dir.path().join(folder)).expect("dir");
    }
    let secrets = [
        "muster",
        "muster_act",
        "redis",
        "notes",
        "duty",
        "duty.key",
        "mail",
        "hook",
        "chat.url",
        "heartbeat.url",
    ];
    for secret in secrets {
        let path = dir.path().join("secrets").join(secret);
        let text = if secret.ends_with(".url") {
            "https://example.org/x"
        } else {
            "x"
        };
        std::fs::write(&path, text).expect("writes");
        std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o600)).expect("sets");
    }
    let file = dir.path().join("muster.yaml");
    for config in configs {
        std::fs::write(&file, config).expect("writes");
        let said = crate::stage::muster(Some(&file), &["config", "show"]).await;
        assert_eq!(said.code, 0, "{said:?}");
        for key in [
            "policy.disruptive",
            "policy.approvers",
            "collect.activity",
            "plan_valid",
            "thresholds.locks.idle_in_transaction.age",
        ] {
            assert!(said.out.contains(key), "{key}: {said:?}");
        }
    }
}
