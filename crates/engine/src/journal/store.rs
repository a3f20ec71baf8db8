//! The journal on disk: SQLite in WAL mode with `synchronous=FULL`; every append is one committed transaction.
//!
//! Triggers refuse update and delete, count and head are kept beside the entries. The only place of the engine that
//! names a product.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use muster_model::{Digest, Evidence, EvidenceMoment, Time, canonical_json, digest_of_bytes};
use rusqlite::{Connection, OptionalExtension, params};

use super::{Entry, Event, Fence, GENESIS, Head, Place, chain, run_head};

/// Format version of the file.
pub const FORMAT: i64 = 2;

const SCHEMA: &str = include_str!("schema.sql");
const FROM_1: &str = include_str!("from_1.sql");

/// Why the journal cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// The disk is full or the file cannot be written.
    #[error("the journal {} cannot be written: {reason}", path.display())]
    CannotWrite {
        /// The file.
        path: PathBuf,
        /// What was seen.
        reason: String,
    },
    /// Another process is in the middle of writing it, and does not get on.
    #[error("the journal {} is being written by another process, which does not get on", path.display())]
    Locked {
        /// The file.
        path: PathBuf,
    },
    /// The file cannot be opened or read.
    #[error("the journal {} cannot be read: {reason}", path.display())]
    CannotRead {
        /// The file.
        path: PathBuf,
        /// What was seen.
        reason: String,
    },
    /// A newer Muster wrote it.
    #[error("the journal {} has format {found}; this version reads up to {FORMAT}", path.display())]
    TooNew {
        /// The file.
        path: PathBuf,
        /// Its format.
        found: i64,
    },
    /// An entry was edited, dropped, reordered or cut off.
    #[error("the journal {} is not what was written: {what}", path.display())]
    Broken {
        /// The file.
        path: PathBuf,
        /// Which entry, and how.
        what: String,
    },
    /// Somebody with a higher epoch writes here now.
    #[error("`{lease}` was taken over (epoch {now}, ours was {ours}): nothing was written")]
    Fenced {
        /// Which lease.
        lease: String,
        /// Ours.
        ours: u64,
        /// The one that writes now.
        now: u64,
    },
    /// What happens once was written already.
    #[error("the journal has it already: {what}")]
    Twice {
        /// What.
        what: String,
    },
    /// The process is being killed (tests).
    #[error("killed at append {0} by the test")]
    Killed(u64),
}

impl JournalError {
    /// What to do about it.
    #[must_use]
    pub fn remedy(&self) -> String {
        match self {
            Self::CannotWrite { .. } => {
                "free space on that disk or make the folder writable; nothing is changed on any target until it can be written"
                    .to_owned()
            }
            Self::Locked { .. } => "look whether a process of Muster is stopped or hangs, or another program has the file open".to_owned(),
            Self::CannotRead { .. } => "check the path `state_dir` of the config and its permissions".to_owned(),
            Self::TooNew { .. } => "use the version of Muster that wrote it, or a newer one".to_owned(),
            Self::Broken { .. } => {
                "keep a copy of the file, find out who changed it, and start with an empty state_dir".to_owned()
            }
            Self::Fenced { .. } => "another Muster goes on with it; this one may end".to_owned(),
            Self::Twice { .. } => "another call was quicker; look with `muster runs show`".to_owned(),
            Self::Killed(_) => "start again".to_owned(),
        }
    }
}

/// Called in the middle of (`false`) and after (`true`) each append with its number in this process; `true` back means: die.
pub type KillHook = Box<dyn Fn(u64, bool) -> bool + Send + Sync>;

struct Inner {
    db: Connection,
    appends: u64,
    dead: bool,
    hook: Option<KillHook>,
    /// Entries of runs that are not over, as they were read.
    read: BTreeMap<String, Vec<Entry>>,
}

/// So many runs are kept in memory.
const READ: usize = 32;

/// The open journal.
pub struct Journal {
    path: PathBuf,
    inner: Mutex<Inner>,
}

impl std::fmt::Debug for Journal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Journal({})", self.path.display())
    }
}

