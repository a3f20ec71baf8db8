//! The end of a log for a bundle: of a file with its predecessors, of a unit's journal, of a container.
//!
//! Reads so many bytes and no more, the newest. Lines older than the window are left out where their times can be read; a
//! file without readable times is shown as it is, and that is said. Files can hang for ever on a dead storage, so they are read in a
//! thread of their own that is waited for only so long.
use std::path::Path;
use std::time::Duration;

use muster_model::{Span, Time};
use muster_reach::{AppLogPlace, HostConfig};

use super::tail::Tail;
use super::told::{self, Told, WHOLE};
use super::{Body, Lack, Read, now};
use crate::log::find::{LogSettings, find};
use crate::log::stamp::stamp;
use crate::log::{Parser, plain, prefix, when::Zone};

/// How long files may take.
const PATIENCE: Duration = Duration::from_secs(20);
/// A time without a zone may be so far off.
const ZONES: Span = Span::from_mins(14 * 60);

/// The log of an application.
pub(crate) async fn of_app(place: &AppLogPlace, window: Span) -> Read {
    match place {
        AppLogPlace::File(path) => {
            let path = path.clone();
            beside(move || of_file(&path, window)).await
        }
        AppLogPlace::Unit(unit) => of_unit("journalctl", unit, window).await,
        AppLogPlace::Container(name) => {
            lines(told::container("docker", name, now().minus(window), WHOLE).await)
        }
    }
}

/// The log files of a server whose host is ours.
pub(crate) async fn of_server(host: HostConfig, settings: Option<LogSettings>, window: Span) -> Read {
    beside(move || server_files(&host, settings.as_ref(), window)).await
}

/// In a thread of its own: a runtime would wait for one of its own for ever.
async fn beside(work: impl FnOnce() -> Read + Send + 'static) -> Read {
    let (done, answer) = tokio::sync::oneshot::channel();
    std::thread::spawn(move || {
        let _ = done.send(work());
    });
    match tokio::time::timeout(PATIENCE, answer).await {
        Ok(Ok(read)) => read,
        Ok(Err(_)) => Read::failed(Lack::new("reading it broke off", None)),
        Err(_) => Read::failed(Lack::new(
            format!("the file did not answer within {} s", PATIENCE.as_secs()),
            Some("look at the storage: a network file system that is gone hangs like this"),
        )),
    }
}

fn of_file(path: &Path, window: Span) -> Read {
    let since = now().minus(window);
    let tail = match Tail::read(path, since, |name, own| {
        name.strip_prefix(own)
            .is_some_and(|rest| rest.starts_with(['.', '-']))
    }) {
        Ok(tail) => tail,
        Err(lack) => return Read::failed(lack),
    };
    let mut text = String::new();
    let mut window = Window::new(since);
    for (_, bytes) in &tail.files {
        for line in String::from_utf8_lossy(bytes).split_inclusive('\n') {
            if window.has(line) {
                text.push_str(line);
            }
        }
    }
    let mut notes = Vec::new();
    if window.first.is_none() && !text.is_empty() {
        notes.push("its lines have no time that can be read: its end is here, as long as it is".to_owned());
    } else if window.unzoned {
        notes.push("its times name no zone: up to 14 h more than the window is here".to_owned());
    }
    if text.is_empty() {
        notes.push(match tail.written {
            Some(at) => format!("nothing was written in this time; last written {at}"),
            None => "nothing was written in this time".to_owned(),
        });
    }
    notes.extend(tail.note);
    Read {
        cut: tail.cut && window.first.is_none_or(|t| t > since),
        note: (!notes.is_empty()).then(|| notes.join("; ")),
        lack: tail.lack,
        body: Some(Body::Text(text)),
    }
}

fn server_files(host: &HostConfig, settings: Option<&LogSettings>, window: Span) -> Read {
    let since = now().minus(window);
    let data = host
        .data_dir
        .clone()
        .or_else(|| settings.and_then(|s| s.data_directory.clone()));
    let places = match find(data.as_deref(), host.log.as_deref(), settings) {
        Ok(places) => places,
        Err(nowhere) => {
            return Read::failed(Lack {
                reason: nowhere.reason,
                remedy: Some(nowhere.remedy),
            });
        }
    };
    let pattern = settings.map_or(prefix::DEFAULT, |s| s.prefix.as_str());
    let zone = Zone::named(settings.map_or("", |s| s.timezone.as_str()));
    let mut out = Read::default();
    let (mut text, mut notes) = (String::new(), Vec::new());
    let mut strange = 0;
    for place in places {
        let ending = place.path.extension().map(|e| e.to_owned());
        let collected = data.as_ref().is_some_and(|d| place.path.starts_with(d))
            && host.log.as_ref() != Some(&place.path);
        let tail = Tail::read(&place.path, since, |name, own| {
            // The collector makes a file a day, each with a name of its own.
            let sibling = collected && Path::new(name).extension() == ending.as_deref();
            sibling
                || name
                    .strip_prefix(own)
                    .is_some_and(|rest| rest.starts_with(['.', '-']))
        });
        let tail = match tail {
            Ok(tail) => tail,
            Err(lack) => {
                out.lack = Some(lack);
                continue;
            }
        };
        text.push_str(&format!("--- {}\n", place.path.display()));
        let mut first = None;
        let mut within = true;
        for (_, bytes) in &tail.files {
            let mut parser = Parser::new(place.format, pattern, zone.clone());
            let mut entries = Vec::new();
            parser.feed(bytes, &mut entries);
            parser.end(&mut entries);
            strange += parser.strange();
            for entry in &entries {
                if let Some(at) = entry.at {
                    first.get_or_insert(at);
                    within = at >= since;
                }
                if within {
                    text.push_str(&plain::line(entry));
                    text.push('\n');
                }
            }
        }
        out.cut |= tail.cut && first.is_none_or(|t| t > since);
        notes.extend(tail.note);
        out.lack = out.lack.or(tail.lack);
    }
    if strange > 0 {
        notes.push(format!("{strange} lines are in no known form and left out"));
    }
    out.note = (!notes.is_empty()).then(|| notes.join("; "));
    out.body = (!text.is_empty()).then_some(Body::Text(text));
    out
}

