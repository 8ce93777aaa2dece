//! Random pipelines and packets in the words of `ovs-ofctl`, for whoever compares what becomes of them.
//!
//! What fields can hold is taken from few values each, so that packets meet rules; masks have bits at random places. A rule is
//! about one kind of packets and acts on fields that these have. A seed always gives the same.

use std::fmt::Write;

/// Random numbers that a seed decides (SplitMix64), or bytes, as long as there are any.
#[derive(Clone, Debug)]
pub struct Dice {
    state: u64,
    /// What decides the next numbers, the last first.
    bytes: Vec<u8>,
}

impl Dice {
    /// Those of a seed.
    pub fn new(seed: u64) -> Self {
        Self { state: seed, bytes: Vec::new() }
    }

    /// Two bytes each decide a number, so that who changes some of them changes some of what is made of the numbers.
    pub fn of_bytes(bytes: &[u8]) -> Self {
        Self { state: 0, bytes: bytes.iter().rev().copied().collect() }
    }

    /// Whether there are bytes left.
    pub fn has_bytes(&self) -> bool {
        !self.bytes.is_empty()
    }

    /// The next.
    pub fn number(&mut self) -> u64 {
        if let Some(low) = self.bytes.pop() {
            let high = self.bytes.pop().unwrap_or(0);
            self.state = u64::from(u16::from_le_bytes([low, high]));
        }
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.state ^ (self.state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// One below `end`, or 0.
    pub fn below(&mut self, end: usize) -> usize {
        (self.number() % end.max(1) as u64) as usize
    }

    /// True once in `n`.
    pub fn once_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }

    /// One of these, which are not none.
    pub fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.below(of.len())]
    }

    fn number128(&mut self) -> u128 {
        u128::from(self.number()) << 64 | u128::from(self.number())
    }
}

/// How a field's value is written, and which values there are.
#[derive(Clone, Copy, Debug)]
enum Shape {
    /// A number of so many bits, with a mask.
    Number(u32, &'static [u128]),
    /// One without.
    Whole(&'static [u128]),
    Mac,
    Ipv4,
    Ipv6,
}

use Shape::{Ipv4, Ipv6, Mac, Number, Whole};

const SMALL: &[u128] = &[0, 1, 2, 5, 0x10];
const PORTS: &[u128] = &[0, 53, 80, 4789, 8080];
const MACS: [u64; 5] =
    [0x5054_0000_0001, 0x5054_0000_0002, 0xaa55_aa55_0000, 0xffff_ffff_ffff, 0x0180_c200_0002];
const IPS: [u32; 4] = [0x0a00_0001, 0x0a00_0002, 0x0a00_0103, 0xe000_0001];
const IPS6: [u128; 3] = [
    0x2001_0db8_0000_0000_0000_0000_0000_0001,
    0x2001_0db8_0000_0000_0000_0000_0001_0002,
    0xff02_0000_0000_0000_0000_0001_ff00_0001,
];

/// A kind of packets: what says so, and the fields that they have beside everybody's.
#[derive(Debug)]
struct Kind {
    name: &'static str,
    fields: &'static [(&'static str, Shape)],
    /// Fields that moves can name, and their bits.
    parts: &'static [(&'static str, u32)],
    /// Actions that make sense for them.
    actions: &'static [&'static str],
}

const COMMON: &[(&str, Shape)] = &[
    ("reg0", Number(32, SMALL)),
    ("reg1", Number(32, SMALL)),
    ("reg7", Number(32, SMALL)),
    ("xreg1", Number(64, SMALL)),
    ("metadata", Number(64, SMALL)),
    ("tun_id", Number(64, SMALL)),
    ("pkt_mark", Number(32, SMALL)),
    ("dl_src", Mac),
    ("dl_dst", Mac),
];

const PARTS: &[(&str, u32)] = &[
    ("NXM_NX_REG0", 32),
    ("NXM_NX_REG1", 32),
    ("NXM_NX_REG7", 32),
    ("NXM_NX_XXREG1", 128),
    ("OXM_OF_METADATA", 64),
    ("NXM_NX_TUN_ID", 64),
    ("NXM_OF_ETH_SRC", 48),
    ("NXM_OF_ETH_DST", 48),
    ("NXM_NX_PKT_MARK", 32),
];

