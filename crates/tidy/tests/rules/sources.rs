//! Rules about single files.

use tidy::source::{before_tests, code, has_word, is_test, lines_with};
use tidy::tree::{files, read};

use crate::none;

/// The most lines that a file may have before its tests. 150 to 400 feel right; this many are a question to ask.
const LONGEST: usize = 800;

/// Files that are longer, with their length. The list may only shrink: what it says about a file is the most it may have.
const TOO_LONG: &[(&str, usize)] = &[];

/// All Rust files.
fn rust() -> impl Iterator<Item = (String, String)> {
    let all = ["crates", "bench", "tests", "fuzz"].into_iter().flat_map(files);
    all.filter(|file| file.ends_with(".rs")).map(|file| {
        let text = read(&file);
        (file, text)
    })
}

/// Where unsafe code may be.
const UNSAFE: &[&str] = &["crates/sys/", "crates/dpdk/", "crates/vhost/src/memory/"];

/// All files of text, of whatever kind, and what is in them.
fn texts() -> impl Iterator<Item = (String, String)> {
    const ENDINGS: [&str; 14] = [
        ".rs", ".toml", ".md", ".sh", ".txt", ".py", ".bash", ".fish", ".zsh", ".service", ".conf",
        ".1", ".5", ".8",
    ];
    let is_text = |file: &String| ENDINGS.iter().any(|ending| file.ends_with(ending));
    files(".").into_iter().filter(is_text).map(|file| {
        let text = read(&file);
        (file, text)
    })
}

#[test]
fn unsafe_lives_in_few_places() {
    let mut violations = Vec::new();
    let allowed = |file: &str| UNSAFE.iter().any(|place| file.starts_with(place));
    for (file, text) in rust().filter(|(file, _)| !allowed(file)) {
        let code = code(&text);
        for word in ["unsafe", "unsafe_code"] {
            violations.extend(lines_with(&code, word).map(|line| format!("{file}:{line}")));
        }
    }
    none("unsafe code is in few places", violations);
}

#[test]
fn unsafe_says_why() {
    let mut violations = Vec::new();
    for (file, text) in rust() {
        let lines: Vec<&str> = text.lines().collect();
        for line in lines_with(&code(&text), "unsafe") {
            if !is_explained(&lines[..line]) {
                violations.push(format!("{file}:{line}"));
            }
        }
    }
    none("every unsafe block or item has its SAFETY comment above it", violations);
}

/// Whether the comment above the last of `lines` says why it is safe. Attributes may stand between.
fn is_explained(lines: &[&str]) -> bool {
    let above = lines
        .iter()
        .rev()
        .skip(1)
        .map(|line| line.trim_start())
        .skip_while(|line| line.starts_with("#["));
    let mut comment = above.take_while(|line| line.starts_with("//") || line.starts_with("#["));
    comment.any(|line| line.contains("SAFETY:") || line.contains("# Safety"))
}

#[test]
fn time_is_an_argument() {
    let mut violations = Vec::new();
    for (file, text) in rust().filter(|(file, _)| file != "crates/base/src/clock.rs") {
        let code = code(&text);
        for (i, line) in code.lines().enumerate() {
            if ["Instant::now", "SystemTime::now", "UNIX_EPOCH"]
                .iter()
                .any(|word| has_word(line, word))
            {
                violations.push(format!("{file}:{}", i + 1));
            }
        }
    }
    none("only base::Clock asks for the time", violations);
}

#[test]
fn nothing_is_left_undone() {
    // Put together, so that this file does not break its own rule.
    let marks = [concat!("TO", "DO"), concat!("FIX", "ME"), concat!("XX", "X")];
    let macros = [concat!("to", "do!"), concat!("unimple", "mented!")];
    let mut violations = Vec::new();
    for (file, text) in rust() {
        let code = code(&text);
        for (i, (line, code)) in text.lines().zip(code.lines()).enumerate() {
            let marked = marks.iter().any(|mark| has_word(line, mark))
                || macros.iter().any(|name| code.contains(name));
            if marked || code.contains("#[ignore") {
                violations.push(format!("{file}:{}: {}", i + 1, line.trim()));
            }
        }
    }
    none("what is not done is not there, and every test runs", violations);
}

#[test]
fn no_machine_is_named() {
    let places = [
        concat!("/wo", "rk/"),
        concat!("/tmp", "/fs"),
        concat!("/ro", "ot/"),
        concat!("/ho", "me/"),
    ];
    let mut violations = Vec::new();
    for (file, text) in texts() {
        for (i, line) in text.lines().enumerate() {
            if places.iter().any(|place| line.contains(place)) {
                violations.push(format!("{file}:{}: {}", i + 1, line.trim()));
            }
        }
    }
    none("no path of somebody's machine", violations);
}

#[test]
fn no_merge_leaves_its_marks() {
    let marks = [concat!("<<<<", "<<< "), concat!(">>>>", ">>> "), concat!("||||", "||| ")];
    let mut violations = Vec::new();
    for (file, text) in texts() {
        for (i, line) in text.lines().enumerate() {
            if marks.iter().any(|mark| line.starts_with(mark)) {
                violations.push(format!("{file}:{}: {}", i + 1, line.trim()));
            }
        }
    }
    none("conflicts are resolved", violations);
}

#[test]
fn files_are_short_enough_to_read() {
    let mut violations = Vec::new();
    let mut seen = Vec::new();
    for (file, text) in rust().filter(|(file, _)| !is_test(file)) {
        let lines = before_tests(&text).lines().count();
        let allowed = TOO_LONG.iter().find(|(name, _)| *name == file);
        if lines > allowed.map_or(LONGEST, |(_, most)| *most) {
            violations.push(format!("{file}: {lines} lines before its tests"));
        }
        if allowed.is_some() && lines > LONGEST {
            seen.push(file);
        }
    }
    let stale = TOO_LONG.iter().filter(|(name, _)| !seen.iter().any(|file| file == name));
    violations.extend(
        stale.map(|(name, _)| format!("{name}: short enough now; strike it from the list")),
    );
    none("cut a file that nobody reads through", violations);
}
