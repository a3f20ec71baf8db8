//! A condition as the server writes it back, taken apart into what an index could serve: a column compared with something else.
//!
//! The server writes in one form, with all parentheses and every column behind its alias. What does not fit that form is told as
//! something else, and no index is derived from it.

/// A column behind its alias.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Named {
    /// Alias of its relation.
    pub alias: String,
    /// Its name.
    pub column: String,
}

/// What a condition asks of a column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Shape {
    /// `= value`, `= ANY (…)`, `IS NULL`, a bare boolean.
    Equal,
    /// `<`, `<=`, `>`, `>=`.
    Range,
    /// `LIKE`; whether it begins with a wildcard is known from the plan alone.
    Pattern,
    /// `= column` of another relation.
    Join(Named),
    /// Compared after a cast to this type, and how.
    Cast(String, Box<Shape>),
    /// Compared after a function.
    Function(String),
    /// `<>`, `IS NOT NULL`, another operator.
    Other(String),
}

/// One condition of those that all hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Condition {
    /// Its text.
    pub text: String,
    /// Columns in it with what is asked of each; none where it is an OR.
    pub asks: Vec<(Named, Shape)>,
    /// Whether it is an OR.
    pub or: bool,
}

/// The conditions that all hold.
#[must_use]
pub fn conditions(text: &str) -> Vec<Condition> {
    let bare = bare(text);
    let parts = split(bare, " AND ");
    if parts.len() > 1 {
        return parts.into_iter().flat_map(conditions).collect();
    }
    if split(bare, " OR ").len() > 1 {
        return vec![Condition {
            text: bare.to_owned(),
            asks: Vec::new(),
            or: true,
        }];
    }
    vec![Condition {
        text: bare.to_owned(),
        asks: asks(bare),
        or: false,
    }]
}

/// Whether it is one column behind its alias, or a column alone.
#[must_use]
pub fn column(text: &str) -> Option<Named> {
    let (alias, column) = match pieces(text)? {
        (Some(a), c) => (a, c),
        (None, c) => (String::new(), c),
    };
    (!column.is_empty()).then_some(Named { alias, column })
}

fn asks(text: &str) -> Vec<(Named, Shape)> {
    if let Some(negated) = text.strip_prefix("NOT ") {
        return named(negated)
            .map(|c| vec![(c, Shape::Equal)])
            .unwrap_or_default();
    }
    for (end, shape) in [
        (" IS NULL", Shape::Equal),
        (" IS TRUE", Shape::Equal),
        (" IS FALSE", Shape::Equal),
        (" IS NOT NULL", Shape::Other("IS NOT NULL".into())),
    ] {
        if let Some(left) = text.strip_suffix(end) {
            return one_sided(left, shape);
        }
    }
    let Some((left, operator, right)) = operator(text) else {
        return named(text).map(|c| vec![(c, Shape::Equal)]).unwrap_or_default();
    };
    let (left, right) = (bare(left), bare(right));
    let shape = |operator: &str| match operator {
        "=" => Shape::Equal,
        "<" | "<=" | ">" | ">=" => Shape::Range,
        "~~" => Shape::Pattern,
        other => Shape::Other(other.to_owned()),
    };
    match (named(left), named(right)) {
        (Some(a), Some(b)) if operator == "=" && a.alias != b.alias => {
            vec![(a.clone(), Shape::Join(b.clone())), (b, Shape::Join(a))]
        }
        (Some(_), Some(_)) => Vec::new(),
        // What stands against it must not change with the row.
        (Some(a), None) if !mentions(right, &a.alias) => vec![(a, shape(operator))],
        (None, Some(b)) if !mentions(left, &b.alias) => vec![(b, shape(operator))],
        (None, None) => match (under_cast(left), under_cast(right)) {
            (Some((a, to)), Some((b, other))) if operator == "=" && a.alias != b.alias => {
                let join =
                    |to: &str, with: &Named| Shape::Cast(to.to_owned(), Box::new(Shape::Join(with.clone())));
                vec![(a.clone(), join(to, &b)), (b, join(other, &a))]
            }
            _ => {
                let mut found = one_sided(left, shape(operator));
                found.retain(|(c, _)| !mentions(right, &c.alias));
                found
            }
        },
        _ => Vec::new(),
    }
}

