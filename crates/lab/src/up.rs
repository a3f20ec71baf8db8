//! A fleet from nothing.

use std::os::unix::fs::DirBuilderExt;
use std::path::Path;

use crate::error::{LabError, at, sql};
use crate::fleet::{FILE, Fleet, LabServer, User, connect, write_private};
use crate::install::{find_postgres, find_program};
use crate::options::LabOptions;
use crate::process::{run_as, spawn};
use crate::{pooler, server, stop};

const ROLES: &str = include_str!("sql/roles.sql");
const APP: &str = include_str!("sql/app.sql");

/// How far it is: `(done, of, what is being done)`.
pub type Progress<'a> = &'a (dyn Fn(u32, u32, &str) + Send + Sync);

/// Makes and starts a fleet. What fails half-way is taken down again.
///
/// # Errors
/// When the folder is in use, a program is missing, or a server does not start.
pub async fn up(options: &LabOptions, progress: Progress<'_>) -> Result<Fleet, LabError> {
    let pg = find_postgres(&options.pg, options.bindir.as_deref(), &options.cache_dir)?;
    prepare(&options.dir)?;
    let mut fleet = Fleet {
        format: 1,
        id: secret(16),
        dir: options.dir.clone(),
        pg,
        run_as: run_as(),
        system_identifier: String::new(),
        servers: ["a", "b", "c"]
            .iter()
            .take(1 + usize::from(options.standbys.min(2)))
            .map(|n| LabServer {
                name: (*n).to_owned(),
                port: 0,
                process: None,
            })
            .collect(),
        pooler: None,
        pool_size: options.pool_size,
        max_connections: options.max_connections,
        settings: options.settings.clone(),
        cache: None,
        traffic: None,
        missing: Vec::new(),
    };
    match build(&mut fleet, options, progress).await {
        Ok(()) => Ok(fleet),
        Err(e) => {
            // Logs are what explains it: they are kept in the message, the rest goes.
            let _ = stop::down(&options.dir).await;
            Err(e)
        }
    }
}

fn prepare(dir: &Path) -> Result<(), LabError> {
    let longest = dir.join("run").join(".s.PGSQL.65535").as_os_str().len();
    if longest > 107 {
        return Err(LabError::LongPath {
            path: dir.to_owned(),
            length: longest,
        });
    }
    match usual(dir).and_then(|()| Fleet::open(dir)) {
        Ok(fleet) => {
            let running = fleet
                .servers
                .iter()
                .any(|s| server::postmaster(&fleet, &s.name).is_some());
            let what = if running {
                "running"
            } else {
                "stale: nothing of it runs"
            };
            return Err(LabError::There {
                path: dir.to_owned(),
                what: what.to_owned(),
            });
        }
        Err(LabError::NotThere { .. }) => {}
        Err(e) => return Err(e),
    }
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o711)
        .create(dir)
        .map_err(at(dir))?;
    // Somebody else may have made it in between.
    usual(dir)?;
    // A folder that was there keeps its mode: servers must be able to pass through ours.
    if let Some(parent) = dir.parent()
        && parent
            .file_name()
            .is_some_and(|n| n.to_string_lossy().starts_with("muster-"))
    {
        set_mode(parent, 0o711)?;
    }
    set_mode(dir, 0o711)
}

/// Whether what is in the usual place of a fleet, `muster-UID` where everybody may write, is our own as far as it is there.
///
/// # Errors
/// [`LabError::NotOurs`] when it is somebody else's.
pub fn usual(dir: &Path) -> Result<(), LabError> {
    let parent = dir.parent().filter(|p| {
        let name = p.file_name().map(|n| n.to_string_lossy().into_owned());
        name.is_some_and(|n| n.starts_with("muster-"))
    });
    for (entry, above) in [(parent, 0), (parent.map(|_| dir), 1)] {
        if let Some(entry) = entry.filter(|e| e.symlink_metadata().is_ok()) {
            crate::owned::private(entry, above)?;
        }
    }
    Ok(())
}

fn set_mode(path: &Path, mode: u32) -> Result<(), LabError> {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).map_err(at(path))
}

async fn build(fleet: &mut Fleet, options: &LabOptions, progress: Progress<'_>) -> Result<(), LabError> {
    let of = 5 + u32::from(options.pooler) + u32::from(options.cache);
    let mut step = 0;
    let mut say = |what: &str| {
        progress(step, of, what);
        step += 1;
    };
    say(&format!("PostgreSQL {}: making the primary", fleet.pg.version));
    folders(fleet)?;
    fleet.save()?;
    server::init(fleet, "a").await?;
    say("starting the primary");
    server::start(fleet, "a").await?;
    fleet.save()?;
    roles(fleet).await?;
    fleet.mark("a")?;
    say("copying the standbys");
    let standbys: Vec<String> = fleet.servers.iter().skip(1).map(|s| s.name.clone()).collect();
    futures::future::try_join_all(standbys.iter().map(|s| server::copy(fleet, "a", s))).await?;
    say("starting the standbys");
    for standby in &standbys {
        fleet.mark(standby)?;
        server::start(fleet, standby).await?;
        fleet.save()?;
    }
    if options.pooler {
        say("starting PgBouncer");
        match find_program("pgbouncer", &options.cache_dir) {
            Some(program) => pooler::start(fleet, &program).await?,
            None => fleet
                .missing
                .push("PgBouncer is not installed: `cargo xtask provide` provides it".to_owned()),
        }
        fleet.save()?;
    }
    if options.cache {
        say("starting Redis");
        match find_program("redis-server", &options.cache_dir) {
            Some(program) => pooler::start_cache(fleet, &program).await?,
            None => fleet
                .missing
                .push("Redis is not installed: `cargo xtask provide` provides it".to_owned()),
        }
        fleet.save()?;
    }
    say("starting the traffic");
    if options.traffic
        && let Some(binary) = &options.child_binary
    {
        let mut command = std::process::Command::new(binary);
        command
            .args(["lab-child", "traffic", "--dir"])
            .arg(&fleet.dir)
            .stdin(std::process::Stdio::null());
        let process = spawn(&mut command, &fleet.log("traffic"))?;
        fleet.traffic = Some(crate::fleet::Part { port: 0, process });
    }
    fleet.save()?;
    progress(of, of, "ready");
    Ok(())
}

