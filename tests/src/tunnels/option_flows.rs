//! What flows look at of Geneve's options, beside Debian's: traces, cached flows as text, and where packets go.
//!
//! Debian's datapath matches types and lengths of all options in their order as soon as a packet comes through Geneve; ours only
//! those that somebody has looked at. So texts of cached flows are compared for packets with nothing else; of all packets it is
//! compared where they go, and that traces look at nothing more. (Left out is what Debian's cannot do: read an option that is of
//! another length than its field, or set a part of one that a packet with other options does not have.)

use std::collections::BTreeMap;
use std::fmt::Write;
use std::time::Duration;

use packet::wire::geneve::GeneveOption;
use testbed::bed::Sharing;
use testbed::{Host, Programs, Testbed};

use crate::support::{ok, ours, programs, reference};

const FLAGS: [&str; 3] = ["--enable-dummy", "--disable-system", "--disable-system-route"];
const MARK: &str = "=-=-= next";

/// Rules of the bridge with the tunnel (port 1), which has ports 2 and 3 and a second tunnel (4).
const RULES: [&[&str]; 11] = [
    &["tun_metadata0=5,actions=2", "priority=0,actions=3"],
    &["tun_metadata0=0x5/0xf,actions=2", "priority=0,actions=3"],
    &["tun_metadata0=0,actions=2", "priority=0,actions=3"],
    &["tun_metadata1,actions=2", "priority=0,actions=3"],
    &["tun_metadata0=1,tun_metadata1=3,actions=2", "priority=0,tun_metadata3,actions=2,3"],
    &[
        "actions=move:tun_metadata1[0..7]->NXM_NX_REG0[0..7],resubmit(,1)",
        "table=1,reg0=6,actions=2",
    ],
    &["actions=2"],
    &["actions=set_field:7->tun_metadata0,2"],
    &["actions=set_field:7->tun_metadata0,4"],
    &["tun_metadata2=7,actions=2", "priority=0,actions=drop"],
    &["actions=delete_field:tun_metadata0,resubmit(,1)", "table=1,tun_metadata0=5,actions=2"],
];

