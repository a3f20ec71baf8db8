//! The faults, one file a family. `hold` brings one about and keeps it until the future ends; `undo` puts right what
//! outlives the holding process. Undoing what is right already is harmless.

use tokio_postgres::{Client, Config};

use crate::error::{LabError, sql};
use crate::fault::{FaultInfo, FaultRecord};
use crate::fleet::{Fleet, User, connect};

mod locks;
mod pool;
mod queries;
mod servers;
mod transactions;
mod wal;

/// All faults.
pub const ALL: &[FaultInfo] = &[
    FaultInfo {
        name: "idle-in-transaction-leak",
        about: "Clients open a transaction through the pooler and never end it; others wait.",
        params: &[
            ("leakers", "0", "how many leak; 0 stands for the whole pool"),
            ("waiters", "8", "how many other clients want to work"),
            (
                "relapse",
                "false",
                "whether a client that is ended comes back and leaks again",
            ),
        ],
    },
    FaultInfo {
        name: "slow-server",
        about: "Every pooled connection runs a slow statement; clients wait, nobody leaks. The look-alike of the leak.",
        params: &[("clients", "24", "how many clients run slow statements")],
    },
    FaultInfo {
        name: "pool-too-small",
        about: "Many short transactions and a pool of few connections; PostgreSQL is quiet.",
        params: &[
            ("clients", "150", "how many clients"),
            ("size", "2", "size of the pool while it lasts"),
        ],
    },
    FaultInfo {
        name: "lock-chain",
        about: "A session holds a row lock; others wait for it, in a chain.",
        params: &[
            ("depth", "1", "length of the chain before the waiters"),
            ("waiters", "8", "how many wait at its end"),
            (
                "running",
                "false",
                "whether the holder runs a statement instead of idling in its transaction",
            ),
            (
                "relapse",
                "false",
                "whether a holder that is ended comes back and locks again",
            ),
        ],
    },
    FaultInfo {
        name: "ddl-queue",
        about: "A long reader, an ALTER TABLE that waits for it, and readers that queue behind the ALTER TABLE.",
        params: &[("readers", "8", "how many readers queue")],
    },
    FaultInfo {
        name: "connection-flood",
        about: "Idle connections take all slots of the primary.",
        params: &[("leave", "0", "how many usable slots are left free")],
    },
    FaultInfo {
        name: "standby-stopped",
        about: "Standby c is stopped.",
        params: &[("server", "c", "which standby")],
    },
    FaultInfo {
        name: "standby-paused",
        about: "Replay is paused on standby b while the primary writes.",
        params: &[("server", "b", "which standby")],
    },
    FaultInfo {
        name: "primary-killed",
        about: "The postmaster of the primary is killed.",
        params: &[],
    },
    FaultInfo {
        name: "slow-statements",
        about: "Some clients run statements of a quarter of a second, others short ones.",
        params: &[("clients", "4", "how many run slow statements")],
    },
    FaultInfo {
        name: "missing-index",
        about: "Clients look rows of a large table up that has no index for it.",
        params: &[
            ("rows", "400000", "rows of the table"),
            ("clients", "2", "how many clients look up"),
            ("pause", "0", "milliseconds between two look-ups of a client"),
        ],
    },
    FaultInfo {
        name: "large-table-lookups",
        about: "Clients look rows of a large table up by its index. Healthy: the look-alike of missing-index.",
        params: &[
            ("rows", "400000", "rows of the table"),
            ("clients", "2", "how many clients look up"),
            ("pause", "20", "milliseconds between two look-ups of a client"),
        ],
    },
    FaultInfo {
        name: "full-table-reports",
        about: "Clients count a large table now and then. Healthy: no index would help them.",
        params: &[
            ("rows", "400000", "rows of the table"),
            ("clients", "2", "how many clients count"),
        ],
    },
    FaultInfo {
        name: "index-dropped",
        about: "The index that large-table-lookups needs is dropped; that one must be held.",
        params: &[],
    },
    FaultInfo {
        name: "temp-spill",
        about: "Clients sort more than their work_mem holds.",
        params: &[("clients", "2", "how many clients sort")],
    },
    FaultInfo {
        name: "row-by-row",
        about: "Clients ask for one row at a time; with a pause it is the steady pace before.",
        params: &[
            ("clients", "2", "how many clients ask"),
            ("pause", "0", "milliseconds between two questions of a client"),
        ],
    },
    FaultInfo {
        name: "statistics-off",
        about: "Statements are not counted any more.",
        params: &[(
            "drop",
            "false",
            "whether the extension is dropped, instead of switched off",
        )],
    },
    FaultInfo {
        name: "hot-row",
        about: "Many clients update the same row, each in a short transaction; the queue never ends.",
        params: &[
            ("clients", "12", "how many clients"),
            ("hold", "250", "for how many milliseconds each holds the row"),
        ],
    },
    FaultInfo {
        name: "advisory-lock-held",
        about: "A session takes an advisory lock and never gives it back.",
        params: &[
            (
                "waiters",
                "3",
                "how many wait for it; 0 is a leader election, and healthy",
            ),
            ("busy", "false", "whether its holder works on instead of idling"),
        ],
    },
    FaultInfo {
        name: "prepared-undecided",
        about: "Prepared transactions that nobody decides.",
        params: &[
            ("count", "1", "how many, at most five"),
            ("waiters", "0", "how many sessions wait for the first"),
        ],
    },
    FaultInfo {
        name: "horizon-held",
        about: "Something holds back what vacuum may remove, while transaction ids are used up.",
        params: &[
            (
                "by",
                "session",
                "what holds: session, standby (a report on b), prepared",
            ),
            ("xids", "3000", "how many transaction ids are used up"),
        ],
    },
    FaultInfo {
        name: "statement-runaway",
        about: "A client's statement does not end.",
        params: &[],
    },
    FaultInfo {
        name: "dump-running",
        about: "A session like pg_dump holds one snapshot and works. Healthy: the look-alike of a long transaction.",
        params: &[],
    },
    FaultInfo {
        name: "slot-forgotten",
        about: "A replication slot that nobody uses keeps WAL.",
        params: &[("megabytes", "1100", "how much WAL is written")],
    },
    FaultInfo {
        name: "sync-standby-absent",
        about: "Commits must be confirmed by a standby that is not there; some wait.",
        params: &[("writers", "3", "how many commits wait")],
    },
    FaultInfo {
        name: "setting-harmful",
        about: "A setting of the whole primary does harm.",
        params: &[
            (
                "name",
                "full_page_writes",
                "which setting; one that a reload takes over",
            ),
            ("value", "off", "its value"),
        ],
    },
    FaultInfo {
        name: "line-refused",
        about: "A file of the primary holds a line that the server refuses; nothing is reloaded.",
        params: &[(
            "file",
            "settings",
            "`settings` for postgresql.conf, `rules` for pg_hba.conf",
        )],
    },
    FaultInfo {
        name: "privilege-revoked",
        about: "The observing login loses pg_monitor.",
        params: &[],
    },
];

