//! The packets, as data.
//!
//! Two tables. [`FRAMES`] are frames that lie about themselves; each is sent by a guest, through the tunnel, and on the underlay.
//! [`OUTER`] are tunnel packets whose outer headers lie. What a host would refuse a switch passes on (it is the receiver's to
//! judge), so most of the first table passes unchanged; most of the second is dropped, under a name.
//!
//! Offsets, in frames without a VLAN tag: 12 type; IPv4 from 14 (16 length, 20 fragment, 22 TTL, 23 protocol, 24 checksum),
//! transport from 34; IPv6 from 14 (18 length, 20 next header), payload from 54. In tunnel packets: UDP from 34 (38 length, 40
//! checksum), VXLAN from 42 (46 network), the frame inside from 50.

use lab::frames::Spoil::{self, At, Cut, FixIpv4, Insert, Pad};

/// A frame that lies.
pub(crate) struct Frame {
    pub(crate) name: &'static str,
    /// A flow text of a good frame.
    pub(crate) flow: &'static str,
    /// What is done to it.
    pub(crate) spoil: &'static [Spoil],
    pub(crate) fate: Fate,
}

/// What becomes of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// Goes where its addresses say, unchanged.
    Passes,
    /// Is no frame: the device refuses it, the tunnel drops it.
    Runt,
    /// Dropped by the bridge that it comes into, under this name.
    Drops(&'static str),
}

use Fate::{Drops, Passes, Runt};

macro_rules! eth {
    ($rest:literal) => {
        concat!("in_port(1),eth(src=02:00:00:00:00:01,dst=02:00:00:00:00:d0),", $rest)
    };
}

macro_rules! v4 {
    ($rest:literal) => {
        concat!(
            "in_port(1),eth(src=02:00:00:00:00:01,dst=02:00:00:00:00:d0),eth_type(0x0800),",
            "ipv4(src=10.0.0.1,dst=10.0.0.2,tos=0,ttl=64,",
            $rest
        )
    };
}

macro_rules! v6 {
    ($rest:literal) => {
        concat!(
            "in_port(1),eth(src=02:00:00:00:00:01,dst=02:00:00:00:00:d0),eth_type(0x86dd),",
            "ipv6(src=fe80::1,dst=fe80::2,label=0,tclass=0,hlimit=255,",
            $rest
        )
    };
}

pub(crate) const UDP4: &str = v4!("proto=17,frag=no),udp(src=1,dst=2)");
const TCP4: &str = v4!("proto=6,frag=no),tcp(src=1,dst=2),tcp_flags(ack)");
const ICMP4: &str = v4!("proto=1,frag=no),icmp(type=8,code=0)");
const IGMP: &str = v4!("proto=2,frag=no)");
const SCTP4: &str = v4!("proto=132,frag=no),sctp(src=1,dst=2)");
pub(crate) const UDP6: &str = v6!("proto=17,frag=no),udp(src=1,dst=2)");
const TCP6: &str = v6!("proto=6,frag=no),tcp(src=1,dst=2),tcp_flags(ack)");
const NS: &str =
    v6!("proto=58,frag=no),icmpv6(type=135,code=0),nd(target=fe80::3,sll=02:00:00:00:00:01)");
const NA: &str =
    v6!("proto=58,frag=no),icmpv6(type=136,code=0),nd(target=fe80::3,tll=02:00:00:00:00:01)");
const MLD: &str = v6!("proto=58,frag=no),icmpv6(type=143,code=0)");
const ARP: &str = eth!(
    "eth_type(0x0806),arp(sip=10.0.0.1,tip=10.0.0.2,op=1,sha=02:00:00:00:00:01,tha=00:00:00:00:00:00)"
);
const OTHER: &str = eth!("eth_type(0x88b5)");

const VLAN: &str = "drop_action_vlan_not_allowed";
const RESERVED: &str = "drop_action_reserved_multicast";

