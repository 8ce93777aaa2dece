//! Side by side with Debian's `ovs-ofctl`: what flows and messages are taken or refused, and how they are printed.
//!
//! - `matches.txt` and `actions.txt` become flows, each in several versions, for `parse-flow`;
//! - all of these flows, in every form that can carry them, and `messages.txt`, and the lists of single subjects in every
//!   version, and what random changes make of all of them, become messages for `ofp-parse`.
//!
//! `differences.txt` has what is different on purpose, with the reason.

mod corpus;
mod groups;

use std::collections::BTreeSet;
use std::io::Write;
use std::process::{Command, Stdio};

use openflow::message::flow_mod;
use openflow::text::flow::parse_flow;
use openflow::text::message::{Verbosity, print};
use openflow::wire::encode;
use openflow::{Message, Protocols, Version};

const DEBIANS: &str = "/usr/bin/ovs-ofctl";

/// Parts of lines that are different on purpose, and in which list they are looked for.
fn differences(list: &str) -> Vec<&'static str> {
    let all = include_str!("differences.txt").lines();
    let of_list = all.filter_map(|line| line.strip_prefix(list)?.strip_prefix(": "));
    of_list.map(|line| line.split(" # ").next().unwrap_or(line)).collect()
}

fn debian(args: &[&str], input: &[u8]) -> (bool, String) {
    let mut child = Command::new(DEBIANS)
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("Debian's openvswitch-common is needed here, and is not installed");
    let mut stdin = child.stdin.take().expect("a pipe");
    let input = input.to_owned();
    let writer = std::thread::spawn(move || stdin.write_all(&input));
    let output = child.wait_with_output().expect("an exit");
    // Whoever does not want to read on need not.
    let _ = writer.join().expect("a writer");
    (output.status.success(), String::from_utf8_lossy(&output.stdout).into_owned())
}

/// What our `parse-flow` prints.
fn ours(flow: &str, version: Version) -> (bool, String) {
    let Ok(parsed) = parse_flow(flow, flow_mod::Command::Add) else {
        return (false, String::new());
    };
    let mut out = format!("usable protocols: {}\n", parsed.protocols);
    let usable = parsed.protocols.and(Protocols::of_version(version));
    let Some(protocol) = usable.preferred() else { return (false, out) };
    out += &format!("chosen protocol: {protocol}\n");
    let message = Message::FlowMod(Box::new(parsed.flow));
    let bytes = encode(&message, protocol, 1).expect("a short message");
    let text = print(&bytes, Verbosity(0));
    (!text.contains("***"), out + &text)
}

fn flows() -> Vec<String> {
    let matches = include_str!("matches.txt").lines().map(|m| format!("{m},actions=2"));
    let kinds = ["tcp", "mpls", "dl_vlan=3,ipv6"];
    let actions = include_str!("actions.txt")
        .lines()
        .flat_map(|a| kinds.map(|kind| format!("{kind},actions={a}")));
    matches.chain(actions).collect()
}

#[test]
fn flows_are_read_and_written_as_debians() {
    let known = differences("flow");
    let mut wrong = Vec::new();
    let mut compared = 0;
    for flow in flows() {
        if known.iter().any(|part| flow.contains(part)) {
            continue;
        }
        for version in [Version::V10, Version::V11, Version::V13, Version::V15] {
            let name = version.to_string();
            let (accepted, out) = debian(&["-O", &name, "parse-flow", &flow], b"");
            let theirs = (accepted && !out.contains("***"), out);
            let ours = ours(&flow, version);
            compared += 1;
            // How it is refused need not be the same.
            if ours != theirs && (ours.0 || theirs.0) {
                wrong.push(format!("{version} {flow}\n  theirs: {theirs:?}\n  ours:   {ours:?}"));
            }
        }
    }
    assert!(compared > 2000, "{compared}");
    assert!(wrong.is_empty(), "{} of {compared}:\n{}", wrong.len(), wrong.join("\n"));
}

