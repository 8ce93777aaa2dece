//! What `ofproto/trace` prints: the packet, its walk, what it was at the end, and the datapath flow that came of it.

use std::collections::VecDeque;
use std::fmt::{self, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use flow::ct::{Nat, NatSide};
use flow::{
    Action, FlowKey, Mask, OptionMask, Protocol, SlowReason, TunnelKey, Vlan, erspan_bits,
    tunnel_flag,
};
use openflow::field::Prereq;
use openflow::text::unmatched::{unmatched, with_inner_tag};
use openflow::{Field, Match, Value};
use packet::wire::ethernet::eth_type;
use packet::wire::ip_proto;
use pipeline::{Key, KeyMask, OfPort, Options, Snapshot};

use crate::request::{Effect, Request, Tables, Translation, Use};
use crate::walk::{NO_OPTIONS, translate};

/// What a translation was of, how it went, and what came of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Explained {
    /// Why the packet was looked at again: nothing of the first.
    pub resumed: Option<Resumed>,
    /// The packet.
    pub flow: String,
    /// Its walk, a step per line.
    pub walk: String,
    /// What it was in the end, if it was something else.
    pub last: Option<String>,
    /// Which packets go the same way.
    pub megaflow: String,
    /// What is done with them.
    pub actions: String,
    /// Why packets keep going to the slow path.
    pub slow: Vec<&'static str>,
    /// Why the translation was given up, if it was.
    pub error: Option<String>,
}

/// A packet that the connection tracker sends on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resumed {
    /// What it is called meanwhile.
    pub id: u32,
    /// The state of its connection.
    pub with: String,
    /// What it would be translated to.
    pub translated: String,
}

impl fmt::Display for Explained {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(Resumed { id, with, translated }) = &self.resumed {
            let rule = "=".repeat(79);
            write!(
                f,
                "\n\n{rule}\nrecirc({id:#x}) - resume conntrack with {with}\n{translated}{rule}\n\n"
            )?;
        }
        let last = self.last.as_deref().unwrap_or("unchanged");
        writeln!(f, "Flow: {}\n{}\nFinal flow: {last}", self.flow, self.walk)?;
        write!(f, "Megaflow: {}\nDatapath actions: {}", self.megaflow, self.actions)?;
        if !self.slow.is_empty() {
            f.write_str("\nThis flow is handled by the userspace slow path because it:")?;
        }
        self.slow.iter().try_for_each(|reason| write!(f, "\n  - {reason}"))?;
        match &self.error {
            Some(error) => write!(f, "\nTranslation failed ({error}), packet is dropped."),
            None => Ok(()),
        }
    }
}

/// Translates a packet and says how, and the same of what becomes of it when the connection tracker sends it on: the state of
/// its connection is then the next of `ct_states`, or a new connection's. (`request.want_trace` does not matter: it is wanted.)
pub fn explain(
    snapshot: &Snapshot,
    tables: &Tables<'_>,
    request: &Request<'_>,
    ct_states: &[u8],
) -> (Vec<Explained>, Taught) {
    let request = Request { want_trace: true, ..*request };
    let mut t = translate(snapshot, tables, &request);
    // What was kept beside a packet that comes back is a part of its walk.
    if request.key.recirc_id != 0 {
        t.first = None;
    }
    // What is explained must not be forgotten meanwhile.
    let mut taught = Taught { uses: t.uses.clone(), effects: std::mem::take(&mut t.effects) };
    let mut followed = 0;
    let options = options_of(tables, &t);
    let (mut all, in_port) = (vec![describe(&t, &request, options)], t.in_port);
    let mut waiting: VecDeque<_> = t.forks.into();
    let mut states = ct_states.iter();
    while let Some(fork) = waiting.pop_front() {
        if followed >= MOST_FORKS {
            break;
        }
        followed += 1;
        let id = fork.id.0;
        let (state, with) = match states.next() {
            Some(state) => (*state, format!("ct_state={}", ct_state(*state))),
            None => (TRK_NEW, "default ct_state=trk|new (use --ct-next to customize)".into()),
        };
        let mut key = FlowKey { recirc_id: id, ct_state: state, ..fork.key };
        let translated = fork.nat.as_ref().map(|nat| translated(&mut key, nat));
        let mut t = translate(snapshot, tables, &Request { key: &key, ..request });
        t.in_port = t.in_port.or(in_port);
        taught.uses.extend(t.uses.iter().cloned());
        taught.effects.append(&mut t.effects);
        let resumed = Some(Resumed { id, with, translated: translated.unwrap_or_default() });
        all.push(Explained { resumed, ..describe(&t, &Request { key: &key, ..request }, options) });
        waiting.extend(t.forks);
    }
    (all, taught)
}

