//! Follows one log file through rotation: a new file in its place, a rename, a truncation.
//!
//! A round reads so many bytes and no more; when more was written the newest are read and the rest is counted as skipped. The
//! first look begins a little before the end, so that a crash of a moment ago is seen.

use std::fs::{File, Metadata};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;
use std::time::{Duration, SystemTime};

use muster_model::snapshot::LogFile;

use super::entry::Entry;
use super::find::Place;
use super::parser::Parser;
use super::when::Zone;

/// Bytes that a round reads.
pub const ROUND: u64 = 1024 * 1024;
/// How far before the end the first look begins.
pub const BEFORE: u64 = 64 * 1024;
/// Bytes before the place that was read to: a file that was truncated and grew again has others there.
const MARK: usize = 64;
/// A server writes an entry in one go; after so long without another byte it is whole.
const SETTLED: Duration = Duration::from_millis(100);

/// What makes something of the bytes: entries of a server's log, lines of an application's.
pub trait Reads {
    /// What it makes.
    type Item;
    /// Takes bytes, wherever they were cut.
    fn feed(&mut self, bytes: &[u8], out: &mut Vec<Self::Item>);
    /// Nothing more comes for now: what is there is whole.
    fn end(&mut self, out: &mut Vec<Self::Item>);
    /// Something was left out before what comes next.
    fn cut(&mut self, out: &mut Vec<Self::Item>);
    /// Lines in no known form.
    fn strange(&self) -> u64;
}

impl Reads for Parser {
    type Item = Entry;

    fn feed(&mut self, bytes: &[u8], out: &mut Vec<Entry>) {
        Self::feed(self, bytes, out);
    }

    fn end(&mut self, out: &mut Vec<Entry>) {
        Self::end(self, out);
    }

    fn cut(&mut self, out: &mut Vec<Entry>) {
        Self::cut(self, out);
    }

    fn strange(&self) -> u64 {
        Self::strange(self)
    }
}

/// Follows one file.
#[derive(Debug)]
pub struct Follower<R: Reads = Parser> {
    place: Place,
    open: Option<(File, (u64, u64))>,
    offset: u64,
    mark: Vec<u8>,
    parser: R,
    read: u64,
    skipped: u64,
    started: bool,
}

/// What a round brought.
#[derive(Debug, Default, PartialEq)]
pub struct Round<T = Entry> {
    /// Entries, in order.
    pub entries: Vec<T>,
    /// Whether they were written while the file was followed.
    pub live: bool,
}

impl Follower {
    /// Of a server's file; `anew` says that the file began while its log was followed already, so all of it is new.
    #[must_use]
    pub fn new(place: Place, pattern: &str, zone: Zone, anew: bool) -> Self {
        let parser = Parser::new(place.format, pattern, zone);
        Self::with(place, parser, anew)
    }

    /// The server writes differently from here on.
    pub fn retune(&mut self, pattern: &str, zone: Zone, out: &mut Vec<Entry>) {
        self.parser.retune(pattern, zone, out);
    }
}

impl<R: Reads> Follower<R> {
    /// Of a file that this makes something of.
    #[must_use]
    pub fn with(place: Place, parser: R, anew: bool) -> Self {
        Self {
            place,
            open: None,
            offset: 0,
            mark: Vec::new(),
            parser,
            read: 0,
            skipped: 0,
            started: anew,
        }
    }

    /// The file.
    #[must_use]
    pub fn place(&self) -> &Place {
        &self.place
    }

    /// What was read of it.
    #[must_use]
    pub fn file(&self) -> LogFile {
        LogFile {
            path: self.place.path.display().to_string(),
            format: self.place.format,
            read: self.read,
            skipped: self.skipped,
            strange: self.parser.strange(),
        }
    }

    /// Reads what is new.
    ///
    /// # Errors
    /// When the file may not be read. One that is not there (any more) has nothing new.
    pub fn round(&mut self) -> io::Result<Round<R::Item>> {
        let mut out = Round {
            entries: Vec::new(),
            live: self.started,
        };
        let mut budget = ROUND;
        let before = self.read;
        if self.open.is_none() && !self.reopen()? {
            return Ok(out);
        }
        self.drain(&mut budget, &mut out.entries)?;
        // Rotated: what the old file still had was read above.
        if self.elsewhere() {
            self.parser.end(&mut out.entries);
            self.open = None;
            if self.reopen()? {
                self.drain(&mut budget, &mut out.entries)?;
            }
        }
        let whole = self.mark.last().is_none_or(|b| *b == b'\n');
        if whole && (self.read == before || self.settled()) {
            self.parser.end(&mut out.entries);
        }
        self.started = true;
        Ok(out)
    }