/// Messages between markers, through one process; what was printed between the markers.
fn print_all(messages: &[Vec<u8>]) -> Vec<String> {
    let mut stream = Vec::new();
    let marker = |i: usize| {
        let xid = 0xabcd_0000 | i as u32;
        [vec![1, 2, 0, 8], xid.to_be_bytes().to_vec()].concat()
    };
    for (i, message) in messages.iter().enumerate() {
        stream.extend(message);
        stream.extend(marker(i));
    }
    let (ok, out) = debian(&["ofp-parse", "-"], &stream);
    assert!(ok, "ofp-parse failed after {:?}", &out[out.len().saturating_sub(300)..]);
    let mut rest = &out[..];
    let mut texts = Vec::new();
    for i in 0..messages.len() {
        let marker =
            format!("OFPT_ECHO_REQUEST (xid={:#x}): 0 bytes of payload\n", 0xabcd_0000 | i as u32);
        let (text, behind) = rest.split_once(&marker).expect("a marker");
        texts.push(text.to_owned());
        rest = behind;
    }
    texts
}

/// Why a message is refused, if it is: what stands before the error, as far as it is a name, and the error's own.
fn refusal(text: &str) -> Option<(&str, &str)> {
    let (before, code) = text.split_once("***decode error: ")?;
    let name = before.split(':').next().unwrap_or_default().trim_end();
    Some((name, code.split("***").next().unwrap_or_default()))
}

/// What came of comparing messages.
#[derive(Default)]
struct Comparison {
    /// Those that only one side takes, or that are printed in another way.
    wrong: Vec<String>,
    /// Those that both refuse, with other codes.
    codes: Vec<String>,
    /// How many Debian's takes.
    accepted: usize,
    /// Which known differences were met.
    met: BTreeSet<&'static str>,
}

fn compare(messages: &[Vec<u8>]) -> Comparison {
    let known = differences("message");
    // Pairs of codes: theirs, or that it takes the message, and ours.
    let codes = differences("codes");
    let mut all = Comparison::default();
    for chunk in messages.chunks(5000) {
        for (message, theirs) in chunk.iter().zip(print_all(chunk)) {
            let ours = print(message, Verbosity(1));
            let reasons = (refusal(&theirs), refusal(&ours));
            all.accepted += usize::from(reasons.0.is_none());
            let same = match reasons {
                (None, None) => ours == theirs,
                (theirs, Some((_, ours)))
                    if codes
                        .contains(&&*format!("{} {ours}", theirs.map_or("accepted", |r| r.1))) =>
                {
                    true
                }
                (theirs, ours) => theirs == ours,
            };
            if same {
                continue;
            }
            let excuse = known.iter().find(|part| theirs.contains(**part) || ours.contains(**part));
            if let Some(part) = excuse {
                all.met.insert(part);
                continue;
            }
            let hex: String = message.iter().map(|b| format!("{b:02x}")).collect();
            let both_refuse = reasons.0.is_some() && reasons.1.is_some();
            let list = if both_refuse { &mut all.codes } else { &mut all.wrong };
            list.push(format!("{hex}\ntheirs: {theirs}ours:   {ours}"));
        }
    }
    all
}

#[test]
fn messages_are_printed_as_debians() {
    let (messages, changed) = corpus::messages(&flows());
    let Comparison { wrong, codes, accepted, mut met } = compare(&messages);
    println!("{} messages compared, {accepted} of them accepted", messages.len());
    assert!(messages.len() > 20_000 && accepted > 15_000, "{}, {accepted}", messages.len());
    let wrong = [wrong, codes].concat();
    assert!(wrong.is_empty(), "{}:\n{}", wrong.len(), wrong.join("\n"));

    // What only one side takes, or that has several faults of which either side names another, is listed with reasons; the few
    // that are left are printed in other words.
    let Comparison { wrong, codes, accepted, met: more } = compare(&changed);
    met.extend(more);
    let (differ, other) = (wrong.len(), codes.len());
    println!("{} changed ones, {accepted} accepted, {differ} differ, {other} codes", changed.len());
    assert!(changed.len() > 10_000 && accepted > 3000, "{}, {accepted}", changed.len());
    assert!(differ <= 2, "{differ}:\n{}", wrong.join("\n"));
    assert!(other == 0, "{other}:\n{}", codes.join("\n"));
    let stale: Vec<_> = differences("message").into_iter().filter(|d| !met.contains(d)).collect();
    assert!(stale.is_empty(), "differences that are none any more: {stale:?}");
}
