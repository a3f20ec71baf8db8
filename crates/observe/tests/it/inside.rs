//! What only a session inside a database can tell, on real servers: each thing is made, read, and named as it is.

use std::time::{Duration, Instant};

use muster_lab::fleet::{User, connect};
use muster_lab::testing::{self, TestFleet};
use muster_model::Snapshot;
use muster_model::snapshot::{DatabaseView, Index, MigrationState, Table};
use muster_observe::{Extent, Observer};
use tokio_postgres::Client;

use crate::estate::{now, observer};

async fn superuser(test: &TestFleet) -> Client {
    let config = test.fleet.config("a", User::Postgres, "app").expect("config");
    connect(&config).await.expect("login")
}

async fn run(client: &Client, sql: &str) {
    client
        .batch_execute(sql)
        .await
        .unwrap_or_else(|e| panic!("{sql}: {e:?}"));
}

fn app(snapshot: &Snapshot) -> &DatabaseView {
    let server = snapshot.server("shop/a").expect("server");
    server
        .databases
        .iter()
        .find(|d| d.name == "app")
        .expect("database")
}

fn part<T>(part: &Option<muster_model::snapshot::Part<T>>) -> &T {
    &part.as_ref().expect("read").value
}

/// Rounds of the slow lane until one shows what is waited for: counters reach the server's statistics a little later.
async fn round(what: &str, observer: &Observer, seen: impl Fn(&DatabaseView) -> bool) -> Snapshot {
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        let snapshot = observer.pass(now(), Extent::All).await;
        if seen(app(&snapshot)) {
            return snapshot;
        }
        assert!(
            Instant::now() < deadline,
            "not in time: {what}: {:#?}",
            app(&snapshot)
        );
        tokio::task::yield_now().await;
    }
}

fn table<'a>(view: &'a DatabaseView, name: &str) -> Option<&'a Table> {
    part(&view.tables).tables.iter().find(|t| t.name == name)
}

fn index<'a>(view: &'a DatabaseView, name: &str) -> &'a Index {
    let all = &part(&view.indexes).indexes;
    all.iter()
        .find(|i| i.name == name)
        .unwrap_or_else(|| panic!("{name} is not among {all:#?}"))
}

const TABLES: &str = "
CREATE TABLE neglected (id int8, body text) WITH (autovacuum_enabled = false);
INSERT INTO neglected SELECT n, repeat('x', 50) FROM generate_series(1, 20000) n;
CREATE TABLE parent (id int8 PRIMARY KEY);
CREATE TABLE child (id int8 PRIMARY KEY, parent int8 REFERENCES parent, a text, b int4, twice int4)
  WITH (autovacuum_enabled = false);
INSERT INTO parent SELECT n FROM generate_series(1, 10) n;
INSERT INTO child SELECT n, n % 10 + 1, 'a' || n, n % 100, n / 2 FROM generate_series(1, 20000) n;
CREATE INDEX child_parent ON child (parent);
CREATE INDEX child_ab ON child (a, b);
CREATE INDEX child_a ON child (a);
CREATE INDEX child_a_desc ON child (a DESC);
CREATE INDEX child_lower1 ON child (lower(a)) WHERE b > 3;
CREATE INDEX child_lower2 ON   child   (lower( a ))   WHERE   b>3;
CREATE INDEX child_incl ON child (b) INCLUDE (a);
CREATE UNIQUE INDEX child_bid ON child (b, id);
ALTER TABLE child REPLICA IDENTITY USING INDEX child_pkey;
";

