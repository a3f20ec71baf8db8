//! The faults of transactions and sessions come up as they say, and leave nothing behind.

use std::time::{Duration, Instant};

use muster_lab::fleet::{User, connect};
use muster_lab::testing::{self, TestFleet};

const UNDECIDED: &str = "SELECT count(*) FROM pg_catalog.pg_prepared_xacts";
const OURS: &str = "SELECT count(*) FROM pg_catalog.pg_stat_activity WHERE application_name LIKE 'lab-%' \
                    OR application_name = 'pg_dump'";

async fn becomes(test: &TestFleet, sql: &str, wanted: impl Fn(i64) -> bool) {
    let config = test.fleet.config("a", User::Postgres, "app").expect("config");
    let client = connect(&config).await.expect("login");
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let seen: i64 = client.query_one(sql, &[]).await.expect("query").get(0);
        if wanted(seen) {
            return;
        }
        assert!(Instant::now() < deadline, "{sql} stays {seen}");
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn faults_of_transactions_come_and_leave_nothing() {
    let mut options = testing::small(15);
    options.standbys = 1;
    let Some(mut test) = testing::fleet(options).await else {
        return;
    };
    let row_waiters = "SELECT count(*) FROM pg_catalog.pg_locks WHERE NOT granted AND locktype IN ('tuple', 'transactionid')";
    let advisory_waiters =
        "SELECT count(*) FROM pg_catalog.pg_locks WHERE NOT granted AND locktype = 'advisory'";
    let behind_prepared =
        "SELECT count(*) FROM pg_catalog.pg_stat_activity WHERE 0 = ANY (pg_catalog.pg_blocking_pids(pid))";
    let report = "SELECT max(pg_catalog.age(backend_xmin))::int8 FROM pg_catalog.pg_stat_activity WHERE application_name = 'lab-report'";
    let slot = "SELECT max(pg_catalog.age(xmin))::int8 FROM pg_catalog.pg_replication_slots";
    let prepared = "SELECT max(pg_catalog.age(transaction))::int8 FROM pg_catalog.pg_prepared_xacts";
    let active = "SELECT count(*) FROM pg_catalog.pg_stat_activity WHERE state = 'active' AND application_name IN ('lab-runaway', 'pg_dump')";
    for (fault, params, shown, at_least) in [
        ("hot-row", vec![], row_waiters, 5),
        ("advisory-lock-held", vec![("waiters", "4")], advisory_waiters, 4),
        (
            "prepared-undecided",
            vec![("count", "2"), ("waiters", "3")],
            behind_prepared,
            1,
        ),
        ("horizon-held", vec![("xids", "2000")], report, 2000),
        (
            "horizon-held",
            vec![("by", "standby"), ("xids", "2000")],
            slot,
            2000,
        ),
        (
            "horizon-held",
            vec![("by", "prepared"), ("xids", "2000")],
            prepared,
            2000,
        ),
        ("statement-runaway", vec![], active, 1),
        ("dump-running", vec![], active, 1),
    ] {
        test.inject(fault, &params).await;
        becomes(&test, shown, |n| n >= at_least).await;
        test.heal().await;
        becomes(&test, UNDECIDED, |n| n == 0).await;
        becomes(&test, OURS, |n| n == 0).await;
    }
}
