//! What the server thinks of its own files: `postgresql.conf` with what it includes, and `pg_hba.conf`.
//!
//! Only what is wrong in them is kept, never their values: a file holds passwords.

use serde::{Deserialize, Serialize};

/// A line that the server cannot use.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct BadLine {
    /// File, without its folder.
    pub file: String,
    /// Line.
    pub line: u32,
    /// Name of the setting, when the line has one.
    pub name: Option<String>,
    /// What the server says.
    pub error: String,
}

/// Settings for all sessions of a database, of a role, or of a role in a database.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct ScopedSetting {
    /// Database; absent for all.
    pub database: Option<String>,
    /// Role; absent for all.
    pub role: Option<String>,
    /// Name of the setting.
    pub name: String,
    /// Its value; empty where it could hold a secret.
    pub value: String,
}

/// The files of one server.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Files {
    /// Lines of the settings files that a reload or a start would refuse; absent when this role may not ask.
    pub invalid: Option<Vec<BadLine>>,
    /// Settings that are right in the files and wait for a restart; absent when this role may not ask.
    pub waiting: Option<Vec<BadLine>>,
    /// Lines of `pg_hba.conf` that the server refuses; absent when this role may not ask.
    pub rules_invalid: Option<Vec<BadLine>>,
    /// `ALTER DATABASE … SET` and `ALTER ROLE … SET`.
    pub scoped: Vec<ScopedSetting>,
}