/// Which lines are young enough. One without a time belongs to the one before it.
struct Window {
    since: Time,
    inside: bool,
    first: Option<Time>,
    unzoned: bool,
}

impl Window {
    fn new(since: Time) -> Self {
        Self {
            since,
            inside: true,
            first: None,
            unzoned: false,
        }
    }

    fn has(&mut self, line: &str) -> bool {
        if let Some((at, exact)) = stamp(line) {
            self.first.get_or_insert(at);
            self.unzoned |= !exact;
            let since = if exact {
                self.since
            } else {
                self.since.minus(ZONES)
            };
            self.inside = at >= since;
        }
        self.inside
    }
}

/// What a unit wrote. Nothing at all is what a wrong name and a user who may not read look like.
async fn of_unit(program: &str, unit: &str, window: Span) -> Read {
    match told::unit(program, unit, now().minus(window), WHOLE).await {
        Ok(told) if told.lines.is_empty() => Read::failed(Lack::new(
            format!(
                "the journal has no entry of unit {unit} in the last {}",
                window.human()
            ),
            Some(
                "check the unit's name with `systemctl status`, and put Muster's user into the group systemd-journal",
            ),
        )),
        read => lines(read),
    }
}

fn lines(read: Result<Told, Lack>) -> Read {
    let told = match read {
        Ok(told) => told,
        Err(lack) => return Read::failed(lack),
    };
    let text: String = told.lines.iter().map(|(_, line)| format!("{line}\n")).collect();
    Read {
        note: text
            .is_empty()
            .then(|| "it wrote nothing in this time".to_owned()),
        body: Some(Body::Text(text)),
        cut: told.cut,
        lack: None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::{DAY, SECTION_BYTES};
    use super::*;

    fn text(read: &Read) -> &str {
        match &read.body {
            Some(Body::Text(text)) => text,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_window_the_rotation_and_the_bound_are_kept() {
        let dir = tempfile::tempdir().expect("dir");
        let path = dir.path().join("app.log");
        let line = |ago: u64, what: &str| format!("{} {what}\n", now().minus(Span::from_mins(ago)));
        std::fs::write(dir.path().join("app.log.1"), line(300, "old") + &line(90, "one")).expect("write");
        std::fs::write(dir.path().join("app.log.2.gz"), "x").expect("write");
        std::fs::write(dir.path().join("other.log"), line(1, "other")).expect("write");
        std::fs::write(&path, line(5, "two") + "  more of two\n" + &line(0, "three")).expect("write");
        let read = of_file(&path, Span::from_mins(120));
        let words: Vec<&str> = text(&read)
            .lines()
            .filter_map(|l| l.split_whitespace().last())
            .collect();
        assert_eq!(words, ["one", "two", "two", "three"]);
        assert!(!read.cut && read.lack.is_none());
        assert!(
            read.note.as_deref().is_some_and(|n| n.contains("1 compressed")),
            "{:?}",
            read.note
        );

        let many = line(1, &"y".repeat(1000)).repeat(SECTION_BYTES / 1000);
        std::fs::write(&path, many + &line(0, "end")).expect("write");
        let long = of_file(&path, Span::from_mins(120));
        assert!(long.cut && text(&long).len() <= SECTION_BYTES && text(&long).ends_with("end\n"));

        std::fs::write(&path, "no time\n").expect("write");
        std::fs::remove_file(dir.path().join("app.log.1")).expect("remove");
        let bare = of_file(&path, Span::from_mins(120));
        assert!(
            bare.note
                .as_deref()
                .is_some_and(|n| n.contains("no time that can be read"))
        );
        std::fs::write(&path, line(500, "long ago")).expect("write");
        let quiet = of_file(&path, Span::from_mins(120));
        assert!(
            text(&quiet).is_empty()
                && quiet
                    .note
                    .as_deref()
                    .is_some_and(|n| n.contains("nothing was written"))
        );
        let absent = of_file(&dir.path().join("none"), Span::from_mins(1));
        assert!(absent.lack.expect("lack").reason.contains("is not there") && absent.body.is_none());
        assert!(
            of_file(dir.path(), Span::from_mins(1))
                .lack
                .expect("lack")
                .reason
                .contains("is not a file")
        );
    }

    #[tokio::test]
    async fn a_unit_without_entries_is_not_quiet() {
        let unknown = of_unit("journalctl", "muster-no-such-unit", DAY)
            .await
            .lack
            .expect("lack");
        let words = [
            "no entry of unit",
            "no such program",
            "left with",
            "No journal files",
            "not seeing",
        ];
        assert!(words.iter().any(|w| unknown.reason.contains(w)), "{unknown:?}");
    }
}