fn folders(fleet: &Fleet) -> Result<(), LabError> {
    for (name, owned, mode) in [
        ("run", true, 0o755),
        ("secrets", false, 0o700),
        ("log", false, 0o755),
        ("faults", false, 0o700),
        ("ledger", false, 0o700),
    ] {
        let path = fleet.dir.join(name);
        std::fs::create_dir_all(&path).map_err(at(&path))?;
        set_mode(&path, mode)?;
        if owned {
            fleet.run_as.own(&path)?;
        }
    }
    for server in &fleet.servers {
        let path = fleet.data(&server.name);
        std::fs::DirBuilder::new()
            .mode(0o700)
            .create(&path)
            .map_err(at(&path))?;
        fleet.run_as.own(&path)?;
    }
    for user in User::ALL {
        write_private(&fleet.password_file(user), secret(24).as_bytes())?;
    }
    write_private(&fleet.dir.join("secrets").join("redis"), secret(24).as_bytes())
}

async fn roles(fleet: &mut Fleet) -> Result<(), LabError> {
    let client = connect(&fleet.config("a", User::Postgres, "postgres")?)
        .await
        .map_err(sql("login"))?;
    let mut text = ROLES.to_owned();
    for user in User::ALL {
        text = text.replace(&format!("{{{}}}", user.name()), &fleet.password(user)?);
    }
    client.batch_execute(&text).await.map_err(sql("roles"))?;
    if fleet.pg.major >= 16 {
        client
            .batch_execute("GRANT pg_use_reserved_connections TO muster, muster_act")
            .await
            .map_err(sql("grant of reserved connections"))?;
    }
    client
        .batch_execute("CREATE DATABASE app OWNER app")
        .await
        .map_err(sql("database app"))?;
    for server in fleet.servers.iter().skip(1) {
        client
            .execute(
                "SELECT pg_catalog.pg_create_physical_replication_slot($1, true)",
                &[&format!("standby_{}", server.name)],
            )
            .await
            .map_err(sql("replication slot"))?;
    }
    let row = client
        .query_one(
            "SELECT system_identifier::text FROM pg_catalog.pg_control_system()",
            &[],
        )
        .await
        .map_err(sql("system identifier"))?;
    fleet.system_identifier = row.get(0);
    let super_app = connect(&fleet.config("a", User::Postgres, "app")?)
        .await
        .map_err(sql("login"))?;
    super_app
        .batch_execute("CREATE EXTENSION pg_stat_statements")
        .await
        .map_err(sql("pg_stat_statements"))?;
    // Functions belong to a database: `postgres` is the one that the written config logs in to, `app` that of tests.
    for session in [&client, &super_app] {
        session
            .batch_execute(
                "GRANT EXECUTE ON FUNCTION pg_catalog.pg_show_all_file_settings(), pg_catalog.pg_hba_file_rules() TO muster",
            )
            .await
            .map_err(sql("grant of the files"))?;
    }
    let app = connect(&fleet.config("a", User::App, "app")?)
        .await
        .map_err(sql("login as app"))?;
    app.batch_execute(APP)
        .await
        .map_err(sql("tables of the application"))
}

/// A random secret of letters and digits.
fn secret(length: usize) -> String {
    const LETTERS: &[u8] = b"ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnpqrstuvwxyz23456789";
    (0..length)
        .map(|_| char::from(LETTERS[usize::from(rand::random::<u8>()) % LETTERS.len()]))
        .collect()
}

/// Whether a folder holds the description of a fleet.
#[must_use]
pub fn is_fleet(dir: &Path) -> bool {
    dir.join(FILE).is_file()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    #[test]
    fn a_folder_that_somebody_else_may_change_is_not_used() {
        let base = tempfile::tempdir().expect("dir");
        let parent = base.path().join("muster-7");
        std::fs::create_dir(&parent).expect("dir");
        std::fs::set_permissions(&parent, std::fs::Permissions::from_mode(0o777)).expect("sets");
        let refused = prepare(&parent.join("lab")).expect_err("others may write there");
        assert!(
            matches!(&refused, LabError::NotOurs { path, .. } if *path == parent),
            "{refused}"
        );
        assert!(!parent.join("lab").exists(), "nothing is made in it");
        std::fs::set_permissions(&parent, std::fs::Permissions::from_mode(0o711)).expect("sets");
        prepare(&parent.join("lab")).expect("ours");
        symlink(base.path(), parent.join("other")).expect("links");
        assert!(prepare(&parent.join("other")).is_err(), "a link leads elsewhere");
    }
}
