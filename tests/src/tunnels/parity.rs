//! Outer headers beside Debian's: what `ofproto/trace` and `dpif/show` say of a tunnel, and the bytes that leave.
//!
//! Both switches have dummy ports: an underlay bridge that sends into a capture file, and a bridge with one tunnel after the other.
//! Of the bytes, what each packet has of its own does not count: identifications, source ports and flow labels, by which ours
//! know each other, sequence numbers and times, and the checksums over these.

use std::fmt::Write;
use std::time::Duration;

use testbed::bed::Sharing;
use testbed::{Host, Programs, Testbed};

use crate::support::{ok, ours, programs, reference};

const FLAGS: [&str; 3] = ["--enable-dummy", "--disable-system", "--disable-system-route"];
const MARK: &str = "=-=-= next";

/// A tunnel, and what the packet's rule does.
struct Case {
    options: String,
    actions: &'static str,
}

/// Kinds and what is special about them.
const KINDS: [(&str, &str); 13] = [
    ("geneve", ""),
    ("geneve", "options:csum=true options:tos=0x20 options:ttl=9"),
    ("vxlan", ""),
    ("vxlan", "options:dst_port=4790 options:csum=true options:df_default=false"),
    ("vxlan", "options:exts=gpe"),
    ("vxlan", "options:exts=gpe options:packet_type=legacy_l3"),
    ("gre", "options:ttl=inherit options:tos=inherit"),
    ("gre", "options:csum=true options:seq=true"),
    ("gre", "options:packet_type=legacy_l3"),
    ("ip6gre", "options:packet_type=ptap"),
    ("erspan", "options:erspan_ver=1 options:erspan_idx=0x3"),
    ("erspan", "options:erspan_ver=2 options:erspan_dir=1 options:erspan_hwid=0x4"),
    ("gtpu", ""),
];

fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for (kind, special) in KINDS {
        for remote in ["1.1.2.92", "2001:cafe::92"] {
            let field = if remote.contains(':') { "tun_ipv6_dst" } else { "tun_dst" };
            let options = format!("type={kind} {special} options:remote_ip={remote}");
            cases.push(Case { options: format!("{options} options:key=123"), actions: "output:7" });
            let by_rules = match field {
                "tun_dst" => "set_field:1.1.2.92->tun_dst,set_field:99->tun_id,output:7",
                _ => "set_field:2001:cafe::92->tun_ipv6_dst,set_field:99->tun_id,output:7",
            };
            let options = format!("type={kind} {special} options:remote_ip=flow options:key=flow");
            cases.push(Case { options, actions: by_rules });
        }
    }
    let geneve = "type=geneve options:remote_ip=1.1.2.92 options:key=flow";
    let erspan = "type=erspan options:remote_ip=1.1.2.92 options:key=flow options:erspan_ver=flow";
    for (options, actions) in [
        (geneve, "set_field:0x10002->tun_metadata0,set_field:5->tun_id,output:7"),
        (geneve, "set_field:2->tun_metadata0,set_field:0x10000000a->tun_metadata1,output:7"),
        (geneve, "set_field:1->tun_metadata1,output:7"),
        (geneve, "set_field:0->tun_metadata2,output:7"),
        (geneve, "set_field:1->tun_flags,output:7"),
        (geneve, "set_field:0x1ffffffff->tun_id,output:7"),
        (
            erspan,
            "set_field:5->tun_id,set_field:1->tun_erspan_ver,set_field:7->tun_erspan_idx,output:7",
        ),
        (
            erspan,
            "set_field:5->tun_id,set_field:2->tun_erspan_ver,set_field:1->tun_erspan_dir,\
             set_field:15->tun_erspan_hwid,output:7",
        ),
        ("type=gre options:remote_ip=1.1.2.92", "output:7"),
        (
            "type=gre options:remote_ip=1.1.2.92 options:key=flow",
            "set_field:0x1ffffffff->tun_id,output:7",
        ),
        (
            "type=gtpu options:remote_ip=1.1.2.92 options:key=flow",
            "set_field:0x1ffffffff->tun_id,output:7",
        ),
    ] {
        cases.push(Case { options: options.to_owned(), actions });
    }
    cases
}