/// What is there beside a packet in some switches only.
const OWN_FIELDS: &[(&str, Shape)] = &[
    ("ct_mark", Number(32, SMALL)),
    ("ct_zone", Whole(&[0, 1, 7])),
    ("tun_src", Ipv4),
    ("tun_dst", Ipv4),
    ("tun_tos", Whole(&[0, 4])),
    ("tun_ttl", Whole(&[0, 64])),
    ("tun_ipv6_dst", Ipv6),
    ("tun_gbp_id", Number(16, SMALL)),
    ("tun_gbp_flags", Number(8, &[0, 0x40, 8])),
    ("tun_erspan_ver", Whole(&[1, 2])),
    ("tun_erspan_idx", Number(20, SMALL)),
    ("tun_erspan_dir", Whole(&[0, 1])),
    ("tun_erspan_hwid", Number(6, SMALL)),
    ("tun_gtpu_flags", Number(8, &[0x30, 0x32])),
    ("tun_gtpu_msgtype", Whole(&[255, 1])),
    ("tun_metadata0", Number(32, SMALL)),
    ("tun_metadata0", Number(32, SMALL)),
    ("tun_metadata1", Number(64, SMALL)),
    ("tun_flags", Whole(&[0, 1])),
];

const IP4: &[(&str, Shape)] = &[
    ("nw_src", Ipv4),
    ("nw_dst", Ipv4),
    ("nw_ttl", Whole(&[64, 1, 255])),
    ("nw_tos", Whole(&[0, 4, 0x40])),
    ("nw_ecn", Whole(&[0, 1, 3])),
];
const IP4_PARTS: &[(&str, u32)] =
    &[("NXM_OF_IP_SRC", 32), ("NXM_OF_IP_DST", 32), ("NXM_NX_IP_TTL", 8), ("NXM_NX_IP_ECN", 2)];

