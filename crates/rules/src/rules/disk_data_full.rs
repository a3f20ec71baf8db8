//! `disk.data_full`: the volume of the data is full.

use muster_model::snapshot::Holding;

use super::{KeyInfo, RuleInfo, sample};
use crate::judge::Context;
use crate::volumes;

/// For the reference.
pub(super) const INFO: RuleInfo = RuleInfo {
    rule,
    kind: "disk.data_full",
    title: "The data volume is full",
    about: "The volume of the data folder, or of a tablespace, is 95 % full, in bytes or in files. Where it holds the WAL too: also when \
            less than 10 WAL segments fit, because then the server stops itself.",
    ignores: "Blocks that only the superuser may fill, and volumes of logs alone.",
    advice: "Make room where nothing is lost: old server logs, core files, temporary files of a statement that is cancelled. Then the \
             cause: a slot, the archive, a table. Never delete in pg_wal or base.",
    needs: &["host"],
    keys: &[
        KeyInfo {
            key: "critical",
            default: "95",
            about: "per cent used",
        },
        KeyInfo {
            key: "segments",
            default: "10",
            about: "WAL segments that still fit, where WAL lies on the volume too",
        },
    ],
    specimen: || {
        vec![sample::host::disks(vec![sample::host::volume(
            "/srv/data",
            1,
            96,
            &[Holding::Data],
        )])]
    },
    lookalike: || {
        vec![sample::host::disks(vec![sample::host::volume(
            "/srv/data",
            1,
            94,
            &[Holding::Data],
        )])]
    },
};

pub(super) fn rule(c: &mut Context<'_>) {
    volumes::rule(c, INFO.kind);
}

#[cfg(test)]
mod tests {
    use muster_model::snapshot::Holding;

    use super::super::sample::host::{disks, down, volume};
    use super::super::sample::{judged, kinds};

    #[test]
    fn ninety_five_per_cent_is_full_and_not_filling_too() {
        let j = judged(&disks(vec![volume("/d", 1, 95, &[Holding::Data])]));
        assert_eq!(
            (kinds(&j), j.findings[0].incident),
            (vec!["disk.data_full"], true)
        );
        let mut shared = volume("/d", 1, 50, &[Holding::Data, Holding::Wal]);
        shared.free = 159 << 20;
        shared.size = 2 * shared.free;
        assert_eq!(
            kinds(&judged(&disks(vec![shared.clone()]))),
            ["disk.data_full"],
            "9 segments fit"
        );
        shared.holds.pop();
        assert_eq!(kinds(&judged(&disks(vec![shared]))), [""; 0], "no WAL here");
    }

    #[test]
    fn it_is_seen_while_the_server_is_down() {
        let s = down(|h| {
            if let Some(d) = &mut h.disks {
                d.value.volumes = vec![volume("/d", 1, 99, &[Holding::Data])];
            }
        });
        assert!(kinds(&judged(&s)).contains(&"disk.data_full"));
    }
}
