//! Pipelines as real controllers make them forward the same frames as Debian's switch does, byte by byte.
//!
//! Scripts (`data/neutron.txt`, `data/antrea.txt`) say what there is and what is to happen. Both switches carry it out, with
//! dummy ports and a clock that the script moves; what comes out of each port must be the same on both, and what the script
//! expects. At the end all rules must have the same counters. Lines:
//!
//! | | |
//! |---|---|
//! | `bridge NAME COLUMNS` | a bridge |
//! | `port BRIDGE NAME OFPORT COLUMNS` | a dummy port |
//! | `$ COMMAND` | typed at the host's shell |
//! | `flows BRIDGE` and lines `table=..` | rules |
//! | `host NAME MAC ADDRESS` | a name for frames to use |
//! | `tunnels PORT MAC ADDRESS`, `peer ADDRESS MAC` | the underlay, for frames in VXLAN |
//! | `stop` | time stops |
//! | `packets-only BRIDGE..` | there, bytes are not compared |
//! | `@ MS` | and moves on by that much |
//! | `PORT -> PORTS : FRAME` | a frame arrives, and leaves by these, or by none (`-`) |
//! | `PORT -> * : FRAME` | it leaves by one port, whichever |
//! | `PORT/REMOTE/VNI -> ..` | one arrives in VXLAN |
//!
//! A frame is `arp? FROM TO`, `arp! FROM TO`, `ping FROM TO`, `pong FROM TO`, `udp FROM TO SPORT DPORT` or `tcp` likewise, with
//! any of `vlan=` `pcp=` `ttl=` `tos=` `frag=` `from=MAC` `to=MAC` `len=BYTES`.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs::File;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use lab::frames::{self, Wrap};
use packet::wire::ethernet::{Mac, parse_mac};
use testbed::bed::Sharing;
use testbed::{Host, Programs, Testbed};

use crate::support::{ok, programs, reference};

/// A line of a script.
#[derive(Debug)]
enum Step {
    Type(String),
    Wait(u64),
    Send { line: String, port: String, frame: Vec<u8>, expected: Vec<String> },
}

/// What a script says, for one host to carry out.
#[derive(Debug, Default)]
struct Script {
    steps: Vec<Step>,
    bridges: Vec<String>,
    /// Bridges where bytes are counted in different ways.
    packets_only: Vec<String>,
    ports: Vec<String>,
    hosts: BTreeMap<String, (Mac, IpAddr)>,
    underlay: Option<(String, Mac, Ipv4Addr)>,
    peers: BTreeMap<Ipv4Addr, Mac>,
}

fn mac(text: &str) -> Mac {
    parse_mac(text).unwrap_or_else(|| panic!("{text} is no hardware address"))
}

fn mac_text(mac: Mac) -> String {
    mac.map(|b| format!("{b:02x}")).join(":")
}

impl Script {
    fn parse(text: &str) -> Self {
        let mut all = Self::default();
        let mut lines = text.lines().filter(|l| !l.is_empty() && !l.starts_with('#')).peekable();
        while let Some(line) = lines.next() {
            let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
            if word != "flows" {
                all.line(line, word, rest);
                continue;
            }
            let mut typed = format!("ovs-ofctl -OOpenFlow15 add-flows {rest} - <<'END'\n");
            while let Some(rule) = lines.next_if(|line| line.starts_with("table=")) {
                let _ = writeln!(typed, "{rule}");
            }
            all.steps.push(Step::Type(typed + "END"));
        }
        all
    }

