//! `settings.harmful`: a setting that risks data, or makes the whole server slow.

use muster_model::snapshot::Settings;
use muster_model::{Severity, Subject};
use serde_json::json;

use super::{KeyInfo, RuleInfo, evidence, finding, sample};
use crate::judge::Context;

/// For the reference.
pub(super) const INFO: RuleInfo = RuleInfo {
    rule,
    kind: "settings.harmful",
    title: "A setting does harm",
    about: "Settings of the whole server that lose data (fsync, full_page_writes, zero_damaged_pages, ignore_checksum_failure, an \
            archive_command that throws WAL away), or that mislead the planner or the checkpointer for everybody (enable_* off, \
            random_page_cost below seq_page_cost, a tiny max_wal_size). synchronous_commit = off is information: it is a choice.",
    ignores: "statement_timeout and other limits that are off; values that only our own session, role or database has; settings of \
              single roles and databases.",
    advice: "Set it back; all but archive_mode take effect by a reload. After a crash with fsync or full_page_writes off, check the \
             data before it is trusted.",
    needs: &["settings"],
    keys: &[KeyInfo {
        key: "max_wal_size",
        default: "128",
        about: "MB below which max_wal_size is tiny",
    }],
    specimen: || vec![sample::wal::setting("fsync", "off")],
    lookalike: || vec![sample::wal::setting("statement_timeout", "0")],
};

/// `(name, value that harms, how bad, why)`.
const SWITCHES: [(&str, &str, Severity, &str); 5] = [
    (
        "fsync",
        "off",
        Severity::Critical,
        "a crash of the machine destroys the whole cluster",
    ),
    (
        "full_page_writes",
        "off",
        Severity::Critical,
        "a crash may leave pages that are half old and half new",
    ),
    (
        "zero_damaged_pages",
        "on",
        Severity::Critical,
        "a damaged page is replaced by an empty one without a word, and its rows are gone",
    ),
    (
        "ignore_checksum_failure",
        "on",
        Severity::Critical,
        "damaged pages are read as if they were good, and spread",
    ),
    (
        "synchronous_commit",
        "off",
        Severity::Info,
        "a crash loses the last moments of acknowledged commits, for every role that does not say otherwise",
    ),
];

pub(super) fn rule(c: &mut Context<'_>) {
    let snapshot = c.snapshot;
    let tiny = c.number(INFO.kind, "max_wal_size");
    for server in &snapshot.servers {
        let Some(settings) = c.part(INFO.kind, server, &server.settings, "its settings") else {
            continue;
        };
        for (name, severity, why) in harms(settings, tiny) {
            let value = settings.values.get(&name).cloned().unwrap_or_default();
            let held = c.held(&format!("{}|{}|{name}", INFO.kind, server.address));
            let mut f = finding(
                INFO.kind,
                severity,
                &server.address,
                Subject::new("setting", &name),
                c.now().minus(held),
                format!("{name} is {value} on {}: {why}", server.address),
            );
            f.incident = severity == Severity::Critical;
            f.evidence = evidence(json!({"setting": name, "value": value, "why": why}));
            c.findings.push(f);
        }
    }
}