fn switch(bed: &Testbed, name: &str, programs: &Programs) -> Host {
    let mut host = ok(bed.host(name, programs));
    ok(host.start_database(&[]));
    ok(host.start_switch(&FLAGS));
    host
}

/// An IPv4 packet with UDP, from the guest.
const PACKET: &str = "in_port(3),eth(src=50:54:00:00:00:05,dst=50:54:00:00:00:07),eth_type(0x0800),\
    ipv4(src=192.168.0.1,dst=192.168.0.2,proto=17,tos=0x8,ttl=61,frag=no),udp(src=1000,dst=2000)";
const FLOW: &str = "in_port=3,udp,dl_src=50:54:00:00:00:05,dl_dst=50:54:00:00:00:07,\
    nw_src=192.168.0.1,nw_dst=192.168.0.2,nw_tos=8,nw_ttl=61,udp_src=1000,udp_dst=2000";

/// What a switch says and sends, case by case.
fn ask(host: &Host, cases: &[Case]) -> Vec<String> {
    let capture = host.dir().join("sent.pcap");
    let capture = capture.display();
    let mut script = format!(
        "ovs-vsctl add-br br0 -- set bridge br0 datapath_type=dummy fail-mode=secure \
         other-config:hwaddr=aa:55:aa:55:00:00 -- add-port br0 p1 -- set interface p1 type=dummy \
         ofport_request=1 options:tx_pcap={capture}
         ovs-vsctl add-br int-br -- set bridge int-br datapath_type=dummy fail-mode=secure \
         other-config:hwaddr=aa:55:aa:55:00:01 -- add-port int-br p3 -- set interface p3 type=dummy \
         ofport_request=3
         for a in 'netdev-dummy/ip4addr br0 1.1.2.88/24' 'ovs/route/add 1.1.2.92/24 br0' \
         'netdev-dummy/ip6addr br0 2001:cafe::88/64' 'ovs/route/add 2001:cafe::0/64 br0' \
         'tnl/neigh/set br0 1.1.2.92 f8:bc:12:44:34:b6' \
         'tnl/neigh/set br0 2001:cafe::92 f8:bc:12:44:34:b7'; do ovs-appctl $a >/dev/null; done
         ovs-ofctl add-flow br0 actions=output:1
         ovs-ofctl add-tlv-map int-br '{{class=0xffff,type=0x80,len=4}}->tun_metadata0,\
         {{class=0x102,type=0x1,len=8}}->tun_metadata1,{{class=0x102,type=0x2,len=4}}->tun_metadata2'\n"
    );
    for Case { options, actions } in cases {
        let _ = writeln!(
            script,
            "echo '{MARK}'
             ovs-vsctl add-port int-br t -- set interface t ofport_request=7 {options} || echo refused
             ovs-ofctl -OOpenFlow13 del-flows int-br
             ovs-ofctl -OOpenFlow13 add-flow int-br 'in_port=3 actions={actions}' || echo refused
             ovs-appctl dpif/show | grep ' t 7/'
             ovs-appctl ofproto/trace int-br '{FLOW}' | grep 'Datapath actions'
             n=$(ovs-pcap {capture} | wc -l)
             ovs-appctl netdev-dummy/receive p3 '{PACKET}'
             for i in $(seq 100); do test $(ovs-pcap {capture} | wc -l) -gt $n && break; sleep 0.02; done
             ovs-pcap {capture} | tail -n +$((n + 1)) | sed 's/^/sent /'
             ovs-vsctl del-port t"
        );
    }
    let shell = host.shell(&script).limit(Duration::from_secs(240));
    let said = ok(shell.output()).stdout;
    let parts: Vec<_> = said.split(MARK).skip(1).map(|part| without_own(part.trim())).collect();
    assert_eq!(parts.len(), cases.len(), "{said}");
    // Debian's has no such file yet when nothing was sent.
    if host.programs().are_ours() {
        dissect(host, &capture.to_string());
    }
    parts
}