/// What a packet teaches on its way, and with it all the copies that were followed.
#[derive(Clone, Debug, Default)]
pub struct Taught {
    /// As [`Translation::uses`].
    pub uses: Vec<Use>,
    /// As [`Translation::effects`].
    pub effects: Vec<Effect>,
}

/// Which options of tunnels are fields where the packet came in.
pub fn options_of<'a>(tables: &Tables<'a>, t: &Translation) -> &'a Options {
    let program = t.in_port.and_then(|at| tables.programs.get(&at.bridge));
    program.map_or(&NO_OPTIONS, |program| program.options())
}

/// Gives a packet the first address and port that the tracker may choose, and says so.
fn translated(key: &mut FlowKey, nat: &Nat) -> String {
    let range = match nat {
        Nat::New(range) => Some(range),
        Nat::Existing => None,
    };
    let first = range.and_then(|range| range.addresses).map(|(first, _)| first);
    let ends = |key: &FlowKey| match first {
        Some(IpAddr::V4(_)) => {
            let [src, dst] = [key.nw_src, key.nw_dst].map(Ipv4Addr::from);
            format!("nw_src={src},tp_src={},nw_dst={dst},tp_dst={}", key.tp_src, key.tp_dst)
        }
        Some(IpAddr::V6(_)) => {
            let [src, dst] = [key.ipv6_src, key.ipv6_dst].map(Ipv6Addr::from);
            format!("ipv6_src={src},tp_src={},ipv6_dst={dst},tp_dst={}", key.tp_src, key.tp_dst)
        }
        None => String::new(),
    };
    let before = ends(key);
    if let Some(range) = range {
        let is_source = range.side == NatSide::Source;
        match first {
            Some(IpAddr::V4(ip)) if is_source => key.nw_src = ip.into(),
            Some(IpAddr::V4(ip)) => key.nw_dst = ip.into(),
            Some(IpAddr::V6(ip)) if is_source => key.ipv6_src = ip.octets(),
            Some(IpAddr::V6(ip)) => key.ipv6_dst = ip.octets(),
            None => {}
        }
        if let Some((port, _)) = range.ports {
            *(if is_source { &mut key.tp_src } else { &mut key.tp_dst }) = port;
        }
    }
    let after = ends(key);
    format!(
        "Replacing src/dst IP/ports to simulate NAT:\n Initial flow: {before}\n Modified flow: {after}\n"
    )
}

/// Copies of a packet that are followed.
const MOST_FORKS: usize = 64;
/// A connection that was not known.
const TRK_NEW: u8 = 0x21;

/// Flags as people name them.
fn ct_state(state: u8) -> String {
    let names = ["new", "est", "rel", "rpl", "inv", "trk", "snat", "dnat"];
    let set = names.iter().enumerate().filter(|(i, _)| state >> i & 1 == 1);
    set.map(|(_, name)| *name).collect::<Vec<_>>().join("|")
}