const KINDS: &[Kind] = &[
    Kind { name: "", fields: &[], parts: &[], actions: &["dec_ttl", "strip_vlan"] },
    Kind {
        name: "ip",
        fields: IP4,
        parts: IP4_PARTS,
        actions: &[
            "dec_ttl",
            "mod_nw_src:10.0.0.3",
            "mod_nw_tos:4",
            "mod_nw_ttl:9",
            "mod_nw_ecn:2",
        ],
    },
    Kind {
        name: "tcp",
        fields: &[
            ("nw_src", Ipv4),
            ("nw_dst", Ipv4),
            ("nw_tos", Whole(&[0, 4, 0x40])),
            ("tp_src", Number(16, PORTS)),
            ("tp_dst", Number(16, PORTS)),
        ],
        parts: &[("NXM_OF_TCP_SRC", 16), ("NXM_OF_TCP_DST", 16), ("NXM_OF_IP_SRC", 32)],
        actions: &["mod_tp_dst:80", "mod_tp_src:81", "dec_ttl", "fin_timeout(idle_timeout=5)"],
    },
    Kind {
        name: "udp",
        fields: &[("nw_dst", Ipv4), ("tp_src", Number(16, PORTS)), ("tp_dst", Number(16, PORTS))],
        parts: &[("NXM_OF_UDP_SRC", 16), ("NXM_OF_UDP_DST", 16), ("NXM_OF_IP_DST", 32)],
        actions: &["mod_tp_dst:80", "mod_nw_dst:10.0.0.9"],
    },
    Kind {
        name: "sctp",
        fields: &[("nw_dst", Ipv4), ("tp_src", Number(16, PORTS)), ("tp_dst", Number(16, PORTS))],
        parts: &[("OXM_OF_SCTP_SRC", 16), ("OXM_OF_SCTP_DST", 16)],
        actions: &["mod_tp_dst:80"],
    },
    Kind {
        name: "icmp",
        fields: &[
            ("nw_src", Ipv4),
            ("icmp_type", Whole(&[0, 8, 3])),
            ("icmp_code", Whole(&[0, 1])),
        ],
        parts: &[("NXM_OF_ICMP_TYPE", 8), ("NXM_OF_IP_SRC", 32)],
        actions: &["dec_ttl"],
    },
    Kind {
        name: "ipv6",
        fields: &[
            ("ipv6_src", Ipv6),
            ("ipv6_dst", Ipv6),
            ("ipv6_label", Number(20, SMALL)),
            ("nw_ttl", Whole(&[64, 1, 255])),
            ("nw_tos", Whole(&[0, 4])),
        ],
        parts: &[("NXM_NX_IPV6_SRC", 128), ("NXM_NX_IPV6_DST", 128)],
        actions: &["dec_ttl", "mod_nw_tos:4"],
    },
    Kind {
        name: "tcp6",
        fields: &[("ipv6_dst", Ipv6), ("tp_src", Number(16, PORTS)), ("tp_dst", Number(16, PORTS))],
        parts: &[("NXM_OF_TCP_SRC", 16), ("NXM_OF_TCP_DST", 16)],
        actions: &["mod_tp_dst:80"],
    },
    Kind {
        name: "icmp6,icmp_type=135,icmp_code=0",
        fields: &[("nd_target", Ipv6), ("nd_sll", Mac), ("ipv6_src", Ipv6)],
        parts: &[("NXM_NX_ND_TARGET", 128), ("NXM_NX_ND_SLL", 48)],
        actions: &[],
    },
    Kind {
        name: "icmp6,icmp_type=136,icmp_code=0",
        fields: &[("nd_target", Ipv6), ("nd_tll", Mac)],
        parts: &[("NXM_NX_ND_TARGET", 128), ("NXM_NX_ND_TLL", 48)],
        actions: &[],
    },
    Kind {
        name: "arp",
        fields: &[
            ("arp_spa", Ipv4),
            ("arp_tpa", Ipv4),
            ("arp_sha", Mac),
            ("arp_tha", Mac),
            ("arp_op", Whole(&[1, 2])),
        ],
        parts: &[
            ("NXM_OF_ARP_SPA", 32),
            ("NXM_OF_ARP_TPA", 32),
            ("NXM_NX_ARP_SHA", 48),
            ("NXM_NX_ARP_THA", 48),
            ("NXM_OF_ARP_OP", 16),
        ],
        actions: &[],
    },
    Kind {
        name: "mpls",
        fields: &[
            ("mpls_label", Whole(&[16, 100])),
            ("mpls_tc", Whole(&[0, 3])),
            ("mpls_bos", Whole(&[0, 1])),
            ("mpls_ttl", Whole(&[64, 1])),
        ],
        parts: &[("OXM_OF_MPLS_LABEL", 20), ("OXM_OF_MPLS_TC", 3)],
        actions: &[
            "dec_mpls_ttl",
            "pop_mpls:0x0800",
            "pop_mpls:0x8847",
            "set_mpls_label:77",
            "set_mpls_tc:2",
            "set_mpls_ttl:9",
        ],
    },
    Kind {
        name: "vlan_tci=0x1000/0x1000",
        fields: &[
            ("vlan_tci", Number(16, &[0x100a, 0x7014, 0x1005])),
            ("dl_vlan", Whole(&[10, 20, 5])),
            ("dl_vlan_pcp", Whole(&[0, 3])),
        ],
        parts: &[("NXM_OF_VLAN_TCI", 12), ("OXM_OF_VLAN_PCP", 3)],
        actions: &["strip_vlan", "pop_vlan", "mod_vlan_pcp:5", "mod_vlan_vid:7"],
    },
];

/// Kinds that Open vSwitch does not have.
const OWN_KINDS: &[Kind] = &[
    Kind {
        name: "eth_type=0x88e7",
        fields: &[("pbb_isid", Number(24, SMALL)), ("pbb_uca", Whole(&[0, 1]))],
        parts: &[("OXM_OF_PBB_ISID", 24), ("OXM_OF_PBB_UCA", 1)],
        actions: &["pop_pbb", "push_pbb:0x88e7"],
    },
    Kind {
        name: "ipv6",
        fields: &[("ipv6_exthdr", Number(9, SMALL)), ("ipv6_label", Number(20, SMALL))],
        parts: &[("NXM_NX_IPV6_LABEL", 20)],
        actions: &["push_pbb:0x88e7"],
    },
    Kind {
        name: "mpls",
        fields: &[("mpls_bos", Whole(&[0, 1])), ("mpls_ttl", Whole(&[64, 1]))],
        parts: &[("OXM_OF_MPLS_LABEL", 20)],
        actions: &["copy_ttl_out", "copy_ttl_in", "copy_ttl_out", "copy_ttl_in", "pop_mpls:0x8847"],
    },
];

