//! `key=value,key(value),key:value`: what flows, actions and their arguments are made of.

/// One pair. Which delimiter stood between, callers do not mind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pair<'a> {
    /// Before the delimiter.
    pub key: &'a str,
    /// Behind it.
    pub value: &'a str,
    /// Between both: empty, `=`, `:` or `(`.
    pub open: &'a str,
    /// What stood behind `value)`: `->dst`, where something is to be stored; or nothing.
    pub arrow: &'a str,
}

fn is_separator(c: char) -> bool {
    matches!(c, ',' | ' ' | '\t' | '\r' | '\n')
}

/// Pairs, one after another.
#[derive(Clone, Copy, Debug)]
pub struct Pairs<'a>(&'a str);

/// All pairs in `text`.
pub fn pairs(text: &str) -> Pairs<'_> {
    Pairs(text)
}

impl<'a> Iterator for Pairs<'a> {
    type Item = Pair<'a>;

    fn next(&mut self) -> Option<Pair<'a>> {
        let text = self.0.trim_start_matches(is_separator);
        if text.is_empty() {
            return None;
        }
        let end =
            text.find(|c| is_separator(c) || matches!(c, ':' | '=' | '(')).unwrap_or(text.len());
        let (key, rest) = text.split_at(end);
        let none = Pair { key, value: "", open: "", arrow: "" };
        let pair = match rest.chars().next() {
            Some(':' | '=') => {
                let (open, rest) = rest.split_at(1);
                let (value, rest) = until(rest, false, is_separator);
                self.0 = rest;
                Pair { value, open, ..none }
            }
            Some('(') => {
                let (open, rest) = rest.split_at(1);
                let (value, rest) = until(rest, true, |_| false);
                let rest = rest.strip_prefix(')').unwrap_or(rest);
                let (arrow, rest) = match rest.strip_prefix("->") {
                    Some(target) => until(target, false, is_separator),
                    None => ("", rest),
                };
                self.0 = rest;
                Pair { value, open, arrow, ..none }
            }
            _ => {
                self.0 = rest;
                none
            }
        };
        Some(pair)
    }
}

impl<'a> Pairs<'a> {
    /// What was not looked at yet.
    pub fn rest(&self) -> &'a str {
        self.0
    }
}

/// Splits before the first separator that is not inside of parentheses, or, within some, before what closes them.
fn until(text: &str, in_parentheses: bool, separates: impl Fn(char) -> bool) -> (&str, &str) {
    let mut depth = 0u32;
    for (i, c) in text.char_indices() {
        match c {
            '(' => depth += 1,
            ')' if depth == 0 && in_parentheses => return text.split_at(i),
            ')' => depth = depth.saturating_sub(1),
            c if depth == 0 && separates(c) => return text.split_at(i),
            _ => {}
        }
    }
    (text, "")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_end_where_they_do_elsewhere() {
        let list = |text: &str| -> Vec<String> {
            pairs(text).map(|p| format!("{}{}{}{}", p.key, p.open, p.value, p.arrow)).collect()
        };
        assert_eq!(list("a=b,c=d"), ["a=b", "c=d"]);
        assert_eq!(list("a(b,c)"), ["a(b,c"]);
        assert_eq!(list("a(b)->c,d"), ["a(bc", "d"]);
        assert_eq!(list("a=(b,c),d"), ["a=(b,c)", "d"]);
        assert_eq!(list("a:b:c d"), ["a:b:c", "d"]);
        assert_eq!(list(",a,,b"), ["a", "b"]);
        assert_eq!(list("a=b(c,d)e,f"), ["a=b(c,d)e", "f"]);
        assert_eq!(list("a(b"), ["a(b"]);
        assert_eq!(list("a(b)c,d"), ["a(b", "c", "d"]);
        assert_eq!(list("a=,b"), ["a=", "b"]);
        assert_eq!(list("a->b"), ["a->b"]);
    }
}
