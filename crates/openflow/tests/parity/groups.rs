//! Groups as text: what Debian's `ovs-ofctl` sends to a switch for it, which is us.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::thread;

use openflow::text::group::{GroupVerb, parse_group};
use openflow::wire::encode;
use openflow::{Message, Protocols, Version};

/// Talks to a controller until it has said all that it has to say; the group-mod among that.
fn serve(mut stream: TcpStream, version: Version) -> Option<Vec<u8>> {
    // Whatever it waits for that we do not know, it does not wait for ever.
    stream.set_read_timeout(Some(std::time::Duration::from_secs(10))).ok()?;
    let v = version as u8;
    // Who only came to wake us up is gone already.
    stream.write_all(&[v, 0, 0, 8, 0, 0, 0, 1]).ok()?;
    let mut sent = None;
    let mut head = [0; 8];
    while stream.read_exact(&mut head).is_ok() {
        let len = usize::from(u16::from_be_bytes([head[2], head[3]]));
        let mut message = head.to_vec();
        message.resize(len.max(8), 0);
        stream.read_exact(&mut message[8..]).ok()?;
        let name = openflow::wire::name(&message).unwrap_or_default();
        if name.ends_with("_GROUP_MOD") {
            sent = Some(message);
        } else if name == "OFPT_BARRIER_REQUEST" {
            message[1] += 1;
            stream.write_all(&message).ok()?;
        }
    }
    sent
}

/// The group-mod that Debian's program makes of a text, if it takes it.
fn debians(command: &str, text: &str, version: Version) -> Option<Vec<u8>> {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    let mut child = Command::new(super::DEBIANS)
        .args(["--no-names", "-O", &version.to_string(), command, &format!("tcp:{address}"), text])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("Debian's openvswitch-common is needed here, and is not installed");
    // Whoever refuses a text does not call. Then the end of the program does.
    let waker = thread::spawn(move || {
        let _ = child.wait();
        drop(TcpStream::connect(address));
    });
    let (stream, _) = listener.accept().expect("a call");
    let sent = serve(stream, version);
    let _ = waker.join();
    sent
}

fn ours(command: &str, text: &str, version: Version) -> Option<Vec<u8>> {
    let verb = match command {
        "add-group" => GroupVerb::Add,
        "mod-group" => GroupVerb::Modify,
        "del-groups" => GroupVerb::Delete,
        "insert-buckets" => GroupVerb::InsertBuckets,
        _ => GroupVerb::RemoveBuckets,
    };
    let parsed = parse_group(text, verb).ok()?;
    let protocol = parsed.protocols.and(Protocols::of_version(version)).preferred()?;
    encode(&Message::GroupMod(Box::new(parsed.change)), protocol, 1).ok()
}

#[test]
fn groups_are_read_and_written_as_debians() {
    let known = super::differences("group");
    let lines = include_str!("group_texts.txt").lines().filter(|line| !line.starts_with('#'));
    let (mut wrong, mut same) = (Vec::new(), 0);
    for line in lines.filter(|line| !known.contains(line)) {
        let (command, text) = line.split_once(' ').expect("a command and a group");
        for version in [Version::V10, Version::V11, Version::V13, Version::V15] {
            // Transactions have numbers of their own.
            let body = |message: Option<Vec<u8>>| message.map(|m| (m[1], m[8..].to_vec()));
            let theirs = body(debians(command, text, version));
            let ours = body(ours(command, text, version));
            same += usize::from(theirs.is_some() && theirs == ours);
            if theirs != ours {
                let hex = |m: &Option<(u8, Vec<u8>)>| {
                    m.as_ref()
                        .map(|(_, m)| m.iter().map(|b| format!("{b:02x}")).collect::<String>())
                };
                let (theirs, ours) = (hex(&theirs), hex(&ours));
                wrong.push(format!("{version} {line}\n  {theirs:?}\n  {ours:?}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}:\n{}", wrong.len(), wrong.join("\n"));
    assert!(same > 80, "{same}");
}