/// What anybody can do. `2` and `3` are ports, `9` is none.
const ACTIONS: &[&str] = &[
    "output:1",
    "output:2",
    "output:3",
    "output:2",
    "output:3",
    "output:9",
    "IN_PORT",
    "LOCAL",
    "NORMAL",
    "FLOOD",
    "ALL",
    "drop",
    "controller",
    "controller(max_len=128,reason=no_match,id=3)",
    "resubmit(,1)",
    "resubmit(,2)",
    "resubmit(,3)",
    "resubmit(2,1)",
    "resubmit(,3)",
    "mod_vlan_vid:20",
    "mod_vlan_pcp:3",
    "push_vlan:0x8100",
    "push_vlan:0x88a8",
    "push_mpls:0x8847",
    "push:NXM_OF_ETH_SRC[]",
    "push:NXM_NX_REG0[0..7]",
    "pop:NXM_OF_ETH_DST[]",
    "pop:NXM_NX_REG1[]",
    "set_tunnel:5",
    "set_tunnel64:0x500000001",
    "output:NXM_NX_REG1[0..15]",
    "output(port=2,max_len=100)",
    "set_queue:3",
    "enqueue:2:1",
    "pop_queue",
    "clone(mod_dl_src:00:00:00:00:00:77,output:2)",
    "clone(mod_vlan_vid:11,output:3)",
    "exit",
    "note:11.22.33",
    "group:1",
    "group:3",
    "mod_dl_dst:50:54:00:00:00:77",
    "mod_dl_src:50:54:00:00:00:78",
    "learn(table=3,idle_timeout=9,priority=9,NXM_OF_ETH_DST[]=NXM_OF_ETH_SRC[],output:NXM_OF_IN_PORT[])",
    "learn(table=2,NXM_OF_VLAN_TCI[0..11],load:NXM_OF_IN_PORT[]->NXM_NX_REG1[0..15])",
];

