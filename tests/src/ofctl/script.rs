//! Scripts: what is typed, in order.
//!
//! - `$ WORDS` runs `ovs-ofctl` with these words, split as a shell splits them, as far as single quotes go.
//! - `$10 $13 WORDS` runs it once for each of these versions, with `-O` in front. `$* WORDS` is for all six.
//! - `~` in front of the words: words of complaints are not compared, as they are about what was typed.
//! - Lines behind it that begin with `<` come in on its standard input.
//! - A line behind them that begins with `!` accepts that our switch has it otherwise, and says why.
//! - `FILE NAME` writes the lines that follow and begin with `|` to a file, in the directory in which commands run.
//! - Lines that begin with `#`, and empty ones, say nothing.

/// A script. It begins with fresh switches.
pub(crate) struct Script {
    pub(crate) name: &'static str,
    pub(crate) text: &'static str,
}

const fn script(name: &'static str, text: &'static str) -> Script {
    Script { name, text }
}

pub(crate) const ALL: [Script; 6] = [
    script("switch.txt", include_str!("../../data/ofctl/switch.txt")),
    script("flows.txt", include_str!("../../data/ofctl/flows.txt")),
    script("groups.txt", include_str!("../../data/ofctl/groups.txt")),
    script("meters.txt", include_str!("../../data/ofctl/meters.txt")),
    script("errors.txt", include_str!("../../data/ofctl/errors.txt")),
    script("tunnels.txt", include_str!("../../data/ofctl/tunnels.txt")),
];

pub(crate) enum Step {
    File { name: String, text: String },
    Run { line: usize, args: Vec<String>, input: String, complaints: bool, excuse: Option<String> },
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
        let excuse = Some(behind('!')).filter(|text| !text.is_empty());
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
            let (input, excuse) = (input.clone(), excuse.clone());
            steps.push(Step::Run { line, args, input, complaints, excuse });
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
    let steps = read("# x\nFILE f\n| one\n\n$10 $ add-flows br0 -\n< in\n! why\n");
    assert!(matches!(&steps[0], Step::File { name, text } if name == "f" && text == "one\n"));
    assert!(matches!(&steps[1], Step::Run { args, input, excuse: Some(_), .. }
        if args[0] == "-OOpenFlow10" && input == "in\n"));
    assert!(matches!(&steps[2], Step::Run { args, .. } if args[0] == "add-flows"));
}