/// Brings a fault about and keeps it until `until` ends; `until` is polled first when the fault is there.
pub(crate) async fn hold(
    fleet: &Fleet,
    record: &FaultRecord,
    until: impl Future<Output = ()>,
) -> Result<(), LabError> {
    match record.fault.as_str() {
        "idle-in-transaction-leak" => pool::leak(fleet, record, until).await,
        "slow-server" => pool::slow(fleet, record, until).await,
        "pool-too-small" => pool::small(fleet, record, until).await,
        "lock-chain" => locks::chain(fleet, record, until).await,
        "ddl-queue" => locks::ddl(fleet, record, until).await,
        "connection-flood" => pool::flood(fleet, record, until).await,
        "standby-stopped" => servers::stopped(fleet, record, until).await,
        "standby-paused" => servers::paused(fleet, record, until).await,
        "primary-killed" => servers::killed(fleet, until).await,
        "slow-statements" => queries::slow(fleet, record, until).await,
        "missing-index" => queries::lookups(fleet, record, false, until).await,
        "large-table-lookups" => queries::lookups(fleet, record, true, until).await,
        "full-table-reports" => queries::reports(fleet, record, until).await,
        "index-dropped" => queries::index_dropped(fleet, until).await,
        "temp-spill" => queries::spill(fleet, record, until).await,
        "row-by-row" => queries::row_by_row(fleet, record, until).await,
        "statistics-off" => queries::statistics_off(fleet, record, until).await,
        "hot-row" => transactions::hot_row(fleet, record, until).await,
        "advisory-lock-held" => transactions::advisory(fleet, record, until).await,
        "prepared-undecided" => transactions::prepared(fleet, record, until).await,
        "horizon-held" => transactions::horizon(fleet, record, until).await,
        "statement-runaway" => transactions::runaway(fleet, until).await,
        "dump-running" => transactions::dump(fleet, until).await,
        "slot-forgotten" => wal::slot(fleet, record, until).await,
        "sync-standby-absent" => wal::absent(fleet, record, until).await,
        "setting-harmful" => wal::harmful(fleet, record, until).await,
        "line-refused" => wal::refused(fleet, record, until).await,
        "privilege-revoked" => wal::revoked(fleet, until).await,
        other => Err(LabError::Fault(format!("there is no fault `{other}`"))),
    }
}