// One frame a line.
#[rustfmt::skip]
pub(crate) const FRAMES: &[Frame] = &[
    // -- Ethernet --
    Frame { name: "nothing", flow: OTHER, spoil: &[Cut(0)], fate: Runt },
    Frame { name: "1 byte", flow: OTHER, spoil: &[Cut(1)], fate: Runt },
    Frame { name: "an address and a half", flow: OTHER, spoil: &[Cut(9)], fate: Runt },
    Frame { name: "13 bytes", flow: OTHER, spoil: &[Cut(13)], fate: Runt },
    Frame { name: "14 bytes", flow: OTHER, spoil: &[Cut(14)], fate: Passes },
    Frame { name: "length 0", flow: OTHER, spoil: &[At(12, &[0, 0])], fate: Passes },
    Frame { name: "length beyond the frame", flow: OTHER, spoil: &[At(12, &[5, 0xdc])], fate: Passes },
    Frame { name: "the highest length", flow: OTHER, spoil: &[At(12, &[5, 0xff])], fate: Passes },
    Frame { name: "LLC cut", flow: OTHER, spoil: &[At(12, &[0, 3]), Insert(14, &[0xaa], 2)], fate: Passes },
    Frame { name: "SNAP that says IPv4 and ends", flow: OTHER, spoil: &[At(12, &[0, 8]), Insert(14, &[0xaa, 0xaa, 3, 0, 0, 0, 8, 0], 1)], fate: Passes },
    Frame { name: "from a group", flow: UDP4, spoil: &[At(6, &[3])], fate: Passes },
    Frame { name: "from nobody", flow: UDP4, spoil: &[At(6, &[0, 0, 0, 0, 0, 0])], fate: Passes },
    // -- VLAN --
    Frame { name: "tag of nothing", flow: OTHER, spoil: &[At(12, &[0x81, 0])], fate: Drops(VLAN) },
    Frame { name: "tag of 2 bytes", flow: OTHER, spoil: &[At(12, &[0x81, 0]), Insert(14, &[0, 5], 1)], fate: Drops(VLAN) },
    Frame { name: "tag of 3 bytes", flow: OTHER, spoil: &[At(12, &[0x81, 0]), Insert(14, &[0, 5, 8], 1)], fate: Drops(VLAN) },
    Frame { name: "service tag of 2 bytes", flow: OTHER, spoil: &[At(12, &[0x88, 0xa8]), Insert(14, &[0, 5], 1)], fate: Drops(VLAN) },
    Frame { name: "inner tag of 1 byte", flow: OTHER, spoil: &[At(12, &[0x88, 0xa8]), Insert(14, &[0, 5, 0x81, 0, 0], 1)], fate: Passes },
    Frame { name: "three tags", flow: UDP4, spoil: &[Insert(12, &[0x81, 0, 0, 5], 3)], fate: Passes },
    Frame { name: "a hundred tags", flow: UDP4, spoil: &[Insert(12, &[0x81, 0, 0, 5], 100)], fate: Passes },
    Frame { name: "tag before a length", flow: OTHER, spoil: &[At(12, &[0, 0]), Insert(12, &[0x81, 0, 0, 5], 1)], fate: Passes },
    Frame { name: "VLAN 4095", flow: UDP4, spoil: &[Insert(12, &[0x81, 0, 0x0f, 0xff], 1)], fate: Passes },
    // -- MPLS --
    Frame { name: "MPLS without a label", flow: OTHER, spoil: &[At(12, &[0x88, 0x47])], fate: Passes },
    Frame { name: "MPLS label cut", flow: OTHER, spoil: &[At(12, &[0x88, 0x47]), Insert(14, &[0, 1, 0], 1)], fate: Passes },
    Frame { name: "five labels, no bottom", flow: OTHER, spoil: &[At(12, &[0x88, 0x47]), Insert(14, &[0, 1, 0, 64], 5)], fate: Passes },
    Frame { name: "a hundred labels", flow: OTHER, spoil: &[At(12, &[0x88, 0x48]), Insert(14, &[0, 1, 0, 64], 100)], fate: Passes },
    // -- IPv4 --
    Frame { name: "IPv4 of nothing", flow: OTHER, spoil: &[At(12, &[8, 0])], fate: Passes },
    Frame { name: "IPv4 cut in its header", flow: UDP4, spoil: &[Cut(33)], fate: Passes },
    Frame { name: "IPv4 version 6", flow: UDP4, spoil: &[At(14, &[0x65])], fate: Passes },
    Frame { name: "IPv4 ihl 0", flow: UDP4, spoil: &[At(14, &[0x40])], fate: Passes },
    Frame { name: "IPv4 ihl 4", flow: UDP4, spoil: &[At(14, &[0x44])], fate: Passes },
    Frame { name: "IPv4 ihl beyond its length", flow: UDP4, spoil: &[At(14, &[0x4f]), At(16, &[0, 40])], fate: Passes },
    Frame { name: "IPv4 ihl beyond the frame", flow: UDP4, spoil: &[At(14, &[0x4f]), Cut(50)], fate: Passes },
    Frame { name: "IPv4 length below ihl", flow: UDP4, spoil: &[At(16, &[0, 19])], fate: Passes },
    Frame { name: "IPv4 length 0", flow: UDP4, spoil: &[At(16, &[0, 0])], fate: Passes },
    Frame { name: "IPv4 length beyond the frame", flow: UDP4, spoil: &[At(16, &[0xff, 0xff])], fate: Passes },
    Frame { name: "IPv4 one byte short", flow: UDP4, spoil: &[Cut(105)], fate: Passes },
    Frame { name: "IPv4 padded", flow: UDP4, spoil: &[Pad(200)], fate: Passes },
    Frame { name: "IPv4 padded to the MTU (CVE-2020-35498)", flow: UDP4, spoil: &[Pad(1464)], fate: Passes },
    Frame { name: "IPv4 protocol 0 (CVE-2023-1668)", flow: UDP4, spoil: &[At(23, &[0]), FixIpv4(14)], fate: Passes },
    Frame { name: "IPv4 protocol 255", flow: UDP4, spoil: &[At(23, &[255]), FixIpv4(14)], fate: Passes },
    Frame { name: "IPv4 TTL 0", flow: UDP4, spoil: &[At(22, &[0]), FixIpv4(14)], fate: Passes },
    Frame { name: "IPv4 TTL 1", flow: UDP4, spoil: &[At(22, &[1]), FixIpv4(14)], fate: Passes },
    Frame { name: "IPv4 bad checksum", flow: UDP4, spoil: &[At(24, &[0xde, 0xad])], fate: Passes },
    Frame { name: "IPv4 option of length 0", flow: UDP4, spoil: &[Insert(34, &[7, 0, 0, 0], 1), At(14, &[0x46]), At(16, &[0, 96]), FixIpv4(14)], fate: Passes },
    Frame { name: "IPv4 option beyond the header", flow: UDP4, spoil: &[Insert(34, &[7, 255, 0, 0], 10), At(14, &[0x4f]), At(16, &[0, 132]), FixIpv4(14)], fate: Passes },
    Frame { name: "IPv4 reserved flag", flow: UDP4, spoil: &[At(20, &[0x80, 0]), FixIpv4(14)], fate: Passes },
    Frame { name: "IPv4 first fragment, tiny", flow: UDP4, spoil: &[At(16, &[0, 24]), At(20, &[0x20, 0]), FixIpv4(14), Cut(38)], fate: Passes },
    Frame { name: "IPv4 fragment at the end of 64 KiB", flow: UDP4, spoil: &[At(20, &[0x1f, 0xff]), FixIpv4(14)], fate: Passes },
    // -- IPv6 --
    Frame { name: "IPv6 of nothing", flow: OTHER, spoil: &[At(12, &[0x86, 0xdd])], fate: Passes },
    Frame { name: "IPv6 cut in its header", flow: UDP6, spoil: &[Cut(53)], fate: Passes },
    Frame { name: "IPv6 version 4", flow: UDP6, spoil: &[At(14, &[0x40])], fate: Passes },
    Frame { name: "IPv6 length 0", flow: UDP6, spoil: &[At(18, &[0, 0])], fate: Passes },
    Frame { name: "IPv6 jumbo", flow: UDP6, spoil: &[At(18, &[0, 0, 0]), Insert(54, &[17, 0, 0xc2, 4, 0, 1, 0, 0], 1)], fate: Passes },
    Frame { name: "IPv6 length beyond the frame", flow: UDP6, spoil: &[At(18, &[0xff, 0xff])], fate: Passes },
    Frame { name: "IPv6 length below the frame", flow: UDP6, spoil: &[At(18, &[0, 8])], fate: Passes },
    Frame { name: "IPv6 one byte short", flow: UDP6, spoil: &[Cut(125)], fate: Passes },
    Frame { name: "IPv6 hop by hop (CVE-2023-1668)", flow: UDP6, spoil: &[At(18, &[0, 80, 0]), Insert(54, &[17, 0, 1, 4, 0, 0, 0, 0], 1)], fate: Passes },
    Frame { name: "IPv6 hop by hop of nothing", flow: UDP6, spoil: &[At(20, &[0]), At(18, &[0, 0]), Cut(54)], fate: Passes },
    Frame { name: "IPv6 hundred options headers", flow: UDP6, spoil: &[At(18, &[3, 0x68, 60]), Insert(54, &[60, 0, 1, 4, 0, 0, 0, 0], 100)], fate: Passes },
    Frame { name: "IPv6 hundred headers, no end", flow: UDP6, spoil: &[At(18, &[3, 0x20, 60]), Cut(54), Insert(54, &[60, 0, 1, 4, 0, 0, 0, 0], 100)], fate: Passes },
    Frame { name: "IPv6 header length beyond the packet", flow: UDP6, spoil: &[At(20, &[60]), At(54, &[17, 255])], fate: Passes },
    Frame { name: "IPv6 authentication header of nothing", flow: UDP6, spoil: &[At(20, &[51]), At(54, &[17, 0])], fate: Passes },
    Frame { name: "IPv6 authentication header beyond", flow: UDP6, spoil: &[At(20, &[51]), At(54, &[17, 255])], fate: Passes },
    Frame { name: "IPv6 routing header, segments left", flow: UDP6, spoil: &[At(20, &[43]), At(54, &[17, 0, 0, 255])], fate: Passes },
    Frame { name: "IPv6 fragment of nothing", flow: UDP6, spoil: &[At(18, &[0, 0, 44]), Cut(54)], fate: Passes },
    Frame { name: "IPv6 fragment cut", flow: UDP6, spoil: &[At(18, &[0, 7, 44]), Cut(61)], fate: Passes },
    Frame { name: "IPv6 fragment in a fragment", flow: UDP6, spoil: &[At(18, &[0, 88, 44]), Insert(54, &[44, 0, 0, 1, 0, 0, 0, 1, 17, 0, 0, 0, 0, 0, 0, 2], 1)], fate: Passes },
    Frame { name: "IPv6 later fragment, then options", flow: UDP6, spoil: &[At(18, &[0, 80, 44]), Insert(54, &[60, 0, 0xff, 0xf8, 0, 0, 0, 1], 1)], fate: Passes },
    Frame { name: "IPv6 no next header", flow: UDP6, spoil: &[At(20, &[59])], fate: Passes },
    // -- NSH --
    Frame { name: "NSH of nothing", flow: OTHER, spoil: &[At(12, &[0x89, 0x4f])], fate: Passes },
    Frame { name: "NSH length 0", flow: OTHER, spoil: &[At(12, &[0x89, 0x4f]), Insert(14, &[0x0f, 0xc0, 1, 3, 0, 0, 1, 255], 1)], fate: Passes },
    Frame { name: "NSH length beyond the frame", flow: OTHER, spoil: &[At(12, &[0x89, 0x4f]), Insert(14, &[0x0f, 0xff, 1, 3, 0, 0, 1, 255], 1)], fate: Passes },
    // -- ARP --
    Frame { name: "ARP of nothing", flow: OTHER, spoil: &[At(12, &[8, 6])], fate: Passes },
    Frame { name: "ARP one byte short", flow: ARP, spoil: &[Cut(41)], fate: Passes },
    Frame { name: "ARP hardware length 0", flow: ARP, spoil: &[At(18, &[0])], fate: Passes },
    Frame { name: "ARP hardware length 255", flow: ARP, spoil: &[At(18, &[255])], fate: Passes },
    Frame { name: "ARP protocol length 16", flow: ARP, spoil: &[At(19, &[16])], fate: Passes },
    Frame { name: "ARP protocol IPv6", flow: ARP, spoil: &[At(16, &[0x86, 0xdd])], fate: Passes },
    Frame { name: "ARP operation 257", flow: ARP, spoil: &[At(20, &[1, 1])], fate: Passes },
    Frame { name: "ARP from a group", flow: ARP, spoil: &[At(22, &[0xff; 6])], fate: Passes },
    Frame { name: "RARP", flow: ARP, spoil: &[At(12, &[0x80, 0x35])], fate: Passes },
    // -- ICMP, ND, MLD, IGMP --
    Frame { name: "ICMP cut", flow: ICMP4, spoil: &[At(16, &[0, 23]), FixIpv4(14), Cut(37)], fate: Passes },
    Frame { name: "ND option of length 0", flow: NS, spoil: &[At(79, &[0])], fate: Passes },
    Frame { name: "ND option beyond the end", flow: NS, spoil: &[At(79, &[255])], fate: Passes },
    Frame { name: "ND cut in its target", flow: NS, spoil: &[At(18, &[0, 20]), Cut(74)], fate: Passes },
    Frame { name: "ND cut in its option", flow: NS, spoil: &[At(18, &[0, 27]), Cut(81)], fate: Passes },
    Frame { name: "ND option twice", flow: NS, spoil: &[At(18, &[0, 40]), Insert(86, &[1, 1, 2, 0, 0, 0, 0, 9], 1)], fate: Passes },
    Frame { name: "ND code not 0 (CVE-2023-5366)", flow: NS, spoil: &[At(55, &[1])], fate: Passes },
    Frame { name: "ND advertisement, code not 0", flow: NA, spoil: &[At(55, &[7])], fate: Passes },
    Frame { name: "ND target a group", flow: NA, spoil: &[At(62, &[0xff])], fate: Passes },
    Frame { name: "ND hop limit 1", flow: NA, spoil: &[At(21, &[1])], fate: Passes },
    Frame { name: "MLDv2 with more records than it has", flow: MLD, spoil: &[At(60, &[0xff, 0xff])], fate: Passes },
    Frame { name: "IGMPv3 with more groups than it has", flow: IGMP, spoil: &[At(34, &[0x22, 0, 0, 0, 0, 0, 0xff, 0xff])], fate: Passes },
    Frame { name: "IGMP cut", flow: IGMP, spoil: &[At(16, &[0, 21]), FixIpv4(14), Cut(35)], fate: Passes },
    // -- transport --
    Frame { name: "TCP header length 0", flow: TCP4, spoil: &[At(46, &[0])], fate: Passes },
    Frame { name: "TCP header length 4", flow: TCP4, spoil: &[At(46, &[0x40])], fate: Passes },
    Frame { name: "TCP header beyond the packet", flow: TCP4, spoil: &[At(16, &[0, 40]), At(46, &[0xf0]), FixIpv4(14), Cut(54)], fate: Passes },
    Frame { name: "TCP cut", flow: TCP4, spoil: &[At(16, &[0, 39]), FixIpv4(14), Cut(53)], fate: Passes },
    Frame { name: "TCP all flags", flow: TCP4, spoil: &[At(46, &[0x5f, 0xff])], fate: Passes },
    Frame { name: "TCP over IPv6, header beyond", flow: TCP6, spoil: &[At(66, &[0xf0]), At(18, &[0, 30]), Cut(84)], fate: Passes },
    Frame { name: "UDP length 0", flow: UDP4, spoil: &[At(38, &[0, 0])], fate: Passes },
    Frame { name: "UDP length 7", flow: UDP4, spoil: &[At(38, &[0, 7])], fate: Passes },
    Frame { name: "UDP length beyond the packet", flow: UDP4, spoil: &[At(38, &[0xff, 0xff])], fate: Passes },
    Frame { name: "UDP cut", flow: UDP4, spoil: &[At(16, &[0, 27]), FixIpv4(14), Cut(41)], fate: Passes },
    Frame { name: "UDP bad checksum", flow: UDP4, spoil: &[At(40, &[0xde, 0xad])], fate: Passes },
    Frame { name: "UDP over IPv6 without a checksum", flow: UDP6, spoil: &[At(60, &[0, 0])], fate: Passes },
    Frame { name: "SCTP cut", flow: SCTP4, spoil: &[At(16, &[0, 31]), FixIpv4(14), Cut(45)], fate: Passes },
    // -- control protocols that guests have no business with --
    Frame { name: "spanning tree", flow: OTHER, spoil: &[At(0, &[1, 0x80, 0xc2, 0, 0, 0]), At(12, &[0, 38]), Insert(14, &[0x42, 0x42, 3], 1)], fate: Drops(RESERVED) },
    Frame { name: "LACP", flow: OTHER, spoil: &[At(0, &[1, 0x80, 0xc2, 0, 0, 2]), At(12, &[0x88, 9]), Insert(14, &[1, 1, 1, 0], 1)], fate: Drops(RESERVED) },
    Frame { name: "LLDP that lies", flow: OTHER, spoil: &[At(0, &[1, 0x80, 0xc2, 0, 0, 0x0e]), At(12, &[0x88, 0xcc]), Insert(14, &[0xff, 0xff], 9)], fate: Drops(RESERVED) },
    Frame { name: "pause", flow: OTHER, spoil: &[At(0, &[1, 0x80, 0xc2, 0, 0, 1]), At(12, &[0x88, 8])], fate: Drops(RESERVED) },
];

