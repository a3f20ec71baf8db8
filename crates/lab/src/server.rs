//! One PostgreSQL server of a fleet: made, started, stopped.

use std::path::Path;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::error::{LabError, at};
use crate::fleet::{Fleet, User, connect};
use crate::process::{ProcessId, free_port, run, spawn};

/// How a server is stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// Sessions are ended, everything is written.
    Fast,
    /// At once, as in a crash, but its shared memory is given back.
    Immediate,
    /// Killed.
    Kill,
}

/// Makes the primary's data folder.
pub(crate) async fn init(fleet: &Fleet, server: &str) -> Result<(), LabError> {
    let secret = fleet.dir.join("run").join("initdb.secret");
    crate::fleet::write_private(&secret, fleet.password(User::Postgres)?.as_bytes())?;
    fleet.run_as.own(&secret)?;
    let mut command = fleet.run_as.command(&fleet.pg.bindir.join("initdb"));
    command.args([
        "-U",
        "postgres",
        "-k",
        "-E",
        "UTF8",
        "--locale=C",
        "--no-sync",
        "--auth=scram-sha-256",
    ]);
    command
        .arg("--pwfile")
        .arg(&secret)
        .arg("-D")
        .arg(fleet.data(server));
    let done = run(command, "initdb").await;
    std::fs::remove_file(&secret).map_err(at(&secret))?;
    done?;
    let conf = fleet.data(server).join("postgresql.conf");
    let mut text = std::fs::read_to_string(&conf).map_err(at(&conf))?;
    text.push_str("\ninclude 'lab.conf'\n");
    std::fs::write(&conf, text).map_err(at(&conf))?;
    let hba = fleet.data(server).join("pg_hba.conf");
    let rules = "local all all scram-sha-256\nlocal replication replicator scram-sha-256\n\
                 host all all 127.0.0.1/32 scram-sha-256\nhost replication replicator 127.0.0.1/32 scram-sha-256\n";
    std::fs::write(&hba, rules).map_err(at(&hba))
}

/// Copies the primary into a standby's data folder.
pub(crate) async fn copy(fleet: &Fleet, from: &str, to: &str) -> Result<(), LabError> {
    let port = fleet.server(from).map_or(0, |s| s.port);
    let mut command = fleet.run_as.command(&fleet.pg.bindir.join("pg_basebackup"));
    command.args([
        "-X",
        "stream",
        "-c",
        "fast",
        "--no-sync",
        "-U",
        "replicator",
        "-h",
        "127.0.0.1",
    ]);
    command
        .arg("-p")
        .arg(port.to_string())
        .arg("-D")
        .arg(fleet.data(to));
    command.env("PGPASSWORD", fleet.password(User::Replicator)?);
    run(command, "pg_basebackup").await?;
    let signal = fleet.data(to).join("standby.signal");
    std::fs::write(&signal, "").map_err(at(&signal))?;
    fleet.run_as.own(&signal)
}

fn settings(fleet: &Fleet, server: &str, port: u16) -> Result<String, LabError> {
    let mut conf = format!(
        "listen_addresses = '127.0.0.1'\nport = {port}\nunix_socket_directories = '{}'\nmax_connections = {}\n\
         shared_buffers = 16MB\nwal_level = logical\nmax_prepared_transactions = 10\nmax_wal_senders = 10\nmax_replication_slots = 10\nhot_standby = on\n\
         shared_preload_libraries = 'pg_stat_statements'\nhuge_pages = off\ndynamic_shared_memory_type = mmap\n\
         cluster_name = '{server}'\nmax_wal_size = 256MB\nmin_wal_size = 32MB\nwal_keep_size = 64MB\n\
         max_prepared_transactions = 10\nautovacuum_naptime = 60\nhot_standby_feedback = on\nwal_receiver_status_interval = 1s\n\
         log_destination = 'stderr'\nlogging_collector = off\npassword_encryption = 'scram-sha-256'\n",
        fleet.sockets().display(),
        fleet.max_connections,
    );
    if fleet.pg.major >= 16 {
        conf.push_str("reserved_connections = 2\n");
    }
    if server != "a" {
        let primary = fleet.server("a").map_or(0, |s| s.port);
        let password = fleet.password(User::Replicator)?;
        conf.push_str(&format!(
            "primary_conninfo = 'host=127.0.0.1 port={primary} user=replicator password={password} \
             application_name={server}'\nprimary_slot_name = 'standby_{server}'\n"
        ));
    }
    // The last word on a name counts.
    for (name, value) in &fleet.settings {
        conf.push_str(&format!("{name} = '{}'\n", value.replace('\'', "''")));
    }
    Ok(conf)
}