/// What numbers of the switch's own, made from hashes or kept beside a packet, come of: not the same in two makers' switches.
/// `4` and `5` are a tunnel's and a wire's ports, somewhere, `6` to `8` those of tunnels with options, ERSPAN's and GTP-U's.
const OWN_ACTIONS: &[&str] = &[
    "group:2",
    "group:4",
    "group:5",
    "group:6",
    "multipath(symmetric_l4,50,hrw,4,0,NXM_NX_REG0[0..1])",
    "multipath(eth_src,50,modulo_n,2,0,NXM_NX_REG1[0..1])",
    "multipath(symmetric_l3l4+udp,7,hash_threshold,3,0,NXM_NX_REG1[0..7])",
    "multipath(symmetric_l3,7,iter_hash,3,5,NXM_NX_REG0[0..7])",
    "multipath(nw_dst,7,modulo_n,4,0,NXM_OF_VLAN_TCI[0..1])",
    "bundle(symmetric_l3l4,60,hrw,ofport,members:2,3)",
    "bundle(nw_src,60,hrw,ofport,members:1,9,5)",
    "bundle_load(eth_src,0,active_backup,ofport,NXM_NX_REG1[0..15],members:3,2)",
    "bundle_load(symmetric_l4,0,hrw,ofport,NXM_NX_REG1[0..15],members:2,3,4)",
    "check_pkt_larger(1500)->NXM_NX_REG0[0]",
    "check_pkt_larger(100)->NXM_NX_REG1[1],resubmit(,2)",
    "ct(commit,zone=1)",
    "ct(table=1,zone=NXM_NX_REG1[0..15])",
    "ct(table=2,zone=7,nat)",
    "ct(commit,zone=1,exec(set_field:5->ct_mark))",
    "ct(commit,table=2,zone=2,nat(src=10.0.0.9-10.0.0.12:1-99),exec(move:NXM_NX_REG0[]->NXM_NX_CT_LABEL[0..31]))",
    "ct_clear",
    "sample(probability=100,collector_set_id=1)",
    "meter:1",
    "controller(pause,userdata=01.02)",
    "output:4",
    "output:5",
    "set_field:10.0.0.2->tun_dst,output:4",
    "set_tunnel:9,set_field:10.0.0.2->tun_dst,output:4",
    "move:NXM_OF_IP_DST[]->NXM_NX_TUN_IPV4_DST[],output:4",
    "set_field:10.0.0.1->tun_src,resubmit(,2)",
    "output(port=4,max_len=90)",
    "clone(push_vlan:0x8100,ct(commit,zone=1),output:5)",
    "clone(dec_ttl,group:2,output:4),output:2",
    "clone(pop_mpls:0x0800,resubmit(,1))",
    "push_mpls:0x8847,set_mpls_label:9,push_mpls:0x8847",
    "push_mpls:0x8847,pop_mpls:0x0800,resubmit(,2)",
    "pop_mpls:0x8847,pop_mpls:0x0800,resubmit(,3)",
    "pop_mpls:0x86dd,resubmit(,1)",
    "encap(nsh(md_type=1)),set_field:0x1234->nsh_spi,encap(ethernet),output:2",
    "encap(nsh(md_type=1)),set_field:7->nsh_c1,set_field:9->nsh_ttl,output:5",
    "encap(nsh(md_type=1)),encap(nsh(md_type=1)),encap(ethernet),resubmit(,3)",
    "decap(),decap(),resubmit(,2)",
    "decap(),encap(ethernet),output:2",
    "dec_nsh_ttl,move:NXM_OF_ETH_SRC[0..7]->NXM_NX_REG1[0..7],output:3",
    "encap(ethernet),output:3",
    "resubmit(4,1)",
    "set_field:1->in_port,resubmit(,2)",
    "push:NXM_NX_REG1[],set_field:3->reg1,output:NXM_NX_REG1[0..15],pop:NXM_NX_REG1[]",
    "learn(table=1,priority=3,eth_type=0x800,NXM_OF_IP_SRC[]=NXM_OF_IP_DST[],output:NXM_NX_REG1[0..15])",
    "learn(table=2,priority=4,NXM_NX_REG0[0..15]=NXM_OF_IN_PORT[],NXM_OF_ETH_TYPE[],load:5->NXM_NX_REG1[0..15])",
    "learn(table=3,limit=3,result_dst=NXM_NX_REG0[0],NXM_OF_ETH_SRC[],load:NXM_OF_ETH_DST[0..15]->NXM_NX_REG7[0..15])",
    "push_pbb:0x88e7",
    "set_field:5->tun_gbp_id,set_field:8->tun_gbp_flags,output:4",
    "move:NXM_NX_TUN_GBP_ID[]->NXM_NX_REG1[0..15],resubmit(,2)",
    "set_field:0x12345678->tun_metadata0,set_field:10.0.0.2->tun_dst,output:6",
    "move:NXM_NX_TUN_METADATA0[0..15]->NXM_NX_REG1[0..15],output:NXM_NX_REG1[0..15]",
    "move:NXM_NX_REG0[0..7]->NXM_NX_TUN_METADATA1[32..39],resubmit(,3)",
    "push:NXM_NX_TUN_METADATA1[0..47],pop:NXM_OF_ETH_DST[],output:2",
    "delete_field:tun_metadata1,output:6",
    "set_field:10.0.0.2->tun_dst,ct(commit,table=2,zone=4)",
    "set_field:7->tun_metadata0,clone(set_field:8->tun_metadata0,output:6),resubmit(,2)",
    "set_field:2->tun_erspan_ver,set_field:3->tun_erspan_hwid,set_field:10.0.0.2->tun_dst,output:7",
    "set_field:1->tun_erspan_dir,output:7",
    "move:NXOXM_ET_ERSPAN_IDX[0..7]->NXM_NX_REG1[0..7],resubmit(,3)",
    "move:NXOXM_ET_GTPU_MSGTYPE[]->NXM_NX_REG1[0..7],resubmit(,2)",
    "set_field:10.0.0.2->tun_dst,output:8",
    "learn(table=2,priority=5,NXM_NX_TUN_ID[],NXM_NX_TUN_IPV4_DST[]=NXM_NX_TUN_IPV4_SRC[],output:NXM_OF_IN_PORT[])",
];