fn tables_and_indexes(view: &DatabaseView) {
    let tables = part(&view.tables);
    assert!(tables.autovacuum && tables.block == 8192 && tables.left_out == 0);
    assert!((tables.analyze_scale - 0.1).abs() < 1e-9 && (tables.analyze_threshold - 50.0).abs() < 1e-9);
    let neglected = table(view, "neglected").expect("table");
    assert_eq!((neglected.live, neglected.modified), (20_000, 20_000));
    assert!(neglected.tuples.is_none() && neglected.last_analyze.is_none() && !neglected.autovacuum());
    let child = table(view, "child").expect("table");
    assert!(child.tuples == Some(20_000) && child.modified == 0 && child.last_analyze.is_some());
    assert!(child.pages > 50 && child.bytes(tables.block) == child.pages * 8192);

    let same = |a: &str, b: &str| {
        let (a, b) = (index(view, a), index(view, b));
        (a.keys == b.keys, a.formula == b.formula)
    };
    assert_eq!(
        same("child_lower1", "child_lower2"),
        (true, true),
        "only the spelling differs"
    );
    assert_eq!(same("child_a", "child_a_desc"), (false, true));
    assert!(
        index(view, "child_ab")
            .keys
            .starts_with(&index(view, "child_a").keys)
    );
    assert!(index(view, "child_parent").foreign_key && !index(view, "child_a").foreign_key);
    let key = index(view, "child_pkey");
    assert!(key.constraint && key.unique && key.replica_identity && !key.partial);
    assert!(index(view, "parent_pkey").constraint);
    let lower = index(view, "child_lower1");
    assert!(lower.expressions && lower.partial && lower.pages > 0 && lower.method == "btree");
    assert_eq!(index(view, "child_incl").includes, [3]);
    assert!(part(&view.indexes).counted_since.is_some() && part(&view.indexes).hidden_builds == 0);
    assert!(index(view, "child_bid").appeared.is_none());
}

async fn an_index_that_did_not_end(admin: &Client, test: &TestFleet, observer: &Observer) {
    let failed = admin
        .batch_execute("CREATE UNIQUE INDEX CONCURRENTLY child_twice ON child (twice)")
        .await;
    assert!(failed.is_err(), "it has duplicates");
    let s = round("the invalid index", observer, |v| {
        part(&v.indexes).indexes.iter().any(|i| i.name == "child_twice")
    })
    .await;
    let left = index(app(&s), "child_twice");
    assert!(!left.valid && left.unique && !left.building);
    assert!(left.appeared.is_some(), "it came while we watched");
    assert_eq!(
        part(&app(&s).indexes).indexes[0].name,
        "child_twice",
        "invalid ones come first"
    );

    // The look-alike: a build that waits for an old transaction is not one that did not end.
    let old = superuser(test).await;
    run(&old, "BEGIN; INSERT INTO child VALUES (0, 1, 'a', 1, 1)").await;
    let builder = superuser(test).await;
    let build = tokio::spawn(async move {
        builder
            .batch_execute("CREATE INDEX CONCURRENTLY child_slowly ON child (b, a)")
            .await
    });
    let s = round("the build", observer, |v| {
        let of = part(&v.indexes).indexes.iter().find(|i| i.name == "child_slowly");
        of.is_some_and(|i| i.building && !i.valid)
    })
    .await;
    assert!(
        index(app(&s), "child_twice").building,
        "the whole table is being worked on"
    );
    run(&old, "ROLLBACK").await;
    build.await.expect("joined").expect("built");
    let s = round("the built index", observer, |v| index(v, "child_slowly").valid).await;
    assert!(!index(app(&s), "child_twice").building);
}

const SEQUENCES: &str = "
CREATE SCHEMA \"Odd one\";
CREATE TABLE \"Odd one\".\"be\"\"hind\" (\"Id\" serial PRIMARY KEY);
INSERT INTO \"Odd one\".\"be\"\"hind\" SELECT n FROM generate_series(1, 40) n;
CREATE TABLE used (id int8 GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY);
INSERT INTO used SELECT FROM generate_series(1, 7);
CREATE TABLE put_back (id serial PRIMARY KEY);
INSERT INTO put_back SELECT FROM generate_series(1, 5);
SELECT setval('put_back_id_seq', 6, false);
CREATE TABLE short (id smallserial PRIMARY KEY);
SELECT setval('short_id_seq', 32000);
CREATE SEQUENCE alone;
";