fn harms(settings: &Settings, tiny: f64) -> Vec<(String, Severity, String)> {
    // What our own session shows of itself says nothing about others.
    let value = |name: &str| {
        settings
            .values
            .get(name)
            .filter(|_| !settings.own.iter().any(|o| o == name))
            .map(String::as_str)
    };
    let number = |name: &str| value(name).and_then(|v| v.parse::<f64>().ok());
    let mut out = Vec::new();
    let mut say = |name: &str, severity, why: String| out.push((name.to_owned(), severity, why));
    for (name, bad, severity, why) in SWITCHES {
        if value(name) == Some(bad) {
            say(name, severity, why.to_owned());
        }
    }
    for name in settings.values.keys().filter(|n| n.starts_with("enable_")) {
        // Off by default: it is a wish to set it on, and none to leave it.
        let by_default = name.starts_with("enable_partitionwise") || name == "enable_group_by_reordering";
        if value(name) == Some("off") && !by_default {
            let why = "no statement on the whole server may use this way to its rows".to_owned();
            say(name, Severity::Warning, why);
        }
    }
    if let (Some(random), Some(sequential)) = (number("random_page_cost"), number("seq_page_cost"))
        && random < sequential
    {
        let why = format!(
            "less than seq_page_cost ({sequential}): the planner takes random reads for cheaper than those in order"
        );
        say("random_page_cost", Severity::Warning, why);
    }
    if let Some(size) = number("max_wal_size").filter(|s| *s < tiny) {
        let why = format!("{size:.0} MB of WAL force a checkpoint: under load it writes without a break");
        say("max_wal_size", Severity::Warning, why);
    }
    let archives = value("archive_mode").is_some_and(|m| m != "off");
    let library = value("archive_library").is_some_and(|l| !l.is_empty());
    if archives && !library && value("archive_command") == Some("true") {
        let why = "WAL is reported as archived and thrown away, so no restore reaches beyond the last backup"
            .to_owned();
        say("archive_command", Severity::Warning, why);
    }
    out
}

#[cfg(test)]
mod tests {
    use muster_model::{Severity, Snapshot};

    use super::super::sample::judged;
    use super::super::sample::wal::{set, setting};
    use super::INFO;

    fn said(s: &Snapshot) -> Option<(Severity, bool, String)> {
        let f = judged(s).findings.into_iter().find(|f| f.kind == INFO.kind)?;
        Some((f.severity, f.incident, f.subject.0))
    }

    #[test]
    fn what_loses_data_is_an_incident() {
        for (name, value) in [
            ("fsync", "off"),
            ("full_page_writes", "off"),
            ("zero_damaged_pages", "on"),
            ("ignore_checksum_failure", "on"),
        ] {
            let is = Some((Severity::Critical, true, format!("setting:{name}")));
            assert_eq!(said(&setting(name, value)), is);
        }
        let off = said(&setting("synchronous_commit", "off")).expect("found");
        assert_eq!(off.0, Severity::Info);
        assert_eq!(said(&setting("synchronous_commit", "local")), None);
    }

    #[test]
    fn what_misleads_everybody_warns() {
        let warns = |s: &Snapshot| {
            said(s).is_some_and(|(severity, incident, _)| severity == Severity::Warning && !incident)
        };
        assert!(warns(&setting("enable_seqscan", "off")));
        assert_eq!(
            said(&setting("enable_partitionwise_join", "off")),
            None,
            "off by default"
        );
        assert!(warns(&setting("random_page_cost", "0.9")));
        assert_eq!(
            said(&setting("random_page_cost", "1")),
            None,
            "as cheap is fine on an SSD"
        );
        assert!(warns(&setting("max_wal_size", "127")));
        assert_eq!(said(&setting("max_wal_size", "128")), None);
    }

    #[test]
    fn an_archive_that_throws_away_warns_only_where_something_is_archived() {
        let mut s = setting("archive_command", "true");
        assert_eq!(said(&s), None);
        set(&mut s, 0, "archive_mode", "on");
        assert_eq!(said(&s).expect("found").2, "setting:archive_command");
        set(&mut s, 0, "archive_library", "pgbackrest");
        assert_eq!(said(&s), None, "the library archives, not the command");
    }

    #[test]
    fn a_value_of_our_own_is_not_the_servers_and_unread_is_unknown() {
        let mut s = setting("enable_seqscan", "off");
        s.servers[0].settings.as_mut().expect("settings").value.own = vec!["enable_seqscan".into()];
        assert_eq!(said(&s), None);
        s.servers[0].settings = None;
        assert!(judged(&s).unknown.iter().any(|u| u.kind == INFO.kind));
    }
}
