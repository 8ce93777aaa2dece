//! Headers around packets and off them again: Ethernet, labels, and network service headers (RFC 8300; OpenFlow 1.5's EXT-382).

use flow::nsh::next;
use flow::{Action as Datapath, DropCause, FlowKey, NshKey, NshPush};
use openflow::action::{Controller, EncapProperty};
use packet::wire::ethernet::eth_type;

use crate::action::mpls;
use crate::run::{Next, REASON_INVALID_TTL, Run};
use crate::trace::Kind;
use crate::walk::Walk;

/// Packet types (OpenFlow 1.5, 7.2.3.11).
const ETHERNET: u32 = 0;
const NSH: u32 = 0x1_894f;
const MPLS: u32 = 0x1_8847;
const MPLS_MULTICAST: u32 = 0x1_8848;
/// The Ethernet type of network service headers.
const NSH_TYPE: u16 = 0x894f;
/// What a new header begins with (RFC 8300, 2.2 and 2.3).
const FIRST_TTL: u8 = 63;
const FIRST_INDEX: u32 = 255;

impl<'a> Walk<'a> {
    /// A header around the packet.
    pub(crate) fn encap(&mut self, run: &mut Run<'a>, kind: u32, properties: &[EncapProperty]) {
        let key = run.packet.key.flow;
        self.commit(&run.packet);
        match (kind, key.packet_type) {
            (ETHERNET, ETHERNET) => {
                return self.refuse(|| {
                    "Dropping packet as encap(ethernet) is not supported for packet type ethernet."
                        .into()
                });
            }
            (ETHERNET, _) => {
                self.push(Datapath::PushEth { src: [0; 6], dst: [0; 6] });
                let flow = &mut run.packet.key.flow;
                (flow.packet_type, flow.eth_src, flow.eth_dst) = (ETHERNET, [0; 6], [0; 6]);
            }
            (NSH, _) => {
                let np = match (key.packet_type, key.eth_type) {
                    (ETHERNET, _) => next::ETHERNET,
                    (_, eth_type::IPV4) => next::IPV4,
                    (_, eth_type::IPV6) => next::IPV6,
                    (_, NSH_TYPE) => next::NSH,
                    _ => return self.refuse(|| {
                        let kind = packet_type_text(key.packet_type);
                        format!(
                            "Dropping packet as encap(nsh) is not supported for packet type {kind}"
                        )
                    }),
                };
                let header = new_header(np, properties);
                self.push(Datapath::PushNsh(Box::new(header.clone())));
                let beside = FlowKey { packet_type: NSH, eth_type: NSH_TYPE, ..beside(&key) };
                run.packet.key.flow = beside;
                run.packet.key.flow.set_nsh(&header.key);
            }
            (MPLS | MPLS_MULTICAST, _) => return self.encap_mpls(run, kind),
            _ => {
                return self.refuse(|| {
                    let kind = packet_type_text(kind);
                    format!("Dropping packet as encap() does not support packet type {kind}")
                });
            }
        }
        self.done = run.packet.key.flow;
    }

    /// A label in front of all that there is, an Ethernet header included. It is the bottom of a stack, but in front of labels.
    fn encap_mpls(&mut self, run: &mut Run<'a>, kind: u32) {
        let key = run.packet.key.flow;
        let [a, b, ..] = key.mpls;
        let is_labelled = matches!(key.packet_type, MPLS | MPLS_MULTICAST);
        if is_labelled && mpls::is_full(&key) {
            return self.abandon(DropCause::TooManyMplsLabels);
        }
        let (entry, behind) = match is_labelled {
            true => (mpls::DEFAULT_TTL, [a, b]),
            false => (mpls::DEFAULT_TTL | mpls::BOS, [0; 2]),
        };
        // The lower half of such a packet type is the Ethernet type.
        let eth_type = kind as u16;
        self.push(Datapath::AddMpls { entry, eth_type });
        let [first, second] = behind;
        let mpls = [entry, first, second, 0];
        run.packet.key.flow = FlowKey { packet_type: kind, eth_type, mpls, ..beside(&key) };
        self.done = run.packet.key.flow;
    }

