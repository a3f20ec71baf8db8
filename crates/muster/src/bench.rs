//! `bench observe`: what collection costs the server and Muster, beside the postgres exporter at the same cadence;
//! `bench watch`: what the whole daemon costs while nothing happens; [`engine`]: what journal and steps cost; [`diagnosis`]:
//! what is named of an incident corpus, beside rule sets in common use.

pub mod diagnosis;
pub mod engine;
mod peers;

use std::path::Path;
use std::time::{Duration, Instant};

use muster_lab::Fleet;
use muster_lab::install::find_program;
use muster_lab::process::ProcessId;
use muster_reach::{Estate, Limits};

use crate::cli::exit::Failure;
use crate::cli::lab::{cache_dir, default_dir, options, start};
use crate::cli::print;
use crate::config;

/// CPU time of a process and of its children that ended, in seconds.
fn cpu(pid: i32) -> f64 {
    let ticks = procfs::ticks_per_second();
    procfs::process::Process::new(pid)
        .and_then(|p| p.stat())
        .map_or(0.0, |s| {
            let own = s.utime + s.stime;
            let children = u64::try_from(s.cutime.max(0) + s.cstime.max(0)).unwrap_or(0);
            #[allow(clippy::cast_precision_loss)]
            let seconds = (own + children) as f64 / ticks as f64;
            seconds
        })
}

/// CPU time of a server: postmaster, its living and its ended children.
fn server_cpu(postmaster: i32) -> f64 {
    let mut sum = cpu(postmaster);
    for p in procfs::process::all_processes().into_iter().flatten().flatten() {
        if p.stat().is_ok_and(|s| s.ppid == postmaster) {
            sum += cpu(p.pid);
        }
    }
    sum
}

struct Row {
    name: String,
    server: f64,
    own: f64,
}

/// Measures and prints the table.
///
/// # Errors
/// When the fleet does not start.
pub async fn observe(seconds: u64) -> Result<u8, Failure> {
    let mut opts = options(default_dir("bench"), None)?;
    opts.traffic = false;
    opts.cache = false;
    let fleet = start(&opts).await?;
    let result = measure(&fleet, seconds).await;
    muster_lab::down(&fleet.dir).await?;
    let rows = result?;
    print::line(format!(
        "collection at 1 s for {seconds} s, PostgreSQL {}, CPU seconds a minute:",
        fleet.pg.version
    ));
    let idle = rows.first().map_or(0.0, |r| r.server);
    let table = rows.iter().map(|r| {
        vec![
            r.name.clone(),
            format!("{:.3}", r.server - idle),
            format!("{:.3}", r.own),
        ]
    });
    print::table(&["who", "server", "itself"], table.skip(1).collect());
    if let [_, ours, theirs] = &rows[..] {
        let ratio = |a: f64, b: f64| {
            if b > 0.0 {
                format!("{:.2}", a / b)
            } else {
                "–".to_owned()
            }
        };
        print::line(format!(
            "ratio muster / exporter: server {}, itself {}",
            ratio(ours.server - idle, theirs.server - idle),
            ratio(ours.own, theirs.own)
        ));
    }
    Ok(0)
}

/// What the daemon costs while nothing happens: a whole idle fleet, all collectors, rules, journal and page.
///
/// # Errors
/// When the fleet or the daemon does not start.
pub async fn watch(seconds: u64) -> Result<u8, Failure> {
    let opts = options(default_dir("bench"), None)?;
    let fleet = start(&opts).await?;
    let result = idle(&fleet, seconds).await;
    muster_lab::down(&fleet.dir).await?;
    let (percent, peak) = result?;
    print::line(format!(
        "`muster watch` on an idle fleet of {} servers and a pooler for {seconds} s, PostgreSQL {}: {percent:.2} % of one core, \
         {peak:.1} MB at most",
        fleet.servers.len(),
        fleet.pg.version
    ));
    Ok(0)
}

async fn idle(fleet: &Fleet, seconds: u64) -> Result<(f64, f64), Failure> {
    let file = crate::cli::up::write_config(fleet, None)?;
    let fail = |e: std::io::Error| Failure::new(1, format!("`muster watch` does not start: {e}"), "");
    let mut child = tokio::process::Command::new(std::env::current_exe().map_err(fail)?)
        .args(["watch", "--config"])
        .arg(&file)
        .env("MUSTER_LISTEN", "127.0.0.1:0")
        .stdin(std::process::Stdio::null())
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .map_err(fail)?;
    let pid = child.id().and_then(|p| i32::try_from(p).ok()).unwrap_or(0);
    // Its start is not what is measured.
    tokio::time::sleep(Duration::from_secs(5)).await;
    let (began, before) = (Instant::now(), cpu(pid));
    tokio::time::sleep(Duration::from_secs(seconds)).await;
    let percent = (cpu(pid) - before) * 100.0 / began.elapsed().as_secs_f64();
    let peak = procfs::process::Process::new(pid)
        .and_then(|p| p.status())
        .ok()
        .and_then(|s| s.vmhwm);
    let ended = child.try_wait().map_err(fail)?;
    let _ = child.kill().await;
    match (ended, peak) {
        (None, Some(kilobytes)) => {
            #[allow(clippy::cast_precision_loss)]
            let megabytes = kilobytes as f64 / 1024.0;
            Ok((percent, megabytes))
        }
        _ => Err(Failure::new(
            1,
            "`muster watch` ended while it was measured",
            "start it by hand to see why",
        )),
    }
}