async fn sequences(admin: &Client, observer: &Observer) {
    run(admin, SEQUENCES).await;
    let blind = round("the sequences", observer, |v| {
        part(&v.sequences).sequences.len() == 5
    })
    .await;
    let gaps: Vec<_> = blind.gaps.iter().filter(|g| g.collector == "sequences").collect();
    assert_eq!(gaps.len(), 2, "{gaps:#?}");
    assert!(
        part(&app(&blind).sequences)
            .sequences
            .iter()
            .all(|s| !s.readable && s.last.is_none())
    );
    for gap in gaps {
        let remedy = gap.remedy.as_deref().expect("remedy");
        assert!(remedy.starts_with("GRANT SELECT"), "{remedy}");
        run(admin, remedy).await;
    }
    run(admin, "GRANT USAGE ON SCHEMA \"Odd one\" TO muster; GRANT SELECT (\"Id\") ON \"Odd one\".\"be\"\"hind\" TO muster").await;
    let s = round("the sequences, readable", observer, |v| {
        part(&v.sequences).sequences.iter().all(|s| s.readable)
    })
    .await;
    assert!(s.gap("sequences", "shop/a").is_none(), "{:?}", s.gaps);
    let of = |name: &str| {
        let all = &part(&app(&s).sequences).sequences;
        all.iter().find(|s| s.name == name).expect("sequence").clone()
    };
    let behind = of("be\"hind_Id_seq");
    let column = behind.column.expect("column");
    assert_eq!(
        (behind.last, column.highest),
        (Some(0), Some(40)),
        "none given yet: 1 is next"
    );
    let used = of("used_id_seq");
    assert_eq!(
        (used.last, used.column.and_then(|c| c.highest)),
        (Some(7), Some(7))
    );
    let put_back = of("put_back_id_seq");
    assert_eq!(
        (put_back.last, put_back.column.and_then(|c| c.highest)),
        (Some(5), Some(5)),
        "6 is next"
    );
    let short = of("short_id_seq");
    assert_eq!((short.last, short.ends_at()), (Some(32_000), 32_767));
    let alone = of("alone");
    assert!(alone.column.is_none() && alone.last.is_none() && alone.readable);
}

const PARTITIONS: &str = "
SET timezone = 'UTC';
CREATE TABLE events (at timestamptz NOT NULL, body text) PARTITION BY RANGE (at);
CREATE TABLE events_ever PARTITION OF events FOR VALUES FROM (MINVALUE) TO ('2026-01-01');
CREATE TABLE events_01 PARTITION OF events FOR VALUES FROM ('2026-01-01') TO ('2026-02-01');
CREATE TABLE events_03 PARTITION OF events FOR VALUES FROM ('2026-03-01') TO ('2026-04-01');
CREATE TABLE events_default PARTITION OF events DEFAULT;
INSERT INTO events SELECT '2026-02-02', 'x' FROM generate_series(1, 12);
CREATE TABLE by_day (day date) PARTITION BY RANGE (day);
CREATE TABLE by_day_1 PARTITION OF by_day FOR VALUES FROM ('2026-03-01') TO ('2026-03-02');
CREATE TABLE by_day_rest PARTITION OF by_day FOR VALUES FROM ('2026-03-02') TO (MAXVALUE);
CREATE TABLE by_id (id int8) PARTITION BY RANGE (id);
CREATE TABLE by_id_1 PARTITION OF by_id FOR VALUES FROM (1) TO (1000);
CREATE TABLE by_name (name text) PARTITION BY LIST (name);
CREATE TABLE by_name_a PARTITION OF by_name FOR VALUES IN ('a');
";

async fn partitions(admin: &Client, observer: &Observer) {
    run(admin, PARTITIONS).await;
    let s = round("the partitions", observer, |v| {
        let all = &part(&v.partitions).parents;
        let events = all.iter().find(|p| p.name == "events");
        events.is_some_and(|e| e.default_partition().is_some_and(|d| d.live == 12))
    })
    .await;
    let all = part(&app(&s).partitions);
    let names: Vec<(&str, bool)> = all.parents.iter().map(|p| (p.name.as_str(), p.by_time)).collect();
    assert_eq!(names.len(), 3, "a list has no order: {names:?}");
    for expected in [("events", true), ("by_day", true), ("by_id", false)] {
        assert!(names.contains(&expected), "{names:?}");
    }
    let parent = |name: &str| all.parents.iter().find(|p| p.name == name).expect("parent");
    let covered: Vec<String> = parent("events")
        .bounded()
        .iter()
        .map(|p| {
            format!(
                "{} {:?} {:?}",
                p.name,
                p.from.map(|t| t.to_string()),
                p.to.map(|t| t.to_string())
            )
        })
        .collect();
    assert_eq!(
        covered,
        [
            r#"events_ever None Some("2026-01-01T00:00:00.000000Z")"#,
            r#"events_01 Some("2026-01-01T00:00:00.000000Z") Some("2026-02-01T00:00:00.000000Z")"#,
            r#"events_03 Some("2026-03-01T00:00:00.000000Z") Some("2026-04-01T00:00:00.000000Z")"#,
        ]
    );
    assert!(parent("events").bounded()[0].from_ever);
    assert!(parent("by_day").bounded()[1].to_ever);
    let inserted = parent("events")
        .default_partition()
        .and_then(|d| d.inserted.clone());
    assert_eq!(inserted.map(|c| c.now), Some(12));
}