/// Starts a server on its port, or on another free one when somebody else took it; notes port and process.
///
/// # Errors
/// When it does not accept logins in time.
pub async fn start(fleet: &mut Fleet, server: &str) -> Result<(), LabError> {
    let first = fleet.server(server).map_or(0, |s| s.port);
    let mut last = None;
    for attempt in 0..3 {
        let port = if first != 0 && attempt == 0 {
            first
        } else {
            free_port()?
        };
        if let Some(s) = fleet.servers.iter_mut().find(|s| s.name == server) {
            s.port = port;
        }
        match start_on(fleet, server, port).await {
            Ok(process) => {
                if let Some(s) = fleet.servers.iter_mut().find(|s| s.name == server) {
                    s.process = Some(process);
                }
                return Ok(());
            }
            Err(e) => last = Some(e),
        }
        let log = std::fs::read_to_string(fleet.log(server)).unwrap_or_default();
        if !log.contains("could not bind") && !log.contains("could not create any TCP") {
            break;
        }
    }
    Err(last.unwrap_or_else(|| LabError::NotThere {
        path: fleet.data(server),
    }))
}

async fn start_on(fleet: &Fleet, server: &str, port: u16) -> Result<ProcessId, LabError> {
    let conf = fleet.data(server).join("lab.conf");
    crate::fleet::write_private(&conf, settings(fleet, server, port)?.as_bytes())?;
    fleet.run_as.own(&conf)?;
    let mut command = fleet.run_as.command(&fleet.pg.bindir.join("postgres"));
    command.arg("-D").arg(fleet.data(server));
    let log = fleet.log(server);
    let process = spawn(&mut command, &log)?;
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        let tried = match fleet.config(server, User::Postgres, "postgres") {
            Ok(config) => connect(&config).await.map(|_| ()).map_err(|e| e.to_string()),
            Err(e) => Err(e.to_string()),
        };
        match tried {
            Ok(()) => return Ok(process),
            Err(_) if !process.alive() => {
                return Err(LabError::Program {
                    program: "postgres".into(),
                    output: tail(&log),
                });
            }
            Err(seen) if Instant::now() >= deadline => {
                process.signal(Signal::QUIT);
                return Err(LabError::Late {
                    what: format!("start of server {server}"),
                    seconds: 30,
                    seen,
                });
            }
            Err(_) => tokio::time::sleep(Duration::from_millis(30)).await,
        }
    }
}

/// Stops a server. Twice is harmless.
///
/// # Errors
/// When it does not end.
pub async fn stop(fleet: &Fleet, server: &str, how: How) -> Result<(), LabError> {
    let Some(process) = postmaster(fleet, server) else {
        return Ok(());
    };
    process.signal(match how {
        How::Fast => Signal::INT,
        How::Immediate => Signal::QUIT,
        How::Kill => Signal::KILL,
    });
    if process.gone_within(Duration::from_secs(20)).await {
        return Ok(());
    }
    process.signal(Signal::KILL);
    if process.gone_within(Duration::from_secs(5)).await {
        return Ok(());
    }
    Err(LabError::Late {
        what: format!("stop of server {server}"),
        seconds: 25,
        seen: "it is still alive".into(),
    })
}

/// The postmaster of a data folder, when it is alive and its own.
#[must_use]
pub fn postmaster(fleet: &Fleet, server: &str) -> Option<ProcessId> {
    let noted = fleet
        .server(server)
        .and_then(|s| s.process.clone())
        .filter(ProcessId::alive);
    if noted.is_some() {
        return noted;
    }
    let text = std::fs::read_to_string(fleet.data(server).join("postmaster.pid")).ok()?;
    let mut lines = text.lines();
    // A standalone backend (initdb's) writes its number below zero.
    let pid: i32 = lines.next()?.trim().parse::<i32>().ok()?.checked_abs()?;
    let data = lines.next()?;
    let process = ProcessId::of(pid);
    // The number may be somebody else's by now: its command line must name this folder.
    (Path::new(data) == fleet.data(server) && process.alive() && serves(pid, data)).then_some(process)
}

#[cfg(target_os = "linux")]
fn serves(pid: i32, data: &str) -> bool {
    procfs::process::Process::new(pid)
        .and_then(|p| p.cmdline())
        .is_ok_and(|c| c.iter().any(|a| a == data))
}

#[cfg(not(target_os = "linux"))]
fn serves(_: i32, _: &str) -> bool {
    true
}

/// System V shared memory that a killed postmaster left behind.
pub(crate) async fn release_shared_memory(fleet: &Fleet, server: &str) {
    let Ok(text) = std::fs::read_to_string(fleet.data(server).join("postmaster.pid")) else {
        return;
    };
    let Some(id) = text.lines().nth(6).and_then(|l| l.split_whitespace().nth(1)) else {
        return;
    };
    if id.parse::<u32>().is_ok() {
        let mut command = fleet.run_as.command(Path::new("/usr/bin/ipcrm"));
        command.args(["-m", id]);
        // Nothing to do when it is gone already.
        let _ = run(command, "ipcrm").await;
    }
}

fn tail(log: &Path) -> String {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = text.lines().rev().take(3).collect();
    lines.into_iter().rev().collect::<Vec<_>>().join(" | ")
}