/// Which options of tunnels are fields where pipelines name them: class, type and length, number of the field.
pub const OPTIONS: [(u16, u8, u8, u16); 3] =
    [(0xffff, 0, 4, 0), (0xffff, 1, 8, 1), (0x102, 0x80, 4, 2)];

/// Whether rules may do what two makers' switches need not do alike: choose by hashes, number connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Span {
    /// They may not.
    Comparable,
    /// They may.
    Whole,
}

impl Span {
    /// How many priorities there are. Which of two rules with one priority counts is anybody's choice.
    fn priorities(self) -> usize {
        if self == Span::Comparable { 60_000 } else { 6 }
    }
}

fn mac(n: u64) -> String {
    let bytes = n.to_be_bytes();
    bytes[2..].iter().map(|b| format!("{b:02x}")).collect::<Vec<_>>().join(":")
}

fn ipv4(n: u32) -> String {
    std::net::Ipv4Addr::from(n).to_string()
}

fn ipv6(n: u128) -> String {
    std::net::Ipv6Addr::from(n).to_string()
}

/// A mask of so many bits: whole, one bit, a prefix, or any bits; not none.
fn mask(dice: &mut Dice, bits: u32) -> u128 {
    let all = u128::MAX >> (128 - bits);
    let n = dice.below(bits as usize) as u32;
    match dice.below(5) {
        0 | 1 => all,
        2 => 1 << n,
        3 => all & !((1 << n) - 1),
        _ => (dice.number128() & all).max(1),
    }
}

/// A value, and the bits of it that count if not all.
fn value(dice: &mut Dice, shape: Shape, may_mask: bool) -> String {
    let (bits, n, write): (u32, u128, fn(u128) -> String) = match shape {
        Whole(values) => return dice.pick(values).to_string(),
        Number(bits, values) => (bits, dice.pick(values), |n| format!("{n:#x}")),
        Mac => (48, dice.pick(&MACS).into(), |n| mac(n as u64)),
        Ipv4 => (32, dice.pick(&IPS).into(), |n| ipv4(n as u32)),
        Ipv6 => (128, dice.pick(&IPS6), ipv6),
    };
    let mask = mask(dice, bits);
    let all = u128::MAX >> (128 - bits);
    if !may_mask || mask == all { write(n) } else { format!("{}/{}", write(n & mask), write(mask)) }
}

fn fields(kind: &Kind) -> Vec<(&'static str, Shape)> {
    kind.fields.iter().chain(COMMON).copied().collect()
}

/// Fields that are matched only: nobody can set them.
const READ_ONLY: [&str; 7] =
    ["icmp_type", "icmp_code", "arp_op", "mpls_bos", "dl_vlan", "dl_vlan_pcp", "ipv6_exthdr"];
/// Views of one tag, of which a rule can match one.
const TAG: [&str; 3] = ["vlan_tci", "dl_vlan", "dl_vlan_pcp"];

fn condition(dice: &mut Dice, kind: &Kind, span: Span) -> String {
    let mut all = vec![kind.name.to_owned()];
    if dice.once_in(3) {
        all.push(format!("in_port={}", dice.pick(&[1, 2, 3])));
    }
    if kind.name == "ip" && dice.once_in(4) {
        all.push(format!("ip_frag={}", dice.pick(&["no", "yes", "first", "later", "not_later"])));
    }
    let own = if kind.fields.is_empty() { 0 } else { dice.below(3) };
    let mut chosen: Vec<(&str, Shape)> = (0..own).map(|_| dice.pick(kind.fields)).collect();
    chosen.extend((0..dice.below(2)).map(|_| dice.pick(COMMON)));
    if span == Span::Whole && dice.once_in(6) {
        chosen.push(dice.pick(OWN_FIELDS));
    }
    if span == Span::Whole && dice.once_in(8) {
        all.push(format!("ct_state={}", dice.pick(&["+trk", "-trk", "+trk+est", "+trk+new-est"])));
    }
    let mut seen = Vec::new();
    for (name, shape) in chosen {
        let place = if TAG.contains(&name) { "vlan_tci" } else { name };
        if seen.contains(&place) {
            continue;
        }
        seen.push(place);
        if place == "vlan_tci" {
            all.retain(|said| !said.starts_with("vlan_tci"));
        }
        all.push(format!("{name}={}", value(dice, shape, true)));
    }
    all.retain(|said| !said.is_empty());
    all.join(",")
}