    fn line(&mut self, line: &str, word: &str, rest: &str) {
        let words: Vec<&str> = rest.split(' ').collect();
        match (word, words.as_slice()) {
            ("$", _) => self.steps.push(Step::Type(rest.into())),
            ("stop", _) => self.steps.push(Step::Type("ovs-appctl time/stop".into())),
            ("@", [ms]) => self.steps.push(Step::Wait(ms.parse().expect(line))),
            ("bridge", [name, columns @ ..]) => {
                self.bridges.push((*name).into());
                self.steps.push(Step::Type(format!(
                    "ovs-vsctl add-br {name} -- set bridge {name} datapath_type=dummy {}",
                    columns.join(" ")
                )));
            }
            ("port", [bridge, name, ofport, columns @ ..]) => {
                self.ports.push((*name).into());
                let columns = columns.join(" ");
                let columns = if columns.is_empty() {
                    columns
                } else {
                    format!("-- set port {name} {columns}")
                };
                self.steps.push(Step::Type(format!(
                    "ovs-vsctl add-port {bridge} {name} -- set interface {name} type=dummy \
                     ofport_request={ofport} options:tx_pcap=$OVS_RUNDIR/{name}.pcap {columns}"
                )));
            }
            ("host", [name, address, ip]) => {
                self.hosts.insert((*name).into(), (mac(address), ip.parse().expect(line)));
            }
            ("tunnels", [port, address, ip]) => {
                self.underlay = Some(((*port).into(), mac(address), ip.parse().expect(line)));
            }
            ("packets-only", names) => {
                self.packets_only = names.iter().map(|name| (*name).into()).collect();
            }
            ("peer", [ip, address]) => {
                self.peers.insert(ip.parse().expect(line), mac(address));
            }
            (port, ["->", ..]) => self.send(line, port),
            _ => panic!("{line}: what is that?"),
        }
    }

    fn send(&mut self, line: &str, from: &str) {
        let (head, frame) = line.split_once(" : ").expect(line);
        let (_, to) = head.split_once(" -> ").expect(line);
        let mut expected: Vec<_> =
            to.split(' ').filter(|port| *port != "-").map(str::to_owned).collect();
        expected.sort();
        let inner = self.frame(frame);
        let mut way = from.split('/');
        let port = way.next().unwrap_or_default().to_owned();
        let frame = match (way.next(), way.next()) {
            (Some(remote), Some(vni)) => self.wrap(remote.parse().expect(line), vni, &inner),
            _ => inner,
        };
        self.steps.push(Step::Send { line: line.into(), port, frame, expected });
    }

    fn wrap(&self, remote: Ipv4Addr, vni: &str, inner: &[u8]) -> Vec<u8> {
        let (_, own, local) = self.underlay.as_ref().expect("an underlay");
        let wrap = Wrap::new((self.peers[&remote], *own), (remote, *local));
        Wrap { vni: vni.parse().expect("a number"), ..wrap }.wrap(inner)
    }

    /// The frame that these words say.
    fn frame(&self, text: &str) -> Vec<u8> {
        let (options, words): (Vec<&str>, Vec<&str>) =
            text.split(' ').partition(|word| word.contains('='));
        let option = |name: &str| {
            options.iter().find_map(|o| o.strip_prefix(name)?.strip_prefix('=')).map(str::to_owned)
        };
        let [kind, from, to, ports @ ..] = words.as_slice() else { panic!("{text}") };
        let ((src, src_ip), (dst, dst_ip)) = (self.hosts[*from], self.hosts[*to]);
        let broadcast = *kind == "arp?";
        let src_text = option("from").unwrap_or_else(|| mac_text(src));
        let dst_text =
            option("to").unwrap_or_else(|| mac_text(if broadcast { [0xff; 6] } else { dst }));
        let mut out = format!("in_port(1),eth(src={src_text},dst={dst_text})");
        let (ttl, tos) =
            (option("ttl").unwrap_or("64".into()), option("tos").unwrap_or("0".into()));
        let frag = option("frag").unwrap_or("no".into());
        let ip = |proto: u8| match (src_ip, dst_ip) {
            (IpAddr::V4(s), IpAddr::V4(d)) => format!(
                "eth_type(0x0800),ipv4(src={s},dst={d},proto={proto},tos={tos},ttl={ttl},frag={frag})"
            ),
            (s, d) => format!(
                "eth_type(0x86dd),ipv6(src={s},dst={d},label=0,proto={proto},tclass={tos},\
                 hlimit={ttl},frag={frag})"
            ),
        };
        let [sport, dport] = [0, 1].map(|i| ports.get(i).copied().unwrap_or("0"));
        let rest = match *kind {
            "arp?" | "arp!" => format!(
                "eth_type(0x0806),arp(sip={src_ip},tip={dst_ip},op={},sha={},tha={})",
                if broadcast { 1 } else { 2 },
                mac_text(src),
                if broadcast { mac_text([0; 6]) } else { mac_text(dst) },
            ),
            "ping" => format!("{},icmp(type=8,code=0)", ip(1)),
            "pong" => format!("{},icmp(type=0,code=0)", ip(1)),
            "udp" => format!("{},udp(src={sport},dst={dport})", ip(17)),
            "tcp" => format!("{},tcp(src={sport},dst={dport}),tcp_flags(0x2)", ip(6)),
            _ => panic!("{text}: no such frame"),
        };
        let _ = match option("vlan") {
            Some(vid) => {
                let pcp = option("pcp").unwrap_or("0".into());
                write!(out, ",eth_type(0x8100),vlan(vid={vid},pcp={pcp}),encap({rest})")
            }
            None => write!(out, ",{rest}"),
        };
        match option("len") {
            Some(len) => flow::compose::frame_from_text(&out, len.parse().ok()).expect(text),
            None => frames::frame(&out),
        }
    }
}