/// The same of a translation that was made.
pub fn describe(t: &Translation, request: &Request<'_>, options: &Options) -> Explained {
    let names = flow::text::Numbers;
    let registers = t.first.as_deref().map_or_else(Default::default, |key| key.registers);
    let mut begin = Key { flow: *request.key, registers };
    begin.registers.in_port = t.in_port.map_or(OfPort::NONE, |at| at.port).0;
    begin.registers.actset_output = 0;
    if t.first.is_none() {
        options.read(request.options, &mut begin);
    }
    let same = t.last.as_ref().is_none_or(|last| {
        // Where the action set sends it is a change, but one that is not shown.
        let mut end = **last;
        let is_sent = end.registers.actset_output != openflow::Port::UNSET.0;
        end.registers.actset_output = 0;
        end == begin && !is_sent
    });
    let mut actions = t.actions.clone();
    // What the switch itself takes goes no further.
    actions.retain(|action| !matches!(action, Action::Userspace(SlowReason::Protocol(_))));
    if request.packet.is_none() {
        unsent(&mut actions);
    }
    Explained {
        resumed: None,
        flow: flow_text(&begin, options),
        walk: t.trace.to_string(),
        last: (!same).then(|| flow_text(t.last.as_deref().unwrap_or(&begin), options)),
        megaflow: with_options(megaflow_text(&begin, &t.mask), &begin, &t.options, options),
        actions: flow::text::ActionsText { actions: &actions, names: &names }.to_string(),
        slow: slow(t),
        error: t.error.map(|error| error.to_string()),
    }
}

/// Without a packet there is none to send to controllers, and none that they could let go on.
fn unsent(actions: &mut Vec<Action>) {
    actions.retain_mut(|action| match action {
        Action::Userspace(SlowReason::Controller(message)) => {
            message.dont_send = true;
            !message.continuation
        }
        Action::Sample { actions, .. } | Action::Clone(actions) => {
            unsent(actions);
            true
        }
        _ => true,
    });
}

/// Why packets of the flow keep going to the slow path.
fn slow(t: &Translation) -> Vec<&'static str> {
    let reason = |action: &Action| match action {
        Action::Userspace(SlowReason::Protocol(Protocol::Lacp)) => {
            Some("Consists of LACP packets.")
        }
        Action::Userspace(SlowReason::Action) => Some("Uses action(s) not supported by datapath."),
        _ => None,
    };
    let mut reasons: Vec<_> = t.actions.iter().filter_map(reason).collect();
    reasons.dedup();
    reasons
}

/// All that a packet has, as a match.
pub fn flow_text(key: &Key, options: &Options) -> String {
    let mut m = Match::any();
    for field in Field::ALL.iter().filter(|field| is_beside(**field)) {
        if !key.get(*field).is_zero() {
            set(&mut m, key, *field);
        }
    }
    if key.registers.in_port != 0 {
        m.set_exact(Field::InPort, key.registers.in_port);
    }
    if key.flow.packet_type == 0 {
        for field in [Field::EthSrc, Field::EthDst, Field::EthType, Field::VlanTci] {
            set(&mut m, key, field);
        }
    } else {
        set(&mut m, key, Field::PacketType);
    }
    header_fields(&key.flow).iter().for_each(|field| set(&mut m, key, *field));
    let shown = with_inner_tag(m.to_string(), &key.flow.vlans);
    let shown = with_tunnel(shown, key, options);
    shown + &unmatched(&key.flow)
}

/// The tunnel that the packet came through, as the reference shows it: whole, with all that other kinds of tunnels have.
fn with_tunnel(text: String, key: &Key, options: &Options) -> String {
    let tunnel = &key.flow.tunnel;
    let mut shown = String::new();
    let has_key = match tunnel.is_set() {
        true => tunnel.flags & tunnel_flag::KEY != 0,
        false => tunnel.id != 0,
    };
    if has_key {
        let _ = write!(shown, "tun_id={:#x},", tunnel.id);
    }
    if tunnel.is_set() {
        shown += &tunnel_header(tunnel);
        for option in options.present(key) {
            let _ = write!(shown, "{}={:x},", option.name(), options.get(key, option));
        }
    }
    let at = ["metadata=", "in_port="].iter().filter_map(|next| text.find(next)).min();
    let (before, after) = text.split_at(at.unwrap_or(text.len()));
    format!("{before}{shown}{after}")
}

