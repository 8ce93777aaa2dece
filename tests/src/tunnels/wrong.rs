//! Every option's wrong values: `ovs-vsctl` refuses them before anything changes and says what would be right, and the row says so if
//! they come in all the same.

use crate::support::{OneBridge, ok, ours};

/// A tunnel with one wrong value, and the words that the refusal must have.
type Wrong = (&'static str, &'static [&'static str]);

const ADDRESS: &str = "unicast IPv4 or IPv6 address, or \"flow\"";
const KEY24: &[&str] = &["from 0 to 16777215, or \"flow\""];
const PORT: &[&str] = &["dst_port", "from 1 to 65535"];
const TOS: &[&str] = &["tos", "a multiple of 4 from 0 to 252", "inherit"];
const TTL: &[&str] = &["ttl", "inherit", "from 0 to 255"];
const TRUTH: &[&str] = &["must be true or false"];

// One value a line.
#[rustfmt::skip]
const WRONG: &[Wrong] = &[
    ("vxlan local_ip=10.0.0.1", &["needs options:remote_ip"]),
    ("vxlan remote_ip=flows", &["remote_ip=flows", ADDRESS, "did you mean \"flow\""]),
    ("vxlan remote_ip=10.0.0", &["remote_ip=10.0.0", ADDRESS]),
    ("vxlan remote_ip=10.0.0.2/24", &[ADDRESS]),
    ("geneve remote_ip=224.0.0.1", &[ADDRESS]),
    ("geneve remote_ip=ff02::1", &[ADDRESS]),
    ("gre remote_ip=0.0.0.0", &[ADDRESS]),
    ("gre remote_ip=255.255.255.255", &[ADDRESS]),
    ("vxlan remote_ip=10.0.0.2 local_ip=ff02::1", &["local_ip=ff02::1", ADDRESS]),
    ("vxlan remote_ip=10.0.0.2 local_ip=flow", &["needs options:remote_ip=flow"]),
    ("vxlan remote_ip=10.0.0.2 local_ip=fd00::1", &["of one family"]),
    ("vxlan remote_ip=10.0.0.2 local_ip=10.0.0.2", &["another address than options:remote_ip"]),
    ("vxlan remote_ip=10.0.0.2 key=16777216", KEY24),
    ("geneve remote_ip=10.0.0.2 key=-1", KEY24),
    ("vxlan remote_ip=10.0.0.2 key=five", KEY24),
    ("vxlan remote_ip=10.0.0.2 key=09", KEY24),
    ("vxlan remote_ip=10.0.0.2 in_key=0x1000000", KEY24),
    ("geneve remote_ip=10.0.0.2 out_key=16777216", KEY24),
    ("gre remote_ip=10.0.0.2 key=4294967296", &["from 0 to 4294967295, or \"flow\""]),
    ("gtpu remote_ip=10.0.0.2 key=4294967296", &["from 0 to 4294967295, or \"flow\""]),
    ("erspan remote_ip=10.0.0.2 key=1024", &["from 0 to 1023, or \"flow\""]),
    ("srv6 remote_ip=fd00::2 key=1", &["key means nothing for an interface of type srv6"]),
    ("vxlan remote_ip=10.0.0.2 dst_port=0", PORT),
    ("geneve remote_ip=10.0.0.2 dst_port=65536", PORT),
    ("gtpu remote_ip=10.0.0.2 dst_port=udp", PORT),
    ("gre remote_ip=10.0.0.2 dst_port=47", &["dst_port means nothing for an interface of type gre"]),
    ("vxlan remote_ip=10.0.0.2 tos=3", TOS),
    ("vxlan remote_ip=10.0.0.2 tos=256", TOS),
    ("gre remote_ip=10.0.0.2 tos=inherits", TOS),
    ("vxlan remote_ip=10.0.0.2 ttl=256", TTL),
    ("geneve remote_ip=10.0.0.2 ttl=-1", TTL),
    ("gre remote_ip=10.0.0.2 ttl=inhert", TTL),
    ("vxlan remote_ip=10.0.0.2 df_default=yes", TRUTH),
    ("vxlan remote_ip=10.0.0.2 csum=1", TRUTH),
    ("erspan remote_ip=10.0.0.2 csum=true", &["csum means nothing for an interface of type erspan"]),
    ("vxlan remote_ip=10.0.0.2 pmtud=no", TRUTH),
    ("vxlan remote_ip=10.0.0.2 tcp_mss_clamp=1400", TRUTH),
    ("vxlan remote_ip=10.0.0.2 egress_pkt_mark=4294967296", &["from 0 to 4294967295"]),
    ("vxlan remote_ip=10.0.0.2 egress_pkt_mark=-1", &["from 0 to 4294967295"]),
    ("vxlan remote_ip=10.0.0.2 exts=gdp", &["gbp or gpe", "did you mean \"gbp\""]),
    ("vxlan remote_ip=10.0.0.2 exts=gbp,gpe", &["gbp or gpe, not both"]),
    ("geneve remote_ip=10.0.0.2 exts=gbp", &["exts means nothing for an interface of type geneve"]),
    ("gre remote_ip=10.0.0.2 packet_type=l3", &["legacy_l2, legacy_l3 or ptap"]),
    ("vxlan remote_ip=10.0.0.2 packet_type=legacy_l3", &["without options:exts=gpe it carries frames alone"]),
    ("geneve remote_ip=10.0.0.2 packet_type=legacy_l3", &["carries frames alone"]),
    ("erspan remote_ip=10.0.0.2 packet_type=legacy_l3", &["carries frames alone"]),
    ("gtpu remote_ip=10.0.0.2 packet_type=legacy_l2", &["carries packets without an Ethernet header alone"]),
    ("gre remote_ip=10.0.0.2 seq=1", TRUTH),
    ("vxlan remote_ip=10.0.0.2 seq=true", &["seq means nothing for an interface of type vxlan"]),
    ("erspan remote_ip=10.0.0.2 erspan_ver=0", &["flow, or a whole number from 1 to 2"]),
    ("erspan remote_ip=10.0.0.2 erspan_ver=3", &["flow, or a whole number from 1 to 2"]),
    ("erspan remote_ip=10.0.0.2 erspan_idx=0x100000", &["from 0 to 1048575"]),
    ("erspan remote_ip=10.0.0.2 erspan_dir=2", &["from 0 to 1"]),
    ("erspan remote_ip=10.0.0.2 erspan_hwid=64", &["from 0 to 63"]),
    ("gre remote_ip=10.0.0.2 erspan_ver=1", &["erspan_ver means nothing for an interface of type gre"]),
    ("srv6 remote_ip=10.0.0.2", &["needs IPv6 addresses"]),
    ("srv6 remote_ip=fd00::2 srv6_segs=fd00::3", &["the first of options:srv6_segs must be fd00::2"]),
    ("srv6 remote_ip=fd00::2 srv6_segs=fd00::2,10.0.0.1", &["one to 6 IPv6 addresses"]),
    ("srv6 remote_ip=fd00::2 srv6_segs=fd00::2,ff02::1", &["one to 6 IPv6 addresses"]),
    ("srv6 remote_ip=fd00::2 srv6_segs=fd00::2,fd00::3,fd00::4,fd00::5,fd00::6,fd00::7,fd00::8", &["one to 6 IPv6 addresses"]),
    ("srv6 remote_ip=fd00::2 srv6_flowlabel=random", &["copy, zero or compute"]),
    ("vxlan remote_ip=10.0.0.2 srv6_segs=fd00::2", &["srv6_segs means nothing for an interface of type vxlan"]),
    ("bareudp remote_ip=10.0.0.2 dst_port=6635 payload_type=mpls", &["bareudp are the kernel's alone", "gre"]),
    ("vxlan remote_ip=10.0.0.2 payload_type=mpls", &["payload_type means nothing for an interface of type vxlan"]),
    ("vxlan remote_ip=10.0.0.2 remote_cret=x", &["remote_cret is not an option", "did you mean \"remote_cert\""]),
];

/// Between what is said of one value and of the next.
const NEXT: &str = "=-=-= next";
const FORCED: &str = "=-=-= forced";

#[test]
fn wrong_values_of_tunnels_are_refused_with_what_would_be_right() {
    if !ours() {
        return; // The reference accepts nearly all of them.
    }
    let net = OneBridge::build(0);
    let each = WRONG.iter().map(|(tunnel, _)| {
        let (kind, options) = tunnel.split_once(' ').unwrap_or((tunnel, ""));
        let options: String = options.split(' ').map(|o| format!(" 'options:{o}'")).collect();
        let add = format!("add-port br0 t -- set interface t type={kind} {options}");
        format!(
            "echo '{NEXT}'; ovs-vsctl {add} 2>&1; echo code $?
             ovs-vsctl list-ports br0
             echo '{FORCED}'; ovs-vsctl --force {add} >/dev/null 2>&1
             ovs-vsctl get interface t error; ovs-vsctl del-port t\n"
        )
    });
    let said = ok(net.host.shell(&each.collect::<String>()).output()).stdout;
    let parts: Vec<_> = said.split(NEXT).skip(1).collect();
    assert_eq!(parts.len(), WRONG.len(), "{said}");
    let mut complaints = Vec::new();
    for ((tunnel, says), part) in WRONG.iter().zip(parts) {
        let (refusal, error) = part.split_once(FORCED).unwrap_or((part, ""));
        let silent: Vec<_> = says.iter().filter(|words| !refusal.contains(*words)).collect();
        if !silent.is_empty() || !refusal.trim_end().ends_with("code 1") {
            complaints.push(format!("{tunnel}: not {silent:?} and code 1, but: {refusal}"));
        }
        let kind = tunnel.split(' ').next().unwrap_or("");
        // The option that is to blame is the last one.
        let culprit = tunnel.split([' ', '=']).rev().nth(1).unwrap_or("");
        if !error.contains(culprit) && !error.contains(kind) {
            complaints.push(format!("{tunnel}: the row's error is {error}"));
        }
    }
    assert!(complaints.is_empty(), "{}", complaints.join("\n"));
}

/// Which of two would get a packet must not be chance.
#[test]
fn a_tunnel_that_could_not_be_told_from_another_is_refused_while_that_is_there() {
    if !ours() {
        return;
    }
    let net = OneBridge::build(0);
    let add = |name: &str| {
        let options = "type=vxlan options:remote_ip=10.0.0.2 options:key=5";
        ok(net.host.try_vsctl(&format!("add-port br0 {name} -- set interface {name} {options}")))
    };
    assert!(add("t1").success());
    let second = add("t2");
    assert!(second.code == Some(65) && second.stderr.contains("File exists"), "{second:?}");
    let error = || ok(net.host.vsctl("get interface t2 error"));
    assert!(error().contains("File exists"), "{}", error());
    ok(net.host.vsctl("del-port t1"));
    assert_eq!(error().trim(), "[]");
}
