//! Bytes in, entries out, whichever the format and wherever the bytes are cut.
//!
//! Lines are put together before anybody looks at them, so it does not matter where a read ended. A line without an end is
//! not kept for ever: beyond a megabyte it is cut, and said to be strange.

use muster_model::snapshot::LogFormat;

use super::entry::Entry;
use super::prefix::Prefix;
use super::when::Zone;
use super::{csv, json, stderr};

/// Longest line that is kept whole.
const LINE: usize = 1024 * 1024;

#[derive(Debug)]
enum Reader {
    Stderr(Box<stderr::Reader>),
    Csv(csv::Reader),
    Json(json::Reader),
}

/// Reads one log.
#[derive(Debug)]
pub struct Parser {
    reader: Reader,
    line: Vec<u8>,
    /// The rest of a line that was too long, or that was cut off in front, is left out.
    skipping: bool,
    strange: u64,
}

impl Parser {
    /// Of a format; pattern and zone are the settings of the server.
    #[must_use]
    pub fn new(format: LogFormat, pattern: &str, zone: Zone) -> Self {
        let reader = match format {
            LogFormat::Stderr => Reader::Stderr(Box::new(stderr::Reader::new(
                Prefix::new(pattern, zone.clone()),
                zone,
            ))),
            LogFormat::Csv => Reader::Csv(csv::Reader::new(zone)),
            LogFormat::Json => Reader::Json(json::Reader::new(zone)),
        };
        Self {
            reader,
            line: Vec::new(),
            skipping: false,
            strange: 0,
        }
    }

    /// The server writes differently from here on.
    pub fn retune(&mut self, pattern: &str, zone: Zone, out: &mut Vec<Entry>) {
        self.end(out);
        match &mut self.reader {
            Reader::Stderr(r) => **r = stderr::Reader::new(Prefix::new(pattern, zone.clone()), zone),
            Reader::Csv(r) => r.retune(zone),
            Reader::Json(r) => r.retune(zone),
        }
    }

    /// Lines that belong to no entry.
    #[must_use]
    pub fn strange(&self) -> u64 {
        self.strange
    }

    /// Takes bytes; entries that are complete come out.
    pub fn feed(&mut self, bytes: &[u8], out: &mut Vec<Entry>) {
        let mut rest = bytes;
        while let Some(end) = rest.iter().position(|b| *b == b'\n') {
            self.add(&rest[..end]);
            rest = &rest[end + 1..];
            if std::mem::take(&mut self.skipping) {
                self.line.clear();
                continue;
            }
            let line = std::mem::take(&mut self.line);
            let line = line.strip_suffix(b"\r").unwrap_or(&line);
            let known = match &mut self.reader {
                Reader::Stderr(r) => r.line(&String::from_utf8_lossy(line), out),
                Reader::Csv(r) => r.line(&String::from_utf8_lossy(line), out),
                Reader::Json(r) => r.line(&String::from_utf8_lossy(line), out),
            };
            self.strange += u64::from(!known);
        }
        self.add(rest);
    }

    /// Nothing more comes for now: what waits for lines that may belong to it is complete.
    pub fn end(&mut self, out: &mut Vec<Entry>) {
        if let Reader::Stderr(r) = &mut self.reader {
            r.end(out);
        }
    }

    /// Bytes were left out: what was begun is not what comes next.
    pub fn cut(&mut self, out: &mut Vec<Entry>) {
        self.end(out);
        if let Reader::Csv(r) = &mut self.reader {
            r.cut();
        }
        self.line.clear();
        self.skipping = true;
    }