const LEDGERS: &str = "
CREATE TABLE alembic_version (version_num varchar(32) PRIMARY KEY);
INSERT INTO alembic_version VALUES ('ab12');
CREATE TABLE flyway_schema_history (installed_rank int PRIMARY KEY, version varchar(50), description varchar(200), type varchar(20),
  script varchar(1000), checksum int, installed_by varchar(100), installed_on timestamp DEFAULT now(), execution_time int, success bool);
INSERT INTO flyway_schema_history VALUES (1, '1', 'x', 'SQL', 'V1.sql', 11, 'me', now(), 1, true),
  (2, NULL, 'x', 'SQL', 'R__views.sql', 12, 'me', now(), 1, false);
CREATE TABLE django_migrations (id int4 PRIMARY KEY, app varchar(255), name varchar(255), applied timestamptz);
INSERT INTO django_migrations (id, app, name, applied) VALUES (1, 'auth', '0001_initial', now());
CREATE TABLE _prisma_migrations (id varchar(36) PRIMARY KEY, checksum varchar(64), finished_at timestamptz, migration_name varchar(255),
  logs text, rolled_back_at timestamptz, started_at timestamptz DEFAULT now(), applied_steps_count int);
INSERT INTO _prisma_migrations VALUES ('1', 'c', now(), 'a', NULL, NULL, now() - interval '3 min', 1),
  ('2', 'c', NULL, 'b', 'ERROR', NULL, now() - interval '2 min', 0), ('3', 'c', NULL, 'c', NULL, NULL, now() - interval '1 min', 0),
  ('4', 'c', NULL, 'd', 'ERROR', now(), now(), 0);
CREATE TABLE _sqlx_migrations (version int8 PRIMARY KEY, description text, installed_on timestamptz DEFAULT now(), success bool,
  checksum bytea, execution_time int8);
INSERT INTO _sqlx_migrations VALUES (1, 'x', now(), true, '\\x0a', 1), (2, 'x', now(), false, '\\x0b', -1);
CREATE TABLE __diesel_schema_migrations (version varchar(50) PRIMARY KEY, run_on timestamp DEFAULT now());
INSERT INTO __diesel_schema_migrations VALUES ('20260101');
CREATE TABLE schema_migrations (version varchar PRIMARY KEY);
INSERT INTO schema_migrations VALUES ('20260102');
CREATE SCHEMA go;
CREATE TABLE go.schema_migrations (version int8 PRIMARY KEY, dirty bool);
INSERT INTO go.schema_migrations VALUES (4, true);
CREATE TABLE muster_migrations (version text PRIMARY KEY, applied_at timestamptz, checksum text, dirty bool);
INSERT INTO muster_migrations VALUES ('1', now(), 'c', false);
";

