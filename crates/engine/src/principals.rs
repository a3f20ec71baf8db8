//! Principals: named people, what each may do, and how they show who they are.
//!
//! A token is shown once, when its owner is added; kept is its argon2 hash, beside the journal. Who is known, and since when,
//! is told by entries of the journal, each with the digest of the hash: a row that is put into the file by hand counts for
//! nothing. There is no token that several people share.

use argon2::Argon2;
use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher, PasswordVerifier};
use muster_model::{Time, digest_of_bytes};
use serde::{Deserialize, Serialize};

use crate::executor::{Engine, EngineError};
use crate::guards::Refusal;
use crate::journal::{Event, Place};

/// What somebody may do. Each may do what the ones before may.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Reads everything, the journal and the evidence too.
    Viewer,
    /// Plans, starts what needs no approval, freezes, writes notes.
    Operator,
    /// Says yes and no to plans, where policy names them.
    Approver,
    /// Adds and removes people, gives up on runs, brings in Proofs.
    Admin,
}

impl Role {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Viewer, Self::Operator, Self::Approver, Self::Admin];

    /// As written in JSON.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Operator => "operator",
            Self::Approver => "approver",
            Self::Admin => "admin",
        }
    }
}

/// A person who is known here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, schemars::JsonSchema)]
pub struct Principal {
    /// Name, as in `policy.approvers`.
    pub name: String,
    /// What they may do.
    pub role: Role,
    /// Whether it is a program and no person: it never says yes or no.
    pub service: bool,
    /// Who added them.
    pub added_by: String,
    /// When.
    pub added_at: Time,
    /// Digest of the hash of their token.
    #[serde(skip)]
    check: String,
}

fn refuse(why: String, remedy: &str) -> EngineError {
    EngineError::Refused(Refusal {
        guard: "principal",
        why,
        remedy: remedy.to_owned(),
        until: None,
    })
}

impl Engine {
    /// Everybody who is known, by name.
    ///
    /// # Errors
    /// When the journal cannot be read.
    pub fn principals(&self) -> Result<Vec<Principal>, EngineError> {
        let mut entries = self.journal().of_kind("principal_added")?;
        entries.extend(self.journal().of_kind("principal_revoked")?);
        entries.sort_by_key(|e| e.seq);
        let mut known: Vec<Principal> = Vec::new();
        for e in entries {
            match e.event {
                Event::PrincipalAdded {
                    name,
                    role,
                    service,
                    check,
                } => {
                    known.retain(|p| p.name != name);
                    known.push(Principal {
                        name,
                        role,
                        service,
                        added_by: e.who,
                        added_at: e.at,
                        check,
                    });
                }
                Event::PrincipalRevoked { name } => known.retain(|p| p.name != name),
                _ => {}
            }
        }
        known.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(known)
    }

    /// Adds somebody, or gives them a new role and a new token; the token, which is shown this once.
    ///
    /// # Errors
    /// When the name cannot be one, or it cannot be written down.
    pub fn admit(&self, by: &str, name: &str, role: Role, service: bool) -> Result<String, EngineError> {
        self.admit_and(by, name, role, service, |_| Ok(()))
    }

    /// As [`Engine::admit`]; what is done with the token before its owner counts as added can fail, and then nobody is.
    ///
    /// # Errors
    /// As [`Engine::admit`], and what `keep` says.
    pub fn admit_and<E: From<EngineError>>(
        &self,
        by: &str,
        name: &str,
        role: Role,
        service: bool,
        keep: impl FnOnce(&str) -> Result<(), E>,
    ) -> Result<String, E> {
        let fits = !name.is_empty()
            && name.len() <= 64
            && name
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '@' | '+' | '.'));
        if !fits || name == crate::journal::DAEMON {
            let why = format!("`{name}` cannot be a name here");
            return Err(refuse(why, "use letters, digits and - _ @ + . (and not `daemon`)").into());
        }
        if service && role > Role::Operator {
            let why = format!("`{name}` is a service, and only people may be {}", role.word());
            return Err(refuse(why, "give it the role viewer or operator").into());
        }
        let secret: String = (0..32).map(|_| format!("{:02x}", rand::random::<u8>())).collect();
        let hash: PasswordHash = Argon2::default()
            .hash_password(secret.as_bytes())
            .map_err(|e| refuse(format!("the token cannot be hashed: {e}"), "try again"))?;
        let hash = hash.to_string();
        let check = digest_of_bytes(hash.as_bytes());
        self.journal()
            .keep_hash(&check, &hash)
            .map_err(EngineError::from)?;
        let token = format!("{name}.{secret}");
        keep(&token)?;
        let event = Event::PrincipalAdded {
            name: name.to_owned(),
            role,
            service,
            check,
        };
        self.append(by, &Place::default(), event)?;
        Ok(token)
    }

    /// Removes somebody: their token opens nothing any more.
    ///
    /// # Errors
    /// When there is nobody of that name.
    pub fn dismiss(&self, by: &str, name: &str) -> Result<(), EngineError> {
        if !self.principals()?.iter().any(|p| p.name == name) {
            return Err(refuse(
                format!("nobody here is called `{name}`"),
                "`muster auth list` shows who is",
            ));
        }
        let event = Event::PrincipalRevoked {
            name: name.to_owned(),
        };
        self.append(by, &Place::default(), event).map(|_| ())
    }

    /// Who shows this token; `None` when it is nobody's.
    ///
    /// # Errors
    /// When the journal cannot be read.
    pub fn sign_in(&self, token: &str) -> Result<Option<Principal>, EngineError> {
        let Some((name, secret)) = token.rsplit_once('.') else {
            return Ok(None);
        };
        let Some(found) = self.principals()?.into_iter().find(|p| p.name == name) else {
            return Ok(None);
        };
        let Some(hash) = self.journal().hash_of(&found.check)? else {
            return Ok(None);
        };
        // The row must be the one that the journal speaks of.
        if digest_of_bytes(hash.as_bytes()) != found.check {
            return Ok(None);
        }
        let right = PasswordHash::new(&hash)
            .is_ok_and(|h| Argon2::default().verify_password(secret.as_bytes(), &h).is_ok());
        Ok(right.then_some(found))
    }
}