/// Puts right what outlives the process that held a fault.
pub(crate) async fn undo(fleet: &Fleet, record: &FaultRecord) -> Result<(), LabError> {
    match record.fault.as_str() {
        "pool-too-small" => crate::pooler::resize(fleet, fleet.pool_size).await,
        "standby-stopped" => servers::start_again(fleet, &record.params["server"]).await,
        "standby-paused" => servers::resume(fleet, &record.params["server"]).await,
        "primary-killed" => servers::start_again(fleet, "a").await,
        "slot-forgotten" => wal::drop_slot(fleet).await,
        "sync-standby-absent" => wal::nobody_absent(fleet).await,
        "setting-harmful" => wal::harmless(fleet, record).await,
        "line-refused" => wal::accepted(fleet, record),
        "privilege-revoked" => wal::granted(fleet).await,
        "lock-chain" => sweep(fleet, &["lab-holder", "lab-link", "lab-waiter"]).await,
        "ddl-queue" => sweep(fleet, &["lab-report", "lab-migration", "lab-reader"]).await,
        "connection-flood" => sweep(fleet, &["lab-flood"]).await,
        "slow-statements" | "temp-spill" | "row-by-row" => sweep(fleet, &["notes-report"]).await,
        "missing-index" | "large-table-lookups" | "full-table-reports" => {
            sweep(fleet, &["notes-report"]).await?;
            queries::drop_table(fleet).await
        }
        "index-dropped" => queries::index_again(fleet).await,
        "statistics-off" => queries::statistics_on(fleet).await,
        "idle-in-transaction-leak" | "slow-server" => sweep(fleet, &["notes-worker", "notes-web"]).await,
        "hot-row" => sweep(fleet, &["lab-counter"]).await,
        "advisory-lock-held" => sweep(fleet, &["lab-candidate", "lab-leader"]).await,
        "prepared-undecided" => {
            sweep(fleet, &["lab-undecided", "lab-coordinator"]).await?;
            transactions::decide(fleet).await
        }
        "horizon-held" => {
            sweep(fleet, &["lab-report", "lab-writer"]).await?;
            transactions::decide(fleet).await
        }
        "statement-runaway" => sweep(fleet, &["lab-runaway"]).await,
        "dump-running" => sweep(fleet, &["pg_dump"]).await,
        _ => Ok(()),
    }
}

/// Starts a server that is not running.
pub(crate) async fn start_again(fleet: &Fleet, server: &str) -> Result<(), LabError> {
    servers::start_again(fleet, server).await
}

/// Ends the sessions of a fault: one that waits for a lock or sleeps does not notice that its client is gone.
async fn sweep(fleet: &Fleet, applications: &[&str]) -> Result<(), LabError> {
    let names: Vec<String> = applications.iter().map(|a| (*a).to_owned()).collect();
    sweep_at(fleet, "a", &names).await
}

/// The same at a server.
pub(crate) async fn sweep_at(fleet: &Fleet, server: &str, applications: &[String]) -> Result<(), LabError> {
    fleet.marked(server)?;
    let client = connect(&fleet.config(server, User::Postgres, "postgres")?)
        .await
        .map_err(sql("login"))?;
    client
        .execute(
            "SELECT pg_catalog.pg_terminate_backend(pid) FROM pg_catalog.pg_stat_activity \
             WHERE application_name = ANY($1) AND state IS DISTINCT FROM 'idle'",
            &[&applications],
        )
        .await
        .map(|_| ())
        .map_err(sql("end of the fault's sessions"))
}

/// Connects under a name; tries again for a while, because a full pool is what some faults are about.
async fn patient(config: &Config, name: &str) -> Option<Client> {
    let mut config = config.clone();
    config.application_name(name);
    for _ in 0..50 {
        if let Ok(client) = connect(&config).await {
            return Some(client);
        }
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    }
    None
}

/// Tasks that end with the fault.
#[derive(Default)]
struct Crowd(tokio::task::JoinSet<()>);

impl Crowd {
    fn add(&mut self, task: impl Future<Output = ()> + Send + 'static) {
        self.0.spawn(task);
    }

    async fn disperse(mut self) {
        self.0.shutdown().await;
    }
}