/// A packet for the tunnel whose outer headers lie.
pub(crate) struct Outer {
    pub(crate) name: &'static str,
    /// How much of the frame inside there is; the lengths before it are right.
    pub(crate) inner: usize,
    /// Whether the outer UDP checksum is there (and right before spoiling).
    pub(crate) csum: bool,
    /// What is done to the whole.
    pub(crate) spoil: &'static [Spoil],
    pub(crate) end: End,
}

/// Where it ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// Waits for the rest of its packet.
    Kept,
    /// Unwrapped and delivered.
    Inside,
    /// Not for the tunnel: the host gets it as it is.
    Host,
    /// Dropped under this name.
    Dropped(&'static str),
}

use End::{Dropped, Host, Inside, Kept};

/// The whole frame inside.
pub(crate) const WHOLE: usize = usize::MAX;

const POP: &str = "datapath_drop_tunnel_pop_error";
const METADATA: &str = "drop_action_invalid_tunnel_metadata";
const UNKNOWN: &str = "drop_action_unknown_tunnel";
const ECN: &str = "drop_action_congestion";

const fn outer(name: &'static str, spoil: &'static [Spoil], end: End) -> Outer {
    Outer { name, inner: WHOLE, csum: false, spoil, end }
}

const fn summed(name: &'static str, spoil: &'static [Spoil], end: End) -> Outer {
    Outer { name, inner: WHOLE, csum: true, spoil, end }
}

