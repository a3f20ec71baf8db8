//! Faults of statements: slow ones, a missing index, spilling, row by row, statistics that are off; and the healthy
//! workloads that look like them.

use std::time::Duration;

use tokio_postgres::Client;

use super::{Crowd, patient};
use crate::error::{LabError, sql};
use crate::fault::FaultRecord;
use crate::fleet::{Fleet, User, connect};

const LARGE: &str = include_str!("../sql/large_table.sql");
const INDEX: &str = "CREATE INDEX IF NOT EXISTS lab_orders_customer ON lab_orders (customer)";
const LOOKUP: &str = "SELECT note FROM lab_orders WHERE customer = 77";

/// Some clients run slow statements, others short ones.
pub(super) async fn slow(
    fleet: &Fleet,
    record: &FaultRecord,
    until: impl Future<Output = ()>,
) -> Result<(), LabError> {
    let mut crowd = Crowd::default();
    let slow = "SELECT count(*), pg_sleep(0.25) FROM notes WHERE id < 50";
    run(&mut crowd, fleet, record.number("clients"), slow, 0)?;
    run(&mut crowd, fleet, 2, "SELECT body FROM notes WHERE id = 7", 50)?;
    until.await;
    crowd.disperse().await;
    Ok(())
}

/// Clients look rows of a large table up, without its index or (a healthy workload) with it.
pub(super) async fn lookups(
    fleet: &Fleet,
    record: &FaultRecord,
    indexed: bool,
    until: impl Future<Output = ()>,
) -> Result<(), LabError> {
    let app = large_table(fleet, record).await?;
    if indexed {
        app.batch_execute(INDEX).await.map_err(sql("index"))?;
    }
    let mut crowd = Crowd::default();
    let pause = u64::from(record.number("pause"));
    run(&mut crowd, fleet, record.number("clients"), LOOKUP, pause)?;
    until.await;
    crowd.disperse().await;
    drop_table(fleet).await
}

/// Clients count the large table: a report that no index would help.
pub(super) async fn reports(
    fleet: &Fleet,
    record: &FaultRecord,
    until: impl Future<Output = ()>,
) -> Result<(), LabError> {
    large_table(fleet, record).await?;
    let mut crowd = Crowd::default();
    let report = "SELECT count(*), max(length(note)) FROM lab_orders";
    run(&mut crowd, fleet, record.number("clients"), report, 500)?;
    until.await;
    crowd.disperse().await;
    drop_table(fleet).await
}

/// The index of the large table is gone while clients need it.
pub(super) async fn index_dropped(fleet: &Fleet, until: impl Future<Output = ()>) -> Result<(), LabError> {
    let app = login(fleet, User::App).await?;
    app.batch_execute("DROP INDEX lab_orders_customer")
        .await
        .map_err(sql("drop of the index (is large-table-lookups held?)"))?;
    until.await;
    index_again(fleet).await
}

/// Puts the index back, when its table is still there.
pub(super) async fn index_again(fleet: &Fleet) -> Result<(), LabError> {
    let app = login(fleet, User::App).await?;
    let there = app
        .query_one(
            "SELECT pg_catalog.to_regclass('public.lab_orders') IS NOT NULL",
            &[],
        )
        .await
        .map_err(sql("look for the table"))?;
    if there.get(0) {
        app.batch_execute(INDEX).await.map_err(sql("index"))?;
    }
    Ok(())
}

/// Clients sort more than fits.
pub(super) async fn spill(
    fleet: &Fleet,
    record: &FaultRecord,
    until: impl Future<Output = ()>,
) -> Result<(), LabError> {
    let mut crowd = Crowd::default();
    let sort = "SET work_mem = '64kB'; SELECT max(x) FROM (SELECT g % 7919 AS x, repeat('x', 40) AS y \
                FROM generate_series(1, 500000) g ORDER BY 1, 2) sorted";
    run(&mut crowd, fleet, record.number("clients"), sort, 0)?;
    until.await;
    crowd.disperse().await;
    Ok(())
}

/// Clients ask for one row at a time, as often as they can, or with a pause: the steady pace before it.
pub(super) async fn row_by_row(
    fleet: &Fleet,
    record: &FaultRecord,
    until: impl Future<Output = ()>,
) -> Result<(), LabError> {
    let mut crowd = Crowd::default();
    let one = "SELECT value FROM lab_rows WHERE id = 3";
    let pause = u64::from(record.number("pause"));
    run(&mut crowd, fleet, record.number("clients"), one, pause)?;
    until.await;
    crowd.disperse().await;
    Ok(())
}

/// Nobody counts statements: switched off, or the extension dropped.
pub(super) async fn statistics_off(
    fleet: &Fleet,
    record: &FaultRecord,
    until: impl Future<Output = ()>,
) -> Result<(), LabError> {
    let client = login(fleet, User::Postgres).await?;
    if record.flag("drop") {
        client
            .batch_execute("DROP EXTENSION IF EXISTS pg_stat_statements")
            .await
            .map_err(sql("drop of pg_stat_statements"))?;
    } else {
        client
            .batch_execute("ALTER SYSTEM SET pg_stat_statements.track = 'none'")
            .await
            .map_err(sql("pg_stat_statements.track"))?;
        reload(&client).await?;
    }
    until.await;
    statistics_on(fleet).await
}

/// Statements are counted again.
pub(super) async fn statistics_on(fleet: &Fleet) -> Result<(), LabError> {
    let client = login(fleet, User::Postgres).await?;
    client
        .batch_execute("CREATE EXTENSION IF NOT EXISTS pg_stat_statements")
        .await
        .map_err(sql("pg_stat_statements"))?;
    client
        .batch_execute("ALTER SYSTEM RESET pg_stat_statements.track")
        .await
        .map_err(sql("pg_stat_statements.track"))?;
    reload(&client).await
}

/// The large table of these faults goes.
pub(super) async fn drop_table(fleet: &Fleet) -> Result<(), LabError> {
    login(fleet, User::App)
        .await?
        .batch_execute("DROP TABLE IF EXISTS lab_orders")
        .await
        .map_err(sql("drop of the large table"))
}

async fn reload(client: &Client) -> Result<(), LabError> {
    client
        .batch_execute("SELECT pg_catalog.pg_reload_conf()")
        .await
        .map_err(sql("reload"))
}

async fn login(fleet: &Fleet, user: User) -> Result<Client, LabError> {
    connect(&fleet.config("a", user, "app")?)
        .await
        .map_err(sql("login"))
}

/// Makes the large table, without an index on what it is searched by.
async fn large_table(fleet: &Fleet, record: &FaultRecord) -> Result<Client, LabError> {
    let app = login(fleet, User::App).await?;
    let text = LARGE.replace("{rows}", &record.number("rows").to_string());
    app.batch_execute(&text).await.map_err(sql("large table"))?;
    Ok(app)
}

/// Clients that run one statement again and again at the primary, with a pause.
fn run(crowd: &mut Crowd, fleet: &Fleet, count: u32, statement: &str, pause_ms: u64) -> Result<(), LabError> {
    let config = fleet.config("a", User::App, "app")?;
    for _ in 0..count {
        let (config, statement) = (config.clone(), statement.to_owned());
        crowd.add(async move {
            while let Some(client) = patient(&config, "notes-report").await {
                while client.simple_query(&statement).await.is_ok() {
                    tokio::time::sleep(Duration::from_millis(pause_ms)).await;
                }
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        });
    }
    Ok(())
}
