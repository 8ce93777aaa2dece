//! The reference's datapath and ours make the same of the same frames, and write actions in the same words.

use crate::act::options::{Names, OptionTable};
use flow::extract::{Metadata, extract};
use flow::text::{ActionsText, Numbers, parse_actions, parse_hex_packet};
use flow::{Action, DpPort, FlowKey};
use packet::{Csum, Gso, GsoKind, Packet};
use std::collections::BTreeMap;

use super::{Executor, Work};
use crate::meters::Replica;
use crate::tests::device::{EVERYTHING, MemDevice};

const SEEN: &str = include_str!("../../testdata/actions.txt");

/// Where the reference does what is not right, and we do not follow: frame, and a part of the actions.
const WRONG: &[(&str, &str)] = &[
    // It takes the payload of a later fragment for a transport header, and "corrects" its checksum.
    ("later", "set(ipv4(src="),
    ("later", "set(ipv4(dst="),
    // It edits the first address option alone, though it matches on both.
    ("ns-both", "sll="),
    // It does not correct TCP's checksum behind a routing header, also where the source has changed.
    ("routed-tcp6", "set(ipv6(src="),
];

/// What comes out of port 2 for a packet that came in at port 1.
fn run(packet: Packet, actions: &[Action]) -> Vec<Vec<u8>> {
    let mut exec = Executor::new(Replica::default(), OptionTable::new(Names::default()));
    let device = MemDevice::new("mem", EVERYTHING);
    exec.ports.add_device(DpPort(2), netdev::Device::tx_queue(&*device).unwrap());
    let (key, _) = extract(packet.bytes(), &Metadata::port(DpPort(1))).unwrap();
    let mut keys: Vec<FlowKey> = vec![key];
    exec.act(actions, &mut vec![Work { packet, key: 0 }], &mut keys, 0);
    exec.ports.flush_all(&mut exec.buffers, &mut exec.tally);
    device.sent(0).iter().map(|p| p.bytes().to_vec()).collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

#[test]
fn frames_come_out_as_the_reference_sends_them() {
    let mut frames = BTreeMap::new();
    let (mut pairs, mut wrong) = (0, vec![]);
    for line in SEEN.lines().filter(|line| !line.starts_with('#')) {
        let (first, rest) = line.split_once(' ').unwrap();
        let (second, third) = rest.split_once(' ').unwrap();
        if first == "frame" {
            frames.insert(second, parse_hex_packet(third).unwrap());
            continue;
        }
        let actions = parse_actions(second, &Numbers).unwrap_or_else(|e| panic!("{line}: {e}"));
        let text = ActionsText { actions: &actions, names: &Numbers }.to_string();
        if text != second {
            wrong.push(format!("{second}\nwritten {text}"));
        }
        let got = run(Packet::from_frame(&frames[first]), &actions);
        let got = got.iter().map(|frame| hex(frame)).collect::<Vec<_>>().join(",");
        let got = if got.is_empty() { "-".to_owned() } else { got };
        pairs += 1;
        let known = WRONG.iter().any(|(f, part)| *f == first && second.contains(part));
        if (got != third) != known {
            wrong.push(format!("{first} {second}\n    is {got}\nnot    {third}"));
        }
    }
    assert!(pairs >= 900, "{pairs}");
    assert!(wrong.is_empty(), "{} of {pairs}:\n{}", wrong.len(), wrong.join("\n"));
}

/// Frames cut anywhere, in any state of offload, are no reason to panic for any of these actions, nor for all of them in a row.
#[test]
fn broken_frames_take_every_action() {
    let mut frames = vec![];
    // What the reference does not know.
    const OURS: [&str; 3] = [
        "copy_ttl_in,copy_ttl_out,2",
        "push_mpls(label=5,tc=0,ttl=9,bos=1,eth_type=0x8847),copy_ttl_in,copy_ttl_out,pop_mpls(eth_type=0x88e7),pop_pbb,2",
        "push_pbb(tci=0x64),set(pbb(tci=0x5/0xff)),push_vlan(vid=5,pcp=0),pop_pbb,2",
    ];
    let mut lists: Vec<_> =
        OURS.iter().map(|text| parse_actions(text, &Numbers).unwrap()).collect();
    for line in SEEN.lines().filter(|line| !line.starts_with('#')) {
        let mut words = line.split(' ');
        match (words.next(), words.next(), words.next()) {
            (Some("frame"), _, Some(hex)) => frames.push(parse_hex_packet(hex).unwrap()),
            (_, Some(actions), _) => lists.push(parse_actions(actions, &Numbers).unwrap()),
            _ => {}
        }
    }
    let partial = |start| Csum::Partial { start, offset: 16 };
    for (i, actions) in lists.iter().enumerate() {
        let next = lists.get(i + 1).map_or(&[][..], |next| next.as_slice());
        let both = [actions.as_slice(), next].concat();
        for (j, frame) in frames.iter().enumerate() {
            let cut = 14 + (i * 31 + j * 17) % (frame.len() - 13);
            let mut packet = Packet::from_frame(&frame[..cut]);
            let start = ((i + j) % 70) as u16;
            packet.offload.csum = if i % 3 == 0 { Csum::Complete } else { partial(start) };
            if (i + j) % 4 == 0 {
                packet.offload.gso = Some(Gso { kind: GsoKind::Tcp4, size: 5, ecn: false });
            }
            run(packet, &both);
        }
    }
}
