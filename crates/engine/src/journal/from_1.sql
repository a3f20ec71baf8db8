-- From format 1: epochs, fences, a count and head for each run. Old entries keep their text and their hash.
ALTER TABLE entry ADD COLUMN epoch INTEGER NOT NULL DEFAULT 0;
DROP INDEX entry_once;
