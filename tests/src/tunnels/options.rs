//! Every option of a tunnel, seen on the wire: one port after the other, a packet each, and what its outer header shows.
//!
//! What is expected is said as a display filter of `tshark`, which so is the second opinion on every byte; it reads all packets at
//! once.

use std::fs::File;
use std::time::Duration;

use lab::frames::frame;
use packet::pcap::Writer;
use testbed::Cmd;

use super::wire::Wire;
use crate::support::{host_state, ok, ours};

/// The marker, hop limit and label are what tunnels may inherit.
const UDP: &str = "eth(src=02:00:00:00:01:01,dst=02:00:00:00:01:02),eth_type(0x0800),\
    ipv4(src=192.168.1.1,dst=192.168.1.2,proto=17,tos=0x28,ttl=61,frag=no),udp(src=1000,dst=2000)";
/// The sender understands congestion marks.
const ECT: &str = "eth(src=02:00:00:00:01:01,dst=02:00:00:00:01:02),eth_type(0x0800),\
    ipv4(src=192.168.1.1,dst=192.168.1.2,proto=17,tos=0x2a,ttl=61,frag=no),udp(src=1000,dst=2000)";
/// Marked.
const CE: &str = "eth(src=02:00:00:00:01:01,dst=02:00:00:00:01:02),eth_type(0x0800),\
    ipv4(src=192.168.1.1,dst=192.168.1.2,proto=17,tos=0x2b,ttl=61,frag=no),udp(src=1000,dst=2000)";
const UDP6: &str = "eth(src=02:00:00:00:01:01,dst=02:00:00:00:01:02),eth_type(0x86dd),\
    ipv6(src=fd01::1,dst=fd01::2,label=0x12345,proto=17,tclass=0x28,hlimit=61,frag=no),\
    udp(src=1000,dst=2000)";
const CE6: &str = "eth(src=02:00:00:00:01:01,dst=02:00:00:00:01:02),eth_type(0x86dd),\
    ipv6(src=fd01::1,dst=fd01::2,label=0x12345,proto=17,tclass=0x2b,hlimit=61,frag=no),\
    udp(src=1000,dst=2000)";

/// An option, a packet, and what is seen.
struct Row {
    /// Type and options of the port.
    tunnel: &'static str,
    /// What rules do before the packet goes out there.
    sets: &'static str,
    inner: &'static str,
    /// `tshark`'s words. `#1` means the outermost header of its kind.
    shows: &'static str,
}

const fn row(tunnel: &'static str, shows: &'static str) -> Row {
    Row { tunnel, sets: "", inner: UDP, shows }
}

const fn set(tunnel: &'static str, sets: &'static str, shows: &'static str) -> Row {
    Row { tunnel, sets, inner: UDP, shows }
}

const fn inner(inner: &'static str, tunnel: &'static str, shows: &'static str) -> Row {
    Row { tunnel, sets: "", inner, shows }
}

