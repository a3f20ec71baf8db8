//! What a unit or a container wrote, as the programs that keep it tell: `journalctl` and `docker logs`, as argument vectors.
//!
//! Each line comes with its time. Nothing at all is not taken for quiet where it may as well be a wrong name, a machine without
//! a journal, or a user who may not read it.

use std::time::Duration;

use muster_model::Time;
use serde_json::Value;

use super::program::{self, Keep};
use super::{Lack, SECTION_BYTES};
use crate::log::stamp::civil;

/// How much is asked for.
#[derive(Clone, Copy)]
pub(crate) struct Extent {
    timeout: Duration,
    bytes: usize,
    lines: usize,
}

/// For a bundle.
pub(crate) const WHOLE: Extent = Extent {
    timeout: Duration::from_secs(20),
    bytes: SECTION_BYTES,
    lines: 50_000,
};
/// For who watches.
pub(crate) const LOOK: Extent = Extent {
    timeout: Duration::from_secs(5),
    bytes: 1024 * 1024,
    lines: 5000,
};

/// Lines with their times, the oldest first.
pub(crate) struct Told {
    pub(crate) lines: Vec<(Time, String)>,
    /// Whether the oldest are left out.
    pub(crate) cut: bool,
}

impl Extent {
    fn limits(self, keep: Keep) -> program::Limits {
        program::Limits {
            timeout: self.timeout,
            most: self.bytes,
            keep,
        }
    }
}

/// What a unit wrote since. It is asked for the newest first, so that what is left out is the oldest.
pub(crate) async fn unit(program: &str, unit: &str, since: Time, extent: Extent) -> Result<Told, Lack> {
    let argv = [
        program.to_owned(),
        format!("--unit={unit}"),
        format!("--since=@{}", since.millis() / 1000),
        "--output=json".to_owned(),
        "--output-fields=MESSAGE".to_owned(),
        "--no-pager".to_owned(),
        "--reverse".to_owned(),
        format!("--lines={}", extent.lines),
    ];
    let said = program::run(&argv, None, extent.limits(Keep::Head)).await?;
    if let Some(lack) = said.trouble() {
        return Err(lack);
    }
    let blind = |l: &&str| l.contains("No journal files") || l.contains("not seeing messages");
    if let Some(hint) = said.err.lines().find(blind) {
        let remedy = "put Muster's user into the group systemd-journal, or name the file that it logs to";
        return Err(Lack::new(hint.trim().to_owned(), Some(remedy)));
    }
    let mut lines: Vec<(Time, String)> = said.out.lines().filter_map(entry).collect();
    lines.reverse();
    Ok(Told {
        cut: said.cut || lines.len() >= extent.lines,
        lines,
    })
}

/// One entry of `journalctl --output=json`, as a line with its time in front.
fn entry(line: &str) -> Option<(Time, String)> {
    let entry: Value = serde_json::from_str(line).ok()?;
    let at: i64 = entry["__REALTIME_TIMESTAMP"].as_str()?.parse().ok()?;
    let message = match &entry["MESSAGE"] {
        Value::String(text) => text.clone(),
        // What is not UTF-8 comes as a list of bytes.
        Value::Array(bytes) => {
            let bytes: Vec<u8> = bytes
                .iter()
                .filter_map(|b| b.as_u64().and_then(|b| u8::try_from(b).ok()))
                .collect();
            String::from_utf8_lossy(&bytes).into_owned()
        }
        _ => return None,
    };
    let at = Time::from_micros(at);
    Some((at, format!("{at} {message}")))
}

/// What a container wrote since, both of its outputs in the order of their times.
pub(crate) async fn container(program: &str, name: &str, since: Time, extent: Extent) -> Result<Told, Lack> {
    let argv = [
        program.to_owned(),
        "logs".to_owned(),
        format!("--since={since}"),
        "--timestamps".to_owned(),
        format!("--tail={}", extent.lines),
        "--".to_owned(),
        name.to_owned(),
    ];
    let said = program::run(&argv, None, extent.limits(Keep::Tail)).await?;
    if let Some(lack) = said.trouble() {
        return Err(lack);
    }
    let all = said.out.lines().chain(said.err.lines());
    let mut lines: Vec<(Time, String)> = all.filter_map(|l| Some((civil(l)?.0, l.to_owned()))).collect();
    // Stable: lines of one output stay in their order.
    lines.sort_by_key(|(at, _)| *at);
    Ok(Told {
        cut: said.cut || lines.len() >= extent.lines,
        lines,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_program_that_is_absent_is_said() {
        let since = Time::from_millis(0);
        for read in [
            unit("muster-no-journalctl", "notes", since, LOOK).await,
            container("muster-no-docker", "notes", since, LOOK).await,
        ] {
            let lack = read.err().expect("a lack");
            assert!(
                lack.reason.contains("no such program") && lack.remedy.is_some(),
                "{lack:?}"
            );
        }
    }

    #[test]
    fn an_entry_of_the_journal_becomes_a_line() {
        let line = r#"{"__REALTIME_TIMESTAMP":"1763600000000000","MESSAGE":"up","PRIORITY":"6"}"#;
        assert_eq!(
            entry(line).map(|(_, l)| l).as_deref(),
            Some("2025-11-20T00:53:20.000000Z up")
        );
        let bytes = r#"{"__REALTIME_TIMESTAMP":"1763600000000000","MESSAGE":[104,105]}"#;
        assert!(entry(bytes).expect("read").1.ends_with(" hi"));
        assert_eq!(entry("-- No entries --"), None);
    }
}
