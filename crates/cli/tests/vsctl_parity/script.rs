//! The format of `commands.txt`, explained at its head.

/// One line that does something.
pub(crate) enum Line {
    Step(Step),
    /// From here on both sides have a switch, and commands wait for it.
    StartSwitches,
}

/// One command.
pub(crate) struct Step {
    pub(crate) text: String,
    pub(crate) words: Vec<String>,
    /// The order of lines on standard output does not count.
    pub(crate) unordered: bool,
    pub(crate) expect: Expect,
}

pub(crate) enum Expect {
    Same,
    /// It differs for a reason, and ours has each of these texts.
    Different(Vec<String>),
}

pub(crate) fn parse(text: &str) -> Vec<Line> {
    let mut lines = Vec::new();
    for line in text.lines().map(str::trim) {
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        if line == "= switches" {
            lines.push(Line::StartSwitches);
        } else if let Some(wanted) = line.strip_prefix("=> ") {
            match lines.last_mut() {
                Some(Line::Step(Step { expect: Expect::Different(texts), .. })) => {
                    texts.push(wanted.to_owned())
                }
                _ => panic!("\"{line}\" does not follow a command marked as different"),
            }
        } else {
            lines.push(Line::Step(step(line)));
        }
    }
    lines
}

fn step(line: &str) -> Step {
    let (expect, rest) = match line.strip_prefix('~') {
        Some(rest) => (Expect::Different(Vec::new()), rest),
        None => (Expect::Same, line),
    };
    let (unordered, rest) = match rest.strip_prefix('%') {
        Some(rest) => (true, rest),
        None => (false, rest),
    };
    Step { text: line.to_owned(), words: words(rest.trim()), unordered, expect }
}

/// Splits at spaces; quotes of both kinds keep them, as in a shell.
fn words(line: &str) -> Vec<String> {
    let (mut words, mut word, mut quote) = (Vec::new(), None::<String>, None);
    for c in line.chars() {
        match (quote, c) {
            (Some(open), c) if c == open => quote = None,
            (None, '\'' | '"') => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (None, ' ') => words.extend(word.take()),
            (_, c) => word.get_or_insert_default().push(c),
        }
    }
    assert!(quote.is_none(), "open quote: {line}");
    words.extend(word);
    words
}
