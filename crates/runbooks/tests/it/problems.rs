//! Every lint fires at the right place, and nothing panics on broken files.

use muster_model::{Field, Kind, Risk, Signature, Type};
use muster_runbooks::{Level, check, lint};
use proptest::prelude::*;

fn signatures() -> Vec<Signature> {
    let signature = |name: &str, kind, risk, params, outputs, target: Option<&str>| Signature {
        name: name.into(),
        kind,
        risk,
        about: "a thing".into(),
        params,
        outputs,
        target: target.map(str::to_owned),
        undo: target.map(|_| "none: gone is gone".to_owned()),
    };
    vec![
        signature(
            "pool@1",
            Kind::Probe,
            Risk::Read,
            vec![],
            vec![
                Field::new("waiting", Type::Int, "clients"),
                Field::new("verdict", Type::Text, "word"),
                Field::new("summary", Type::Text, "sentence"),
            ],
            None,
        ),
        signature(
            "leak@1",
            Kind::Probe,
            Risk::Read,
            vec![
                Field::new("over", Type::Duration, "age"),
                Field::new("names", Type::list(Type::Text), "names").optional(),
            ],
            vec![
                Field::new("sessions", Type::identities("session"), "who"),
                Field::new("names", Type::list(Type::Text), "names"),
            ],
            None,
        ),
        signature(
            "end@1",
            Kind::Action,
            Risk::Disruptive,
            vec![],
            vec![],
            Some("session"),
        ),
    ]
}

const GOOD: &str = "schema: muster.runbook/1
id: book
title: A book
about: This says enough about what is wrong and what is done about it.
owner: on-call
risk: disruptive
answers: [pool.exhausted]
params:
  over: {type: duration, default: 10s, min: 1s, about: age}
steps:
  - id: pool
    probe: pool@1
    continue_if: waiting > 0
  - id: leak
    probe: leak@1
    with: {over: {param: over}}
    expect: size(sessions) >= 1
  - id: end
    action: end@1
    for_each: {step: leak, out: sessions}
    limits: {max_targets: 20, max_percent: 50, canary: 1, max_errors: 0}
  - id: proven
    verify:
      all:
        - {probe: pool, until: waiting == 0}
        - {probe: leak, with: {over: 2s, names: {step: leak, out: names}}, until: size(sessions) == 0}
      hold: 10s
      within: 2m
";

fn changed(from: &str, to: &str) -> String {
    assert!(GOOD.contains(from), "the test changes what is not there: {from}");
    GOOD.replacen(from, to, 1)
}

#[test]
fn the_good_file_is_good_and_its_digest_follows_the_meaning() {
    let book = check("runbooks/book.yaml", GOOD, &signatures()).expect("good");
    assert_eq!(lint("book.yaml", GOOD, &signatures()), vec![]);
    let commented = GOOD.replace("  - id: leak\n", "  # a remark\n\n  - id: leak\n");
    assert_eq!(
        check("book.yaml", &commented, &signatures())
            .expect("good")
            .digest,
        book.digest
    );
    let other = changed("max_targets: 20", "max_targets: 21");
    assert_ne!(
        check("book.yaml", &other, &signatures()).expect("good").digest,
        book.digest
    );
    let stops = changed(
        "max_errors: 0}",
        "max_errors: 0}\n    abort_if: [{probe: pool, when: waiting > 9}]",
    );
    let stopping = check("book.yaml", &stops, &signatures()).expect("good");
    assert_ne!(stopping.digest, book.digest);
    let page = muster_runbooks::reference_page(&stopping, &signatures());
    assert!(page.contains("Stops when `waiting > 9` of `pool`."), "{page}");
}