    /// The words of a file that is written no more, or not for now; where it was read to is remembered.
    ///
    /// # Errors
    /// When it may not be read.
    pub fn last(&mut self) -> io::Result<(Round<R::Item>, LogFile)> {
        let mut round = self.round()?;
        self.parser.end(&mut round.entries);
        Ok((round, self.file()))
    }

    /// A file to follow, if it began only after others were followed: then all of it is new.
    #[must_use]
    pub fn began_since(place: &Place, since: SystemTime) -> bool {
        // A file system that keeps no birth times: what comes after a rotation is taken for new.
        std::fs::metadata(&place.path)
            .and_then(|m| m.created())
            .map_or(true, |born| born >= since)
    }

    /// Whether nobody has written for a moment.
    fn settled(&self) -> bool {
        let written = self
            .open
            .as_ref()
            .and_then(|(f, _)| f.metadata().ok()?.modified().ok());
        written
            .and_then(|t| t.elapsed().ok())
            .is_some_and(|age| age >= SETTLED)
    }

    /// Opens the file in its place; at the first look near its end.
    fn reopen(&mut self) -> io::Result<bool> {
        let path: &Path = &self.place.path;
        let meta = match std::fs::metadata(path) {
            Ok(meta) => meta,
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                // Whatever comes here later is new from its beginning.
                self.started = true;
                return Ok(false);
            }
            Err(e) => return Err(e),
        };
        // Opening a pipe would wait for a writer.
        if !meta.is_file() {
            return Err(io::Error::other("it is not a file"));
        }
        let file = File::open(path)?;
        let meta = file.metadata()?;
        self.offset = 0;
        self.mark.clear();
        if !self.started && meta.len() > BEFORE {
            self.offset = meta.len() - BEFORE;
            self.parser.cut(&mut Vec::new());
        }
        self.open = Some((file, id(&meta)));
        Ok(true)
    }

    fn elsewhere(&self) -> bool {
        let now = std::fs::metadata(&self.place.path).map(|m| id(&m)).ok();
        now.is_some() && now != self.open.as_ref().map(|(_, id)| *id)
    }

    fn drain(&mut self, budget: &mut u64, out: &mut Vec<R::Item>) -> io::Result<()> {
        let Some((file, _)) = &mut self.open else {
            return Ok(());
        };
        let long = file.metadata()?.len();
        let mut there = vec![0; self.mark.len()];
        let same = long >= self.offset
            && file
                .read_exact_at(&mut there, self.offset - self.mark.len() as u64)
                .is_ok()
            && there == self.mark;
        if !same {
            self.parser.end(out);
            self.offset = 0;
            self.mark.clear();
        }
        let waiting = long - self.offset.min(long);
        if waiting > *budget {
            self.skipped += waiting - *budget;
            self.offset = long - *budget;
            self.mark.clear();
            self.parser.cut(out);
        }
        file.seek(SeekFrom::Start(self.offset))?;
        let mut buffer = vec![0; 64 * 1024];
        // Not beyond what was there when the round began: a server that writes faster than this reads holds nobody here.
        let mut left = long.saturating_sub(self.offset).min(*budget);
        while left > 0 {
            let want = buffer.len().min(usize::try_from(left).unwrap_or(buffer.len()));
            let n = file.read(&mut buffer[..want])?;
            if n == 0 {
                break;
            }
            let bytes = &buffer[..n];
            self.parser.feed(bytes, out);
            self.mark.extend_from_slice(&bytes[n.saturating_sub(MARK)..]);
            self.mark.drain(..self.mark.len().saturating_sub(MARK));
            let n = n as u64;
            (self.offset, self.read) = (self.offset + n, self.read + n);
            (left, *budget) = (left - n, *budget - n);
        }
        Ok(())
    }
}

fn id(meta: &Metadata) -> (u64, u64) {
    (meta.dev(), meta.ino())
}

