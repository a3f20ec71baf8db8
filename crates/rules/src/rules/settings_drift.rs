//! `settings.drift`: settings differ between the servers of a cluster, or from what they were. Information.

use std::collections::{BTreeMap, BTreeSet};

use muster_model::snapshot::{ServerView, Settings};
use muster_model::{Severity, Snapshot, Subject};
use serde_json::json;

use super::{KeyInfo, RuleInfo, evidence, finding, sample};
use crate::judge::Context;

/// For the reference.
pub(super) const INFO: RuleInfo = RuleInfo {
    rule,
    kind: "settings.drift",
    title: "Settings differ, or were changed",
    about: "Settings that files set have another value on one server of a cluster than on the others, or another than a while ago. \
            Nothing is wrong by itself; it is what a person wants to know when something else is.",
    ignores: "What differs by nature (addresses, names, what only a standby uses), servers of different major versions, values of our \
              own session. Of what may hold a secret only a hash is compared.",
    advice: "After a failover the other server's values count: make them the same, or write down why they differ.",
    needs: &["settings"],
    keys: &[KeyInfo {
        key: "for",
        default: "1h",
        about: "how long a change is told",
    }],
    specimen: || {
        let mut s = sample::wal::pair();
        sample::wal::set(&mut s, 1, "work_mem", "65536");
        vec![s]
    },
    lookalike: || {
        let mut s = sample::wal::pair();
        sample::wal::set(&mut s, 1, "port", "6666");
        vec![s]
    },
};

/// What is each server's own by nature.
const OWN: [&str; 20] = [
    "port",
    "listen_addresses",
    "cluster_name",
    "unix_socket_directories",
    "data_directory",
    "config_file",
    "hba_file",
    "ident_file",
    "external_pid_file",
    "primary_conninfo",
    "primary_slot_name",
    "restore_command",
    "synchronous_standby_names",
    "synchronized_standby_slots",
    "hot_standby",
    "hot_standby_feedback",
    "event_source",
    "bonjour_name",
    "promote_trigger_file",
    "log_directory",
];

pub(super) fn rule(c: &mut Context<'_>) {
    let snapshot = c.snapshot;
    let mut read: Vec<(&ServerView, &Settings)> = Vec::new();
    for server in &snapshot.servers {
        if let Some(settings) = c.part(INFO.kind, server, &server.settings, "its settings") {
            changed(c, server, settings);
            read.push((server, settings));
        }
    }
    differ(c, snapshot, &read);
}

fn compared(settings: &Settings) -> impl Iterator<Item = (&str, &str)> {
    settings
        .values
        .iter()
        .map(|(n, v)| (n.as_str(), v.as_str()))
        .filter(|(n, _)| !OWN.contains(n) && !settings.own.iter().any(|o| o == n))
}

fn changed(c: &mut Context<'_>, server: &ServerView, settings: &Settings) {
    let told_for = c.span(INFO.kind, "for");
    let mut all = Vec::new();
    for (name, value) in compared(settings) {
        let change = c.fact(&format!("{}|{}|{name}", INFO.kind, server.address), value);
        if let Some(x) = change.filter(|x| c.now().since(x.at) <= told_for && x.from != value) {
            all.push((name, x.from, value, x.at));
        }
    }
    let Some(since) = all.iter().map(|x| x.3).max() else {
        return;
    };
    let said: Vec<String> = all
        .iter()
        .take(3)
        .map(|(name, from, to, _)| format!("{name} from {} to {}", shown(from), shown(to)))
        .collect();
    let more = all.len().saturating_sub(said.len());
    let mut f = finding(
        INFO.kind,
        Severity::Info,
        &server.address,
        Subject::new("settings", &server.name),
        since,
        format!(
            "settings of {} changed: {}{}",
            server.address,
            said.join(", "),
            if more > 0 {
                format!(" and {more} more")
            } else {
                String::new()
            }
        ),
    );
    let list: Vec<_> = all
        .iter()
        .map(|(name, from, to, at)| json!({"setting": name, "from": from, "to": to, "at": at}))
        .collect();
    f.evidence = evidence(json!({"changed": list}));
    c.findings.push(f);
}