/// Options that are fields, by class, type and length; and one that is none.
type Given = (u16, u8, &'static [u8]);
const FIELDS: &str = "{class=0xffff,type=0,len=4}->tun_metadata0,{class=0xffff,type=1,len=8}->tun_metadata1,\
    {class=0x102,type=0x80,len=4}->tun_metadata2,{class=0xffff,type=3,len=0}->tun_metadata3";
const ZERO: Given = (0xffff, 0, &[0; 4]);
const FIVE: Given = (0xffff, 0, &[0, 0, 0, 5]);
const FIFTEEN: Given = (0xffff, 0, &[0, 0, 0, 0x15]);
const LONG: Given = (0xffff, 1, &[0, 0, 0, 5, 0, 0, 0, 6]);
const MUST: Given = (0x102, 0x80, &[0, 0, 0, 7]);
const EMPTY: Given = (0xffff, 3, &[]);
const UNKNOWN: Given = (0x77, 9, &[0, 0, 0x12, 0x34]);

/// The options of each packet.
const PACKETS: [&[Given]; 11] = [
    &[],
    &[FIVE],
    &[ZERO],
    &[FIFTEEN],
    &[LONG, FIVE, UNKNOWN],
    &[UNKNOWN, MUST, EMPTY],
    &[UNKNOWN],
    &[FIVE, UNKNOWN],
    &[UNKNOWN, FIVE],
    &[ZERO, FIVE],
    &[EMPTY],
];

fn header(options: &[Given]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (class, kind, value) in options {
        let written = GeneveOption { class: *class, kind: *kind, value }.write(&mut bytes);
        assert!(written.is_some());
    }
    bytes
}

/// As `geneve(..)` has them.
fn text(options: &[Given]) -> String {
    let mut out = String::new();
    for (class, kind, value) in options {
        let _ = write!(out, "{{class={class:#x},type={kind:#x},len={}", value.len());
        if !value.is_empty() {
            let digits: String = value.iter().map(|byte| format!("{byte:02x}")).collect();
            let _ = write!(out, ",0x{digits}");
        }
        out.push('}');
    }
    out
}

/// A frame for the tunnel, from its other end.
fn frame(options: &[Given]) -> String {
    let sum = |bytes: &[u8]| packet::checksum::checksum(bytes).to_be_bytes();
    let ip = |proto: u8, src: [u8; 4], dst: [u8; 4], inside: &[u8]| {
        let len = (20 + inside.len() as u16).to_be_bytes();
        let mut ip = vec![0x45, 0, len[0], len[1], 0, 0, 0, 0, 64, proto, 0, 0];
        ip.extend(src.into_iter().chain(dst));
        let [a, b] = sum(&ip);
        (ip[10], ip[11]) = (a, b);
        [&ip[..], inside].concat()
    };
    let mut ping = vec![8, 0, 0, 0, 0, 1, 0, 1];
    let [a, b] = sum(&ping);
    (ping[2], ping[3]) = (a, b);
    let inner = [
        &b"\x50\x54\0\0\0\x07\x50\x54\0\0\0\x05\x08\0"[..],
        &ip(1, [10, 0, 0, 1], [10, 0, 0, 2], &ping),
    ]
    .concat();
    let header = header(options);
    let critical = if options.iter().any(|(_, kind, _)| kind & 0x80 != 0) { 0x40 } else { 0 };
    let geneve = [(header.len() / 4) as u8, critical, 0x65, 0x58, 0, 0, 5, 0];
    let inside = [&geneve[..], &header, &inner].concat();
    let len = (8 + inside.len() as u16).to_be_bytes();
    let udp = [&[0xc3, 0x50, 0x17, 0xc1, len[0], len[1], 0, 0][..], &inside].concat();
    let link = b"\xaa\x55\xaa\x55\0\0\xf8\xbc\x12\x44\x34\xb6\x08\0";
    let all = [&link[..], &ip(17, [1, 1, 2, 92], [1, 1, 2, 88], &udp)].concat();
    all.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn switch(bed: &Testbed, name: &str, programs: &Programs) -> Host {
    let mut host = ok(bed.host(name, programs));
    ok(host.start_database(&[]));
    ok(host.start_switch(&FLAGS));
    host
}

fn set_up(host: &Host) {
    let script = format!(
        "ovs-vsctl add-br phy -- set bridge phy datapath_type=dummy fail-mode=secure \
         other-config:hwaddr=aa:55:aa:55:00:00 -- add-port phy p1 -- set interface p1 type=dummy ofport_request=1 \
         -- add-br br0 -- set bridge br0 datapath_type=dummy fail-mode=secure other-config:hwaddr=aa:55:aa:55:00:01
         for i in 2 3; do ovs-vsctl add-port br0 p$i -- set interface p$i type=dummy ofport_request=$i; done
         ovs-vsctl add-port br0 g1 -- set interface g1 type=geneve options:remote_ip=1.1.2.92 options:key=flow ofport_request=1 \
         -- add-port br0 g4 -- set interface g4 type=geneve options:remote_ip=1.1.2.93 options:key=flow ofport_request=4
         for a in 'netdev-dummy/ip4addr phy 1.1.2.88/24' 'ovs/route/add 1.1.2.0/24 phy' \
         'tnl/neigh/set phy 1.1.2.92 f8:bc:12:44:34:b6' 'tnl/neigh/set phy 1.1.2.93 f8:bc:12:44:34:b7'; do \
         ovs-appctl $a >/dev/null; done
         ovs-ofctl add-flow phy in_port=1,actions=local
         ovs-ofctl add-flow phy in_port=local,actions=1
         ovs-ofctl add-tlv-map br0 '{FIELDS}'"
    );
    ok(host.shell(&script).ok());
}

/// What a switch says of each packet under each set of rules: the megaflow and what is done, then where all of them went, one by one.
/// (Of what goes into the second tunnel Debian's counts each packet twice.)
fn ask(host: &Host) -> Vec<String> {
    set_up(host);
    let mut script = format!(
        "count() {{ for p in 2 3; do ovs-ofctl dump-ports br0 $p | grep -o 'tx pkts=[0-9]*'; done; }}
         ask() {{ echo '{MARK}'
         ovs-appctl ofproto/trace ovs-dummy \"tunnel(tun_id=0x5,src=1.1.2.92,dst=1.1.2.88,ttl=64,geneve($1),flags(key)),\
         in_port(6081),eth(src=50:54:00:00:00:05,dst=50:54:00:00:00:07),eth_type(0x0800),\
         ipv4(src=10.0.0.1,dst=10.0.0.2,proto=1,tos=0,ttl=64,frag=no)\" | grep '^Megaflow\\|^Datapath'
         ovs-appctl revalidator/purge >/dev/null
         for round in 1 2; do ovs-appctl netdev-dummy/receive p1 $2 >/dev/null
         for i in $(seq 20); do flow=$(ovs-appctl dpctl/dump-flows | grep -o 'tunnel(.*')
         test -n \"$flow\" && break; sleep 0.02; done; done
         echo \"$flow\" | grep -o 'geneve([^)]*)' | head -1; }}\n"
    );
    for rules in RULES {
        let _ = writeln!(script, "ovs-ofctl del-flows br0");
        for rule in rules {
            let _ = writeln!(script, "ovs-ofctl add-flow br0 '{rule}'");
        }
        for options in PACKETS {
            let _ = writeln!(script, "ask '{}' {}", text(options), frame(options));
        }
        // What flows have counted is credited to tunnels when they go.
        let _ = writeln!(script, "echo '{MARK}'\novs-appctl revalidator/purge >/dev/null\ncount");
    }
    let said = ok(host.shell(&script).limit(Duration::from_secs(240)).output()).stdout;
    said.split(MARK).skip(1).map(|part| part.trim().to_owned()).collect()
}

/// What a megaflow says of a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Looked {
    Missing,
    /// These bits of it, which are the value's.
    Bits(u128, u128),
}

/// The fields of options in a megaflow.
fn fields(said: &str) -> BTreeMap<&str, Looked> {
    let line = said.lines().find_map(|line| line.strip_prefix("Megaflow: ")).unwrap_or_default();
    let number = |text: &str| match text.strip_prefix("0x") {
        Some(digits) => u128::from_str_radix(digits, 16).expect(digits),
        None => text.parse().expect(text),
    };
    let looked = |field| match str::split_once(field, '=') {
        None => (field, Looked::Bits(0, 0)),
        Some((name, "NP")) => (name, Looked::Missing),
        Some((name, value)) => match value.split_once('/') {
            Some((value, mask)) => (name, Looked::Bits(number(value), number(mask))),
            None => (name, Looked::Bits(number(value), u128::MAX)),
        },
    };
    line.split(',').filter(|field| field.starts_with("tun_metadata")).map(looked).collect()
}

/// Whether ours looks at nothing that Debian's does not look at, and sees the same there.
fn looks_no_further(mine: &str, debians: &str) -> bool {
    let theirs = fields(debians);
    fields(mine).into_iter().all(|(name, own)| match (own, theirs.get(name)) {
        (Looked::Bits(value, mask), Some(Looked::Bits(their_value, their_mask))) => {
            mask & !their_mask == 0 && (value ^ their_value) & mask == 0
        }
        (own, theirs) => Some(&own) == theirs,
    })
}

#[test]
fn options_are_looked_at_one_by_one_as_debians_does() {
    if !ours() {
        return;
    }
    let bed = ok(Testbed::new(Sharing::Shared));
    let [mine, debians] =
        [("ours", programs()), ("debians", reference())].map(|(n, p)| ask(&switch(&bed, n, &p)));
    assert_eq!(mine.len(), RULES.len() * (PACKETS.len() + 1));
    let (mut differ, mut i) = (String::new(), 0);
    for (number, rules) in RULES.into_iter().enumerate() {
        // To a tunnel all options go that are fields; Debian's forgets to say so.
        let to_tunnel = rules.iter().any(|rule| rule.ends_with(",4"));
        for options in PACKETS {
            let (mine, debians) = (&mine[i], &debians[i]);
            // Which number is free depends on when the last trace's was let go of.
            let is_no_number = |word: &&str| !word.starts_with("recirc_id=");
            let line = |said: &str, begin: &str| {
                let line = said.lines().find(|line| line.starts_with(begin)).unwrap_or_default();
                line.split(',').filter(is_no_number).collect::<Vec<_>>().join(",")
            };
            let differs = |begin| line(mine, begin) != line(debians, begin);
            // The rules that look at field 0, and packets that have nothing else.
            let is_text_the_same =
                number < 3 && options.iter().all(|o| [ZERO, FIVE].contains(o)) && options.len() < 2;
            if !to_tunnel && !looks_no_further(mine, debians)
                || differs("Datapath actions")
                || is_text_the_same && differs("geneve(")
            {
                let _ = writeln!(differ, "{rules:?} {}\n{mine}\n--\n{debians}\n", text(options));
            }
            i += 1;
        }
        if mine[i] != debians[i] {
            let _ = writeln!(differ, "{rules:?} sent\n{}\n--\n{}\n", mine[i], debians[i]);
        }
        i += 1;
    }
    assert!(differ.is_empty(), "{differ}");
}
