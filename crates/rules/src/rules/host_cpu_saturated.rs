//! `host.cpu_saturated`: more runs than there are cores, for a minute.

use muster_model::{Severity, Subject};
use serde_json::json;

use super::{KeyInfo, RuleInfo, evidence, finding, sample};
use crate::hosts::hosted;
use crate::judge::Context;

/// For the reference.
pub(super) const INFO: RuleInfo = RuleInfo {
    rule,
    kind: "host.cpu_saturated",
    title: "The host's CPUs are saturated",
    about: "For 60 s the CPUs were 90 % busy, the load of a minute was at least 1.5 for each core, and something waited for a CPU 20 % of the \
            time (where the kernel measures pressure). Critical at a load of 4 for each core.",
    ignores: "A load that waits for storage: the load average counts it, the CPUs are idle. A full use of all cores with nobody waiting. The \
              first minutes of a server, whose caches are cold.",
    advice: "Look at who runs: a plan that turned bad, more sessions than cores, another program on the host.",
    needs: &["host"],
    keys: &[
        KeyInfo {
            key: "warning",
            default: "1.5",
            about: "load for each core",
        },
        KeyInfo {
            key: "critical",
            default: "4",
            about: "load for each core",
        },
        KeyInfo {
            key: "busy",
            default: "90",
            about: "per cent of the CPU time used",
        },
        KeyInfo {
            key: "pressure",
            default: "20",
            about: "per cent of the time in which something waited for a CPU",
        },
        KeyInfo {
            key: "for",
            default: "60s",
            about: "held so long",
        },
    ],
    specimen: || sample::seconds(&sample::host::loaded(10.0, 99.0, Some(60.0)), 60),
    lookalike: || sample::seconds(&sample::host::loaded(40.0, 20.0, Some(1.0)), 60),
};

pub(super) fn rule(c: &mut Context<'_>) {
    let key = |c: &Context<'_>, k: &str| c.number(INFO.kind, k);
    let (warning, critical) = (key(c, "warning"), key(c, "critical"));
    let (busy, pressure) = (key(c, "busy"), key(c, "pressure"));
    let lasting = c.span(INFO.kind, "for");
    for (server, host) in hosted(c) {
        let Some(load) = c.near(INFO.kind, server, &host.load, "the load of its host") else {
            continue;
        };
        if c.warming(server) {
            continue;
        }
        let each = load.load / f64::from(load.cores.max(1));
        let waits = load.pressure.is_none_or(|p| p.cpu >= pressure);
        if each < warning || load.busy.is_none_or(|b| b < busy) || !waits {
            continue;
        }
        let held = c.held(&format!("{}|{}", INFO.kind, server.address));
        if held < lasting {
            continue;
        }
        let severe = each >= critical;
        let mut text = format!(
            "the {} cores of {} are {:.0} % busy and the load is {:.1}, for {}",
            load.cores,
            host.name,
            load.busy.unwrap_or(0.0),
            load.load,
            held.human()
        );
        if let Some(stolen) = load.stolen.filter(|s| *s >= 10.0) {
            text += &format!("; the hypervisor keeps {stolen:.0} %");
        }
        let mut f = finding(
            INFO.kind,
            if severe {
                Severity::Critical
            } else {
                Severity::Warning
            },
            &server.address,
            Subject::new("host", &host.name),
            c.now().minus(held),
            text,
        );
        f.evidence = evidence(json!({"load": load, "per_core": each, "held_ms": held.millis()}));
        if load.pressure.is_none() {
            f.ruled_out
                .push("nothing by pressure: this kernel does not measure it".to_owned());
        }
        c.findings.push(f);
    }
}

#[cfg(test)]
mod tests {
    use muster_model::Severity;

    use super::super::sample::host::{hosted, loaded};
    use super::super::sample::{judged, looks, watched};

    #[test]
    fn it_must_last_a_minute_and_be_the_cpus() {
        let bad = loaded(6.0, 90.0, Some(20.0));
        assert_eq!(watched(&bad, 59), [""; 0]);
        assert_eq!(watched(&bad, 60), ["host.cpu_saturated"]);
        assert_eq!(watched(&loaded(6.0, 90.0, None), 60), ["host.cpu_saturated"]);
        for quiet in [
            loaded(5.9, 99.0, Some(60.0)),
            loaded(40.0, 89.0, Some(60.0)),
            loaded(6.0, 99.0, Some(19.0)),
        ] {
            assert_eq!(watched(&quiet, 70), [""; 0]);
        }
    }

    #[test]
    fn four_for_each_core_is_critical_and_no_incident_by_itself() {
        let last = looks(std::iter::repeat_n(loaded(16.0, 99.0, Some(90.0)), 62));
        assert_eq!(
            (last.findings[0].severity, last.findings[0].incident),
            (Severity::Critical, false)
        );
        let j = judged(&hosted(|h| h.load = None));
        assert!(j.unknown.iter().any(|u| u.kind == "host.cpu_saturated"));
    }
}
