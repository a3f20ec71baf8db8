//! A state folder on a full disk, for real: a small tmpfs in a mount namespace of its own.

use muster_lab::fleet::{User, connect};
use muster_lab::testing;

use crate::bad_input::END_IDLE;
use crate::stage::Stage;

/// Mounts, plans, fills the disk, and tries to carry the plan out; then a fresh start on the full disk.
const STORY: &str = r#"
set -u
mkdir -p "$STATE" && mount -t tmpfs -o size=1m,mode=700 muster-test "$STATE"
"$MUSTER" plan end-idle -o "$PLAN" > /dev/null; echo "plan $?"
cat /dev/zero > "$STATE/filler" 2> /dev/null
"$MUSTER" approve --yes 2>&1; echo "approve $?"
"$MUSTER" apply "$PLAN" 2>&1; echo "apply $?"
rm "$STATE"/journal* "$STATE"/*.lock 2> /dev/null
cat /dev/zero >> "$STATE/filler" 2> /dev/null
"$MUSTER" watch 2>&1; echo "watch $?"
"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_a_full_disk_nothing_is_begun_that_cannot_be_written_down() {
    let Some(stage) = Stage::new(testing::small(15)).await else {
        return;
    };
    stage.alone();
    std::fs::create_dir(stage.fleet().dir.join("books")).expect("dir");
    std::fs::write(stage.fleet().dir.join("books/end-idle.yaml"), END_IDLE).expect("writes");
    stage.edit(|t| format!("runbooks: [./books]\n{t}"));
    let client = connect(&stage.fleet().config("a", User::App, "app").expect("config"))
        .await
        .expect("login");
    client.batch_execute("BEGIN; SELECT 1").await.expect("begins");
    let root = rustix::process::geteuid().is_root();
    let namespace: &[&str] = if root {
        &["--mount"]
    } else {
        &["--user", "--map-root-user", "--mount"]
    };
    let out = tokio::process::Command::new("unshare")
        .args(namespace)
        .args(["sh", "-c", STORY])
        .env("STATE", stage.state())
        .env("PLAN", stage.fleet().dir.join("plan.json"))
        .env("MUSTER", env!("CARGO_BIN_EXE_muster"))
        .env("MUSTER_CONFIG", &stage.config)
        .output()
        .await
        .expect("unshare is there");
    let said = String::from_utf8_lossy(&out.stdout).into_owned();
    assert!(
        said.contains("plan 2"),
        "{said}{}",
        String::from_utf8_lossy(&out.stderr)
    );
    for (command, codes) in [
        ("approve", ["1", "78"]),
        ("apply", ["1", "78"]),
        ("watch", ["78", "78"]),
    ] {
        let code = said
            .lines()
            .find_map(|l| l.strip_prefix(command))
            .unwrap_or_default()
            .trim();
        assert!(codes.contains(&code), "{command}: {said}");
    }
    let errors: Vec<&str> = said.lines().filter(|l| l.starts_with("error:")).collect();
    assert_eq!(errors.len(), 3, "{said}");
    for e in errors {
        assert!(e.contains("full") || e.contains("No space"), "{e}");
        assert!(e.contains(" · "), "what to do: {e}");
    }
    assert!(
        client.simple_query("SELECT 1").await.is_ok(),
        "nothing was done: {said}"
    );
}