/// A switch on its way through a script.
struct Player<'a> {
    host: Host,
    clients: &'a Programs,
    script: &'a Script,
    /// By port: how many frames were seen before.
    seen: BTreeMap<&'a str, usize>,
}

/// What came out: ports and frames, in the order of their names, of one port as they came.
type Out = Vec<(String, Vec<u8>)>;

impl<'a> Player<'a> {
    fn new(
        bed: &Testbed,
        name: &str,
        by: &Programs,
        clients: &'a Programs,
        script: &'a Script,
    ) -> Self {
        let mut host = ok(bed.host(name, by));
        ok(host.start_database(&[]));
        ok(host.start_switch(&["--enable-dummy", "--disable-system", "--disable-system-route"]));
        Self { host, clients, script, seen: BTreeMap::new() }
    }

    fn shell(&self, line: &str) -> String {
        let shell = self.host.shell_by(self.clients, line).limit(Duration::from_secs(120));
        let out = ok(shell.output());
        assert!(out.success(), "{line}\n{}{}", out.stdout, out.stderr);
        out.stdout
    }

    /// Lines that are to be typed, at one go.
    fn type_all(&self, lines: &[&str]) {
        self.shell(&format!("set -e\n{}", lines.join("\n")));
    }

    fn wait(&self, ms: u64) {
        self.type_all(&[&format!("ovs-appctl time/warp {ms} {}", ms.min(1000))]);
    }

    /// What comes of a frame.
    fn send(&mut self, port: &str, frame: &[u8]) -> Out {
        let hex: String = frame.iter().map(|b| format!("{b:02x}")).collect();
        // The second command is answered when what the first one began is done.
        self.type_all(&[
            &format!("ovs-appctl netdev-dummy/receive {port} {hex}"),
            "ovs-appctl dpif/show >/dev/null",
        ]);
        self.out()
    }

