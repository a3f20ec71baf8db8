//! `disk.wal_full`: the volume of the WAL is full; the server stops itself when it cannot write WAL.

use muster_model::snapshot::Holding;

use super::{KeyInfo, RuleInfo, sample};
use crate::judge::Context;
use crate::volumes;

/// For the reference.
pub(super) const INFO: RuleInfo = RuleInfo {
    rule,
    kind: "disk.wal_full",
    title: "The WAL volume is full",
    about: "The volume that pg_wal has to itself is 95 % full, or less than 10 WAL segments fit. A server that cannot write WAL ends \
            itself with a PANIC, and does not start again before there is room.",
    ignores: "A pg_wal on the volume of the data: `disk.data_full` speaks of it.",
    advice: "Make room on the volume (a ballast file, anything that is not WAL), then free what keeps the WAL: slot, archive. Never \
             delete in pg_wal: a server without its WAL is lost.",
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
            about: "WAL segments that still fit",
        },
    ],
    specimen: || {
        vec![sample::host::disks(vec![sample::host::volume(
            "/srv/wal",
            2,
            96,
            &[Holding::Wal],
        )])]
    },
    lookalike: || {
        vec![sample::host::disks(vec![sample::host::volume(
            "/srv/data",
            1,
            96,
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

    use super::super::sample::host::{disks, volume};
    use super::super::sample::{judged, kinds};

    #[test]
    fn ten_segments_must_fit() {
        let with_free = |free: u64| {
            let mut v = volume("/w", 2, 0, &[Holding::Wal]);
            (v.size, v.free) = (free * 2, free);
            kinds(&judged(&disks(vec![v])))
                .iter()
                .map(|k| (*k).to_owned())
                .collect::<Vec<_>>()
        };
        assert_eq!(with_free(160 << 20), [""; 0]);
        assert_eq!(with_free((160 << 20) - 1), ["disk.wal_full"]);
    }
}
