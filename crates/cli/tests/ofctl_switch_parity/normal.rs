//! What no two runs share: times, transactions, directories.

use std::path::Path;

use crate::sides::Outcome;

/// The outcome with placeholders for what may differ.
pub(crate) fn outcome(mut outcome: Outcome, dir: &Path) -> Outcome {
    outcome.out = text(&outcome.out, dir);
    outcome.err = text(&outcome.err, dir);
    outcome
}

pub(crate) fn text(text: &str, dir: &Path) -> String {
    let text = text.replace(&dir.display().to_string(), "DIR");
    let mut lines: Vec<String> = text.lines().map(line).filter(|line| !is_noise(line)).collect();
    // Groups are hashed, differently in each process.
    for groups in lines.chunk_by_mut(|a, b| is_group(a) && is_group(b)) {
        groups.sort();
    }
    lines.into_iter().map(|line| line + "\n").collect()
}

fn is_group(line: &str) -> bool {
    line.starts_with(" group_id=")
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
