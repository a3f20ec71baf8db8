//! Why a target could not be reached or did not answer, with the rung of the ladder and what to do.

use muster_model::snapshot::Rung;

/// What went wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// The name does not resolve.
    Dns,
    /// Nothing answers.
    Tcp,
    /// TLS cannot be agreed on.
    Tls,
    /// Login refused.
    Auth,
    /// No such database, or it accepts no connections.
    Database,
    /// All slots are taken.
    Full,
    /// Starting, stopping or recovering.
    Starting,
    /// Too many sessions of our own role.
    RoleLimit,
    /// Too many sessions of the database that the login names.
    DatabaseLimit,
    /// A privilege is missing.
    Privilege,
    /// No answer in time.
    Timeout,
    /// The session ended while it was used.
    Closed,
    /// The server refused the statement.
    Statement,
    /// The login is not usable as it is written.
    Login,
    /// There is no login to act with.
    NoActingLogin,
}

/// One failure at one target.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{target}: {reason}")]
pub struct ReachError {
    /// Address of the target.
    pub target: String,
    /// What went wrong.
    pub trouble: Trouble,
    /// What was seen, as a sentence.
    pub reason: String,
    /// SQLSTATE, when the server said one.
    pub sqlstate: Option<String>,
}

impl ReachError {
    /// A failure without a SQLSTATE.
    #[must_use]
    pub fn new(target: &str, trouble: Trouble, reason: impl Into<String>) -> Self {
        Self {
            target: target.to_owned(),
            trouble,
            reason: reason.into(),
            sqlstate: None,
        }
    }

    /// From the driver.
    #[must_use]
    pub fn from_driver(target: &str, e: &tokio_postgres::Error) -> Self {
        if let Some(db) = e.as_db_error() {
            let code = db.code().code();
            let trouble = match code {
                "28P01" | "28000" => Trouble::Auth,
                "3D000" => Trouble::Database,
                "55000" if db.message().contains("accepting connections") => Trouble::Database,
                // "… slots are reserved for roles with …" (16 and later) is a full server, not a limit of the role.
                "53300" if db.message().contains("connections for role") => Trouble::RoleLimit,
                // Full is this database alone: the server has room.
                "53300" if db.message().contains("connections for database") => Trouble::DatabaseLimit,
                "53300" => Trouble::Full,
                "57P03" => Trouble::Starting,
                "42501" => Trouble::Privilege,
                "57014" => Trouble::Timeout,
                "57P01" | "57P02" => Trouble::Closed,
                "08P01" if db.message().contains("no more connections") => Trouble::Full,
                // PgBouncer says 08P01 for everything it refuses at login.
                "08P01" if db.message().contains("no such database") => Trouble::Database,
                "08P01" if db.message().contains("no such user") || db.message().contains("auth") => {
                    Trouble::Auth
                }
                _ => Trouble::Statement,
            };
            return Self {
                target: target.to_owned(),
                trouble,
                reason: db.message().to_owned(),
                sqlstate: Some(code.to_owned()),
            };
        }
        let text = chain(e);
        let trouble = if text.contains("TLS") || text.contains("tls") || text.contains("certificate") {
            Trouble::Tls
        } else if text.contains("password missing")
            || text.contains("authentication")
            || text.contains("SCRAM")
        {
            Trouble::Auth
        } else if text.contains("failed to lookup address") || text.contains("Name or service not known") {
            Trouble::Dns
        } else if text.contains("connecting to server") || text.contains("timed out") {
            Trouble::Tcp
        } else {
            Trouble::Closed
        };
        Self::new(target, trouble, text)
    }

    /// The rung of the ladder that failed; `None` when it is not a question of reaching it.
    #[must_use]
    pub fn rung(&self) -> Option<Rung> {
        match self.trouble {
            Trouble::Dns => Some(Rung::Dns),
            Trouble::Tcp => Some(Rung::Tcp),
            Trouble::Tls => Some(Rung::Tls),
            Trouble::Auth | Trouble::RoleLimit | Trouble::Login => Some(Rung::Auth),
            Trouble::Database | Trouble::DatabaseLimit => Some(Rung::Database),
            // CONNECT is missing; in any other database the login would work.
            Trouble::Privilege if self.reason.contains("permission denied for database") => {
                Some(Rung::Database)
            }
            Trouble::Timeout | Trouble::Closed => Some(Rung::Query),
            _ => None,
        }
    }

    /// What to do about it.
    #[must_use]
    pub fn remedy(&self) -> String {
        match self.trouble {
            Trouble::Dns => "check the host name in the config, and the resolver of this machine".to_owned(),
            Trouble::Tcp => "check that the server runs, its address and port, and the firewall between".to_owned(),
            Trouble::Tls => "check `sslmode` and `sslrootcert` in the config against the server's certificate".to_owned(),
            Trouble::Auth => {
                "check user, password file and pg_hba.conf; `muster config check` prints the lines that create the role"
                    .to_owned()
            }
            Trouble::Database => "check the database name in the config; `postgres` always exists".to_owned(),
            Trouble::Full => "all slots are taken: run the runbook `connections-saturated`".to_owned(),
            Trouble::Starting => "wait: the server is starting, stopping or recovering".to_owned(),
            Trouble::RoleLimit => "raise the role's CONNECTION LIMIT, or stop the other Muster that uses it".to_owned(),
            Trouble::DatabaseLimit => {
                "name another database in the config (`postgres` always exists), or raise the database's CONNECTION LIMIT"
                    .to_owned()
            }
            Trouble::Privilege => "run `muster config check`: it prints the GRANT lines that are missing".to_owned(),
            Trouble::Timeout | Trouble::Closed => "look at the server's load and its log".to_owned(),
            Trouble::Statement => "this may be a defect of Muster: please report it with the message".to_owned(),
            Trouble::Login => "write it as postgres://user@host:port/database".to_owned(),
            Trouble::NoActingLogin => "add `act:` to the config, or carry out the plan by hand".to_owned(),
        }
    }
}

pub(crate) fn chain(e: &dyn std::error::Error) -> String {
    let mut text = e.to_string();
    let mut source = e.source();
    while let Some(s) = source {
        let s_text = s.to_string();
        if !text.contains(&s_text) {
            text.push_str(": ");
            text.push_str(&s_text);
        }
        source = s.source();
    }
    text
}