const fn short(name: &'static str, inner: usize) -> Outer {
    Outer { name, inner, csum: false, spoil: &[], end: Dropped(POP) }
}

// One packet a line. The frame inside is UDP4: 106 bytes; IP length 142 (0x8e), UDP length 122 (0x7a).
#[rustfmt::skip]
pub(crate) const OUTER: &[Outer] = &[
    // -- as it should be --
    outer("a good one", &[], Inside),
    summed("a good one with a checksum", &[], Inside),
    outer("padded", &[Pad(300)], Inside),
    outer("TTL 0", &[At(22, &[0]), FixIpv4(14)], Inside),
    outer("TTL 1", &[At(22, &[1]), FixIpv4(14)], Inside),
    outer("with IPv4 options", &[Insert(34, &[1, 1, 1, 0], 1), At(14, &[0x46]), At(16, &[0, 146]), FixIpv4(14)], Inside),
    outer("DF not set", &[At(20, &[0, 0]), FixIpv4(14)], Inside),
    outer("source port 0", &[At(34, &[0, 0])], Inside),
    outer("UDP length cuts the frame inside", &[At(38, &[0, 50])], Inside),
    // -- VXLAN --
    outer("no flag I", &[At(42, &[0])], Dropped(POP)),
    outer("all flags", &[At(42, &[0xff])], Dropped(POP)),
    outer("a reserved flag", &[At(42, &[0x18])], Dropped(POP)),
    outer("reserved bits", &[At(43, &[1])], Dropped(POP)),
    outer("reserved bits at the end", &[At(49, &[1])], Dropped(POP)),
    outer("a group policy", &[At(42, &[0x88, 0, 0, 7])], Dropped(METADATA)),
    outer("a group policy that says do not learn", &[At(42, &[0x88, 0x40, 0, 7])], Dropped(METADATA)),
    outer("a group policy with bits that it does not have", &[At(42, &[0x88, 0x80, 0, 7])], Dropped(POP)),
    outer("a frame in a generic header", &[At(42, &[0x0c, 0, 0, 3])], Dropped(METADATA)),
    outer("generic protocol extension", &[At(42, &[0x0c, 0, 0, 1])], Dropped(POP)),
    outer("remote checksum offload", &[At(42, &[0x08, 0x20, 0, 0])], Dropped(POP)),
    outer("an unknown network", &[At(46, &[0, 0, 1])], Dropped(UNKNOWN)),
    outer("the highest network", &[At(46, &[0xff, 0xff, 0xff])], Dropped(UNKNOWN)),
    short("nothing inside", 0),
    short("1 byte inside", 1),
    short("13 bytes inside", 13),
    // -- UDP --
    outer("UDP length 0", &[At(38, &[0, 0])], Dropped(POP)),
    outer("UDP length 7", &[At(38, &[0, 7])], Dropped(POP)),
    outer("UDP length without VXLAN", &[At(38, &[0, 8])], Dropped(POP)),
    outer("UDP length cuts VXLAN", &[At(38, &[0, 15])], Dropped(POP)),
    outer("UDP length ends before a frame", &[At(38, &[0, 29])], Dropped(POP)),
    outer("UDP length beyond the packet", &[At(38, &[0, 123])], Dropped(POP)),
    summed("UDP checksum wrong", &[At(40, &[0xde, 0xad])], Dropped(POP)),
    summed("UDP checksum of another packet", &[At(60, &[0xff])], Dropped(POP)),
    summed("UDP checksum zero", &[At(40, &[0, 0])], Inside),
    outer("another port", &[At(36, &[0x12, 0xb6])], Host),
    outer("port 0", &[At(36, &[0, 0])], Host),
    // -- IPv4 --
    outer("IPv4 checksum wrong", &[At(24, &[0xde, 0xad])], Dropped(POP)),
    outer("IPv4 ihl 4", &[At(14, &[0x44])], Host),
    outer("IPv4 ihl beyond the packet", &[At(14, &[0x4f]), At(16, &[0, 40])], Host),
    outer("IPv4 length beyond the frame", &[At(16, &[0, 143])], Host),
    outer("IPv4 length below the UDP length", &[At(16, &[0, 141]), FixIpv4(14)], Dropped(POP)),
    outer("IPv4 length without UDP", &[At(16, &[0, 20]), FixIpv4(14)], Host),
    outer("cut in the IPv4 header", &[Cut(30)], Host),
    outer("cut in the VXLAN header", &[Cut(46)], Host),
    outer("a first fragment", &[At(20, &[0x20, 0]), FixIpv4(14)], Kept),
    outer("a later fragment", &[At(20, &[0, 1]), FixIpv4(14)], Kept),
    outer("protocol 0", &[At(23, &[0]), FixIpv4(14)], Host),
    outer("TCP", &[At(23, &[6]), FixIpv4(14)], Host),
    outer("to another address", &[At(33, &[99]), FixIpv4(14)], Host),
    outer("to the broadcast address", &[At(33, &[255]), FixIpv4(14)], Host),
    outer("from another address", &[At(29, &[99]), FixIpv4(14)], Dropped(UNKNOWN)),
    outer("from our own address", &[At(29, &[1]), FixIpv4(14)], Dropped(UNKNOWN)),
    outer("from nowhere", &[At(26, &[0, 0, 0, 0]), FixIpv4(14)], Dropped(UNKNOWN)),
    outer("from everybody", &[At(26, &[255, 255, 255, 255]), FixIpv4(14)], Dropped(UNKNOWN)),
    // -- Ethernet --
    outer("to all stations", &[At(0, &[0xff; 6])], Host),
    outer("to another station", &[At(0, &[2, 0, 0, 0, 0xee, 0xee])], Host),
    outer("with a VLAN tag", &[Insert(12, &[0x81, 0, 0, 7], 1)], Host),
    outer("with a tag that says nothing", &[Insert(12, &[0x81, 0, 0, 0], 1)], Inside),
    // -- congestion marks: CE outside, a sender inside that does not know about them (RFC 6040) --
    outer("CE around not-ECT", &[At(15, &[3]), FixIpv4(14)], Dropped(ECN)),
    outer("ECT around not-ECT", &[At(15, &[2]), FixIpv4(14)], Inside),
];

