//! What no two runs share: times, transactions, directories.

use std::path::Path;

use super::sides::{Outcome, Side};

/// In which order lists are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    /// As they come; but for groups, which Debian's switch hashes differently in each process.
    AsSaid,
    /// Ours are in the order of numbers and priorities; the reference's are in that of its hash tables.
    Sorted,
}

/// The outcome with placeholders for what may differ.
pub(crate) fn outcome(mut outcome: Outcome, side: &Side, order: Order) -> Outcome {
    outcome.out = text(&outcome.out, side.dir());
    outcome.err = text(&outcome.err, side.dir());
    if order == Order::Sorted {
        outcome.out = sorted(&outcome.out);
    }
    outcome
}

pub(crate) fn text(text: &str, dir: &Path) -> String {
    let text = crate::parity::without_extras(&text.replace(&dir.display().to_string(), "DIR"));
    let mut lines: Vec<String> = text.lines().map(line).filter(|line| !is_noise(line)).collect();
    for groups in lines.chunk_by_mut(|a, b| is_group(a) && is_group(b)) {
        groups.sort();
    }
    lines.into_iter().map(|line| line + "\n").collect()
}

fn is_group(line: &str) -> bool {
    line.starts_with(" group_id=")
}

/// How the entries of lists begin.
const ENTRIES: [&str; 7] =
    [" cookie=", " table=", "  port ", "meter=", "meter:", " LOCAL(", " group_id="];

/// Puts the entries of a list in an order of their own. What is behind an entry's first line goes with it.
fn sorted(text: &str) -> String {
    let begins = |line: &str| {
        let number = line.trim_start_matches(' ').split_once('(').map_or("", |(number, _)| number);
        let is_port = line.starts_with(' ') && number.parse::<u16>().is_ok();
        is_port || ENTRIES.iter().any(|entry| line.starts_with(entry))
    };
    let mut head = String::new();
    let mut entries: Vec<String> = Vec::new();
    for line in text.lines().filter(|line| !line.is_empty()) {
        let line = if line.starts_with("Software: ") { "Software: VERSION" } else { line };
        if begins(line) {
            entries.push(String::new());
        }
        let place = entries.last_mut().unwrap_or(&mut head);
        place.push_str(line);
        place.push('\n');
    }
    entries.sort();
    head + &entries.concat()
}

#[test]
fn entries_are_sorted_with_what_belongs_to_them() {
    let text = "reply\n  port 2: rx\n   tx\n  port 1: rx\n   tx2\n\nmeter=3\ntype=drop\n 7(p): x\n";
    let in_order =
        "reply\n  port 1: rx\n   tx2\n  port 2: rx\n   tx\n 7(p): x\nmeter=3\ntype=drop\n";
    assert_eq!(sorted(text), in_order);
}

/// What the reference logs of tables that it asked for their names only.
fn is_noise(line: &str) -> bool {
    line == "LOG|ofp_table|WARN|bad table miss config 3"
}

/// Keys whose values are times, and what ends a value.
const TIMES: [&str; 8] = [
    "duration=",
    "duration:",
    "idle_age=",
    "hard_age=",
    "time=",
    "Finished in ",
    " ms (",
    "packets/s) (",
];

fn line(text: &str) -> String {
    let mut out = log_line(text).unwrap_or_else(|| text.to_owned());
    for key in TIMES {
        out = without(&out, key, |c| c.is_ascii_digit() || c == '.');
    }
    out = without(&out, "xid=", |c| c.is_ascii_hexdigit() || c == 'x');
    out = without(&out, "continuation.bridge=", |c| c.is_ascii_hexdigit() || c == '-');
    // Transactions in hexadecimal dumps of messages.
    let dump = out.strip_prefix("00000000  ").map(|rest| rest.to_owned());
    if let Some(bytes) = dump
        && bytes.len() > 40
        && bytes.is_char_boundary(12)
        && bytes.is_char_boundary(24)
    {
        let ascii = bytes.find('|').unwrap_or(bytes.len());
        let end = bytes.get(24..ascii).unwrap_or_default();
        out = format!("00000000  {} xx xx xx xx-{end}", bytes[..11].trim_end());
    }
    // What an idle moment leaves out.
    out = out.replace("idle_age=N, ", "").replace("hard_age=N, ", "");
    // Whether a switch of other versions hangs up before or after it was told why, is its own affair.
    out.replace(
        "failed to connect to socket (Broken pipe)",
        "failed to connect to socket (Protocol error)",
    )
}

/// A line of a log without time and number.
fn log_line(text: &str) -> Option<String> {
    let mut parts = text.splitn(3, '|');
    let (time, number, rest) = (parts.next()?, parts.next()?, parts.next()?);
    let is_time = time.len() == "2000-01-01T00:00:00Z".len() && time.ends_with('Z');
    (is_time && number.parse::<u32>().is_ok()).then(|| format!("LOG|{rest}"))
}

/// Replaces what follows each `key`, as far as it is of the kind.
fn without(text: &str, key: &str, is_value: fn(char) -> bool) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find(key) {
        let (before, behind) = rest.split_at(at + key.len());
        let value_end = behind.find(|c| !is_value(c)).unwrap_or(behind.len());
        out += before;
        if value_end > 0 {
            out.push('N');
        }
        rest = &behind[value_end..];
    }
    out + rest
}

#[test]
fn times_and_transactions_are_replaced_and_nothing_else() {
    for (given, normal) in [
        (
            " cookie=0x0, duration=1.5s, table=0, n_packets=0, n_bytes=0, idle_age=3, in_port=1 actions=drop",
            " cookie=0x0, duration=Ns, table=0, n_packets=0, n_bytes=0, in_port=1 actions=drop",
        ),
        ("OFPT_ERROR (xid=0x4): OFPBRC_EPERM", "OFPT_ERROR (xid=N): OFPBRC_EPERM"),
        ("8 bytes from br0: xid=0000000a time=0.1 ms", "8 bytes from br0: xid=N time=N ms"),
        ("2026-01-01T00:00:00Z|00001|vconn|WARN|x", "LOG|vconn|WARN|x"),
        (
            "00000000  04 1d 00 20 00 00 00 02-00 00 00 03 00 00 00 01 |... ............|",
            "00000000  04 1d 00 20 xx xx xx xx-00 00 00 03 00 00 00 01 ",
        ),
    ] {
        assert_eq!(line(given), normal);
    }
}