    /// The outermost header off the packet.
    pub(crate) fn decap(&mut self, run: &mut Run<'a>) -> Next {
        let key = run.packet.key.flow;
        self.commit(&run.packet);
        match key.packet_type {
            ETHERNET => {
                run.packet.look_at_presence(&mut self.mask);
                if run.packet.tag().is_some() {
                    self.refuse(|| {
                        "Dropping packet, cannot decap Ethernet if VLAN is present.".into()
                    });
                    return Next::Exit;
                }
                self.push(Datapath::PopEth);
                let flow = &mut run.packet.key.flow;
                flow.packet_type = 1 << 16 | u32::from(key.eth_type);
                (flow.eth_src, flow.eth_dst) = ([0; 6], [0; 6]);
                self.done = *flow;
                Next::Step
            }
            NSH => {
                self.push(Datapath::PopNsh);
                // What is behind it only the datapath can see.
                Next::Freeze { again: false }
            }
            _ => {
                self.refuse(|| {
                    let kind = packet_type_text(key.packet_type);
                    format!("Dropping packet as the decap() does not support packet type {kind}")
                });
                Next::Exit
            }
        }
    }

    pub(crate) fn dec_nsh_ttl(&mut self, run: &mut Run<'a>) -> Next {
        let key = &mut run.packet.key.flow;
        // There is nothing to count down, and nobody to tell.
        if !key.is_nsh() {
            self.note(Kind::Warning, || "NSH decrement TTL exception".into());
            return Next::Leave;
        }
        if self.received.is_nsh() {
            let mut looked = self.mask.0.nsh();
            looked.ttl = u8::MAX;
            self.mask.0.set_nsh(&looked);
        }
        let mut nsh = key.nsh();
        if nsh.ttl > 1 {
            nsh.ttl -= 1;
            key.set_nsh(&nsh);
            return Next::Step;
        }
        self.note(Kind::Warning, || "NSH decrement TTL exception".into());
        let reason = REASON_INVALID_TTL;
        self.controller(run, &Controller { reason, ..Controller::default() });
        Next::Leave
    }

    /// The packet is of a kind that this cannot be done to: nothing is done to it.
    fn refuse(&mut self, why: impl FnOnce() -> String) {
        self.note(Kind::Action, why);
        self.abandon(DropCause::UnsupportedPacketType);
    }
}

/// Namespace and number.
fn packet_type_text(kind: u32) -> String {
    format!("({},{:#x})", kind >> 16, kind & 0xffff)
}

fn new_header(np: u8, properties: &[EncapProperty]) -> NshPush {
    let mut mdtype = 1;
    let mut md2 = Vec::new();
    for property in properties {
        match property {
            EncapProperty::MdType(kind) => mdtype = *kind,
            EncapProperty::Tlv { class, kind, data } => {
                let len = u8::try_from(data.len()).unwrap_or(u8::MAX);
                md2.extend(class.to_be_bytes());
                md2.extend([*kind, len]);
                md2.extend(data);
                md2.resize(md2.len().next_multiple_of(4), 0);
            }
        }
    }
    md2.truncate(flow::nsh::MD2_MAX);
    let key = NshKey { ttl: FIRST_TTL, mdtype, np, path: FIRST_INDEX, ..NshKey::default() };
    NshPush { key, md2: if mdtype == 2 { md2 } else { Vec::new() } }
}

/// The key without what is in the packet.
fn beside(key: &FlowKey) -> FlowKey {
    FlowKey {
        in_port: key.in_port,
        recirc_id: key.recirc_id,
        dp_hash: key.dp_hash,
        skb_mark: key.skb_mark,
        skb_priority: key.skb_priority,
        ct_mark: key.ct_mark,
        ct_zone: key.ct_zone,
        ct_state: key.ct_state,
        ct_proto: key.ct_proto,
        ct_label: key.ct_label,
        tunnel: key.tunnel,
        ..FlowKey::default()
    }
}