/// A frame inside a tunnel packet that met congestion: the mark is set in it, which is the one edit that hostile frames meet.
pub(crate) struct Marked {
    pub(crate) name: &'static str,
    pub(crate) flow: &'static str,
    pub(crate) spoil: &'static [Spoil],
    /// How the frame that comes out differs; `None`: it is dropped, for it has no place for a mark.
    pub(crate) becomes: Option<&'static [Spoil]>,
}

const MARK4: &[Spoil] = &[At(15, &[3]), FixIpv4(14)];
const MARK6: &[Spoil] = &[At(15, &[0x30])];

// One frame a line. All say ECT(0) at first.
#[rustfmt::skip]
pub(crate) const MARKED: &[Marked] = &[
    Marked { name: "IPv4", flow: UDP4, spoil: &[At(15, &[2]), FixIpv4(14)], becomes: Some(MARK4) },
    Marked { name: "IPv4 of ECT(1)", flow: UDP4, spoil: &[At(15, &[1]), FixIpv4(14)], becomes: Some(MARK4) },
    Marked { name: "IPv4 marked already", flow: UDP4, spoil: &[At(15, &[3]), FixIpv4(14)], becomes: Some(&[]) },
    Marked { name: "IPv4 protocol 0", flow: UDP4, spoil: &[At(15, &[2]), At(23, &[0]), FixIpv4(14)], becomes: Some(MARK4) },
    Marked { name: "IPv4 TTL 0", flow: UDP4, spoil: &[At(15, &[2]), At(22, &[0]), FixIpv4(14)], becomes: Some(MARK4) },
    Marked { name: "IPv4 options", flow: UDP4, spoil: &[At(15, &[2]), Insert(34, &[7, 255, 0, 0], 10), At(14, &[0x4f]), At(16, &[0, 132]), FixIpv4(14)], becomes: Some(MARK4) },
    Marked { name: "IPv4 later fragment", flow: UDP4, spoil: &[At(15, &[2]), At(20, &[0, 9]), FixIpv4(14)], becomes: Some(MARK4) },
    Marked { name: "IPv4 header alone", flow: UDP4, spoil: &[At(15, &[2]), At(16, &[0, 20]), FixIpv4(14), Cut(34)], becomes: Some(MARK4) },
    Marked { name: "IPv4 TCP cut", flow: TCP4, spoil: &[At(15, &[2]), At(16, &[0, 30]), FixIpv4(14), Cut(44)], becomes: Some(MARK4) },
    Marked { name: "IPv4 bad checksum stays bad", flow: UDP4, spoil: &[At(15, &[2]), FixIpv4(14), At(24, &[0, 0])], becomes: Some(&[At(15, &[3]), At(24, &[0xff, 0xfe])]) },
    Marked { name: "IPv4 ihl 4", flow: UDP4, spoil: &[At(14, &[0x44, 2])], becomes: None },
    Marked { name: "IPv4 length beyond", flow: UDP4, spoil: &[At(15, &[2]), At(16, &[0xff, 0xff])], becomes: None },
    Marked { name: "IPv4 of nothing", flow: OTHER, spoil: &[At(12, &[8, 0])], becomes: None },
    Marked { name: "IPv6", flow: UDP6, spoil: &[At(15, &[0x20])], becomes: Some(MARK6) },
    Marked { name: "IPv6 hop by hop of nothing", flow: UDP6, spoil: &[At(15, &[0x20]), At(20, &[0]), At(18, &[0, 0]), Cut(54)], becomes: None },
    Marked { name: "IPv6 fragment", flow: UDP6, spoil: &[At(15, &[0x20]), At(18, &[0, 80, 44]), Insert(54, &[17, 0, 0xff, 0xf8, 0, 0, 0, 1], 1)], becomes: Some(MARK6) },
    Marked { name: "IPv6 UDP cut", flow: UDP6, spoil: &[At(15, &[0x20]), At(18, &[0, 7]), Cut(61)], becomes: Some(MARK6) },
    Marked { name: "IPv6 length beyond", flow: UDP6, spoil: &[At(15, &[0x20]), At(18, &[0xff, 0xff])], becomes: None },
    Marked { name: "no IP", flow: OTHER, spoil: &[], becomes: Some(&[]) },
    Marked { name: "ARP", flow: ARP, spoil: &[], becomes: Some(&[]) },
];