// One option a line.
#[rustfmt::skip]
const ROWS: &[Row] = &[
    // All at their defaults.
    row("vxlan remote_ip=10.0.0.2", "eth.dst#1 == 02:00:00:00:00:02 && ip.src#1 == 10.0.0.1 && ip.dst#1 == 10.0.0.2 && ip.ttl#1 == 64 && ip.dsfield#1 == 0 && ip.flags.df#1 == 1 && udp.dstport#1 == 4789 && udp.srcport#1 >= 32768 && udp.srcport#1 <= 61000 && udp.checksum#1 == 0 && vxlan.flag_i == 1 && vxlan.flag_g == 0 && vxlan.vni == 0"),
    row("vxlan remote_ip=fd00::2", "eth.dst#1 == 02:00:00:00:00:02 && ipv6.src#1 == fd00::1 && ipv6.dst#1 == fd00::2 && ipv6.hlim#1 == 64 && ipv6.tclass#1 == 0 && udp.dstport#1 == 4789 && !(udp.checksum#1 == 0) && vxlan.vni == 0"),
    row("geneve remote_ip=10.0.0.2", "udp.dstport#1 == 6081 && udp.checksum#1 == 0 && geneve.version == 0 && geneve.flags == 0 && geneve.proto_type == 0x6558 && geneve.vni == 0"),
    row("gre remote_ip=10.0.0.2", "ip.proto#1 == 47 && gre.flags_and_version == 0 && gre.proto == 0x6558"),
    row("gtpu remote_ip=10.0.0.2", "udp.dstport#1 == 2152 && gtp.flags == 0x30 && gtp.message == 255 && gtp.teid == 0"),
    // remote_ip and local_ip.
    row("gre remote_ip=10.0.0.3", "eth.dst#1 == 02:00:00:00:00:03 && ip.dst#1 == 10.0.0.3"),
    row("ip6gre remote_ip=fd00::2", "ipv6.dst#1 == fd00::2 && ipv6.nxt#1 == 47 && gre.proto == 0x6558"),
    set("geneve remote_ip=flow", "set_field:10.0.0.3->tun_dst", "ip.dst#1 == 10.0.0.3 && ip.src#1 == 10.0.0.1"),
    set("geneve remote_ip=flow", "set_field:fd00::2->tun_ipv6_dst", "ipv6.dst#1 == fd00::2 && ipv6.src#1 == fd00::1"),
    row("vxlan remote_ip=10.0.0.2 local_ip=10.0.0.5", "ip.src#1 == 10.0.0.5 && ip.dst#1 == 10.0.0.2"),
    row("vxlan remote_ip=fd00::2 local_ip=fd00::5", "ipv6.src#1 == fd00::5 && ipv6.dst#1 == fd00::2"),
    set("vxlan remote_ip=flow local_ip=flow", "set_field:10.0.0.5->tun_src,set_field:10.0.0.2->tun_dst", "ip.src#1 == 10.0.0.5 && ip.dst#1 == 10.0.0.2"),
    set("vxlan remote_ip=flow local_ip=flow", "set_field:fd00::5->tun_ipv6_src,set_field:fd00::2->tun_ipv6_dst", "ipv6.src#1 == fd00::5 && ipv6.dst#1 == fd00::2"),
    // Keys: by number, to the last, and by rules.
    row("vxlan remote_ip=10.0.0.2 key=16777215", "vxlan.vni == 16777215"),
    row("vxlan remote_ip=10.0.0.2 key=0x7b", "vxlan.vni == 123"),
    row("geneve remote_ip=10.0.0.2 key=16777215", "geneve.vni == 16777215"),
    row("gre remote_ip=10.0.0.2 key=4294967295", "gre.flags.key == 1 && gre.key == 0xffffffff"),
    row("gre remote_ip=10.0.0.2 key=0", "gre.flags.key == 1 && gre.key == 0"),
    row("gtpu remote_ip=10.0.0.2 key=4294967295", "gtp.teid == 0xffffffff"),
    row("erspan remote_ip=10.0.0.2 key=1023 erspan_ver=1", "erspan.spanid == 1023"),
    row("vxlan remote_ip=10.0.0.2 in_key=5 out_key=6", "vxlan.vni == 6"),
    row("vxlan remote_ip=10.0.0.2 key=5 out_key=6", "vxlan.vni == 6"),
    row("vxlan remote_ip=10.0.0.2 key=6 in_key=flow", "vxlan.vni == 6"),
    set("vxlan remote_ip=10.0.0.2 key=flow", "set_field:99->tun_id", "vxlan.vni == 99"),
    set("geneve remote_ip=10.0.0.2 out_key=flow", "set_field:99->tun_id", "geneve.vni == 99"),
    set("gre remote_ip=10.0.0.2 key=flow", "set_field:99->tun_id", "gre.flags.key == 1 && gre.key == 99"),
    set("gtpu remote_ip=10.0.0.2 key=flow", "set_field:99->tun_id", "gtp.teid == 99"),
    set("erspan remote_ip=10.0.0.2 key=flow erspan_ver=1", "set_field:99->tun_id", "erspan.spanid == 99"),
    set("vxlan remote_ip=10.0.0.2 key=7", "set_field:99->tun_id", "vxlan.vni == 7"),
    // dst_port.
    row("vxlan remote_ip=10.0.0.2 dst_port=8472", "udp.dstport#1 == 8472 && udp.length#1 == 122"),
    row("geneve remote_ip=10.0.0.2 dst_port=65535", "udp.dstport#1 == 65535"),
    row("gtpu remote_ip=10.0.0.2 dst_port=1", "udp.dstport#1 == 1"),
    // tos. Congestion marks are copied whatever it is, and CE goes as ECT(0): it is told by the inner header.
    row("vxlan remote_ip=10.0.0.2 tos=0x20", "ip.dsfield#1 == 0x20"),
    row("vxlan remote_ip=10.0.0.2 tos=252", "ip.dsfield#1 == 252"),
    row("vxlan remote_ip=10.0.0.2 tos=inherit", "ip.dsfield#1 == 0x28"),
    row("gre remote_ip=fd00::2 tos=inherit", "ipv6.tclass#1 == 0x28"),
    row("geneve remote_ip=fd00::2 tos=0x20", "ipv6.tclass#1 == 0x20"),
    inner(UDP6, "vxlan remote_ip=10.0.0.2 tos=inherit", "ip.dsfield#1 == 0x28"),
    inner(ECT, "vxlan remote_ip=10.0.0.2", "ip.dsfield#1 == 0x02"),
    inner(ECT, "vxlan remote_ip=10.0.0.2 tos=0x20", "ip.dsfield#1 == 0x22"),
    inner(CE, "geneve remote_ip=10.0.0.2 tos=0x20", "ip.dsfield#1 == 0x22"),
    inner(CE, "gre remote_ip=10.0.0.2 tos=inherit", "ip.dsfield#1 == 0x2a"),
    inner(CE6, "gre remote_ip=fd00::2", "ipv6.tclass#1 == 0x02"),
    inner(CE6, "gtpu remote_ip=10.0.0.2 tos=inherit", "ip.dsfield#1 == 0x2a"),
    // ttl.
    row("vxlan remote_ip=10.0.0.2 ttl=9", "ip.ttl#1 == 9"),
    row("vxlan remote_ip=10.0.0.2 ttl=255", "ip.ttl#1 == 255"),
    row("vxlan remote_ip=10.0.0.2 ttl=0", "ip.ttl#1 == 64"),
    row("vxlan remote_ip=10.0.0.2 ttl=inherit", "ip.ttl#1 == 61"),
    row("geneve remote_ip=fd00::2 ttl=9", "ipv6.hlim#1 == 9"),
    inner(UDP6, "gre remote_ip=fd00::2 ttl=inherit", "ipv6.hlim#1 == 61"),
    // df_default and csum.
    row("vxlan remote_ip=10.0.0.2 df_default=false", "ip.flags.df#1 == 0"),
    row("gre remote_ip=10.0.0.2 df_default=false", "ip.flags.df#1 == 0"),
    row("vxlan remote_ip=10.0.0.2 csum=true", "!(udp.checksum#1 == 0) && udp.checksum.status#1 == 1"),
    row("geneve remote_ip=10.0.0.2 csum=true", "!(udp.checksum#1 == 0) && udp.checksum.status#1 == 1"),
    row("gtpu remote_ip=10.0.0.2 csum=true", "!(udp.checksum#1 == 0) && udp.checksum.status#1 == 1"),
    row("vxlan remote_ip=fd00::2 csum=false", "udp.checksum#1 == 0"),
    row("gre remote_ip=10.0.0.2 csum=true", "gre.flags.checksum == 1 && gre.checksum.status == 1"),
    row("gre remote_ip=fd00::2 csum=true key=5", "gre.flags.checksum == 1 && gre.checksum.status == 1 && gre.key == 5"),
    // egress_pkt_mark: the rule for mark 7 leads by another router, and the tunnel without one by the main table's.
    row("vxlan remote_ip=10.9.0.9", "eth.dst#1 == 02:00:00:00:00:02 && ip.dst#1 == 10.9.0.9"),
    row("vxlan remote_ip=10.9.0.9 egress_pkt_mark=7", "eth.dst#1 == 02:00:00:00:00:03 && ip.dst#1 == 10.9.0.9"),
    // packet_type.
    row("gre remote_ip=10.0.0.2 packet_type=legacy_l2", "gre.proto == 0x6558"),
    row("gre remote_ip=10.0.0.2 packet_type=legacy_l3", "gre.proto == 0x0800 && ip.src#2 == 192.168.1.1"),
    inner(UDP6, "gre remote_ip=10.0.0.2 packet_type=legacy_l3", "gre.proto == 0x86dd && ipv6.src == fd01::1"),
    row("gre remote_ip=10.0.0.2 packet_type=ptap", "gre.proto == 0x6558"),
    set("gre remote_ip=10.0.0.2 packet_type=ptap", "decap", "gre.proto == 0x0800"),
    row("vxlan remote_ip=10.0.0.2 dst_port=4790 exts=gpe packet_type=legacy_l3", "vxlan.next_proto == 1 && ip.src#2 == 192.168.1.1"),
    // exts.
    row("vxlan remote_ip=10.0.0.2 dst_port=4790 exts=gpe key=5", "vxlan.next_proto == 3 && vxlan.vni == 5"),
    set("vxlan remote_ip=10.0.0.2 exts=gbp key=5", "set_field:0x200->tun_gbp_id", "vxlan.gbp == 0x200 && vxlan.flag_g == 1 && vxlan.flag_a == 0 && vxlan.vni == 5"),
    set("vxlan remote_ip=10.0.0.2 exts=gbp", "set_field:0x200->tun_gbp_id,set_field:0x8->tun_gbp_flags", "vxlan.gbp == 0x200 && vxlan.flag_a == 1"),
    row("vxlan remote_ip=10.0.0.2 exts=gbp", "vxlan.flag_i == 1 && vxlan.flag_g == 0 && vxlan.gbp == 0"),
    // Geneve's options.
    set("geneve remote_ip=10.0.0.2 key=5", "set_field:0x10002->tun_metadata0", "geneve.option.class == 0x102 && geneve.option.type == 0x80 && geneve.option.type.critical == 1 && geneve.flags.critical == 1 && geneve.option.unknown.data == 00:01:00:02"),
    set("geneve remote_ip=10.0.0.2", "set_field:0x5->tun_metadata1", "geneve.option.class == 0xffff && geneve.option.type == 0x01 && geneve.flags.critical == 0 && geneve.option.unknown.data == 00:00:00:00:00:00:00:05"),
    set("geneve remote_ip=10.0.0.2", "set_field:1->tun_flags", "geneve.flags.oam == 1"),
    // seq.
    row("gre remote_ip=10.0.0.2 seq=true", "gre.flags.sequence_number == 1 && gre.sequence_number == 0"),
    row("gre remote_ip=fd00::2 seq=true key=5 csum=true", "gre.flags_and_version == 0xb000 && gre.sequence_number == 0 && gre.checksum.status == 1"),
    // ERSPAN's.
    row("erspan remote_ip=10.0.0.2 key=100 erspan_ver=1 erspan_idx=0xfffff", "gre.proto == 0x88be && erspan.version == 1 && erspan.index == 0xfffff && erspan.spanid == 100"),
    row("ip6erspan remote_ip=fd00::2 key=100 erspan_ver=2 erspan_dir=1 erspan_hwid=0x3f", "gre.proto == 0x22eb && erspan.version == 2 && erspan.direction == 1 && erspan.hw == 0x3f && erspan.spanid == 100"),
    row("erspan remote_ip=10.0.0.2 erspan_ver=2 erspan_dir=0 erspan_hwid=4", "erspan.direction == 0 && erspan.hw == 4"),
    set("erspan remote_ip=10.0.0.2 key=flow erspan_ver=flow", "set_field:5->tun_id,set_field:1->tun_erspan_ver,set_field:7->tun_erspan_idx", "erspan.version == 1 && erspan.index == 7 && erspan.spanid == 5"),
    set("erspan remote_ip=10.0.0.2 erspan_ver=1 erspan_idx=flow", "set_field:9->tun_erspan_idx", "erspan.version == 1 && erspan.index == 9"),
    set("erspan remote_ip=10.0.0.2 erspan_ver=2 erspan_dir=flow erspan_hwid=flow", "set_field:1->tun_erspan_dir,set_field:15->tun_erspan_hwid", "erspan.version == 2 && erspan.direction == 1 && erspan.hw == 15"),
    // Segment routing's.
    row("srv6 remote_ip=fd00::2", "ipv6.dst#1 == fd00::2 && ipv6.nxt#1 == 43 && ipv6.routing.type == 4 && ipv6.routing.segleft == 0"),
    row("srv6 remote_ip=fd00::2 srv6_segs=fd00::2,fd00::9", "ipv6.dst#1 == fd00::2 && ipv6.routing.segleft == 1 && ipv6.routing.srh.last_entry == 1 && ipv6.routing.srh.addr == fd00::9 && ipv6.routing.srh.addr == fd00::2"),
    row("srv6 remote_ip=fd00::2 srv6_segs=fd00::2,fd00::3,fd00::4,fd00::5,fd00::6,fd00::7", "ipv6.routing.segleft == 5 && ipv6.routing.srh.last_entry == 5"),
    inner(UDP6, "srv6 remote_ip=fd00::2", "ipv6.flow#1 == 0x12345"),
    inner(UDP6, "srv6 remote_ip=fd00::2 srv6_flowlabel=copy", "ipv6.flow#1 == 0x12345"),
    inner(UDP6, "srv6 remote_ip=fd00::2 srv6_flowlabel=zero", "ipv6.flow#1 == 0"),
    inner(UDP6, "srv6 remote_ip=fd00::2 srv6_flowlabel=compute", "!(ipv6.flow#1 == 0) && !(ipv6.flow#1 == 0x12345)"),
    inner(UDP6, "srv6 remote_ip=fd00::2 tos=inherit ttl=inherit", "ipv6.tclass#1 == 0x28 && ipv6.hlim#1 == 61"),
];