fn part(dice: &mut Dice, name: &str, of: u32, bits: u32) -> String {
    let from = dice.below((of - bits + 1) as usize) as u32;
    format!("{name}[{from}..{}]", from + bits - 1)
}

/// A change of a field.
fn change(dice: &mut Dice, kind: &Kind) -> String {
    if dice.once_in(3) {
        let parts: Vec<_> = kind.parts.iter().chain(PARTS).copied().collect();
        let (src, dst) = (dice.pick(&parts), dice.pick(&parts));
        let bits = 1 + dice.below(src.1.min(dst.1) as usize) as u32;
        let src = part(dice, src.0, src.1, bits);
        return format!("move:{src}->{}", part(dice, dst.0, dst.1, bits));
    }
    let all = fields(kind);
    let (name, shape) = dice.pick(&all);
    if READ_ONLY.contains(&name) {
        return "drop".into();
    }
    format!("set_field:{}->{name}", value(dice, shape, true))
}

fn action(dice: &mut Dice, kind: &Kind, span: Span) -> String {
    match dice.below(8) {
        0 | 1 => change(dice, kind),
        2 if !kind.actions.is_empty() => dice.pick(kind.actions).into(),
        3 | 4 if span == Span::Whole => dice.pick(OWN_ACTIONS).into(),
        _ => dice.pick(ACTIONS).into(),
    }
}

/// A rule, as one tells `ovs-ofctl add-flow`. Not every switch will take every one.
pub fn rule(dice: &mut Dice, span: Span) -> String {
    let kind = &KINDS[dice.below(KINDS.len())];
    let kind = if dice.once_in(4) { &KINDS[0] } else { kind };
    let is_own = span == Span::Whole && dice.once_in(4);
    let kind = if is_own { &OWN_KINDS[dice.below(OWN_KINDS.len())] } else { kind };
    let table = dice.pick(&[0, 0, 0, 1, 1, 2, 3]);
    let mut text = format!(
        "table={table},priority={},{}",
        1 + dice.below(span.priorities()),
        condition(dice, kind, span)
    );
    if dice.once_in(5) {
        let _ = write!(text, ",cookie={:#x}", dice.below(9));
    }
    if span == Span::Whole && dice.once_in(8) {
        let clause = |dice: &mut Dice| {
            let (id, of) = dice.pick(&[(1, 2), (2, 2), (3, 3)]);
            format!("conjunction({id},{}/{of})", 1 + dice.below(of))
        };
        let both = dice.once_in(3).then(|| clause(dice));
        let all: Vec<_> = both.into_iter().chain([clause(dice)]).collect();
        return format!("{text} actions={}", all.join(","));
    }
    let mut actions: Vec<String> =
        (0..1 + dice.below(4)).map(|_| action(dice, kind, span)).filter(|a| a != "drop").collect();
    // As instructions they come in this order.
    if dice.once_in(8) {
        actions.push("clear_actions".into());
    }
    if dice.once_in(5) {
        let set = [change(dice, kind), format!("output:{}", dice.pick(&[1, 2, 3]))];
        let set: Vec<_> = set.into_iter().filter(|a| a != "drop").collect();
        actions.push(format!("write_actions({})", set.join(",")));
    }
    if dice.once_in(6) {
        actions.push(format!("write_metadata:{:#x}/{:#x}", dice.below(8), 1 + dice.below(15)));
    }
    if table < 3 && dice.once_in(3) {
        actions.push(format!("goto_table:{}", table + 1 + dice.below(3 - table)));
    }
    if actions.is_empty() {
        actions.push("drop".into());
    }
    format!("{text} actions={}", actions.join(","))
}

