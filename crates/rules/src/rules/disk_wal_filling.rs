//! `disk.wal_filling`: the volume of the WAL is nearly full, or will be within hours.

use muster_model::snapshot::Holding;

use super::{KeyInfo, RuleInfo, sample};
use crate::judge::Context;
use crate::volumes;

/// For the reference.
pub(super) const INFO: RuleInfo = RuleInfo {
    rule,
    kind: "disk.wal_filling",
    title: "The WAL volume fills",
    about: "The volume that pg_wal has to itself (or shares with anything but the data folder) is 85 % full, or has less than 10 GB and \
            less than 20 % free. Critical when it is full within 4 h, by the growth of at least 10 min.",
    ignores: "A pg_wal on the volume of the data: that volume is judged once, as the data's. A burst of WAL that a checkpoint gives \
              back.",
    advice: "WAL that stays is kept by somebody: a slot, a failing archive command, `wal_keep_size`. Free that, and it goes at the next \
             checkpoint. Never delete in pg_wal.",
    needs: &["host"],
    keys: &[
        KeyInfo {
            key: "warning",
            default: "85",
            about: "per cent used",
        },
        KeyInfo {
            key: "free",
            default: "10",
            about: "GB free; only together with `free_percent`",
        },
        KeyInfo {
            key: "free_percent",
            default: "20",
            about: "per cent free; only together with `free`",
        },
        KeyInfo {
            key: "eta",
            default: "4h",
            about: "full within: an incident",
        },
    ],
    specimen: || {
        vec![sample::host::disks(vec![sample::host::volume(
            "/srv/wal",
            2,
            86,
            &[Holding::Wal],
        )])]
    },
    lookalike: || {
        vec![sample::host::disks(vec![sample::host::volume(
            "/srv/data",
            1,
            86,
            &[Holding::Data, Holding::Wal],
        )])]
    },
};

pub(super) fn rule(c: &mut Context<'_>) {
    volumes::rule(c, INFO.kind);
}

#[cfg(test)]
mod tests {
    use muster_model::snapshot::Holding;

    use super::super::sample::host::{disks, hosted, volume};
    use super::super::sample::{judged, kinds};

    #[test]
    fn a_volume_of_its_own_is_judged_as_wal() {
        let two = |wal| {
            disks(vec![
                volume("/d", 1, 10, &[Holding::Data]),
                volume("/w", 2, wal, &[Holding::Wal]),
            ])
        };
        assert_eq!(kinds(&judged(&two(84))), [""; 0]);
        let j = judged(&two(85));
        assert_eq!(kinds(&j), ["disk.wal_filling"]);
        assert!(
            j.findings[0].summary.contains("/w (WAL of shop/a)"),
            "{}",
            j.findings[0].summary
        );
    }

    #[test]
    fn a_pg_wal_that_nobody_may_look_into_is_unknown() {
        let j = judged(&hosted(|h| {
            if let Some(d) = &mut h.disks {
                d.value.wal_seen = false;
                d.value.volumes.pop();
            }
        }));
        assert!(j.findings.is_empty());
        let unknown: Vec<&str> = j.unknown.iter().map(|u| u.kind.as_str()).collect();
        assert_eq!(unknown, ["disk.wal_filling", "disk.wal_full"]);
    }
}
