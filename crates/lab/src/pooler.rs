//! PgBouncer and Redis of a fleet.

use std::path::Path;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::error::{LabError, at, sql};
use crate::fleet::{Fleet, Part, User, connect, write_private};
use crate::process::{free_port, spawn};

/// Writes PgBouncer's config for a pool size.
pub(crate) fn write_config(fleet: &Fleet, port: u16, pool_size: u32) -> Result<(), LabError> {
    let primary = fleet.server("a").map_or(0, |s| s.port);
    let dir = fleet.dir.join("pgbouncer");
    let ini = format!(
        "[databases]\napp = host=127.0.0.1 port={primary} dbname=app\n\n[pgbouncer]\nlisten_addr = 127.0.0.1\n\
         listen_port = {port}\nunix_socket_dir = {}\nauth_type = scram-sha-256\nauth_file = {}\npool_mode = transaction\n\
         default_pool_size = {pool_size}\nmax_client_conn = 1000\nadmin_users = muster_act\nstats_users = muster\n\
         logfile = {}\npidfile = {}\nignore_startup_parameters = extra_float_digits\n",
        fleet.sockets().display(),
        dir.join("userlist.txt").display(),
        dir.join("pgbouncer.log").display(),
        dir.join("pgbouncer.pid").display(),
    );
    let path = dir.join("pgbouncer.ini");
    write_private(&path, ini.as_bytes())?;
    fleet.run_as.own(&path)
}

/// Starts PgBouncer.
pub(crate) async fn start(fleet: &mut Fleet, program: &Path) -> Result<(), LabError> {
    let dir = fleet.dir.join("pgbouncer");
    std::fs::create_dir_all(&dir).map_err(at(&dir))?;
    fleet.run_as.own(&dir)?;
    let mut users = String::new();
    for user in [User::App, User::Muster, User::MusterAct] {
        users.push_str(&format!("\"{}\" \"{}\"\n", user.name(), fleet.password(user)?));
    }
    let list = dir.join("userlist.txt");
    write_private(&list, users.as_bytes())?;
    fleet.run_as.own(&list)?;
    let mut seen = String::new();
    for _ in 0..3 {
        let port = free_port()?;
        write_config(fleet, port, fleet.pool_size)?;
        let mut command = fleet.run_as.command(program);
        command.arg("-q").arg(dir.join("pgbouncer.ini"));
        let process = spawn(&mut command, &fleet.log("pgbouncer"))?;
        fleet.pooler = Some(Part {
            port,
            process: process.clone(),
        });
        // Before it is waited for: who is killed meanwhile leaves it to `down`.
        fleet.save()?;
        let deadline = Instant::now() + Duration::from_secs(10);
        while process.alive() && Instant::now() < deadline {
            match connect(&fleet.app()?).await {
                Ok(_) => return Ok(()),
                Err(e) => seen = e.to_string(),
            }
            tokio::time::sleep(Duration::from_millis(30)).await;
        }
        process.signal(Signal::KILL);
    }
    fleet.pooler = None;
    Err(LabError::Late {
        what: "start of PgBouncer".into(),
        seconds: 10,
        seen,
    })
}

/// Sets the pool size in file and process.
pub(crate) async fn resize(fleet: &Fleet, pool_size: u32) -> Result<(), LabError> {
    let Some(part) = &fleet.pooler else {
        return Err(LabError::Fault("this fleet has no PgBouncer".into()));
    };
    write_config(fleet, part.port, pool_size)?;
    let mut config = tokio_postgres::Config::new();
    config
        .host("127.0.0.1")
        .port(part.port)
        .user("muster_act")
        .password(fleet.password(User::MusterAct)?);
    config.dbname("pgbouncer");
    let console = connect(&config).await.map_err(sql("login at the console"))?;
    console.simple_query("RELOAD").await.map_err(sql("RELOAD"))?;
    // Idle server connections beyond a smaller pool are closed, so that the new size holds at once.
    console
        .simple_query("RECONNECT")
        .await
        .map(|_| ())
        .map_err(sql("RECONNECT"))
}

/// Starts Redis.
pub(crate) async fn start_cache(fleet: &mut Fleet, program: &Path) -> Result<(), LabError> {
    let dir = fleet.dir.join("redis");
    std::fs::create_dir_all(&dir).map_err(at(&dir))?;
    fleet.run_as.own(&dir)?;
    let password = std::fs::read_to_string(fleet.dir.join("secrets").join("redis")).map_err(at(&dir))?;
    for _ in 0..3 {
        let port = free_port()?;
        let conf = format!(
            "bind 127.0.0.1\nport {port}\nunixsocket {}\nrequirepass {}\nsave \"\"\nappendonly no\nmaxmemory 64mb\n\
             dir {}\ndaemonize no\n",
            fleet.sockets().join("redis.sock").display(),
            password.trim(),
            dir.display()
        );
        let path = dir.join("redis.conf");
        write_private(&path, conf.as_bytes())?;
        fleet.run_as.own(&path)?;
        let mut command = fleet.run_as.command(program);
        command.arg(&path);
        let process = spawn(&mut command, &fleet.log("redis"))?;
        fleet.cache = Some(Part {
            port,
            process: process.clone(),
        });
        fleet.save()?;
        let deadline = Instant::now() + Duration::from_secs(10);
        while process.alive() && Instant::now() < deadline {
            if tokio::net::TcpStream::connect(("127.0.0.1", port)).await.is_ok() {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        process.signal(Signal::KILL);
    }
    fleet.cache = None;
    Err(LabError::Late {
        what: "start of Redis".into(),
        seconds: 10,
        seen: "its port does not answer".into(),
    })
}