    /// What has come out since the last time.
    fn out(&mut self) -> Out {
        let mut out = Out::new();
        for port in &self.script.ports {
            let path = self.host.dir().join(format!("{port}.pcap"));
            let file = File::open(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
            let reader = packet::pcap::Reader::new(std::io::BufReader::new(file));
            let reader = reader.unwrap_or_else(|e| panic!("{port}: {e}"));
            let frames: Vec<Vec<u8>> =
                reader.map(|r| r.unwrap_or_else(|e| panic!("{port}: {e}")).frame).collect();
            let seen = self.seen.entry(port).or_default();
            out.extend(frames.iter().skip(*seen).map(|f| (port.clone(), alike(f))));
            *seen = frames.len();
        }
        out
    }

    /// What all rules, groups and meters have counted.
    fn counted(&self) -> String {
        let mut said = String::new();
        for bridge in &self.script.bridges {
            let is_packets_only = self.script.packets_only.contains(bridge);
            for what in ["dump-flows", "dump-groups", "dump-group-stats", "meter-stats"] {
                let line = format!("ovs-ofctl -OOpenFlow15 {what} {bridge}");
                let mut lines: Vec<String> =
                    self.shell(&line).lines().skip(1).map(|l| counts(l, is_packets_only)).collect();
                lines.sort();
                let _ = writeln!(said, "== {what} {bridge}\n{}", lines.join("\n"));
            }
        }
        said
    }
}

/// A line without what depends on when it was asked for.
fn counts(line: &str, is_packets_only: bool) -> String {
    let left_out = ["duration", "idle_age", "hard_age", "n_bytes"];
    let left_out = if is_packets_only { &left_out[..] } else { &left_out[..3] };
    let words = line.trim().split([',', ' ']).map(str::trim).filter(|word| !word.is_empty());
    let kept = words.filter(|word| !left_out.iter().any(|name| word.starts_with(name)));
    kept.collect::<Vec<_>>().join(",")
}

/// A frame without what is anybody's choice in the outer headers of VXLAN: the identification (and with it the checksum, which
/// must be right), and the source port.
fn alike(frame: &[u8]) -> Vec<u8> {
    let mut frame = frame.to_vec();
    let vxlan = frame.len() > 42
        && frame[12..14] == [8, 0]
        && frame[23] == 17
        && frame[36..38] == 4789u16.to_be_bytes();
    if vxlan {
        assert_eq!(packet::checksum::sum(&frame[14..34]).checksum(), 0, "{frame:x?}");
        frame[18..20].fill(0);
        frame[24..26].fill(0);
        frame[34..36].fill(0);
    }
    frame
}

fn shown(out: &Out) -> String {
    let hex = |frame: &[u8]| frame.iter().map(|b| format!("{b:02x}")).collect::<String>();
    out.iter().map(|(port, frame)| format!("  {port} {}\n", hex(frame))).collect()
}

/// Has both switches play a script; says how many frames it sent.
fn play(text: &str) -> usize {
    let script = Script::parse(text);
    let (us, them) = (programs(), reference());
    let bed = ok(Testbed::new(Sharing::Shared));
    let mut players = [("ours", &us), ("theirs", &them)]
        .map(|(name, by)| Player::new(&bed, name, by, &them, &script));
    let mut report = String::new();
    let mut sent = 0;
    let mut typed: Vec<&str> = Vec::new();
    for step in &script.steps {
        if let Step::Type(line) = step {
            typed.push(line);
            continue;
        }
        let lines = std::mem::take(&mut typed);
        if !lines.is_empty() {
            players.iter().for_each(|p| p.type_all(&lines));
        }
        match step {
            Step::Wait(ms) => {
                players.iter().for_each(|p| p.wait(*ms));
                let [ours, theirs] = players.each_mut().map(Player::out);
                if ours != theirs {
                    let (ours, theirs) = (shown(&ours), shown(&theirs));
                    let _ = writeln!(report, "after {ms} ms\n ours\n{ours} theirs\n{theirs}");
                }
            }
            Step::Send { line, port, frame, expected } => {
                sent += 1;
                let [ours, theirs] = players.each_mut().map(|p| p.send(port, frame));
                let mut by: Vec<&String> = ours.iter().map(|(port, _)| port).collect();
                by.sort();
                let is_one = by.len() == 1 && expected[..] == ["*"];
                let is_expected = is_one || by == expected.iter().collect::<Vec<_>>();
                if ours != theirs || !is_expected {
                    let (ours, theirs) = (shown(&ours), shown(&theirs));
                    let _ = writeln!(report, "{line}\n ours\n{ours} theirs\n{theirs}");
                }
            }
            Step::Type(_) => {}
        }
    }
    let [ours, theirs] = players.each_ref().map(Player::counted);
    for (ours, theirs) in ours.lines().zip(theirs.lines()).filter(|(a, b)| a != b) {
        let _ = writeln!(report, "counted by ours   {ours}\ncounted by theirs {theirs}");
    }
    assert!(report.is_empty(), "{report}");
    assert_eq!(ours.lines().count(), theirs.lines().count());
    sent
}

#[test]
fn a_pipeline_of_neutron_forwards() {
    let sent = play(include_str!("../../data/neutron.txt"));
    assert!(sent >= 60, "{sent} frames");
}

#[test]
fn a_pipeline_of_antrea_forwards() {
    let sent = play(include_str!("../../data/antrea.txt"));
    assert!(sent >= 60, "{sent} frames");
}

#[test]
fn groups_and_bundles_fail_over() {
    let sent = play(include_str!("../../data/failover.txt"));
    assert!(sent >= 35, "{sent} frames");
}

#[test]
fn groups_and_bundles_choose_alike() {
    let sent = play(include_str!("../../data/select.txt"));
    assert!(sent >= 40, "{sent} frames");
}