async fn ledgers(admin: &Client, observer: &Observer) {
    // Two ledgers keep times without a zone: they are of the zone of their database.
    run(
        admin,
        "ALTER DATABASE app SET timezone = 'Asia/Tokyo'; SET timezone = 'Asia/Tokyo'",
    )
    .await;
    run(admin, LEDGERS).await;
    run(admin, "RESET timezone").await;
    let s = round("the ledgers", observer, |v| {
        part(&v.migrations).unreadable.len() == 9
    })
    .await;
    let gaps: Vec<_> = s.gaps.iter().filter(|g| g.collector == "migrations").collect();
    assert_eq!(gaps.len(), 9, "{gaps:#?}");
    for gap in gaps {
        run(admin, gap.remedy.as_deref().expect("remedy")).await;
    }
    let s = round("the ledgers, readable", observer, |v| {
        part(&v.migrations).unreadable.is_empty()
    })
    .await;
    assert!(s.gap("migrations", "shop/a").is_none(), "{:?}", s.gaps);
    let m = part(&app(&s).migrations);
    let said = |tool: &str| -> Vec<(String, MigrationState)> {
        let ledger = m
            .ledgers
            .iter()
            .find(|l| l.tool == tool)
            .unwrap_or_else(|| panic!("{tool}: {m:#?}"));
        ledger
            .migrations
            .iter()
            .map(|x| (x.version.clone(), x.state))
            .collect()
    };
    use MigrationState::{Applied, Failed, Unfinished};
    let expected: [(&str, &[(&str, MigrationState)]); 9] = [
        ("alembic", &[("ab12", Applied)]),
        ("flyway", &[("R__views.sql", Failed), ("1", Applied)]),
        ("django", &[("auth.0001_initial", Applied)]),
        ("prisma", &[("c", Unfinished), ("b", Failed), ("a", Applied)]),
        ("sqlx", &[("2", Failed), ("1", Applied)]),
        ("diesel", &[("20260101", Applied)]),
        ("rails", &[("20260102", Applied)]),
        ("golang-migrate", &[("4", Unfinished)]),
        ("muster", &[("1", Applied)]),
    ];
    for (tool, lines) in expected {
        let lines: Vec<(String, MigrationState)> = lines.iter().map(|(v, s)| ((*v).to_owned(), *s)).collect();
        assert_eq!(said(tool), lines, "{tool}");
    }
    for tool in ["flyway", "diesel", "muster"] {
        let ledger = m.ledgers.iter().find(|l| l.tool == tool).expect("read");
        let at = ledger.migrations[0].at.expect("a time");
        let age = s.taken_at.since(at).millis() + at.since(s.taken_at).millis();
        assert!(age < 300_000, "{tool}: {at} is not now");
    }
    run(admin, "ALTER DATABASE app RESET timezone").await;
    drift(admin, observer).await;
}

/// A change that no ledger tells of is seen, its undoing too, and a partition is none.
async fn drift(admin: &Client, observer: &Observer) {
    let s = observer.pass(now(), Extent::All).await;
    assert_eq!(part(&app(&s).migrations).untold, None);
    run(admin, "CREATE TABLE events_04 PARTITION OF events FOR VALUES FROM ('2026-04-01') TO ('2026-05-01'); ANALYZE child").await;
    let s = observer.pass(now(), Extent::All).await;
    assert_eq!(part(&app(&s).migrations).untold, None);
    for (change, undo, named) in [
        (
            "ALTER TABLE child ADD extra int4",
            "ALTER TABLE child DROP extra",
            "columns",
        ),
        (
            "CREATE INDEX by_hand ON child (b)",
            "DROP INDEX by_hand",
            "indexes",
        ),
        (
            "ALTER TABLE child ADD CONSTRAINT k CHECK (b >= 0)",
            "ALTER TABLE child DROP CONSTRAINT k",
            "constraints",
        ),
        (
            "CREATE FUNCTION f() RETURNS int4 LANGUAGE sql AS 'SELECT 1'",
            "DROP FUNCTION f()",
            "functions",
        ),
    ] {
        run(admin, change).await;
        let s = observer.pass(now(), Extent::All).await;
        let untold = part(&app(&s).migrations).untold.clone().expect("seen");
        let parts: Vec<&str> = untold.parts.iter().map(|p| p.0.as_str()).collect();
        assert_eq!(parts, [named], "{change}");
        run(admin, undo).await;
        let s = observer.pass(now(), Extent::All).await;
        assert_eq!(part(&app(&s).migrations).untold, None, "{undo}");
    }
    run(
        admin,
        "ALTER TABLE child ADD told int4; INSERT INTO schema_migrations VALUES ('20260103')",
    )
    .await;
    let s = observer.pass(now(), Extent::All).await;
    assert_eq!(part(&app(&s).migrations).untold, None, "a ledger tells of it");
}