/// A column by itself, or below a cast or function.
fn one_sided(left: &str, shape: Shape) -> Vec<(Named, Shape)> {
    let left = bare(left);
    if let Some(c) = named(left) {
        return vec![(c, shape)];
    }
    if let Some((c, to)) = under_cast(left) {
        return vec![(c, Shape::Cast(to.to_owned(), Box::new(shape)))];
    }
    if let Some((name, inside)) = call(left) {
        let found = inside.split([',', '(', ')', ' ']).find_map(|p| named(p.trim()));
        return found
            .map(|c| vec![(c, Shape::Function(name.to_owned()))])
            .unwrap_or_default();
    }
    // An expression such as `(t.a + 1)`.
    let found = left.split([',', '(', ')', ' ']).find_map(|p| named(p.trim()));
    found
        .map(|c| vec![(c, Shape::Function("an expression".to_owned()))])
        .unwrap_or_default()
}

/// A column that stands behind an alias: without one, a word may be anything.
fn named(text: &str) -> Option<Named> {
    column(bare(text)).filter(|c| !c.alias.is_empty())
}

fn mentions(text: &str, alias: &str) -> bool {
    let plain = format!("{alias}.");
    let quoted = format!("\"{alias}\".");
    text.match_indices(&plain).any(|(at, _)| {
        let before = text[..at].chars().next_back();
        before.is_none_or(|c| !c.is_alphanumeric() && c != '_' && c != '.' && c != '"')
    }) || text.contains(&quoted)
}

/// A column below a cast.
fn under_cast(text: &str) -> Option<(Named, &str)> {
    let (inner, to) = cast(bare(text))?;
    Some((named(inner)?, to))
}

/// `(…)::type`.
fn cast(text: &str) -> Option<(&str, &str)> {
    let places = outside(text);
    let (at, _) = text
        .rmatch_indices("::")
        .find(|(at, _)| places.get(*at).copied().unwrap_or(false))?;
    Some((&text[..at], &text[at + 2..]))
}

/// `name(…)`.
fn call(text: &str) -> Option<(&str, &str)> {
    let at = text.find('(')?;
    let name = &text[..at];
    let plain = !name.is_empty()
        && name
            .chars()
            .all(|c| c.is_alphanumeric() || c == '_' || c == '.' || c == '"');
    (plain && text.ends_with(')')).then(|| (name, &text[at + 1..text.len() - 1]))
}

/// Without the parentheses around all of it.
fn bare(text: &str) -> &str {
    let text = text.trim();
    if !text.starts_with('(') || !text.ends_with(')') {
        return text;
    }
    let places = outside(text);
    // The last closes the first when nothing between them is outside.
    let inner = places[1..text.len() - 1].iter().any(|o| *o);
    if inner {
        text
    } else {
        bare(&text[1..text.len() - 1])
    }
}

fn split<'a>(text: &'a str, by: &str) -> Vec<&'a str> {
    let places = outside(text);
    let mut out = Vec::new();
    let mut from = 0;
    for (at, _) in text.match_indices(by) {
        if at >= from && places[at] {
            out.push(&text[from..at]);
            from = at + by.len();
        }
    }
    out.push(&text[from..]);
    out
}

/// The operator between two sides.
fn operator(text: &str) -> Option<(&str, &str, &str)> {
    let places = outside(text);
    let mut at = 0;
    while let Some(found) = text[at..].find(' ') {
        let from = at + found + 1;
        let end = text[from..].find(' ').map(|n| from + n)?;
        let word = &text[from..end];
        let is = !word.is_empty() && word.chars().all(|c| "+-*/<>=~!@#%^&|`".contains(c));
        if is && places[from - 1] {
            return Some((&text[..from - 1], word, &text[end + 1..]));
        }
        at = from;
    }
    None
}

/// For each byte, whether it is outside of parentheses and quotes.
fn outside(text: &str) -> Vec<bool> {
    let mut depth = 0_i32;
    let mut quoted = false;
    let mut out = Vec::with_capacity(text.len());
    for b in text.bytes() {
        match b {
            b'"' => quoted = !quoted,
            b'(' | b'[' if !quoted => depth += 1,
            _ => {}
        }
        out.push(depth == 0 && !quoted);
        if !quoted && matches!(b, b')' | b']') {
            depth -= 1;
        }
    }
    out
}