/// Whoever knows the protocols finds nothing wrong with what was sent.
fn dissect(host: &Host, capture: &str) {
    let found = format!(
        "tshark -r {capture} -o ip.check_checksum:TRUE -o udp.check_checksum:TRUE \
         -Y '_ws.malformed || _ws.expert.severity >= 0x600000' 2>/dev/null"
    );
    // Where there is no such program this fails.
    let found = ok(host.shell(&found).ok());
    assert!(found.trim().is_empty(), "{found}");
}

/// Without what every packet has of its own.
fn without_own(said: &str) -> String {
    let line = |line: &str| match line.strip_prefix("sent ") {
        Some(hex) => format!("sent {}", frame_without_own(hex)),
        None => line.to_owned(),
    };
    said.lines().map(line).collect::<Vec<_>>().join("\n")
}

fn frame_without_own(hex: &str) -> String {
    let byte = |i: usize| u8::from_str_radix(hex.get(2 * i..2 * i + 2)?, 16).ok();
    let mut frame: Vec<u8> = (0..hex.len() / 2).map_while(byte).collect();
    let zero = |frame: &mut Vec<u8>, at: usize, len: usize| {
        frame.get_mut(at..at + len).into_iter().flatten().for_each(|b| *b = 0);
    };
    let l4 = if frame.get(14).is_some_and(|b| b >> 4 == 4) {
        zero(&mut frame, 18, 2);
        zero(&mut frame, 24, 2);
        34
    } else {
        zero(&mut frame, 16, 2);
        frame.get_mut(15).into_iter().for_each(|b| *b &= 0xf0);
        54
    };
    let proto = frame.get(if l4 == 34 { 23 } else { 20 }).copied();
    if proto == Some(17) {
        zero(&mut frame, l4, 2);
        // Whether there is a checksum at all counts; but over IPv4 Debian's puts one behind GTP-U's back, where it says there is none.
        if l4 == 34 && frame.get(l4 + 2..l4 + 4) == Some(&2152u16.to_be_bytes()) {
            zero(&mut frame, l4 + 6, 2);
        } else if frame.get(l4 + 6..l4 + 8).is_some_and(|csum| csum != [0, 0]) {
            frame.get_mut(l4 + 6..l4 + 8).into_iter().for_each(|csum| csum.fill(0xff));
        }
    } else if let Some(&flags) = frame.get(l4) {
        let csum = usize::from(flags & 0x80 != 0);
        let key = usize::from(flags & 0x20 != 0);
        if csum == 1 {
            zero(&mut frame, l4 + 4, 2);
        }
        if flags & 0x10 != 0 {
            zero(&mut frame, l4 + 4 + 4 * (csum + key), 4);
            if frame.get(l4 + 2..l4 + 4) == Some(&[0x22, 0xeb]) {
                zero(&mut frame, l4 + 12, 4);
            }
        }
    }
    frame.iter().map(|b| format!("{b:02x}")).collect()
}

#[test]
fn headers_are_as_debians() {
    if !ours() {
        return;
    }
    let bed = ok(Testbed::new(Sharing::Shared));
    let cases = cases();
    assert!(cases.len() >= 60, "{}", cases.len());
    let [mine, debians] = [("ours", programs()), ("debians", reference())]
        .map(|(name, programs)| ask(&switch(&bed, name, &programs), &cases));
    let mut differ = String::new();
    for ((case, mine), debians) in cases.iter().zip(&mine).zip(&debians) {
        assert!(debians.contains("tnl_push"), "{} {}: {debians}", case.options, case.actions);
        if mine != debians {
            let _ = writeln!(differ, "{} {}\n{mine}\n--\n{debians}\n", case.options, case.actions);
        }
    }
    assert!(differ.is_empty(), "{differ}");
}
