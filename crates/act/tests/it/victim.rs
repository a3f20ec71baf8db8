//! Sessions of the application that are to be ended, each as a client would hold it, and their exact identities as the
//! probes freeze them.

use muster_lab::Fleet;
use muster_lab::fleet::{User, connect};
use muster_model::FrozenTarget;
use serde_json::json;
use tokio_postgres::Client;

use crate::estate::{Desk, targets, until};

/// A session that is a target, and what is needed around it.
pub(crate) struct Victim {
    /// The client whose session it is.
    pub(crate) client: std::sync::Arc<Client>,
    /// Its identity, frozen by a probe.
    pub(crate) target: FrozenTarget,
    others: Vec<tokio::task::JoinHandle<()>>,
}

impl Drop for Victim {
    fn drop(&mut self) {
        for task in &self.others {
            task.abort();
        }
    }
}

/// A client under a name.
pub(crate) async fn client(fleet: &Fleet, user: User, application: &str) -> Client {
    let mut config = fleet.config("a", user, "app").expect("config");
    config.application_name(application);
    connect(&config).await.expect("login")
}

/// How an action's victim is made.
pub(crate) async fn of(action: &str, fleet: &Fleet, desk: &Desk) -> Victim {
    match action {
        "pg.terminate_backend@1" => idle(fleet, desk, User::App, "victim").await,
        "pg.cancel_backend@1" => running(fleet, desk).await,
        other => panic!("nobody says how a victim of {other} is made"),
    }
}

/// A session that idles in its transaction.
pub(crate) async fn idle(fleet: &Fleet, desk: &Desk, user: User, application: &str) -> Victim {
    let client = client(fleet, user, application).await;
    // First: the driver closes the statement afterwards, which the server counts as work.
    let pid = pid(&client).await;
    client
        .batch_execute("BEGIN; SELECT body FROM public.notes WHERE id = 1")
        .await
        .expect("begins");
    let owner = format!("{}/{application}", user.name());
    let with = json!({"over": "0s", "owners": [owner]});
    let target = until(async || {
        let read = desk.read("pg.idle_in_transaction@1", with.clone()).await;
        targets(&read, "sessions")
            .into_iter()
            .find(|t| t.json["pid"] == pid)
    })
    .await
    .expect("the probe finds it");
    Victim {
        client: std::sync::Arc::new(client),
        target,
        others: Vec::new(),
    }
}

/// A session that runs a statement while another waits for its lock.
pub(crate) async fn running(fleet: &Fleet, desk: &Desk) -> Victim {
    let holder = std::sync::Arc::new(client(fleet, User::App, "victim").await);
    let pid = pid(&holder).await;
    let waiter = client(fleet, User::App, "waiter").await;
    let held = holder.clone();
    let work = tokio::spawn(async move {
        let sql = "BEGIN; LOCK TABLE public.lab_ddl; SELECT pg_catalog.pg_sleep_for('1 hour')";
        // Its end is what the test is about.
        let _ = held.batch_execute(sql).await;
    });
    let wait = tokio::spawn(async move {
        let sql = "SELECT count(*) FROM public.lab_ddl";
        // A waiter that came before the holder asks again.
        while waiter.batch_execute(sql).await.is_ok() {}
    });
    let target = until(async || {
        let read = desk.read("pg.blocking@1", json!({"over": "0s"})).await;
        targets(&read, "cancel")
            .into_iter()
            .find(|t| t.json["pid"] == pid)
    })
    .await
    .expect("the probe finds it");
    Victim {
        client: holder,
        target,
        others: vec![work, wait],
    }
}

/// Process id of a client's session.
pub(crate) async fn pid(client: &Client) -> i32 {
    let row = client.query_one("SELECT pg_catalog.pg_backend_pid()", &[]).await;
    row.expect("answers").get(0)
}

/// Whether a client's session answers.
pub(crate) async fn lives(client: &Client) -> bool {
    client.batch_execute("SELECT 1").await.is_ok()
}