async fn widths(admin: &Client, observer: &Observer) {
    let s = round("widths", observer, |v| {
        part(&v.widths).relations.iter().any(|r| r.name == "child")
    })
    .await;
    let of = |s: &Snapshot, name: &str| {
        let all = &part(&app(s).widths).relations;
        all.iter().find(|r| r.name == name).expect("relation").clone()
    };
    let hidden = of(&s, "child");
    assert!(
        !hidden.readable && hidden.columns.iter().all(|c| c.width.is_none()),
        "pg_monitor sees no pg_stats"
    );
    run(admin, "GRANT SELECT ON child TO muster").await;
    let s = round("widths, readable", observer, |v| {
        part(&v.widths)
            .relations
            .iter()
            .any(|r| r.name == "child" && r.readable)
    })
    .await;
    let child = of(&s, "child");
    let named: Vec<(&str, Option<i32>, bool)> = child
        .columns
        .iter()
        .map(|c| (c.name.as_str(), c.width, c.dropped))
        .collect();
    assert_eq!(
        &named[..5],
        &[
            ("id", Some(8), false),
            ("parent", Some(8), false),
            ("a", named[2].1, false),
            ("b", Some(4), false),
            ("twice", Some(4), false)
        ]
    );
    assert!(named[2].1.is_some_and(|w| (6..=8).contains(&w)), "{named:?}");
    assert!(named[5].2, "what was dropped is still in old rows: {named:?}");
    assert_eq!(child.tuples, Some(20_000.0));
}

async fn a_lock_on_everything_delays_nothing(test: &TestFleet, observer: &Observer) {
    let holder = superuser(test).await;
    run(&holder, "BEGIN; LOCK TABLE child, neglected, events, used, \"Odd one\".\"be\"\"hind\", flyway_schema_history IN ACCESS EXCLUSIVE MODE").await;
    let began = Instant::now();
    let s = observer.pass(now(), Extent::All).await;
    let took = began.elapsed();
    assert!(took < Duration::from_secs(5), "{took:?}");
    let view = app(&s);
    for at in [
        view.tables.as_ref().map(|p| p.taken_at),
        view.indexes.as_ref().map(|p| p.taken_at),
        view.partitions.as_ref().map(|p| p.taken_at),
        view.widths.as_ref().map(|p| p.taken_at),
        view.collations.as_ref().map(|p| p.taken_at),
        view.sequences.as_ref().map(|p| p.taken_at),
    ] {
        assert_eq!(at, Some(s.taken_at), "{:#?}", s.gaps);
    }
    let gaps: Vec<&str> = s.gaps.iter().map(|g| g.reason.as_str()).collect();
    assert_eq!(
        gaps,
        ["database app: the migration ledger public.flyway_schema_history is locked"]
    );
    let locked = part(&view.sequences)
        .sequences
        .iter()
        .filter(|s| s.locked)
        .count();
    assert_eq!(locked, 2, "their columns are not waited for");
    run(&holder, "ROLLBACK").await;
    let s = observer.pass(now(), Extent::All).await;
    assert_eq!(s.gaps, Vec::new());
}

