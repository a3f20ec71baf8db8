//! What is read on the server's own host, beside the pass: its log and the host itself, whether or not the server answers.
//!
//! Files can hang for minutes (a dead disk, a network file system), and then no pass may wait: each look is a thread of its
//! own that a pass waits for only briefly, never two at once. What comes too late is shown by the next pass, with its age.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use muster_model::snapshot::{Gap, HostView, Part, ServerView};
use muster_model::{Span, Time};
use muster_reach::{HostConfig, Server};
use tokio::sync::oneshot;

use crate::collectors::{host, log};
use crate::host::disks::Where;
use crate::log::durations::Calls;
use crate::log::find::LogSettings;

/// A pass waits so long for a look.
const PATIENCE: Duration = Duration::from_millis(500);
const SETTINGS_EVERY: Span = Span::from_secs(60);
const HOST_EVERY: Span = Span::from_secs(5);
const BACKENDS_EVERY: Span = Span::from_secs(15);
/// Segments are of this size unless somebody chose another at initdb.
const SEGMENT: u64 = 16 * 1024 * 1024;

/// What looks remember.
#[derive(Default)]
struct Looker {
    view: HostView,
    log: log::Memory,
    host: host::Memory,
    gaps: BTreeMap<&'static str, Vec<log::Lack>>,
}

/// The host of one server.
#[derive(Default)]
pub(crate) struct Near {
    looker: Option<Box<Looker>>,
    running: Option<oneshot::Receiver<Box<Looker>>>,
    settings: Option<LogSettings>,
    settings_at: Option<Time>,
    gaps: Vec<Gap>,
}

impl Near {
    /// What could not be read.
    pub(crate) fn gaps(&self) -> &[Gap] {
        &self.gaps
    }

    /// Takes a look and puts it into the view; does nothing where no local host is enrolled.
    pub(crate) async fn look(&mut self, server: &Server, view: &mut ServerView, now: Time) {
        let Some(config) = server.host.as_ref().filter(|h| h.local) else {
            return;
        };
        if view.answers() && self.settings_at.is_none_or(|t| now.since(t) >= SETTINGS_EVERY) {
            // A server that does not say how it logs is read by what it said before, or as by default.
            if let Ok(session) = server.observing().await
                && let Ok(settings) = log::settings(&session).await
            {
                self.settings = Some(settings);
                self.settings_at = Some(now);
            }
        }
        if self.running.is_none() {
            let mut looker = self.looker.take().unwrap_or_default();
            let (config, settings) = (config.clone(), self.settings.clone());
            let known = log::Known {
                settings_at: self.settings_at.unwrap_or(Time::from_micros(0)),
                own: server.meter().backends(),
                calls: calls(view),
            };
            let (done, running) = oneshot::channel();
            std::thread::spawn(move || {
                looker.look(&config, settings.as_ref(), &known, now);
                // Nobody waits any more when the server was taken out of the config.
                let _ = done.send(looker);
            });
            self.running = Some(running);
        }
        let mut late = false;
        if let Some(running) = &mut self.running {
            match tokio::time::timeout(PATIENCE, running).await {
                Ok(Ok(mut looker)) => {
                    if looker.log.wants_settings() {
                        self.settings_at = None;
                    }
                    view.host = Some(looker.view.clone());
                    self.gaps = looker.gaps(&server.address);
                    self.looker = Some(looker);
                    self.running = None;
                }
                // A look that panicked has lost what it knew: the next one begins anew.
                Ok(Err(_)) => self.running = None,
                Err(_) => late = true,
            }
        }
        if late {
            self.gaps.retain(|g| g.reason != LATE);
            self.gaps
                .push(gap(host::INFO.name, &server.address, LATE.to_owned(), None));
            view.host.get_or_insert_default();
        }
    }
}