impl Journal {
    /// Opens or creates it, and checks count, head and format.
    ///
    /// # Errors
    /// See [`JournalError`].
    pub fn open(path: &Path) -> Result<Self, JournalError> {
        let cannot = |e: rusqlite::Error| cannot_read(path, &e);
        let db = Connection::open(path).map_err(cannot)?;
        db.busy_timeout(std::time::Duration::from_secs(5))
            .map_err(cannot)?;
        let version: i64 = db
            .query_row("PRAGMA user_version", [], |r| r.get(0))
            .map_err(cannot)?;
        if version > FORMAT {
            return Err(JournalError::TooNew {
                path: path.to_owned(),
                found: version,
            });
        }
        db.execute_batch("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON;")
            .map_err(|e| cannot_write(path, &e))?;
        if version == 1 {
            from_1(&db).map_err(|e| cannot_write(path, &e))?;
        }
        db.execute_batch(SCHEMA).map_err(|e| cannot_write(path, &e))?;
        let journal = Self {
            path: path.to_owned(),
            inner: Mutex::new(Inner {
                db,
                appends: 0,
                dead: false,
                hook: None,
                read: BTreeMap::new(),
            }),
        };
        journal.check_head()?;
        Ok(journal)
    }

    /// Sets the hook of the kill tests.
    pub fn on_append(&self, hook: KillHook) {
        self.lock().hook = Some(hook);
    }

