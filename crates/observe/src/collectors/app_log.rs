//! An application's log: how often known error strings are in it, by class, with the shape of one line each.
//!
//! A file is followed through its rotation as a server's is; a unit's journal and a container's output are asked for what is new
//! since the last look. Reads so much a look and no more.

use std::collections::BTreeMap;

use muster_model::snapshot::{AppLog, AppLogClass, AppLogCount, Gap, LogFormat};
use muster_model::{Span, Time};
use muster_reach::AppLogPlace;

use super::CollectorInfo;
use crate::bundle::Lack;
use crate::bundle::told::{self, LOOK, Told};
use crate::log::app::{Lines, class, shape};
use crate::log::find::Place;
use crate::log::follow::Follower;
use crate::log::stamp::stamp;
use crate::log::tally::Window;

/// For the reference.
pub const INFO: CollectorInfo = CollectorInfo {
    name: "app_log",
    about: "What an application's log says: lines with known error strings, counted by class (`pool_timeout`, `deadlock`, \
            `statement_timeout`, `authentication`, `tls`, `schema`, `redis`, `connection_refused`, `out_of_memory`, `panic`) in the last \
            minute and five minutes, with the shape of the newest line of each, without literals, numbers and secrets. It is evidence \
            beside the findings about the application, and `app.pool_saturated` counts `pool_timeout` itself.",
    reads: "`log` of the application in the config: a file (follows rotation, at most 1 MB a look), a unit by `journalctl`, a container \
            by `docker logs` (both with a time-out and at most 1 MB a look)",
    needs: "a file that Muster's user may read, the group systemd-journal, or the right to ask docker",
    cadence: "2 s of a file, 10 s of a unit or a container",
    gap: "what an application says of its own errors; its health route is another collector",
};

/// A program is not started more often.
const PROGRAM: Span = Span::from_secs(10);
/// The first look at a unit or a container goes so far back.
const FIRST: Span = Span::from_mins(5);

/// How often it is looked at.
pub(crate) fn every(place: &AppLogPlace, usual: Span) -> Span {
    match place {
        AppLogPlace::File(_) => usual,
        AppLogPlace::Unit(_) | AppLogPlace::Container(_) => usual.max(PROGRAM),
    }
}

/// What is remembered from look to look.
#[derive(Default)]
pub(crate) struct Memory {
    follower: Option<Follower<Lines>>,
    /// Of a unit or a container: everything up to here is counted.
    until: Option<Time>,
    since: Option<Time>,
    lines: u64,
    skipped: u64,
    classes: BTreeMap<AppLogClass, (Window, String)>,
}

/// What a look brought.
pub(crate) struct Look {
    pub(crate) memory: Box<Memory>,
    pub(crate) log: Option<AppLog>,
    pub(crate) lack: Option<Lack>,
}

/// Looks.
pub(crate) async fn look(mut memory: Box<Memory>, place: AppLogPlace, now: Time) -> Look {
    let source = place.shown();
    let read = match &place {
        AppLogPlace::File(path) => {
            let path = path.clone();
            // In a thread of its own: a file can hang for ever, and a runtime would wait for its own threads.
            let (done, answer) = tokio::sync::oneshot::channel();
            std::thread::spawn(move || {
                let read = memory.file(&path, now);
                let _ = done.send((memory, read));
            });
            // Not waited for less: a second thread at the same file would hang beside it.
            match answer.await {
                Ok((back, read)) => {
                    memory = back;
                    read
                }
                Err(_) => {
                    return Look {
                        memory: Box::default(),
                        log: None,
                        lack: Some(Lack::new("reading it broke off; it is followed anew", None)),
                    };
                }
            }
        }
        AppLogPlace::Unit(unit) => {
            let since = memory.until.unwrap_or_else(|| now.minus(FIRST));
            memory.said(told::unit("journalctl", unit, since, LOOK).await, since, now)
        }
        AppLogPlace::Container(name) => {
            let since = memory.until.unwrap_or_else(|| now.minus(FIRST));
            memory.said(told::container("docker", name, since, LOOK).await, since, now)
        }
    };
    match read {
        Ok(lack) => {
            let log = memory.show(source, now);
            Look {
                memory,
                log: Some(log),
                lack,
            }
        }
        Err(lack) => Look {
            memory,
            log: None,
            lack: Some(lack),
        },
    }
}