async fn measure(fleet: &Fleet, seconds: u64) -> Result<Vec<Row>, Failure> {
    let postmaster = muster_lab::server::postmaster(fleet, "a").map_or(0, |p| p.pid);
    let minute = |cpu: f64, took: Duration| cpu * 60.0 / took.as_secs_f64();
    let mut rows = Vec::new();

    let (began, before) = (Instant::now(), server_cpu(postmaster));
    tokio::time::sleep(Duration::from_secs(seconds)).await;
    rows.push(Row {
        name: "nobody".into(),
        server: minute(server_cpu(postmaster) - before, began.elapsed()),
        own: 0.0,
    });

    let file = crate::cli::up::write_config(fleet, None)?;
    let env = |name: &str| std::env::var(name).ok();
    let resolved = config::load(&file, &env)
        .map_err(|p| Failure::new(1, p.first().map(ToString::to_string).unwrap_or_default(), ""))?;
    let mut only_primary = resolved.clusters[0].reach.clone();
    only_primary.servers.truncate(1);
    only_primary.poolers.clear();
    only_primary.caches.clear();
    let estate = Estate::new(vec![only_primary], &Limits::default());
    let observer = muster_observe::Observer::new(estate.clusters()[0].clone(), resolved.cadence);
    let me = i32::try_from(std::process::id()).unwrap_or(0);
    let (began, before, own) = (Instant::now(), server_cpu(postmaster), cpu(me));
    let mut tick = tokio::time::interval(Duration::from_secs(1));
    while began.elapsed() < Duration::from_secs(seconds) {
        tick.tick().await;
        let now = muster_engine::clock::Clock::now(&muster_engine::clock::SystemClock);
        observer.pass(now, muster_observe::Extent::Due).await;
    }
    let took = began.elapsed();
    rows.push(Row {
        name: "muster".into(),
        server: minute(server_cpu(postmaster) - before, took),
        own: minute(cpu(me) - own, took),
    });
    drop(observer);
    drop(estate);

    let Some(exporter) = find_program("prometheus-postgres-exporter", &cache_dir()) else {
        print::note(
            "the postgres exporter is not installed here: install the package prometheus-postgres-exporter",
        );
        return Ok(rows);
    };
    if let Some(row) = exporter_row(fleet, &exporter, postmaster, seconds).await? {
        rows.push(row);
    }
    Ok(rows)
}

async fn exporter_row(
    fleet: &Fleet,
    program: &Path,
    postmaster: i32,
    seconds: u64,
) -> Result<Option<Row>, Failure> {
    let port = std::net::TcpListener::bind("127.0.0.1:0")
        .and_then(|l| l.local_addr())
        .map_or(9187, |a| a.port());
    let server = fleet.server("a").map_or(0, |s| s.port);
    let password = fleet.password(muster_lab::fleet::User::Muster)?;
    let mut command = tokio::process::Command::new(program);
    command
        .arg(format!("--web.listen-address=127.0.0.1:{port}"))
        .env(
            "DATA_SOURCE_NAME",
            format!("postgresql://muster:{password}@127.0.0.1:{server}/postgres?sslmode=disable"),
        )
        .stdin(std::process::Stdio::null())
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .kill_on_drop(true);
    let mut child = command
        .spawn()
        .map_err(|e| Failure::new(1, format!("the exporter does not start: {e}"), ""))?;
    let pid = child.id().and_then(|p| i32::try_from(p).ok()).unwrap_or(0);
    let known = ProcessId::of(pid);
    tokio::time::sleep(Duration::from_secs(2)).await;
    let (began, before, own) = (Instant::now(), server_cpu(postmaster), cpu(pid));
    let mut tick = tokio::time::interval(Duration::from_secs(1));
    let mut answers = 0;
    while began.elapsed() < Duration::from_secs(seconds) && known.alive() {
        tick.tick().await;
        answers += usize::from(scrape(port).await.is_some_and(|t| t.contains("pg_up 1")));
    }
    let took = began.elapsed();
    let row = Row {
        name: "postgres exporter".into(),
        server: (server_cpu(postmaster) - before) * 60.0 / took.as_secs_f64(),
        own: (cpu(pid) - own) * 60.0 / took.as_secs_f64(),
    };
    let _ = child.kill().await;
    if answers == 0 {
        print::note("the postgres exporter gave no answer with pg_up 1: no comparison");
        return Ok(None);
    }
    Ok(Some(row))
}

async fn scrape(port: u16) -> Option<String> {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let mut stream = tokio::net::TcpStream::connect(("127.0.0.1", port)).await.ok()?;
    stream
        .write_all(b"GET /metrics HTTP/1.0\r\nHost: localhost\r\n\r\n")
        .await
        .ok()?;
    let mut text = Vec::new();
    tokio::time::timeout(Duration::from_secs(5), stream.read_to_end(&mut text))
        .await
        .ok()?
        .ok()?;
    Some(String::from_utf8_lossy(&text).into_owned())
}