async fn the_inside_of_a_database_is_read(major: u32) {
    let Some(test) = testing::fleet(testing::small(major)).await else {
        return;
    };
    let admin = superuser(&test).await;
    run(&admin, TABLES).await;
    let observer = observer(&test.fleet);
    let counted = |v: &DatabaseView, changed: u64| {
        let of = |name: &str| table(v, name).map(|t| t.modified);
        of("neglected") == Some(20_000) && of("child") == Some(changed)
    };
    round("counters of the tables", &observer, |v| counted(v, 20_000)).await;
    // A transaction of its own: what a transaction changed is counted after it, also when it analysed.
    run(&admin, "ANALYZE child").await;
    let s = round("the table, analysed", &observer, |v| counted(v, 0)).await;
    assert_eq!(s.gaps, Vec::new());
    tables_and_indexes(app(&s));
    an_index_that_did_not_end(&admin, &test, &observer).await;
    sequences(&admin, &observer).await;
    partitions(&admin, &observer).await;
    ledgers(&admin, &observer).await;
    widths(&admin, &observer).await;
    a_lock_on_everything_delays_nothing(&test, &observer).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_inside_of_a_database_is_read_on_15() {
    the_inside_of_a_database_is_read(15).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_inside_of_a_database_is_read_on_18() {
    the_inside_of_a_database_is_read(18).await;
}

/// Its own fleet: it writes into the catalogue.
async fn a_collation_of_another_version_is_seen(major: u32) {
    let mut options = testing::small(major);
    options.standbys = 1;
    let Some(test) = testing::fleet(options).await else {
        return;
    };
    let admin = superuser(&test).await;
    run(&admin, "CREATE COLLATION other (provider = libc, locale = 'C.UTF-8'); CREATE TABLE words (word text COLLATE other);
        CREATE INDEX words_word ON words (word); CREATE TABLE plain (a int4); CREATE INDEX plain_a ON plain (a);
        CREATE INDEX plain_a2 ON plain (a); INSERT INTO plain SELECT generate_series(1, 1000); ANALYZE plain;")
        .await;
    let observer = observer(&test.fleet);
    let s = round("the collation", &observer, |v| {
        part(&v.collations).iter().any(|c| c.name == "public.other")
    })
    .await;
    let of = |s: &Snapshot| {
        let all = part(&app(s).collations);
        all.iter()
            .find(|c| c.name == "public.other")
            .expect("collation")
            .clone()
    };
    assert!(!of(&s).differs() && of(&s).indexes == 1, "{:?}", of(&s));
    let default = part(&app(&s).collations)
        .iter()
        .find(|c| c.is_default)
        .cloned()
        .expect("default");
    assert!(!default.differs(), "{default:?}");
    // A locale whose order the library may change, where this machine has one; else there is nothing to see.
    run(
        &admin,
        "UPDATE pg_collation SET collversion = '0.1' WHERE collname = 'other'",
    )
    .await;
    let s = observer.pass(now(), Extent::All).await;
    let noted = of(&s);
    assert_eq!(noted.recorded.as_deref(), Some("0.1"));
    assert_eq!(noted.differs(), noted.actual.is_some());

    // A standby tells of its own use of indexes, and of nothing that is the primary's to tell.
    let standby = {
        let config = test.fleet.config("b", User::Postgres, "app").expect("config");
        connect(&config).await.expect("login")
    };
    let deadline = Instant::now() + Duration::from_secs(30);
    let scans = |s: &Snapshot, server: &str, name: &str| {
        let view = s.server(server)?.databases.iter().find(|d| d.name == "app")?;
        let all = view.indexes.as_ref()?;
        let i = all.value.indexes.iter().find(|i| i.name == name)?;
        Some((
            i.oid,
            i.scans,
            view.sequences.is_none() && view.migrations.is_none(),
        ))
    };
    loop {
        let _ = standby
            .batch_execute("SET enable_seqscan = off; SELECT a FROM plain WHERE a = 5")
            .await;
        let s = observer.pass(now(), Extent::All).await;
        let all = ["plain_a", "plain_a2"].map(|n| (scans(&s, "shop/a", n), scans(&s, "shop/b", n)));
        let used = all
            .iter()
            .filter_map(|(a, b)| Some((a.as_ref()?, b.as_ref()?)))
            .find(|(_, b)| b.1 > 0);
        if let Some((primary, standby)) = used {
            assert_eq!(
                (primary.0, primary.1),
                (standby.0, 0),
                "the same index, and only the standby uses it"
            );
            assert!(standby.2);
            return;
        }
        assert!(Instant::now() < deadline, "not in time: {all:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn collations_and_use_of_indexes_are_read_on_every_server_on_15() {
    a_collation_of_another_version_is_seen(15).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn collations_and_use_of_indexes_are_read_on_every_server_on_18() {
    a_collation_of_another_version_is_seen(18).await;
}

/// Ten thousand tables are looked at in a bounded time, and what is left out is said.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_tables_are_bounded() {
    let Some(test) = testing::fleet(testing::small(15)).await else {
        return;
    };
    let admin = superuser(&test).await;
    for _ in 0..10 {
        run(&admin, "DO $$ BEGIN FOR i IN 1..200 LOOP EXECUTE format('CREATE TABLE %I (id int4 PRIMARY KEY, b text)', 't' || gen_random_uuid()); END LOOP; END $$").await;
    }
    let observer = observer(&test.fleet);
    let began = Instant::now();
    let s = observer.pass(now(), Extent::All).await;
    let took = began.elapsed();
    let tables = part(&app(&s).tables);
    assert!(
        tables.tables.len() <= 500 && tables.left_out >= 1500,
        "{} {}",
        tables.tables.len(),
        tables.left_out
    );
    let indexes = part(&app(&s).indexes);
    assert!(indexes.indexes.len() == 500 && indexes.left_out >= 1500);
    assert!(
        took < Duration::from_secs(10) && s.cost.busy_ms < 5000.0,
        "{took:?} {:?}",
        s.cost
    );
}