/// What ERSPAN's version has beside its number.
fn erspan_text(tunnel: &TunnelKey) -> String {
    let field = |field| tunnel.erspan(field);
    match field(erspan_bits::VERSION) {
        1 => format!(",tun_erspan_idx={:#x}", field(erspan_bits::INDEX)),
        2 => format!(
            ",tun_erspan_dir={},tun_erspan_hwid={:#x}",
            field(erspan_bits::DIRECTION),
            field(erspan_bits::HWID)
        ),
        _ => String::new(),
    }
}

fn tunnel_header(tunnel: &TunnelKey) -> String {
    let [src, dst] = [tunnel.ip_src, tunnel.ip_dst].map(Ipv4Addr::from);
    let [src6, dst6] = [tunnel.ipv6_src, tunnel.ipv6_dst].map(Ipv6Addr::from);
    let flags = ["df", "csum", "key", "oam"].iter().enumerate();
    let flags: Vec<_> =
        flags.filter(|(bit, _)| tunnel.flags >> bit & 1 != 0).map(|(_, name)| *name).collect();
    let flags = if flags.is_empty() { "0".into() } else { flags.join("|") };
    format!(
        "tun_src={src},tun_dst={dst},tun_ipv6_src={src6},tun_ipv6_dst={dst6},tun_gbp_id={},\
         tun_gbp_flags={},tun_tos={},tun_ttl={},tun_erspan_ver={}{},gtpu_flags={},gtpu_msgtype={},\
         tun_flags={flags},",
        tunnel.gbp_id,
        tunnel.gbp_flags,
        tunnel.tos,
        tunnel.ttl,
        tunnel.erspan(erspan_bits::VERSION),
        erspan_text(tunnel),
        tunnel.gtpu_flags,
        tunnel.gtpu_msgtype,
    )
}

fn set(m: &mut Match, key: &Key, field: Field) {
    m.set(field, &key.get(field), &openflow::field::prereq::whole_mask(field));
}

/// Whether a field is about the packet, not in it, and shown when it is not zero.
fn is_beside(field: Field) -> bool {
    let row = field.row();
    let owner = row.home.0 == field && field.registers().is_none_or(|(_, count)| count == 1);
    let hidden = (Field::TunId..=Field::TunFlags).contains(&field)
        || matches!(
            field,
            Field::InPort
                | Field::InPortOxm
                | Field::PacketType
                | Field::ActsetOutput
                | Field::ConjId
        );
    owner && matches!(row.prereq, Prereq::None | Prereq::Ct) && !hidden
}

/// The fields of the headers behind the Ethernet header.
fn header_fields(k: &FlowKey) -> Vec<Field> {
    use Field::*;
    let mut fields = match k.eth_type {
        eth_type::IPV4 => vec![IpSrc, IpDst, NwProto, NwTos, NwEcn, NwTtl, IpFrag],
        eth_type::IPV6 => vec![Ipv6Src, Ipv6Dst, Ipv6Label, NwProto, NwTos, NwEcn, NwTtl, IpFrag],
        eth_type::ARP | eth_type::RARP => vec![ArpSpa, ArpTpa, ArpOp, ArpSha, ArpTha],
        eth_type::MPLS | eth_type::MPLS_MULTICAST => {
            vec![MplsLabel, MplsTc, MplsTtl, MplsBos]
        }
        eth_type::PBB => vec![PbbIsid, PbbUca],
        _ => vec![],
    };
    if !k.is_ipv4() && !k.is_ipv6() {
        return fields;
    }
    match k.nw_proto {
        ip_proto::TCP => fields.extend([TcpSrc, TcpDst, TcpFlags]),
        ip_proto::UDP => fields.extend([UdpSrc, UdpDst]),
        ip_proto::SCTP => fields.extend([SctpSrc, SctpDst]),
        ip_proto::ICMP if k.is_ipv4() => fields.extend([IcmpType, IcmpCode]),
        ip_proto::ICMPV6 if k.is_ipv6() => {
            fields.extend([Icmpv6Type, Icmpv6Code]);
            match k.tp_src {
                135 | 136 => fields.extend([NdTarget, NdSll, NdTll]),
                _ => {}
            }
        }
        _ => {}
    }
    fields
}

