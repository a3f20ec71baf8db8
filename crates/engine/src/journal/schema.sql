CREATE TABLE IF NOT EXISTS entry (
  seq      INTEGER PRIMARY KEY,
  at       TEXT NOT NULL,
  who      TEXT NOT NULL,
  run      TEXT NOT NULL,
  incident TEXT NOT NULL,
  step     TEXT NOT NULL,
  target   TEXT NOT NULL,
  attempt  INTEGER NOT NULL,
  epoch    INTEGER NOT NULL,
  kind     TEXT NOT NULL,
  event    TEXT NOT NULL,
  prev     TEXT NOT NULL,
  hash     TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS entry_run ON entry (run, seq);
CREATE INDEX IF NOT EXISTS entry_incident ON entry (incident, seq);
CREATE INDEX IF NOT EXISTS entry_kind ON entry (kind, seq);
-- What happens once to a run, a step or a try is written once: a second engine on the same run cannot write its own.
CREATE UNIQUE INDEX IF NOT EXISTS entry_once ON entry (run, step, target, attempt, kind)
  WHERE run <> '' AND kind IN ('planned', 'started', 'probe_read', 'intent', 'tried', 'observed', 'verified', 'waited',
                               'recorded', 'unwinds', 'ended');

CREATE TABLE IF NOT EXISTS head (
  only  INTEGER PRIMARY KEY CHECK (only = 1),
  count INTEGER NOT NULL,
  head  TEXT NOT NULL
);
INSERT OR IGNORE INTO head VALUES (1, 0, '0000000000000000000000000000000000000000000000000000000000000000');

-- Count and head of each run: nobody goes on with a run of which an entry is missing.
CREATE TABLE IF NOT EXISTS run_head (
  run   TEXT PRIMARY KEY,
  count INTEGER NOT NULL,
  head  TEXT NOT NULL,
  ended INTEGER NOT NULL
);
CREATE INDEX IF NOT EXISTS run_open ON run_head (run) WHERE ended = 0;

-- The highest epoch seen under each lease: who has a lower one has lost the lease and may not write.
CREATE TABLE IF NOT EXISTS fence (
  lease TEXT PRIMARY KEY,
  epoch INTEGER NOT NULL
);

-- Hashes of tokens, by their digest; whose they are is told by entries.
CREATE TABLE IF NOT EXISTS token_hash (
  digest TEXT PRIMARY KEY,
  hash   TEXT NOT NULL
);

CREATE TABLE IF NOT EXISTS evidence (
  incident TEXT NOT NULL,
  moment   TEXT NOT NULL,
  taken_at TEXT NOT NULL,
  sha256   TEXT NOT NULL,
  body     TEXT NOT NULL,
  PRIMARY KEY (incident, moment, sha256)
);

CREATE TRIGGER IF NOT EXISTS entry_no_update BEFORE UPDATE ON entry
  BEGIN SELECT RAISE(ABORT, 'the journal is append-only'); END;
CREATE TRIGGER IF NOT EXISTS entry_no_delete BEFORE DELETE ON entry
  BEGIN SELECT RAISE(ABORT, 'the journal is append-only'); END;
CREATE TRIGGER IF NOT EXISTS evidence_no_update BEFORE UPDATE ON evidence
  BEGIN SELECT RAISE(ABORT, 'evidence is append-only'); END;
CREATE TRIGGER IF NOT EXISTS evidence_no_delete BEFORE DELETE ON evidence
  BEGIN SELECT RAISE(ABORT, 'evidence is append-only'); END;

PRAGMA user_version = 2;