#[test]
fn every_lint_fires_where_the_fault_is() {
    for (from, to, rule, line, column) in [
        ("owner: on-call", "ownr: on-call", "unknown-key", 5, 1),
        ("owner: on-call\n", "", "missing-key", 1, 1),
        ("muster.runbook/1", "muster.runbook/9", "schema", 1, 9),
        ("id: book", "id: look", "id", 2, 5),
        ("risk: disruptive", "risk: read", "risk-too-low", 6, 7),
        ("risk: disruptive", "risk: wild", "wrong-type", 6, 7),
        ("[pool.exhausted]", "[pool]", "kind", 7, 11),
        ("default: 10s", "default: 10", "type-mismatch", 9, 35),
        ("default: 10s", "default: 1ms", "bounds", 9, 35),
        ("probe: pool@1", "probe: pol@1", "unknown-code", 12, 12),
        ("waiting > 0", "waitin > 0", "unknown-output", 13, 18),
        ("waiting > 0", "waiting", "condition-type", 13, 18),
        ("{param: over}", "{param: ovr}", "unknown-param", 16, 26),
        ("with: {over: {param: over}}", "with: {}", "missing-input", 14, 5),
        (
            "with: {over: {param: over}}",
            "with: {over: soon}",
            "type-mismatch",
            16,
            18,
        ),
        (
            "with: {over: {param: over}}",
            "with: {over: 1s, ovr: 2s}",
            "unknown-key",
            16,
            22,
        ),
        ("out: sessions}", "out: session}", "unknown-output", 20, 33),
        ("out: sessions}", "out: names}", "type-mismatch", 20, 15),
        ("max_targets: 20", "max_targets: 0", "limits", 21, 27),
        ("max_percent: 50", "max_percent: 150", "limits", 21, 44),
        (
            "    limits: {max_targets: 20, max_percent: 50, canary: 1, max_errors: 0}\n",
            "",
            "missing-key",
            18,
            5,
        ),
        (
            "{probe: pool, until",
            "{probe: pol, until",
            "unknown-step",
            25,
            19,
        ),
        ("hold: 10s", "hold: 10m", "verify", 24, 7),
        (
            "max_errors: 0}",
            "max_errors: 0}\n    abort_if: [{probe: poo, when: waiting > 9}]",
            "unknown-step",
            22,
            24,
        ),
        (
            "max_errors: 0}",
            "max_errors: 0}\n    abort_if: [{probe: pool, when: waitin > 9}]",
            "unknown-output",
            22,
            36,
        ),
        (
            "max_errors: 0}",
            "max_errors: 0}\n    abort_if: [{probe: pool, until: waiting > 9}]",
            "missing-key",
            22,
            16,
        ),
        ("  - id: leak", "  - id: pool", "step-id", 14, 9),
        (
            "    action: end@1",
            "    action: end@1\n    probe: pool@1",
            "step-kind",
            18,
            5,
        ),
        (
            "    continue_if: waiting > 0",
            "    on_fail: undo",
            "undo",
            13,
            14,
        ),
        (
            "    continue_if: waiting > 0",
            "    on_fail: {goto: nowhere}",
            "goto",
            13,
            14,
        ),
        ("owner: on-call", "owner: *x", "yaml", 5, 8),
    ] {
        let found = lint("book.yaml", &changed(from, to), &signatures());
        let hit = found
            .iter()
            .find(|p| p.rule == rule)
            .unwrap_or_else(|| panic!("{rule} did not fire: {found:#?}"));
        assert_eq!((hit.line, hit.column), (line, column), "{hit}");
        assert_eq!(hit.level, Level::Error);
    }
}

#[test]
fn an_action_without_proof_and_a_reader_without_verdict_are_refused() {
    let cut = GOOD.find("  - id: proven").expect("there");
    let found = lint("book.yaml", &GOOD[..cut], &signatures());
    assert_eq!(found.iter().map(|p| p.rule).collect::<Vec<_>>(), ["no-verify"]);
    let reader = &GOOD[..GOOD.find("  - id: end\n").expect("there")];
    let found = lint("book.yaml", reader, &signatures());
    assert_eq!(found.iter().map(|p| p.rule).collect::<Vec<_>>(), ["no-verdict"]);
}

#[test]
fn one_line_says_what_where_and_what_to_do() {
    let found = lint("book.yaml", &changed("waiting > 0", "waitin > 0"), &signatures());
    assert_eq!(
        found[0].to_string(),
        "book.yaml:13:18: error[unknown-output]: `pool@1` has no output `waitin`; did you mean `waiting`?"
    );
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_broken_file_panics(line in 0usize..30, cut in 0usize..60, with in "[ -~]{0,12}") {
        let mut lines: Vec<String> = GOOD.lines().map(str::to_owned).collect();
        if let Some(text) = lines.get_mut(line) {
            let at = cut.min(text.len());
            text.replace_range(at.., &with);
        }
        let _ = lint("book.yaml", &lines.join("\n"), &signatures());
        lines.truncate(line);
        let _ = lint("book.yaml", &lines.join("\n"), &signatures());
    }
}
