//! Scripts: what is typed, in order.
//!
//! - `$ WORDS` runs `ovs-ofctl` with these words, split as a shell splits them, as far as single quotes go.
//! - `$10 $13 WORDS` runs it once for each of these versions, with `-O` in front. `$* WORDS` is for all six.
//! - `~` in front of the words: words of complaints are not compared, as they are about what was typed.
//! - Lines behind it that begin with `<` come in on its standard input.
//! - `FILE NAME` writes the lines that follow and begin with `|` to a file, in the directory in which commands run.
//! - Lines that begin with `#`, and empty ones, say nothing.

/// The scripts. Each begins with fresh switches.
pub(crate) const ALL: [(&str, &str); 5] = [
    ("switch.txt", include_str!("scripts/switch.txt")),
    ("flows.txt", include_str!("scripts/flows.txt")),
    ("groups.txt", include_str!("scripts/groups.txt")),
    ("meters.txt", include_str!("scripts/meters.txt")),
    ("errors.txt", include_str!("scripts/errors.txt")),
];

pub(crate) enum Step {
    File { name: String, text: String },
    Run { line: usize, args: Vec<String>, input: String, complaints: bool },
}

pub(crate) fn read(text: &str) -> Vec<Step> {
    let mut steps = Vec::new();
    let mut lines = (1..).zip(text.lines()).peekable();
    while let Some((line, text)) = lines.next() {
        if text.is_empty() || text.starts_with('#') {
            continue;
        }
        let mut behind = |mark: char| {
            let mut all = String::new();
            while let Some((_, more)) = lines.next_if(|(_, more)| more.starts_with(mark)) {
                all += more[1..].trim_start_matches(' ');
                all.push('\n');
            }
            all
        };
        if let Some(name) = text.strip_prefix("FILE ") {
            steps.push(Step::File { name: name.to_owned(), text: behind('|') });
            continue;
        }
        let input = behind('<');
        let mut words = text;
        let mut versions = Vec::new();
        while let Some(rest) = words.strip_prefix('$') {
            let (version, more) = rest.split_once(' ').expect("words behind the dollar sign");
            match version {
                "" => versions.push(None),
                "*" => versions.extend((10..=15).map(Some)),
                number => versions.push(Some(number.parse().expect("a version"))),
            }
            words = more;
        }
        assert!(!versions.is_empty(), "line {line} is no command: {text}");
        let (words, complaints) =
            words.strip_prefix('~').map_or((words, true), |rest| (rest, false));
        for version in versions {
            let option: Option<String> = version.map(|v: u32| format!("-OOpenFlow{v}"));
            let args = option.into_iter().chain(split(words)).collect();
            steps.push(Step::Run { line, args, input: input.clone(), complaints });
        }
    }
    steps
}

fn split(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    let (mut word, mut quoted) = (None::<String>, false);
    for c in text.chars() {
        match c {
            '\'' => {
                quoted = !quoted;
                word.get_or_insert_default();
            }
            ' ' if !quoted => words.extend(word.take()),
            _ => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    words
}

#[test]
fn scripts_are_split_as_a_shell_would() {
    assert_eq!(split("a 'b c'  d''"), ["a", "b c", "d"]);
    let steps = read("# x\nFILE f\n| one\n\n$10 $ add-flows br0 -\n< in\n");
    assert!(matches!(&steps[0], Step::File { name, text } if name == "f" && text == "one\n"));
    assert!(matches!(&steps[1], Step::Run { args, input, .. }
        if args[0] == "-OOpenFlow10" && input == "in\n"));
    assert!(matches!(&steps[2], Step::Run { args, .. } if args[0] == "add-flows"));
}