#[test]
fn every_option_shows_in_the_outer_header() {
    if !ours() {
        return; // The other's headers are compared with ours in `parity`.
    }
    let wire = Wire::build();
    let mut failed = Vec::new();
    let mut sent = Vec::new();
    for row in ROWS {
        let caught = wire.set_up(row.tunnel, row.sets).and_then(|()| {
            wire.guest.send(&frame(row.inner))?;
            wire.caught()
        });
        match caught {
            Ok(frame) => sent.push((row, frame)),
            Err(e) => failed.push(format!("{} {}: {e}", row.tunnel, row.sets)),
        }
    }
    let capture = wire.host.dir().join("sent.pcap");
    let mut file = Writer::new(File::create(&capture).expect("a file")).expect("a header");
    for (at, (_, frame)) in (0..).zip(&sent) {
        file.write(Duration::from_secs(at), frame).expect("a record");
    }
    let capture = capture.display().to_string();
    let which = |condition: &dyn Fn(usize, &Row) -> String| -> Vec<usize> {
        let each = sent.iter().enumerate().map(|(i, (row, _))| condition(i + 1, row));
        let filter = each.collect::<Vec<_>>().join(" || ");
        let said = ok(judge(&capture, &filter).args(["-T", "fields", "-e", "frame.number"]).ok());
        said.split_whitespace().filter_map(|number| number.parse().ok()).collect()
    };
    let as_expected = which(&|number, row| format!("(frame.number == {number} && {})", row.shows));
    let odd = which(&|number, _| {
        // No checksum over IPv6 is a tunnel's right (RFC 6935), which it has no knowledge of.
        let odd = "(_ws.malformed || _ws.expert.severity >= 0x600000) && !udp.checksum.zero";
        format!("(frame.number == {number} && {odd})")
    });
    for (i, (row, _)) in sent.iter().enumerate() {
        let number = i + 1;
        if !as_expected.contains(&number) || odd.contains(&number) {
            let shown = judge(&capture, &format!("frame.number == {number}")).args(["-V"]);
            let shown = shown.ok().unwrap_or_else(|e| e.to_string());
            let Row { tunnel, sets, shows, .. } = row;
            failed.push(format!("{tunnel} {sets}: not {shows}:\n{shown}"));
        }
    }
    assert!(failed.is_empty(), "{}\n{}", failed.join("\n"), host_state(&wire.host));
}

fn judge(capture: &str, filter: &str) -> Cmd {
    let check = "-o ip.check_checksum:TRUE -o udp.check_checksum:TRUE";
    Cmd::line(&format!("tshark -r {capture} {check} -Y")).args([filter])
}