/// Rules for what no other is for, so that packets get far.
pub fn last_rules() -> [String; 4] {
    let rule = |table: usize, actions: &str| format!("table={table},priority=0 actions={actions}");
    [
        rule(0, "resubmit(,1),output:2"),
        rule(1, "resubmit(,2)"),
        rule(2, "resubmit(,3)"),
        rule(3, "output:3"),
    ]
}

/// Groups 1, 2 and 3.
pub const GROUPS: [&str; 3] = [
    "group_id=1,type=all,bucket=actions=mod_dl_src:50:54:00:00:00:09,output:1,bucket=actions=output:2",
    "group_id=2,type=select,bucket=weight=3,actions=output:1,bucket=weight=1,actions=output:2",
    "group_id=3,type=indirect,bucket=actions=mod_vlan_vid:33,output:3",
];

/// Groups 4, 5 and 6, which choose by themselves, and go on.
pub const OWN_GROUPS: [&str; 3] = [
    "group_id=4,type=select,selection_method=hash,fields(ip_src,tcp_dst),bucket=actions=resubmit(,2),bucket=actions=ct(commit,zone=3),output:2",
    "group_id=5,type=ff,bucket=watch_port:9,actions=output:9,bucket=watch_port:2,actions=group:2,bucket=watch_group:1,actions=output:3",
    "group_id=6,type=select,selection_method=dp_hash,bucket=weight=0,actions=output:1,bucket=weight=2,actions=mod_nw_dst:10.0.0.9,resubmit(,3),bucket=weight=5,actions=pop_mpls:0x0800,output:2",
];

/// A packet, as one tells `ofproto/trace`.
pub fn packet(dice: &mut Dice) -> String {
    let kind = &KINDS[dice.below(KINDS.len())];
    let mut text = format!("in_port={}", dice.pick(&[1, 2, 3]));
    let is_tag = kind.name.starts_with("vlan_tci");
    if !kind.name.is_empty() && !is_tag {
        let _ = write!(text, ",{}", kind.name);
    }
    if is_tag || dice.once_in(5) {
        let (vid, pcp) = (dice.pick(&[10, 20, 5]), dice.pick(&[0, 3]));
        let _ = write!(text, ",dl_vlan={vid},dl_vlan_pcp={pcp}");
    }
    if kind.name == "ip" {
        let _ = write!(
            text,
            ",nw_proto={},ip_frag={}",
            dice.pick(&[2, 47]),
            dice.pick(&["no", "first", "later"])
        );
    }
    let fields = fields(kind).into_iter().filter(|(name, _)| !TAG.contains(name));
    for (name, shape) in fields {
        let beside = name.contains("reg") || matches!(name, "metadata" | "tun_id" | "pkt_mark");
        if beside && !dice.once_in(6) || name == "xreg1" {
            continue;
        }
        let _ = write!(text, ",{name}={}", value(dice, shape, false));
    }
    let ip = ["ip", "tcp", "udp", "sctp", "icmp", "ipv6", "tcp6"].contains(&kind.name);
    if ip && !text.contains("nw_ttl") {
        let _ = write!(text, ",nw_ttl={}", dice.pick(&[64, 64, 1]));
    }
    // Unlike rules, packets have fields by their full names only.
    let transport = kind.name.trim_end_matches('6');
    match transport {
        "tcp" | "udp" | "sctp" => text.replace(",tp_", &format!(",{transport}_")),
        _ if kind.name.starts_with("icmp6") => text.replace(",icmp_", ",icmpv6_"),
        _ => text,
    }
}

#[test]
fn a_seed_gives_the_same_again() {
    let all = |seed| {
        let mut dice = Dice::new(seed);
        (rule(&mut dice, Span::Whole), packet(&mut dice))
    };
    assert_eq!(all(7), all(7));
    assert_ne!(all(7), all(8));
    let of_bytes = |bytes: &[u8]| {
        let mut dice = Dice::of_bytes(bytes);
        [dice.number(), dice.number()]
    };
    assert_eq!(of_bytes(&[1, 2, 3, 4])[0], of_bytes(&[1, 2, 7, 8])[0]);
    assert_ne!(of_bytes(&[1, 2, 3, 4])[1], of_bytes(&[1, 2, 7, 8])[1]);
}