    /// Appends one entry and returns it once it is on disk.
    ///
    /// # Errors
    /// When it cannot be written; then nothing may be done that it would have announced.
    pub fn append(
        &self,
        at: Time,
        who: &str,
        place: &Place,
        fences: &[Fence],
        event: Event,
    ) -> Result<Entry, JournalError> {
        let mut inner = self.lock();
        let text = serde_json::to_value(&event)
            .map(|v| canonical_json(&v))
            .map_err(|e| JournalError::CannotWrite {
                path: self.path.clone(),
                reason: e.to_string(),
            })?;
        inner.appends += 1;
        let number = inner.appends;
        let Inner { db, dead, hook, .. } = &mut *inner;
        let fail = |e: rusqlite::Error| cannot_write(&self.path, &e);
        let tx = db
            .transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)
            .map_err(fail)?;
        // In the middle of it, as it may happen: who dies or is stopped here has the file locked.
        if *dead || hook.as_ref().is_some_and(|h| h(number, false)) {
            *dead = true;
            return Err(JournalError::Killed(number));
        }
        let (count, prev): (i64, String) = tx
            .query_row("SELECT count, head FROM head", [], |r| Ok((r.get(0)?, r.get(1)?)))
            .map_err(fail)?;
        for f in fences {
            pass_fence(&tx, f).map_err(fail)??;
        }
        let epoch = fences.last().map_or(0, |f| f.epoch);
        let seq = u64::try_from(count).unwrap_or(0) + 1;
        let hash = chain(&prev, seq, at, who, place, epoch, &text);
        tx.execute(
            "INSERT INTO entry (seq, at, who, run, incident, step, target, attempt, epoch, kind, event, prev, hash)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)",
            params![
                count + 1,
                at.to_string(),
                who,
                place.run,
                place.incident,
                place.step,
                place.target,
                place.attempt,
                i64::try_from(epoch).unwrap_or(i64::MAX),
                kind_of(&text),
                text,
                prev,
                hash
            ],
        )
        .map_err(|e| twice(&self.path, place, &text, &e))?;
        if !place.run.is_empty() {
            count_run(&tx, &place.run, &hash, kind_of(&text) == "ended").map_err(fail)?;
        }
        tx.execute("UPDATE head SET count = ?1, head = ?2", params![count + 1, hash])
            .map_err(fail)?;
        tx.commit().map_err(fail)?;
        if hook.as_ref().is_some_and(|h| h(number, true)) {
            *dead = true;
            return Err(JournalError::Killed(number));
        }
        Ok(Entry {
            seq,
            at,
            who: who.to_owned(),
            place: place.clone(),
            epoch,
            event,
            prev,
            hash,
        })
    }

    /// Entries of one run, in order.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn of_run(&self, run: &str) -> Result<Vec<Entry>, JournalError> {
        let mut inner = self.lock();
        // A run at work is read several times a second, and what was written once never changes: only what is new is read.
        let mut entries = inner.read.remove(run).unwrap_or_default();
        let last = entries
            .last()
            .map_or(0, |e| i64::try_from(e.seq).unwrap_or(i64::MAX));
        let new = self.raw_of(
            &inner.db,
            "WHERE run = ?1 AND seq > ?2 ORDER BY seq",
            params![run, last],
        )?;
        for raw in new {
            entries.push(self.entry(raw)?);
        }
        let over = entries.iter().any(|e| matches!(e.event, Event::Ended { .. }));
        if !over && !entries.is_empty() {
            if inner.read.len() >= READ {
                inner.read.clear();
            }
            inner.read.insert(run.to_owned(), entries.clone());
        }
        Ok(entries)
    }

    /// Entries of one run, in order, after checking that none was edited and none is missing: to go on with it.
    ///
    /// # Errors
    /// [`JournalError::Broken`] when they are not what was written.
    pub fn whole_run(&self, run: &str) -> Result<Vec<Entry>, JournalError> {
        let inner = self.lock();
        // Under one lock: what is appended in between must be in both.
        let rows = self.raw_of(&inner.db, "WHERE run = ?1 ORDER BY seq", params![run])?;
        let written: Option<(i64, String)> = inner
            .db
            .query_row("SELECT count, head FROM run_head WHERE run = ?1", [run], |r| {
                Ok((r.get(0)?, r.get(1)?))
            })
            .optional()
            .map_err(|e| cannot_read(&self.path, &e))?;
        drop(inner);
        self.check_run(run, &rows, written)?;
        rows.into_iter().map(|raw| self.entry(raw)).collect()
    }

    fn check_run(&self, run: &str, rows: &[Raw], written: Option<(i64, String)>) -> Result<(), JournalError> {
        let broken = |what: String| JournalError::Broken {
            path: self.path.clone(),
            what: format!("run {run}: {what}"),
        };
        let mut head = GENESIS.to_owned();
        for raw in rows {
            let at = raw.at.parse().map_err(broken)?;
            if chain(
                &raw.prev, raw.seq, at, &raw.who, &raw.place, raw.epoch, &raw.event,
            ) != raw.hash
            {
                return Err(broken(format!("entry {} was edited", raw.seq)));
            }
            head = run_head(&head, &raw.hash);
        }
        let (count, expected) = written.map_or((0, GENESIS.to_owned()), |(c, h)| {
            (usize::try_from(c).unwrap_or(0), h)
        });
        if count != rows.len() || head != expected {
            return Err(broken(format!(
                "{count} entries were written, {} are there",
                rows.len()
            )));
        }
        Ok(())
    }

    /// Entries of one incident and of its runs, in order.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn of_incident(&self, incident: &str) -> Result<Vec<Entry>, JournalError> {
        self.select(
            "WHERE incident = ?1 OR (run <> '' AND run IN (SELECT run FROM entry WHERE incident = ?1 AND run <> '')) ORDER BY seq",
            incident,
        )
    }

    /// Entries of one kind (`planned`, `ended`, `incident_opened`, …), in order.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn of_kind(&self, kind: &str) -> Result<Vec<Entry>, JournalError> {
        self.select("WHERE kind = ?1 ORDER BY seq", kind)
    }

    /// Ids of the runs that started at this time or later, oldest first.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn started_since(&self, at: Time) -> Result<Vec<String>, JournalError> {
        let fail = |e: rusqlite::Error| cannot_read(&self.path, &e);
        let inner = self.lock();
        let mut statement = inner
            .db
            .prepare_cached("SELECT run FROM entry WHERE kind = 'started' AND at >= ?1 ORDER BY seq")
            .map_err(fail)?;
        let rows = statement
            .query_map([at.to_string()], |r| r.get(0))
            .map_err(fail)?;
        rows.collect::<Result<_, _>>().map_err(fail)
    }

    /// Ids of the runs that are not over, oldest first.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn open_runs(&self) -> Result<Vec<String>, JournalError> {
        let fail = |e: rusqlite::Error| cannot_read(&self.path, &e);
        let inner = self.lock();
        let mut statement = inner
            .db
            .prepare_cached("SELECT run FROM run_head WHERE ended = 0 ORDER BY rowid")
            .map_err(fail)?;
        let rows = statement.query_map([], |r| r.get(0)).map_err(fail)?;
        rows.collect::<Result<_, _>>().map_err(fail)
    }

    /// Every entry, in order.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn all(&self) -> Result<Vec<Entry>, JournalError> {
        self.select("WHERE ?1 = '' ORDER BY seq", "")
    }

    /// Number of entries and the head's hash.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn head(&self) -> Result<(u64, Digest), JournalError> {
        self.lock()
            .db
            .query_row("SELECT count, head FROM head", [], |r| {
                Ok((r.get::<_, i64>(0)?, r.get(1)?))
            })
            .map(|(c, h)| (u64::try_from(c).unwrap_or(0), h))
            .map_err(|e| cannot_read(&self.path, &e))
    }

    /// The entries of these kinds after this one, oldest first.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn after(&self, seq: u64, kinds: &[&'static str]) -> Result<Vec<Entry>, JournalError> {
        let kinds: Vec<String> = kinds.iter().map(|k| format!("'{k}'")).collect();
        let tail = format!(
            "WHERE seq > CAST(?1 AS INTEGER) AND kind IN ({}) ORDER BY seq",
            kinds.join(", ")
        );
        self.select(&tail, &seq.to_string())
    }

    /// The heads at the ends of runs after this entry, oldest first.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn ends_after(&self, seq: u64) -> Result<Vec<Head>, JournalError> {
        let after = i64::try_from(seq).unwrap_or(i64::MAX);
        let raw = self.raw(
            "WHERE kind = 'ended' AND seq > CAST(?1 AS INTEGER) ORDER BY seq",
            &after.to_string(),
        )?;
        raw.into_iter()
            .map(|r| {
                let at = r.at.parse().map_err(|what| JournalError::Broken {
                    path: self.path.clone(),
                    what,
                })?;
                Ok(Head {
                    seq: r.seq,
                    hash: r.hash,
                    at,
                    run: r.place.run,
                })
            })
            .collect()
    }

    /// Checks the chain against heads that were kept outside: somebody who rewrites the whole file cannot rewrite those.
    ///
    /// # Errors
    /// [`JournalError::Broken`] with the first head that does not fit.
    pub fn verify_heads(&self, heads: &[Head]) -> Result<(), JournalError> {
        for head in heads {
            let seq = head.seq.to_string();
            let found = self.raw("WHERE seq = CAST(?1 AS INTEGER)", &seq)?.pop();
            let what = match found {
                Some(raw) if raw.hash == head.hash => continue,
                Some(_) => format!("entry {seq} is another one than when its head was written down outside"),
                None => format!(
                    "entry {seq} is gone; its head was written down outside at {}",
                    head.at
                ),
            };
            return Err(JournalError::Broken {
                path: self.path.clone(),
                what,
            });
        }
        Ok(())
    }

    /// Reads the whole chain and checks every hash.
    ///
    /// # Errors
    /// [`JournalError::Broken`] with the first entry that is not what was written.
    pub fn verify(&self) -> Result<u64, JournalError> {
        let broken = |what: String| JournalError::Broken {
            path: self.path.clone(),
            what,
        };
        // Rows and head of one moment: an entry that is written in between is no tampering.
        let (count, head, rows) = loop {
            let before = self.head()?;
            let rows = self.raw("WHERE ?1 = '' ORDER BY seq", "")?;
            let after = self.head()?;
            if before == after {
                break (after.0, after.1, rows);
            }
        };
        let mut prev = GENESIS.to_owned();
        let mut seen = 0;
        for raw in rows {
            seen += 1;
            if raw.seq != seen {
                return Err(broken(format!(
                    "entry {seen} is missing (found {} in its place)",
                    raw.seq
                )));
            }
            let at: Time = raw
                .at
                .parse()
                .map_err(|e: String| broken(format!("entry {seen}: {e}")))?;
            if raw.prev != prev {
                return Err(broken(format!("entry {seen} does not follow the one before it")));
            }
            if chain(&prev, raw.seq, at, &raw.who, &raw.place, raw.epoch, &raw.event) != raw.hash {
                return Err(broken(format!("entry {seen} was edited")));
            }
            prev = raw.hash;
        }
        if seen != count || prev != head {
            return Err(broken(format!("{count} entries were written, {seen} are there")));
        }
        for (run, count, head, ended) in self.run_heads()? {
            let rows = self.raw("WHERE run = ?1 ORDER BY seq", &run)?;
            // A run that is at work grows while we read.
            let upto = usize::try_from(count).unwrap_or(0).min(rows.len());
            let told = rows[..upto].iter().any(|r| kind_of(&r.event) == "ended");
            if ended != told {
                let (flag, entries) = if ended {
                    ("over", "none says so")
                } else {
                    ("open", "one says it is over")
                };
                return Err(broken(format!(
                    "run {run} is marked as {flag}, but of its entries {entries}"
                )));
            }
            self.check_run(&run, &rows[..upto], Some((count, head)))?;
        }
        Ok(seen)
    }

    fn run_heads(&self) -> Result<Vec<(String, i64, String, bool)>, JournalError> {
        let fail = |e: rusqlite::Error| cannot_read(&self.path, &e);
        let inner = self.lock();
        let mut statement = inner
            .db
            .prepare_cached("SELECT run, count, head, ended FROM run_head")
            .map_err(fail)?;
        let rows = statement
            .query_map([], |r| Ok((r.get(0)?, r.get(1)?, r.get(2)?, r.get(3)?)))
            .map_err(fail)?;
        rows.collect::<Result<_, _>>().map_err(fail)
    }

    /// Keeps the hash of a token under its digest.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn keep_hash(&self, digest: &str, hash: &str) -> Result<(), JournalError> {
        self.lock()
            .db
            .execute("INSERT OR IGNORE INTO token_hash VALUES (?1, ?2)", [digest, hash])
            .map(|_| ())
            .map_err(|e| cannot_write(&self.path, &e))
    }

    /// The hash of a token.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn hash_of(&self, digest: &str) -> Result<Option<String>, JournalError> {
        self.lock()
            .db
            .query_row("SELECT hash FROM token_hash WHERE digest = ?1", [digest], |r| {
                r.get(0)
            })
            .optional()
            .map_err(|e| cannot_read(&self.path, &e))
    }

    /// Keeps the rows of evidence under their digest. The same rows twice are one row.
    ///
    /// # Errors
    /// When they cannot be written.
    pub fn keep_evidence(&self, incident: &str, evidence: &Evidence) -> Result<(), JournalError> {
        let moment = match evidence.moment {
            EvidenceMoment::Onset => "onset",
            EvidenceMoment::After => "after",
        };
        self.lock()
            .db
            .execute(
                "INSERT OR IGNORE INTO evidence (incident, moment, taken_at, sha256, body) VALUES (?1, ?2, ?3, ?4, ?5)",
                params![incident, moment, evidence.taken_at.to_string(), evidence.sha256, canonical_json(&evidence.body)],
            )
            .map(|_| ())
            .map_err(|e| cannot_write(&self.path, &e))
    }

    /// Evidence of an incident, in order; rows whose digest does not fit are refused.
    ///
    /// # Errors
    /// When it cannot be read, or was edited.
    pub fn evidence(&self, incident: &str) -> Result<Vec<Evidence>, JournalError> {
        let fail = |e: rusqlite::Error| cannot_read(&self.path, &e);
        let inner = self.lock();
        let mut statement = inner
            .db
            .prepare_cached(
                "SELECT moment, taken_at, sha256, body FROM evidence WHERE incident = ?1 ORDER BY taken_at",
            )
            .map_err(fail)?;
        let rows = statement
            .query_map([incident], |r| {
                Ok((
                    r.get::<_, String>(0)?,
                    r.get::<_, String>(1)?,
                    r.get::<_, String>(2)?,
                    r.get::<_, String>(3)?,
                ))
            })
            .map_err(fail)?;
        let mut out = Vec::new();
        for row in rows {
            let (moment, taken_at, sha256, body) = row.map_err(fail)?;
            let broken = |what: String| JournalError::Broken {
                path: self.path.clone(),
                what,
            };
            if digest_of_bytes(body.as_bytes()) != sha256 {
                return Err(broken(format!(
                    "evidence {sha256} of incident {incident} was edited"
                )));
            }
            out.push(Evidence {
                moment: if moment == "onset" {
                    EvidenceMoment::Onset
                } else {
                    EvidenceMoment::After
                },
                taken_at: taken_at.parse().map_err(broken)?,
                sha256,
                body: serde_json::from_str(&body).map_err(|e| JournalError::Broken {
                    path: self.path.clone(),
                    what: e.to_string(),
                })?,
            });
        }
        Ok(out)
    }

    fn check_head(&self) -> Result<(), JournalError> {
        let (count, head) = self.head()?;
        let last: Option<(i64, String)> = self
            .lock()
            .db
            .query_row("SELECT seq, hash FROM entry ORDER BY seq DESC LIMIT 1", [], |r| {
                Ok((r.get(0)?, r.get(1)?))
            })
            .optional()
            .map_err(|e| cannot_read(&self.path, &e))?;
        let (seq, hash) = last.map_or((0, GENESIS.to_owned()), |(s, h)| {
            (u64::try_from(s).unwrap_or(0), h)
        });
        if seq != count || hash != head {
            return Err(JournalError::Broken {
                path: self.path.clone(),
                what: format!("{count} entries were written, the last one found is {seq}"),
            });
        }
        Ok(())
    }

    fn select(&self, tail: &str, arg: &str) -> Result<Vec<Entry>, JournalError> {
        self.raw(tail, arg)?
            .into_iter()
            .map(|raw| self.entry(raw))
            .collect()
    }

    fn entry(&self, raw: Raw) -> Result<Entry, JournalError> {
        let broken = |what: String| JournalError::Broken {
            path: self.path.clone(),
            what,
        };
        Ok(Entry {
            seq: raw.seq,
            at: raw.at.parse().map_err(broken)?,
            who: raw.who,
            place: raw.place,
            epoch: raw.epoch,
            event: serde_json::from_str(&raw.event).map_err(|e| broken(format!("entry {}: {e}", raw.seq)))?,
            prev: raw.prev,
            hash: raw.hash,
        })
    }

    fn raw(&self, tail: &str, arg: &str) -> Result<Vec<Raw>, JournalError> {
        self.raw_of(&self.lock().db, tail, params![arg])
    }

    fn raw_of(
        &self,
        db: &Connection,
        tail: &str,
        args: &[&dyn rusqlite::ToSql],
    ) -> Result<Vec<Raw>, JournalError> {
        let fail = |e: rusqlite::Error| cannot_read(&self.path, &e);
        let mut statement = db
            .prepare_cached(&format!(
                "SELECT seq, at, who, run, incident, step, target, attempt, epoch, event, prev, hash FROM entry {tail}"
            ))
            .map_err(fail)?;
        let rows = statement
            .query_map(args, |r| {
                Ok(Raw {
                    seq: u64::try_from(r.get::<_, i64>(0)?).unwrap_or(0),
                    at: r.get(1)?,
                    who: r.get(2)?,
                    place: Place {
                        run: r.get(3)?,
                        incident: r.get(4)?,
                        step: r.get(5)?,
                        target: r.get(6)?,
                        attempt: r.get(7)?,
                    },
                    epoch: u64::try_from(r.get::<_, i64>(8)?).unwrap_or(0),
                    event: r.get(9)?,
                    prev: r.get(10)?,
                    hash: r.get(11)?,
                })
            })
            .map_err(fail)?;
        rows.collect::<Result<Vec<Raw>, _>>().map_err(fail)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Inner> {
        self.inner
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

struct Raw {
    seq: u64,
    at: String,
    who: String,
    place: Place,
    epoch: u64,
    event: String,
    prev: String,
    hash: String,
}

/// Lets an epoch pass that is not lower than the highest seen, and remembers it.
fn pass_fence(tx: &rusqlite::Transaction<'_>, fence: &Fence) -> rusqlite::Result<Result<(), JournalError>> {
    let ours = i64::try_from(fence.epoch).unwrap_or(i64::MAX);
    let seen: Option<i64> = tx
        .query_row("SELECT epoch FROM fence WHERE lease = ?1", [&fence.lease], |r| {
            r.get(0)
        })
        .optional()?;
    if let Some(now) = seen.filter(|now| *now > ours) {
        return Ok(Err(JournalError::Fenced {
            lease: fence.lease.clone(),
            ours: fence.epoch,
            now: u64::try_from(now).unwrap_or(0),
        }));
    }
    if seen != Some(ours) {
        tx.execute(
            "INSERT INTO fence VALUES (?1, ?2) ON CONFLICT (lease) DO UPDATE SET epoch = excluded.epoch",
            params![fence.lease, ours],
        )?;
    }
    Ok(Ok(()))
}

/// Adds an entry to the count and head of its run.
fn count_run(tx: &Connection, run: &str, hash: &str, ended: bool) -> rusqlite::Result<()> {
    let before: Option<(i64, String)> = tx
        .query_row("SELECT count, head FROM run_head WHERE run = ?1", [run], |r| {
            Ok((r.get(0)?, r.get(1)?))
        })
        .optional()?;
    let (count, head) = before.unwrap_or((0, GENESIS.to_owned()));
    tx.execute(
        "INSERT INTO run_head VALUES (?1, ?2, ?3, ?4)
         ON CONFLICT (run) DO UPDATE SET count = excluded.count, head = excluded.head, ended = max(ended, excluded.ended)",
        params![run, count + 1, run_head(&head, hash), ended],
    )?;
    Ok(())
}

/// A file of format 1 becomes one of format 2, whole or not at all.
fn from_1(db: &Connection) -> rusqlite::Result<()> {
    let tx = rusqlite::Transaction::new_unchecked(db, rusqlite::TransactionBehavior::Immediate)?;
    let version: i64 = tx.query_row("PRAGMA user_version", [], |r| r.get(0))?;
    if version != 1 {
        return Ok(());
    }
    tx.execute_batch(FROM_1)?;
    // Format 1 kept less apart; what it wrote stays, and from here on the index holds.
    let last: i64 = tx.query_row("SELECT count FROM head", [], |r| r.get(0))?;
    let once = SCHEMA
        .split("CREATE UNIQUE INDEX")
        .nth(1)
        .and_then(|s| s.split(';').next());
    if let Some(once) = once {
        tx.execute_batch(&format!("CREATE UNIQUE INDEX{once} AND seq > {last};"))?;
    }
    tx.execute_batch(SCHEMA)?;
    let rows: Vec<(String, String, bool)> = {
        let mut statement =
            tx.prepare("SELECT run, hash, kind = 'ended' FROM entry WHERE run <> '' ORDER BY seq")?;
        let rows = statement.query_map([], |r| Ok((r.get(0)?, r.get(1)?, r.get(2)?)))?;
        rows.collect::<Result<_, _>>()?
    };
    for (run, hash, ended) in rows {
        count_run(&tx, &run, &hash, ended)?;
    }
    tx.commit()
}

/// What the unique index refuses is named; everything else cannot be written.
fn twice(path: &Path, place: &Place, event_text: &str, e: &rusqlite::Error) -> JournalError {
    if e.sqlite_error_code() == Some(rusqlite::ErrorCode::ConstraintViolation) {
        let step = if place.step.is_empty() {
            String::new()
        } else {
            format!(" of `{}`", place.step)
        };
        return JournalError::Twice {
            what: format!("`{}`{step} in run {}", kind_of(event_text), place.run),
        };
    }
    cannot_write(path, e)
}

fn kind_of(event_text: &str) -> String {
    serde_json::from_str::<serde_json::Value>(event_text)
        .ok()
        .and_then(|v| v.get("event").and_then(|e| e.as_str().map(str::to_owned)))
        .unwrap_or_default()
}

fn cannot_read(path: &Path, e: &rusqlite::Error) -> JournalError {
    if busy(e) {
        return cannot_write(path, e);
    }
    if full(path) {
        return cannot_write(path, e);
    }
    JournalError::CannotRead {
        path: path.to_owned(),
        reason: e.to_string(),
    }
}

fn busy(e: &rusqlite::Error) -> bool {
    matches!(
        e.sqlite_error_code(),
        Some(rusqlite::ErrorCode::DatabaseBusy | rusqlite::ErrorCode::DatabaseLocked)
    )
}

fn cannot_write(path: &Path, e: &rusqlite::Error) -> JournalError {
    if busy(e) {
        return JournalError::Locked {
            path: path.to_owned(),
        };
    }
    let reason = if full(path) {
        "the disk is full".to_owned()
    } else {
        e.to_string()
    };
    JournalError::CannotWrite {
        path: path.to_owned(),
        reason,
    }
}

/// Whether the disk has no room for even a small database: SQLite says only "disk I/O error" then.
fn full(path: &Path) -> bool {
    let dir = path.parent().unwrap_or(path);
    rustix::fs::statvfs(dir).is_ok_and(|v| v.f_bavail.saturating_mul(v.f_frsize) < 64 * 1024)
}