/// `alias.column`, `column`, each may be quoted.
fn pieces(text: &str) -> Option<(Option<String>, String)> {
    let mut parts: Vec<String> = Vec::new();
    let mut rest = text;
    loop {
        if let Some(quoted) = rest.strip_prefix('"') {
            let mut name = String::new();
            let mut chars = quoted.char_indices().peekable();
            let mut end = None;
            while let Some((i, c)) = chars.next() {
                if c != '"' {
                    name.push(c);
                } else if chars.peek().is_some_and(|(_, n)| *n == '"') {
                    name.push('"');
                    chars.next();
                } else {
                    end = Some(i);
                    break;
                }
            }
            parts.push(name);
            rest = &quoted[end? + 1..];
        } else {
            let end = rest
                .find(|c: char| !(c.is_alphanumeric() || c == '_' || c == '$'))
                .unwrap_or(rest.len());
            let word = &rest[..end];
            if !word.starts_with(|c: char| c.is_alphabetic() || c == '_') {
                return None;
            }
            parts.push(word.to_owned());
            rest = &rest[end..];
        }
        match rest.strip_prefix('.') {
            Some(more) => rest = more,
            None if rest.is_empty() => break,
            None => return None,
        }
    }
    match &parts[..] {
        [c] => Some((None, c.clone())),
        [a, c] => Some((Some(a.clone()), c.clone())),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(text: &str) -> Vec<String> {
        let one = |c: &Condition| {
            if c.or {
                return "or".to_owned();
            }
            let asks: Vec<String> = c
                .asks
                .iter()
                .map(|(n, s)| format!("{}.{} {s:?}", n.alias, n.column))
                .collect();
            asks.join(" & ")
        };
        conditions(text).iter().map(one).collect()
    }

    #[test]
    fn conditions_of_the_server_are_taken_apart() {
        for (text, expected) in [
            ("(o.customer = $1)", vec!["o.customer Equal"]),
            (
                "((o.state = ?::text) AND (o.placed > (now() - ?::interval)) AND (o.id <> ?))",
                vec!["o.state Equal", "o.placed Range", "o.id Other(\"<>\")"],
            ),
            ("((o.state = ?::text) OR (o.customer = ?))", vec!["or"]),
            (
                "((orders.customer)::text = ?::text)",
                vec!["orders.customer Cast(\"text\", Equal)"],
            ),
            (
                "((o.code)::text ~~ ?::text)",
                vec!["o.code Cast(\"text\", Pattern)"],
            ),
            ("((o.code)::text = (o.state)::text)", vec![""]),
            ("(upper(c.name) = $2)", vec!["c.name Function(\"upper\")"]),
            ("((t.a + ?) = ?)", vec!["t.a Function(\"an expression\")"]),
            (
                "(o.customer = c.id)",
                vec![
                    "o.customer Join(Named { alias: \"c\", column: \"id\" }) & c.id Join(Named { alias: \"o\", column: \"customer\" })",
                ],
            ),
            ("(o.customer = ANY (?::integer[]))", vec!["o.customer Equal"]),
            ("(o.code IS NULL)", vec!["o.code Equal"]),
            ("(NOT o.active)", vec!["o.active Equal"]),
            ("o.active", vec!["o.active Equal"]),
            ("(o.code ~~ ?::text)", vec!["o.code Pattern"]),
            ("(\"My t\".\"Col (1\" = ?)", vec!["My t.Col (1 Equal"]),
            ("(o.a = (o.b + ?))", vec![""]),
            ("(o.a = o.b)", vec![""]),
            ("(hashed SubPlan ?)", vec![""]),
            ("", vec![""]),
        ] {
            assert_eq!(told(text), expected, "{text}");
        }
    }

    #[test]
    fn what_is_no_condition_makes_no_panic() {
        for text in [
            "(",
            ")",
            "((",
            "\"",
            "a.b.c = 1",
            "= =",
            " = ",
            "((a)",
            "é.ü = ?",
            "() AND ()",
        ] {
            let _ = told(text);
        }
    }
}