fn differ(c: &mut Context<'_>, snapshot: &Snapshot, read: &[(&ServerView, &Settings)]) {
    let majors: BTreeSet<u32> = read
        .iter()
        .filter_map(|(s, _)| s.identity.as_ref().map(|i| i.value.major()))
        .collect();
    if read.len() < 2 || majors.len() != 1 {
        return;
    }
    let values: Vec<BTreeMap<&str, &str>> = read.iter().map(|(_, s)| compared(s).collect()).collect();
    let names: BTreeSet<&str> = values.iter().flat_map(|v| v.keys().copied()).collect();
    // A name that is missing was set nowhere: it has its default there.
    let of = |at: usize, name: &str| values[at].get(name).copied().unwrap_or("(default)");
    let ours = |at: usize, name: &str| read[at].1.own.iter().any(|o| o == name);
    let differing: Vec<&str> = names
        .into_iter()
        .filter(|name| {
            (1..values.len()).any(|at| of(at, name) != of(0, name))
                && !(0..values.len()).any(|at| ours(at, name))
        })
        .collect();
    if differing.is_empty() {
        return;
    }
    let held = c.held(&format!("{}|{}", INFO.kind, snapshot.cluster));
    let said: Vec<&str> = differing.iter().take(5).copied().collect();
    let more = differing.len().saturating_sub(said.len());
    let mut f = finding(
        INFO.kind,
        Severity::Info,
        &snapshot.cluster,
        Subject::new("cluster", &snapshot.cluster),
        c.now().minus(held),
        format!(
            "settings differ between the servers of {}: {}{}",
            snapshot.cluster,
            said.join(", "),
            if more > 0 {
                format!(" and {more} more")
            } else {
                String::new()
            }
        ),
    );
    let list: Vec<_> = differing
        .iter()
        .map(|name| {
            let by: BTreeMap<&str, &str> = read
                .iter()
                .enumerate()
                .map(|(at, (s, _))| (s.address.as_str(), of(at, name)))
                .collect();
            json!({"setting": name, "values": by})
        })
        .collect();
    f.evidence = evidence(json!({"differ": list}));
    c.findings.push(f);
}

fn shown(value: &str) -> &str {
    if value.is_empty() { "nothing" } else { value }
}

#[cfg(test)]
mod tests {
    use muster_model::{Finding, Severity, Snapshot};

    use super::super::sample::looks;
    use super::super::sample::wal::{pair, read_anew, set, setting};
    use super::INFO;

    fn said(pictures: Vec<Snapshot>) -> Vec<Finding> {
        let j = looks(read_anew(pictures));
        j.findings.into_iter().filter(|f| f.kind == INFO.kind).collect()
    }

    #[test]
    fn what_differs_between_servers_is_named_with_both_values() {
        assert_eq!(said(vec![pair()]), []);
        let mut s = pair();
        set(&mut s, 1, "work_mem", "65536");
        set(&mut s, 1, "jit", "off");
        let told = said(vec![s.clone()]);
        assert_eq!(told.len(), 1);
        assert_eq!(told[0].severity, Severity::Info);
        assert_eq!(
            told[0].summary,
            "settings differ between the servers of shop: jit, work_mem"
        );
        assert_eq!(told[0].evidence["differ"][0]["values"]["shop/a"], "(default)");
        for settings in s.servers.iter_mut().filter_map(|s| s.settings.as_mut()) {
            settings.value.own = vec!["work_mem".into(), "jit".into()];
        }
        assert_eq!(said(vec![s]), [], "our own session's values");
    }

    #[test]
    fn different_majors_are_not_compared() {
        let mut s = pair();
        set(&mut s, 1, "work_mem", "65536");
        s.servers[1]
            .identity
            .as_mut()
            .expect("identity")
            .value
            .version_num = 180_000;
        assert_eq!(said(vec![s]), []);
    }

    #[test]
    fn a_change_is_told_for_an_hour() {
        let pictures = |n: usize| {
            let mut all = vec![setting("work_mem", "4096")];
            all.extend(std::iter::repeat_n(setting("work_mem", "8192"), n));
            all
        };
        let told = said(pictures(1));
        assert_eq!(
            told[0].summary,
            "settings of shop/a changed: work_mem from 4096 to 8192"
        );
        assert_eq!(said(pictures(3601)).len(), 1);
        assert_eq!(said(pictures(3602)), []);
        let mut back = pictures(2);
        back.push(setting("work_mem", "4096"));
        assert_eq!(
            said(back)[0].summary,
            "settings of shop/a changed: work_mem from 8192 to 4096"
        );
    }

    #[test]
    fn settings_that_were_not_read_are_unknown() {
        let mut s = pair();
        s.servers[0].settings = None;
        assert!(looks([s]).unknown.iter().any(|u| u.kind == INFO.kind));
    }
}
