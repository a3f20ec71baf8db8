CREATE TABLE ledger (client int4 NOT NULL, seq int8 NOT NULL, at timestamptz NOT NULL DEFAULT now(), PRIMARY KEY (client, seq));
CREATE TABLE notes (id int4 PRIMARY KEY, body text NOT NULL, views int8 NOT NULL DEFAULT 0);
INSERT INTO notes SELECT g, 'note ' || g, 0 FROM generate_series(1, 1000) g;
CREATE TABLE lab_rows (id int4 PRIMARY KEY, value int4 NOT NULL DEFAULT 0);
INSERT INTO lab_rows SELECT g FROM generate_series(1, 20) g;
CREATE TABLE lab_ddl (id int4 PRIMARY KEY);
INSERT INTO lab_ddl VALUES (1);