/// What packets a datapath flow is of.
fn megaflow_text(key: &Key, mask: &Mask) -> String {
    let mut m = Match::any();
    let mut looked = KeyMask::any();
    looked.0.flow = mask.0;
    looked.add_whole(Field::InPort);
    for field in Field::ALL {
        let row = field.row();
        let is_own = row.home.0 == *field || *field == Field::NwEcn;
        if !is_own || field.registers().is_some() || *field == Field::InPortOxm {
            continue;
        }
        if !key.may_have(*field) {
            continue;
        }
        // That there is no tag, the Ethernet type says already.
        if *field == Field::VlanTci && !key.flow.vlans[0].is_present() {
            continue;
        }
        let bits = looked.0.get(*field);
        m.set(*field, &key.get(*field).and(&bits), &bits);
    }
    let text = match mask.0.vlans[1] == Vlan::default() {
        true => m.to_string(),
        false => with_inner_tag(m.to_string(), &key.flow.vlans),
    };
    let text = with_label_mask(text);
    let is_icmp = text.contains("icmp");
    if is_icmp { with_wide_icmp(text, [key.flow.tp_src, key.flow.tp_dst], mask) } else { text }
}

/// With the options that count; of one that the packet has not, that it is not present.
fn with_options(text: String, key: &Key, looked: &OptionMask, options: &Options) -> String {
    let mut shown = String::new();
    for field in options.fields() {
        let Some(bits) = options.field_bits(looked, field) else { continue };
        shown = shown + field.name() + &option_text(key, field, &bits, options) + ",";
    }
    let (before, after) = text.split_at(text.find("in_port=").unwrap_or(text.len()));
    format!("{before}{shown}{after}")
}

/// Such a field's value, if it counts, as far as it does.
fn option_text(key: &Key, field: Field, bits: &Value, options: &Options) -> String {
    let is_present = options.present(key).any(|present| present == field);
    let value = options.get(key, field);
    match (is_present, bits.is_zero()) {
        (false, _) => "=NP".into(),
        (true, true) => String::new(),
        (true, false) if options.is_whole(field, bits) => format!("={value:x}"),
        (true, false) => format!("={:x}/{bits:x}", value.and(bits)),
    }
}

/// The reference keeps IPv6's label of 20 bits in 32, and shows which it looks at.
fn with_label_mask(text: String) -> String {
    const LABEL: &str = ",ipv6_label=";
    let Some((before, rest)) = text.split_once(LABEL) else { return text };
    let (label, after) = rest.split_at(rest.find(',').unwrap_or(rest.len()));
    if label.contains('/') { text } else { format!("{before}{LABEL}{label}/0xfffff{after}") }
}

/// The reference keeps ICMP's types and codes, of eight bits, where ports would be, and shows which of sixteen it looks at.
fn with_wide_icmp(mut text: String, numbers: [u16; 2], mask: &Mask) -> String {
    let masks = [mask.0.tp_src, mask.0.tp_dst];
    for ((label, number), mask) in [",icmp_type=", ",icmp_code="].iter().zip(numbers).zip(masks) {
        if let Some((before, rest)) = text.split_once(label) {
            let after = rest.find(',').map_or("", |at| &rest[at..]);
            let mask = mask & 0xff;
            text = format!("{before}{label}{:#x}/{mask:#x}{after}", number & mask);
        }
    }
    text
}