/// What could not be read.
pub(crate) fn gap(target: &str, reason: &str, remedy: Option<&str>) -> Gap {
    Gap {
        collector: INFO.name.to_owned(),
        target: target.to_owned(),
        reason: format!("its log: {reason}"),
        remedy: remedy.map(str::to_owned),
    }
}

impl Memory {
    /// What is new in a file; `Ok` with a lack when some of it was skipped.
    fn file(&mut self, path: &std::path::Path, now: Time) -> Result<Option<Lack>, Lack> {
        let absent = || {
            Lack::new(
                format!("{} is not there", path.display()),
                Some("correct `log.file` in the config, or wait for the application to write it"),
            )
        };
        let place = Place {
            path: path.to_owned(),
            format: LogFormat::Stderr,
        };
        let follower = self
            .follower
            .get_or_insert_with(|| Follower::with(place, Lines::default(), false));
        let before = follower.file().skipped;
        let round = follower.round().map_err(|e| {
            let remedy = (e.kind() == std::io::ErrorKind::PermissionDenied)
                .then_some("let Muster's user read it: a group that both are in, and mode 0640");
            Lack::new(format!("{}: {e}", path.display()), remedy)
        })?;
        let skipped = follower.file().skipped - before;
        self.skipped += skipped;
        for line in &round.entries {
            self.take(line, now, round.live);
        }
        // Between two files of a rotation it is away for a moment; nothing was ever read of one that never was there.
        if self.since.is_none() && !path.exists() {
            return Err(absent());
        }
        self.since.get_or_insert(now);
        Ok((skipped > 0).then(|| {
            let kb = skipped / 1024;
            Lack::new(
                format!("{kb} kB were written faster than they are read, and skipped"),
                Some("let it log less"),
            )
        }))
    }

    /// What a program said, each line with its time.
    fn said(&mut self, read: Result<Told, Lack>, since: Time, now: Time) -> Result<Option<Lack>, Lack> {
        let said = read?;
        let first = self.since.is_none();
        self.since.get_or_insert(now);
        let mut newest = since;
        for (at, line) in &said.lines {
            // What was counted at the last look comes again when it is of the same second.
            if *at <= since && !first {
                continue;
            }
            newest = newest.max(*at);
            self.lines += 1;
            self.count(line, *at, true);
        }
        self.until = Some(newest);
        Ok(said.cut.then(|| {
            Lack::new(
                "it writes faster than it is read: the oldest lines since the last look are not counted",
                Some("let it log less"),
            )
        }))
    }

    fn take(&mut self, line: &str, now: Time, live: bool) {
        self.lines += 1;
        // A time without a zone could be hours off: what is written while it is followed is of now.
        let at = stamp(line).filter(|(_, exact)| *exact).map(|(at, _)| at.min(now));
        self.count(line, at.unwrap_or(now), at.is_some() || live);
    }

    fn count(&mut self, line: &str, at: Time, dated: bool) {
        if let Some(class) = class(line) {
            let (window, example) = self.classes.entry(class).or_default();
            window.add(at, dated);
            *example = shape(line);
        }
    }

    fn show(&mut self, source: String, now: Time) -> AppLog {
        let classes = self.classes.iter_mut().map(|(class, (window, example))| {
            window.forget(now);
            let counts = window.counts(now);
            AppLogCount {
                class: *class,
                minute: counts.minute,
                five_minutes: counts.five_minutes,
                ever: counts.ever,
                last: counts.last,
                example: example.clone(),
            }
        });
        AppLog {
            source,
            since: self.since,
            lines: self.lines,
            skipped: self.skipped,
            classes: classes.collect(),
        }
    }
}
