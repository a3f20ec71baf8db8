//! PgBouncer, Redis, Prometheus and hypopg from the system's package manager. What to run is decided by a pure function of what is there.
//!
//! Refuses to touch anything when the program exists, to start a service, and to change one that was there before.

use std::path::Path;

use anyhow::{Result, bail};

use super::policy::{self, Policy};
use super::{Missing, Provided};
use crate::{children, place};

/// Where the lab looks for programs, and a server for its extensions. The `PATH` is not asked: a daemon has another one.
const PLACES: [&str; 6] = [
    "/usr/bin",
    "/usr/sbin",
    "/usr/local/bin",
    "/usr/local/sbin",
    "/opt/homebrew/bin",
    "/usr/lib/postgresql/15/lib",
];

/// Package managers, in the order in which they are looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Manager {
    Apt,
    Dnf,
    Apk,
    Pacman,
    Brew,
}

const MANAGERS: [(Manager, &str); 5] = [
    (Manager::Apt, "apt-get"),
    (Manager::Dnf, "dnf"),
    (Manager::Apk, "apk"),
    (Manager::Pacman, "pacman"),
    (Manager::Brew, "brew"),
];

/// A program we need.
#[derive(Clone, Copy, Debug)]
struct Program {
    file: &'static str,
    debian: &'static str,
    elsewhere: &'static str,
    /// Whether its package brings a service.
    service: bool,
    /// A file without which it is of no use, and would bring more than itself.
    needs: Option<&'static str>,
}

const PROGRAMS: [Program; 4] = [
    Program {
        file: "pgbouncer",
        debian: "pgbouncer",
        elsewhere: "pgbouncer",
        service: true,
        needs: None,
    },
    Program {
        file: "redis-server",
        debian: "redis-server",
        elsewhere: "redis",
        service: true,
        needs: None,
    },
    // With promtool; it scrapes the daemon in a test.
    Program {
        file: "prometheus",
        debian: "prometheus",
        elsewhere: "prometheus",
        service: true,
        needs: None,
    },
    // For `muster query advise`: PostgreSQL 15 is tested with it, 18 without.
    Program {
        file: "hypopg.so",
        debian: "postgresql-15-hypopg",
        elsewhere: "hypopg_15",
        service: false,
        needs: Some("/usr/lib/postgresql/15/bin/postgres"),
    },
];

impl Program {
    /// The package; its service has the same name everywhere we know.
    fn package(self, manager: Manager) -> &'static str {
        if manager == Manager::Apt {
            self.debian
        } else {
            self.elsewhere
        }
    }
}

/// What is there, as far as it decides.
#[derive(Clone, Debug)]
struct Machine {
    manager: Option<Manager>,
    root: bool,
    sudo: bool,
    policy: Policy,
    systemctl: bool,
    /// Whether the package is there although its program is not.
    package_known: bool,
}

/// What to run for one program.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Plan {
    /// Whether to put a temporary `policy-rc.d` there while installing.
    policy: bool,
    install: Vec<String>,
    /// To run once when the install fails, before it is tried again.
    refresh: Option<Vec<String>>,
    /// To run afterwards, so that the service does not start with the machine.
    disable: Option<Vec<String>>,
}

/// Decides. `Err` is why it cannot be installed from here.
fn plan(program: Program, machine: &Machine) -> Result<Plan, String> {
    let Some(manager) = machine.manager else {
        return Err("no package manager that we know (apt-get, dnf, apk, pacman, brew)".to_owned());
    };
    if manager == Manager::Brew && machine.root {
        return Err("Homebrew refuses to run as root".to_owned());
    }
    if manager != Manager::Brew && !machine.root && !machine.sudo {
        return Err("this needs root, and `sudo -n` asks for a password".to_owned());
    }
    let package = program.package(manager);
    let privileged = |argv: &[&str]| {
        if manager == Manager::Brew {
            argv.iter().map(|a| (*a).to_owned()).collect()
        } else {
            as_root(machine.root, argv)
        }
    };
    Ok(Plan {
        policy: manager == Manager::Apt && machine.policy == Policy::Absent,
        install: privileged(&install(manager, package)),
        refresh: (manager == Manager::Apt).then(|| privileged(&APT_UPDATE)),
        disable: (program.service && manager != Manager::Brew && machine.systemctl && !machine.package_known)
            .then(|| privileged(&["systemctl", "disable", package])),
    })
}

const APT_UPDATE: [&str; 2] = ["apt-get", "update"];