    fn add(&mut self, bytes: &[u8]) {
        if self.skipping {
            return;
        }
        if self.line.len() + bytes.len() > LINE {
            self.line.clear();
            self.skipping = true;
            self.strange += 1;
            if let Reader::Csv(r) = &mut self.reader {
                r.cut();
            }
            return;
        }
        self.line.extend_from_slice(bytes);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const STDERR: &str = "2026-11-20 03:04:05.678 UTC [1] LOG:  starting PostgreSQL 15.18\n\
        2026-11-20 03:04:06.678 UTC [7] ERROR:  deadlock detected\n\
        2026-11-20 03:04:06.678 UTC [7] DETAIL:  Process 7 waits for ShareLock on transaction 5; blocked by process 8.\n\
        \tProcess 8 waits for ShareLock on transaction 4; blocked by process 7.\n\
        2026-11-20 03:04:06.678 UTC [7] HINT:  See server log for query details.\n\
        2026-11-20 03:04:06.678 UTC [7] CONTEXT:  while updating tuple (0,1) in relation \"n\u{e4}\"\n\
        2026-11-20 03:04:06.678 UTC [7] STATEMENT:  update t\n\tset a = 1\n\
        strange\n\
        2026-11-20 03:04:07.678 UTC [1] LOG:  the end\n";
    const CSV: &str = "2026-11-20 03:04:05.678 UTC,\"app\",\"shop\",7,\"10.0.0.7:5\",s,1,\"x\",t,v,0,ERROR,40P01,\
        \"deadlock \"\"detected\"\"\",\"line one\nline two\",,,,,\"update t\nset a = '\"\"'\",,,\"psql\",\"client backend\",,0\n\
        2026-11-20 03:04:06.678 UTC,,,1,,s,1,,t,,0,LOG,00000,\"the end\",,,,,,,,,\"\",\"checkpointer\",,0\n";
    const JSON: &str = "{\"timestamp\":\"2026-11-20 03:04:05.678 UTC\",\"pid\":7,\"error_severity\":\"ERROR\",\
        \"state_code\":\"40P01\",\"message\":\"deadlock detected\",\"detail\":\"a\\nb\",\"remote_host\":\"10.0.0.7\"}\n\
        {\"pid\":1,\"error_severity\":\"LOG\",\"message\":\"the end\"}\n";

    fn all(format: LogFormat, pieces: &[&[u8]]) -> (Vec<Entry>, u64) {
        let mut parser = Parser::new(format, super::super::prefix::DEFAULT, Zone::named("UTC"));
        let mut out = Vec::new();
        for piece in pieces {
            parser.feed(piece, &mut out);
        }
        parser.end(&mut out);
        (out, parser.strange())
    }

    #[test]
    fn every_format_gives_whole_entries() {
        let (stderr, strange) = all(LogFormat::Stderr, &[STDERR.as_bytes()]);
        assert_eq!((stderr.len(), strange), (3, 1));
        let e = &stderr[1];
        assert_eq!(e.message, "deadlock detected");
        assert!(
            e.detail
                .as_ref()
                .is_some_and(|d| d.contains("process 8.\nProcess 8 waits"))
        );
        assert_eq!(e.statement.as_deref(), Some("update t\nset a = 1"));
        assert!(e.context.as_ref().is_some_and(|c| c.ends_with("\"n\u{e4}\"")));
        let (csv, strange) = all(LogFormat::Csv, &[CSV.as_bytes()]);
        assert_eq!((csv.len(), strange), (2, 0));
        assert_eq!(csv[0].message, "deadlock \"detected\"");
        assert_eq!(csv[0].detail.as_deref(), Some("line one\nline two"));
        assert_eq!(csv[0].client.as_deref(), Some("10.0.0.7"));
        assert_eq!(
            (csv[0].user.as_deref(), csv[0].sqlstate.as_deref()),
            (Some("app"), Some("40P01"))
        );
        let (json, strange) = all(LogFormat::Json, &[JSON.as_bytes()]);
        assert_eq!((json.len(), strange), (2, 0));
        assert_eq!(
            (json[0].pid, json[0].client.as_deref()),
            (Some(7), Some("10.0.0.7"))
        );
    }

    #[test]
    fn a_line_without_an_end_is_dropped_and_the_next_one_is_read() {
        let long = vec![b'x'; LINE + 5];
        let (entries, strange) = all(
            LogFormat::Stderr,
            &[&long, b"\n2026-11-20 03:04:07 UTC [1] LOG:  ok\n"],
        );
        assert_eq!((entries.len(), strange), (1, 1));
    }

    proptest! {
        #[test]
        fn any_bytes_are_survived(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
            for format in [LogFormat::Stderr, LogFormat::Csv, LogFormat::Json] {
                let _ = all(format, &[&bytes]);
            }
        }

        #[test]
        fn a_cut_anywhere_changes_nothing(first in 0usize..900, second in 0usize..900) {
            for (format, text) in [(LogFormat::Stderr, STDERR), (LogFormat::Csv, CSV), (LogFormat::Json, JSON)] {
                let bytes = text.as_bytes();
                let (a, b) = (first.min(second).min(bytes.len()), first.max(second).min(bytes.len()));
                prop_assert_eq!(all(format, &[&bytes[..a], &bytes[a..b], &bytes[b..]]), all(format, &[bytes]));
            }
        }

        #[test]
        fn noise_before_an_entry_does_not_hide_it(noise in "[ -~]{0,80}") {
            let text = format!("{noise}\n2026-11-20 03:04:07 UTC [1] PANIC:  could not write\n");
            let (entries, _) = all(LogFormat::Stderr, &[text.as_bytes()]);
            prop_assert!(entries.iter().any(|e| e.message == "could not write"));
        }
    }
}
