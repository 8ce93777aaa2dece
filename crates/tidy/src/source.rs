//! Rust source as text: what of it is code.

/// `text` with comments and the insides of strings and characters blanked; lines stay where they are.
pub fn code(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let blank = blank_length(rest, out.chars().next_back());
        if blank == 0 {
            out.push(c);
            rest = &rest[c.len_utf8()..];
        } else {
            let (hidden, after) = rest.split_at(blank);
            out.extend(hidden.chars().map(|c| if c == '\n' { '\n' } else { ' ' }));
            rest = after;
        }
    }
    out
}

/// How many bytes at the start of `rest` are a comment or a literal; 0 if it begins with code.
fn blank_length(rest: &str, before: Option<char>) -> usize {
    let in_word = before.is_some_and(|c| c.is_alphanumeric() || c == '_');
    if rest.starts_with("//") {
        rest.find('\n').unwrap_or(rest.len())
    } else if rest.starts_with("/*") {
        block_comment(rest)
    } else if let Some(inside) = rest.strip_prefix('"') {
        1 + string(inside)
    } else if !in_word && let Some(length) = raw_string(rest) {
        length
    } else if rest.starts_with('\'') {
        character(rest)
    } else {
        0
    }
}

/// Block comments nest.
fn block_comment(text: &str) -> usize {
    let mut depth = 0;
    let mut at = 0;
    while let Some(rest) = text.get(at..).filter(|rest| !rest.is_empty()) {
        if rest.starts_with("/*") {
            depth += 1;
            at += 2;
        } else if rest.starts_with("*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += rest.chars().next().map_or(1, char::len_utf8);
        }
    }
    text.len()
}

/// The length of the rest of a string, its closing quote included.
fn string(text: &str) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices() {
        match c {
            '"' if !escaped => return at + 1,
            '\\' => escaped = !escaped,
            _ => escaped = false,
        }
    }
    text.len()
}

/// `r"..."`, `r#"..."#`, also of bytes or for C.
fn raw_string(text: &str) -> Option<usize> {
    let inner = text.trim_start_matches(['b', 'c']).strip_prefix('r')?;
    let hashes = inner.len() - inner.trim_start_matches('#').len();
    let body = inner[hashes..].strip_prefix('"')?;
    let close = format!("\"{}", "#".repeat(hashes));
    let start = text.len() - body.len();
    Some(body.find(&close).map_or(text.len(), |end| start + end + close.len()))
}

/// A character; a lifetime is code.
fn character(text: &str) -> usize {
    let mut chars = text.char_indices().skip(1);
    match chars.next() {
        Some((_, '\\')) => {
            let _escaped = chars.next();
            chars.find(|(_, c)| *c == '\'').map_or(text.len(), |(at, _)| at + 1)
        }
        Some(_) => match chars.next() {
            Some((at, '\'')) => at + 1,
            _ => 0,
        },
        None => 0,
    }
}

/// The part of a file before its own tests, which stand at its end.
pub fn before_tests(text: &str) -> &str {
    let inline = |at: &(usize, &str)| {
        let mut after =
            text[at.0..].lines().skip(1).skip_while(|line| line.trim_start().starts_with("#["));
        after.next().is_some_and(|line| {
            line.trim_start().starts_with("mod ") && line.trim_end().ends_with('{')
        })
    };
    let end = text.match_indices("#[cfg(test)]\n").find(inline).map_or(text.len(), |(at, _)| at);
    &text[..end]
}

/// Whether a whole file is there for tests, or for nobody who installs us.
pub fn is_test(path: &str) -> bool {
    let parts = || path.split('/');
    let name = parts().next_back().unwrap_or_default();
    let folders = ["tests", "benches", "examples", "testbed", "bench"];
    parts().any(|part| folders.contains(&part)) || name == "tests.rs" || name.ends_with("_tests.rs")
}

/// The lines of `code` in which `word` stands as a word, numbered from 1.
pub fn lines_with<'a>(code: &'a str, word: &'a str) -> impl Iterator<Item = usize> + 'a {
    code.lines().enumerate().filter(move |(_, line)| has_word(line, word)).map(|(i, _)| i + 1)
}

/// Whether `word` stands in `line` and is not a part of a longer one.
pub fn has_word(line: &str, word: &str) -> bool {
    let part = |c: char| c.is_alphanumeric() || c == '_';
    line.match_indices(word).any(|(at, _)| {
        let (before, after) = (&line[..at], &line[at + word.len()..]);
        !before.chars().next_back().is_some_and(part) && !after.chars().next().is_some_and(part)
    })
}

/// The string literals that follow `before` directly: `literals("f(\"x\")", "f(\"")` is `x`.
pub fn literals<'a>(text: &'a str, before: &'a str) -> impl Iterator<Item = &'a str> {
    text.split(before).skip(1).filter_map(|rest| rest.split('"').next())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_code_is_left() {
        for (text, left) in [
            ("a // b\nc", "a     \nc"),
            ("a /* b /* c */\n d */ e", "a             \n      e"),
            (r#"f("x\"y", 'a', b'\'', &'a T)"#, r"f(      ,    , b    , &'a T)"),
            (r##"g(r#"a"b"#, br"\", for_r"x")"##, r"g(        ,      , for_r   )"),
            ("'\u{e9}' 'static", "    'static"),
        ] {
            let text_left: String = code(text);
            assert_eq!(
                text_left.split_whitespace().collect::<Vec<_>>(),
                left.split_whitespace().collect::<Vec<_>>(),
                "{text}"
            );
            assert_eq!(text_left.lines().count(), text.lines().count());
        }
    }

    #[test]
    fn tests_are_told_from_code() {
        assert_eq!(before_tests("a\n#[cfg(test)]\nmod tests {\n}\n"), "a\n");
        assert_eq!(
            before_tests("a\n#[cfg(test)]\nmod tests;\nb\n"),
            "a\n#[cfg(test)]\nmod tests;\nb\n"
        );
        assert!(
            is_test("crates/x/src/json/tests.rs")
                && is_test("tests/src/lib.rs")
                && !is_test("crates/x/src/latest.rs")
        );
        assert!(has_word("x = unsafe {", "unsafe") && !has_word("allow(unsafe_code)", "unsafe"));
        assert_eq!(literals("add(\"a\", add(\"b\"", "add(\"").collect::<Vec<_>>(), ["a", "b"]);
    }
}