/// What the statistics about statements counted; nothing where some of it was forgotten.
fn calls(view: &ServerView) -> Option<Calls> {
    let read = view.statements.as_ref()?;
    let window = read.value.window.as_ref()?;
    (window.forgotten == 0 && window.reset == 0).then_some(Calls {
        end: read.taken_at,
        over: window.over,
        calls: window.total.calls,
    })
}

const LATE: &str =
    "files of the host do not answer: a storage that hangs, or a network file system that is gone";

fn gap(collector: &str, target: &str, reason: String, remedy: Option<String>) -> Gap {
    Gap {
        collector: collector.to_owned(),
        target: target.to_owned(),
        reason,
        remedy,
    }
}

impl Looker {
    /// One gap a collector: several reasons are one sentence.
    fn gaps(&self, target: &str) -> Vec<Gap> {
        let lacking = self.gaps.iter().filter(|(_, lacks)| !lacks.is_empty());
        lacking
            .map(|(collector, lacks)| {
                let reasons: Vec<&str> = lacks.iter().map(|(reason, _)| reason.as_str()).collect();
                let remedy = lacks.iter().find_map(|(_, remedy)| remedy.clone());
                gap(collector, target, reasons.join("; "), remedy)
            })
            .collect()
    }

    fn look(&mut self, config: &HostConfig, settings: Option<&LogSettings>, known: &log::Known, now: Time) {
        let part = |value| Some(Part { taken_at: now, value });
        if self.view.name.is_empty() {
            let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
            self.view.name = if name.trim().is_empty() {
                "this host".to_owned()
            } else {
                name.trim().to_owned()
            };
        }
        let data: Option<PathBuf> = config
            .data_dir
            .clone()
            .or_else(|| settings.and_then(|s| s.data_directory.clone()));
        let (read, lacks) = self.log.read(config, data.as_deref(), settings, known, now);
        if let Some(value) = read {
            self.view.log = Some(Part { taken_at: now, value });
        }
        self.gaps.insert(log::INFO.name, lacks);

        let due =
            |at: Option<Time>, every: Span| at.is_none_or(|t| now.since(t).millis() + 50 >= every.millis());
        if !due(self.view.load.as_ref().map(|p| p.taken_at), HOST_EVERY) {
            return;
        }
        let mut lacks = Vec::new();
        match self.host.load(now) {
            Ok(load) => self.view.load = part(load),
            Err(lack) => lacks.push(lack),
        }
        let mut postmaster = None;
        if let Some(data) = data {
            match host::postmaster(&data) {
                Ok(found) => {
                    postmaster = found.pid.filter(|_| found.serves == Some(true));
                    self.view.postmaster = Some(Part {
                        taken_at: now,
                        value: found,
                    });
                }
                Err(lack) => lacks.push(lack),
            }
            let log_folder = self.view.log.as_ref().and_then(|l| {
                let file = l.value.files.last()?;
                PathBuf::from(&file.path).parent().map(std::path::Path::to_owned)
            });
            let at = Where {
                data,
                log: log_folder,
                segment: settings.map(|s| s.segment).filter(|s| *s > 0).unwrap_or(SEGMENT),
            };
            let (disks, more) = self.host.disks(&at, now);
            if let Some(value) = disks {
                self.view.disks = Some(Part { taken_at: now, value });
            }
            lacks.extend(more);
        } else {
            lacks.push((
                "the data folder is not known".to_owned(),
                Some(
                    "name it as `host.data_dir`, or GRANT pg_read_all_settings to the observing role"
                        .to_owned(),
                ),
            ));
        }
        let memory_at = self.view.memory.as_ref().map(|p| p.taken_at);
        if due(memory_at, BACKENDS_EVERY) {
            match self.host.memory(postmaster, now) {
                Ok(value) => self.view.memory = Some(Part { taken_at: now, value }),
                Err(lack) => lacks.push(lack),
            }
        }
        self.gaps.insert(host::INFO.name, lacks);
    }
}
