//! Processes of a fleet: started as an unprivileged user, recognised by more than their number, ended by it.

use std::fs::OpenOptions;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process, test_kill_process};
use serde::{Deserialize, Serialize};

use crate::error::{LabError, at};

/// A process, recognised by number and start time: a number alone may be somebody else's by now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessId {
    /// Number.
    pub pid: i32,
    /// Start time as the system counts it; 0 where it cannot be read.
    pub started: u64,
}

impl ProcessId {
    /// Of a number that is alive now.
    #[must_use]
    pub fn of(pid: i32) -> Self {
        Self {
            pid,
            started: started(pid),
        }
    }

    /// Whether this very process is alive (a zombie is not).
    #[must_use]
    pub fn alive(&self) -> bool {
        // Not a number of a process: 0 and below would mean whole groups.
        let Some(pid) = (self.pid > 0).then(|| Pid::from_raw(self.pid)).flatten() else {
            return false;
        };
        test_kill_process(pid).is_ok() && started(self.pid) == self.started && !zombie(self.pid)
    }

    /// Sends it a signal, when it is still this very process.
    pub fn signal(&self, signal: Signal) {
        if self.alive()
            && let Some(pid) = Pid::from_raw(self.pid)
        {
            let _ = kill_process(pid, signal);
        }
    }

    /// The child of it whose title holds a word: the processes of a PostgreSQL server say in it what they do.
    #[must_use]
    pub fn child(&self, title: &str) -> Option<Self> {
        child(self.pid, title).map(Self::of)
    }

    /// Waits until it is gone; `false` when it is not in time.
    pub async fn gone_within(&self, limit: Duration) -> bool {
        let deadline = Instant::now() + limit;
        while self.alive() {
            if Instant::now() >= deadline {
                return false;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        true
    }
}

#[cfg(target_os = "linux")]
fn started(pid: i32) -> u64 {
    procfs::process::Process::new(pid)
        .and_then(|p| p.stat())
        .map_or(0, |s| s.starttime)
}

#[cfg(target_os = "linux")]
fn zombie(pid: i32) -> bool {
    procfs::process::Process::new(pid)
        .and_then(|p| p.stat())
        .is_ok_and(|s| s.state == 'Z')
}

#[cfg(target_os = "linux")]
fn child(parent: i32, title: &str) -> Option<i32> {
    let all = procfs::process::all_processes().ok()?;
    all.flatten()
        .find(|p| {
            p.stat().is_ok_and(|s| s.ppid == parent)
                && p.cmdline().is_ok_and(|c| c.iter().any(|a| a.contains(title)))
        })
        .map(|p| p.pid)
}

#[cfg(not(target_os = "linux"))]
fn child(_: i32, _: &str) -> Option<i32> {
    None
}

#[cfg(not(target_os = "linux"))]
fn started(_: i32) -> u64 {
    0
}

#[cfg(not(target_os = "linux"))]
fn zombie(_: i32) -> bool {
    false
}

/// The user that servers run as.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunAs {
    /// User id; `None` for the one who calls.
    pub uid: Option<u32>,
    /// Group id.
    pub gid: Option<u32>,
}

/// As root: `postgres` if it exists, else `nobody`; as anybody else: oneself.
#[must_use]
pub fn run_as() -> RunAs {
    if !rustix::process::geteuid().is_root() {
        return RunAs { uid: None, gid: None };
    }
    let passwd = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let find = |user: &str| {
        passwd.lines().find_map(|l| {
            let f: Vec<&str> = l.split(':').collect();
            (f.first() == Some(&user)).then(|| Some((f.get(2)?.parse().ok()?, f.get(3)?.parse().ok()?)))?
        })
    };
    let (uid, gid): (u32, u32) = find("postgres")
        .or_else(|| find("nobody"))
        .unwrap_or((65534, 65534));
    RunAs {
        uid: Some(uid),
        gid: Some(gid),
    }
}

impl RunAs {
    /// A command that runs as this user, with nothing on its input and an environment of its own.
    #[must_use]
    pub fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command
            .stdin(Stdio::null())
            .env_clear()
            .env("PATH", "/usr/bin:/bin:/usr/sbin:/sbin")
            .env("LC_ALL", "C");
        command.current_dir("/");
        if let (Some(uid), Some(gid)) = (self.uid, self.gid) {
            command.uid(uid).gid(gid);
        }
        command
    }

    /// Gives a file or folder to this user.
    pub(crate) fn own(&self, path: &Path) -> Result<(), LabError> {
        if let (Some(uid), Some(gid)) = (self.uid, self.gid) {
            std::os::unix::fs::chown(path, Some(uid), Some(gid)).map_err(at(path))?;
        }
        Ok(())
    }
}

/// Starts a command that outlives us, its output into a log file.
pub(crate) fn spawn(command: &mut Command, log: &Path) -> Result<ProcessId, LabError> {
    let file = OpenOptions::new()
        .create(true)
        .append(true)
        .open(log)
        .map_err(at(log))?;
    let err = file.try_clone().map_err(at(log))?;
    let child = command
        .stdout(file)
        .stderr(err)
        .process_group(0)
        .spawn()
        .map_err(at(log))?;
    let pid = i32::try_from(child.id()).unwrap_or(0);
    let id = ProcessId::of(pid);
    reap(child);
    Ok(id)
}

/// A child that ends while we live must not stay a zombie.
fn reap(mut child: std::process::Child) {
    std::thread::spawn(move || {
        let _ = child.wait();
    });
}

/// Runs a command to its end; its output when it fails.
pub(crate) async fn run(mut command: Command, name: &str) -> Result<String, LabError> {
    let name = name.to_owned();
    let done = tokio::task::spawn_blocking(move || command.output()).await;
    let output = match done {
        Ok(Ok(output)) => output,
        Ok(Err(e)) => {
            return Err(LabError::Program {
                program: name,
                output: e.to_string(),
            });
        }
        Err(e) => {
            return Err(LabError::Program {
                program: name,
                output: e.to_string(),
            });
        }
    };
    let text = format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    if output.status.success() {
        return Ok(text);
    }
    let tail: Vec<&str> = text.lines().rev().take(4).collect();
    let tail: Vec<&str> = tail.into_iter().rev().collect();
    Err(LabError::Program {
        program: name,
        output: tail.join(" | "),
    })
}

/// A port that the kernel says is free.
pub(crate) fn free_port() -> Result<u16, LabError> {
    let path = Path::new("127.0.0.1:0");
    let listener = std::net::TcpListener::bind("127.0.0.1:0").map_err(at(path))?;
    Ok(listener.local_addr().map_err(at(path))?.port())
}