#[cfg(test)]
mod tests {
    use std::fs::{self, OpenOptions};
    use std::io::Write;

    use muster_model::snapshot::LogFormat;

    use super::*;

    fn line(text: &str) -> String {
        format!("2026-11-20 03:04:05.678 UTC [1] LOG:  {text}\n")
    }

    fn append(path: &Path, text: &str) {
        let mut file = OpenOptions::new()
            .create(true)
            .append(true)
            .open(path)
            .expect("open");
        file.write_all(text.as_bytes()).expect("write");
    }

    fn follower(path: &Path) -> Follower {
        let place = Place {
            path: path.to_owned(),
            format: LogFormat::Stderr,
        };
        Follower::new(place, super::super::prefix::DEFAULT, Zone::named("UTC"), false)
    }

    /// An entry is complete when a round brings nothing more.
    fn said(f: &mut Follower) -> Vec<String> {
        let mut out = f.round().expect("round").entries;
        out.extend(f.round().expect("round").entries);
        out.into_iter().map(|e| e.message).collect()
    }

    #[test]
    fn rename_truncation_and_a_missing_file_lose_nothing() {
        let dir = tempfile::tempdir().expect("dir");
        let path = dir.path().join("x.log");
        let mut f = follower(&path);
        assert_eq!(said(&mut f), [""; 0], "not there yet");
        append(&path, &line("one"));
        assert_eq!(said(&mut f), ["one"]);
        append(&path, &line("two"));
        fs::rename(&path, dir.path().join("x.log.1")).expect("rename");
        append(&path, &line("three"));
        assert_eq!(said(&mut f), ["two", "three"]);
        // Truncated in place, and longer again than it was.
        fs::write(&path, line("four") + &line("five")).expect("write");
        assert_eq!(said(&mut f), ["four", "five"]);
        fs::write(&path, line("six")).expect("write");
        assert_eq!(said(&mut f), ["six"]);
        fs::remove_file(&path).expect("remove");
        assert_eq!(said(&mut f), [""; 0]);
        append(&path, &line("seven"));
        assert_eq!(said(&mut f), ["seven"]);
    }

    #[test]
    fn the_first_look_is_near_the_end_and_later_a_round_is_bounded() {
        let dir = tempfile::tempdir().expect("dir");
        let path = dir.path().join("x.log");
        append(&path, &line(&"x".repeat(900)).repeat(1000));
        append(&path, &line("end"));
        let mut f = follower(&path);
        // Whether the last entry is whole is known in this round or in the next one.
        let last = |round: Round, rest: Vec<String>| {
            rest.last()
                .cloned()
                .or(round.entries.last().map(|e| e.message.clone()))
        };
        let first = f.round().expect("round");
        assert!(!first.live && first.entries.len() < 80 && f.file().read == BEFORE);
        assert_eq!(last(first, said(&mut f)).as_deref(), Some("end"));
        assert_eq!(
            f.file().skipped,
            0,
            "what was there before is not skipped, it is old"
        );
        append(&path, &line(&"y".repeat(900)).repeat(3000));
        append(&path, &line("new end"));
        let round = f.round().expect("round");
        assert!(round.live && round.entries.len() < 1200);
        assert!(f.file().skipped > 1_000_000, "{:?}", f.file());
        assert_eq!(last(round, said(&mut f)).as_deref(), Some("new end"));
    }

    #[test]
    fn an_entry_that_is_still_being_written_waits_for_the_rest() {
        let dir = tempfile::tempdir().expect("dir");
        let path = dir.path().join("x.log");
        append(
            &path,
            "2026-11-20 03:04:05.678 UTC [1] ERROR:  deadlock detected\n2026-11-20 03:04:05.678 UTC [1] DET",
        );
        let mut f = follower(&path);
        assert_eq!(f.round().expect("round").entries, []);
        append(&path, "AIL:  Process 1\n");
        let mut entries = f.round().expect("round").entries;
        entries.extend(f.round().expect("round").entries);
        assert_eq!(entries[0].detail.as_deref(), Some("Process 1"));
    }

    #[test]
    fn a_folder_is_no_log() {
        let dir = tempfile::tempdir().expect("dir");
        assert!(follower(dir.path()).round().is_err());
    }
}
