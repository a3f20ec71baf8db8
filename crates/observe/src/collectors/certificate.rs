//! Until when the certificate is valid that the server shows us.

use muster_model::snapshot::Certificate;
use muster_reach::PgSession;

use super::CollectorInfo;

/// For the reference.
pub const INFO: CollectorInfo = CollectorInfo {
    name: "certificate",
    about: "The last day of the certificate that the server shows in our own TLS handshake, each time anew.",
    reads: "the handshake of the slow lane's session",
    needs: "TLS between Muster and the server",
    cadence: "60 s",
    gap: "nothing: without TLS there is no certificate to expire",
};

/// From a session that has just been opened.
pub(crate) fn read(session: &PgSession) -> Certificate {
    Certificate {
        tls: session.encrypted(),
        not_after: session.certificate_expires(),
    }
}