fn install(manager: Manager, package: &'static str) -> Vec<&'static str> {
    let mut argv = match manager {
        // `env`, because sudo drops the environment. needrestart would restart services that were there before.
        Manager::Apt => vec![
            "env",
            "DEBIAN_FRONTEND=noninteractive",
            "NEEDRESTART_SUSPEND=1",
            "apt-get",
            "install",
            "-y",
            "--no-install-recommends",
        ],
        Manager::Dnf => vec!["dnf", "install", "-y"],
        Manager::Apk => vec!["apk", "add", "--no-cache"],
        Manager::Pacman => vec!["pacman", "-S", "--noconfirm", "--needed"],
        Manager::Brew => vec!["brew", "install"],
    };
    argv.push(package);
    argv
}

/// As root: directly, else through a sudo that never asks.
pub(super) fn as_root(root: bool, argv: &[&str]) -> Vec<String> {
    let sudo: &[&str] = if root { &[] } else { &["sudo", "-n"] };
    sudo.iter().chain(argv).map(|a| (*a).to_owned()).collect()
}

/// What a person would type.
fn by_hand(program: Program, manager: Option<Manager>) -> String {
    match manager {
        None => format!("your system's package manager: the package of `{}`", program.file),
        Some(Manager::Apt) => format!("sudo apt-get install {}", program.debian),
        Some(Manager::Brew) => format!("brew install {}", program.elsewhere),
        Some(m) => format!("sudo {}", install(m, program.elsewhere).join(" ")),
    }
}

/// Provides all of them.
pub(super) fn provide(cache: &Path, provided: &mut Provided) {
    for program in PROGRAMS {
        if program.needs.is_some_and(|file| !Path::new(file).is_file()) {
            continue;
        }
        if find(program.file).is_none() {
            let manager = manager();
            let machine = look(program, manager);
            let done =
                plan(program, &machine).and_then(|p| run(&p, &machine, cache).map_err(|e| format!("{e:#}")));
            let why = match done {
                Ok(()) if find(program.file).is_some() => None,
                Ok(()) => Some("its package was installed but did not bring the program".to_owned()),
                Err(why) => Some(why),
            };
            if let Some(why) = why {
                provided.missing.push(Missing {
                    what: program.file.to_owned(),
                    why,
                    command: by_hand(program, manager),
                });
            }
        }
        if let Some(path) = find(program.file) {
            provided.there.push(format!("{:<12} {path}", program.file));
        }
    }
}

fn find(program: &str) -> Option<String> {
    PLACES
        .iter()
        .map(|dir| format!("{dir}/{program}"))
        .find(|p| Path::new(p).is_file())
}

fn manager() -> Option<Manager> {
    let there = |file: &str| find(file).is_some() || Path::new("/sbin").join(file).is_file();
    MANAGERS.iter().find(|(_, file)| there(file)).map(|(m, _)| *m)
}

fn look(program: Program, manager: Option<Manager>) -> Machine {
    let root = place::is_root();
    if policy::look(Path::new(policy::PATH)) == Policy::Ours {
        // Left by a run that was killed; the caller holds the lock, so nobody needs it now.
        policy::remove_ours(root);
    }
    let package_known = manager.is_some_and(|m| {
        let package = program.package(m);
        match m {
            Manager::Apt => children::output(&["dpkg-query", "-W", "-f=${db:Status-Status}", package], None)
                .is_ok_and(|status| status.trim() == "installed"),
            Manager::Dnf => children::works(&["rpm", "-q", package]),
            Manager::Apk => children::works(&["apk", "info", "-e", package]),
            Manager::Pacman => children::works(&["pacman", "-Q", package]),
            Manager::Brew => false,
        }
    });
    Machine {
        manager,
        root,
        sudo: !root && children::works(&["sudo", "-n", "true"]),
        policy: policy::look(Path::new(policy::PATH)),
        systemctl: find("systemctl").is_some(),
        package_known,
    }
}

fn run(plan: &Plan, machine: &Machine, scratch: &Path) -> Result<()> {
    let _guard = plan
        .policy
        .then(|| policy::Guard::put(machine.root, scratch))
        .transpose()?;
    let mut done = attempt(&plan.install);
    if let (Err(_), Some(refresh)) = (&done, &plan.refresh) {
        attempt(refresh)?;
        done = attempt(&plan.install);
    }
    // A half-installed package may have enabled its service already: disabled whether or not it worked.
    let disabled = plan.disable.as_deref().map_or(Ok(()), attempt);
    done?;
    if let Err(error) = disabled {
        eprintln!("xtask: installed, but its service may start with the machine: {error:#}");
    }
    Ok(())
}

fn attempt(argv: &[String]) -> Result<()> {
    println!("running {}", argv.join(" "));
    let argv: Vec<&str> = argv.iter().map(String::as_str).collect();
    let status = children::status(&argv, None, &[])?;
    if !status.success() {
        bail!("`{}` failed: {status}", argv.join(" "));
    }
    Ok(())
}

#[cfg(test)]
#[path = "packages/tests.rs"]
mod tests;
