//! Fields: setting, loading, moving; the older actions that are named after fields; times to live.
//!
//! A field is set only in packets that have it. What is set is looked at, bit by bit: whether the packet must be changed at all
//! depends on it.

use openflow::action::Controller;
use openflow::field::Prereq;
use openflow::text::value::Masked;
use openflow::{Action, Field, Subfield, Value};
use packet::wire::ethernet::eth_type;
use packet::wire::icmpv6::kind;
use packet::wire::ip_proto;

use pipeline::{Bits, KeyMask};

use crate::action::mpls::is_mpls;
use crate::run::{Next, REASON_INVALID_TTL, Run};
use crate::trace::Kind;
use crate::view::moves;
use crate::walk::Walk;

impl<'a> Walk<'a> {
    /// What a part of a field holds, and a look at it.
    pub(crate) fn read(&mut self, run: &Run<'a>, src: Subfield) -> u128 {
        if let Some(bits) = in_place(src) {
            run.packet.look_at_word(bits.word(), bits.mask(), &mut self.mask);
            return run.packet.key.bits(bits).into();
        }
        self.look_at(run, src.field, &src.mask());
        run.value(src.field).bits(src.from, src.bits)
    }

    /// Overwrites a part of a field, after a look at it.
    pub(crate) fn write_part(&mut self, run: &mut Run<'a>, dst: Subfield, number: u128) {
        let is_simple = !is_of_tunnel(dst.field) && dst.field.row().prereq != Prereq::Nsh;
        if let Some(bits) = in_place(dst).filter(|_| is_simple) {
            run.packet.look_at_word(bits.word(), bits.mask(), &mut self.mask);
            run.packet.key.set_bits(bits, number as u64);
            return;
        }
        let value = Value::shifted(dst.field.row().width, number, dst.from).and(&dst.mask());
        self.write(run, dst.field, &value, &dst.mask());
    }

    /// Overwrites bits of a field, after a look at them.
    pub(crate) fn write(&mut self, run: &mut Run<'a>, field: Field, value: &Value, mask: &Value) {
        let bits = |v: &Value| v.int() as u16;
        match field {
            Field::VlanTci => self.set_tci(run, bits(value), bits(mask), true),
            Field::VlanVid => self.set_tci(run, bits(value) & 0x1fff, bits(mask) & 0x1fff, true),
            Field::VlanPcp => self.set_tci(run, bits(value) << 13, bits(mask) << 13, true),
            _ => {
                // What tunnels are told is not compared with anything, nor a header that we pushed.
                let pushed = is_of_label(field) && !is_mpls(&self.received)
                    || field.row().prereq == Prereq::Nsh && !self.received.is_nsh();
                if is_of_tunnel(field) {
                    let mut bits = KeyMask::any();
                    bits.add(field, mask);
                    run.packet.set_tunnel(&bits.0.flow.tunnel);
                } else if !pushed {
                    self.look_at(run, field, mask);
                }
                run.set(field, value, mask);
            }
        }
    }

    /// Adds these bits of a field to the mask.
    pub(crate) fn look_at(&mut self, run: &Run<'a>, field: Field, mask: &Value) {
        let mut looked = KeyMask::any();
        looked.add(field, mask);
        if let Some(index) = field.tun_metadata_index() {
            // Where an option lies in a key is the bridge's affair; that it is looked at is all that counts.
            looked.0.registers.options_present |= 1 << index;
        }
        run.packet.look(&looked, &mut self.mask);
    }

    pub(crate) fn set_field(
        &mut self,
        run: &mut Run<'a>,
        field: Field,
        value: &Value,
        mask: &Value,
        action: &str,
    ) {
        if self.has(run, field) {
            self.write(run, field, value, mask);
        } else {
            self.warn_of_missing(field, action);
        }
    }

    fn warn_of_missing(&mut self, field: Field, action: &str) {
        self.note(Kind::Warning, || {
            format!("unmet prerequisites for {}, {action} ignored", field.name())
        });
    }

    pub(crate) fn load(&mut self, run: &mut Run<'a>, dst: Subfield, number: u128) {
        if self.has(run, dst.field) {
            self.write_part(run, dst, number);
        } else {
            self.warn_of_missing(dst.field, "set_field");
        }
    }

    pub(crate) fn move_field(&mut self, run: &mut Run<'a>, src: Subfield, dst: Subfield) {
        if self.has(run, src.field) && self.has(run, dst.field) {
            let number = self.read(run, src);
            self.write_part(run, dst, number);
            self.say_subfield(run, dst);
        }
    }

    /// Says what a part of a field holds now.
    pub(crate) fn say_subfield(&mut self, run: &Run<'a>, field: Subfield) {
        self.note(Kind::Detail, || {
            let value = run.value(field.field);
            let bits = Value::Int(value.bits(field.from, field.bits));
            if field.is_whole() {
                format!("{field} is now {}", Masked(field.field, &value, &field.field.ones()))
            } else {
                run.options().action_text(format!("{field} is now {bits:x}"))
            }
        });
    }

    /// Whether the packet has the field, and a look at what tells.
    pub(crate) fn has(&mut self, run: &Run<'a>, field: Field) -> bool {
        self.meets(run, field.row().prereq)
    }

    fn meets(&mut self, run: &Run<'a>, prereq: Prereq) -> bool {
        let k = &run.packet.key.flow;
        let ip = k.is_ipv4() || k.is_ipv6();
        match prereq {
            Prereq::None | Prereq::Ct => true,
            Prereq::Ethernet => k.packet_type == 0,
            Prereq::Vlan => {
                run.packet.look_at_presence(&mut self.mask);
                run.packet.tag().is_some()
            }
            Prereq::Mpls => matches!(k.eth_type, eth_type::MPLS | eth_type::MPLS_MULTICAST),
            Prereq::Pbb => k.is_pbb(),
            Prereq::Ipv4 => k.is_ipv4(),
            Prereq::Ipv6 => k.is_ipv6(),
            Prereq::Ip => ip,
            Prereq::Arp => k.is_arp(),
            Prereq::Nsh => k.eth_type == 0x894f,
            Prereq::Tcp => ip && self.is_transport(run, ip_proto::TCP),
            Prereq::Udp => ip && self.is_transport(run, ip_proto::UDP),
            Prereq::Sctp => ip && self.is_transport(run, ip_proto::SCTP),
            Prereq::Icmp => k.is_ipv4() && self.is_transport(run, ip_proto::ICMP),
            Prereq::Icmpv6 => k.is_ipv6() && self.is_transport(run, ip_proto::ICMPV6),
            Prereq::Nd => {
                self.is_discovery(run, kind::NEIGHBOUR_SOLICITATION)
                    || self.is_discovery(run, kind::NEIGHBOUR_ADVERTISEMENT)
            }
            Prereq::NdSolicit => self.is_discovery(run, kind::NEIGHBOUR_SOLICITATION),
            Prereq::NdAdvert => self.is_discovery(run, kind::NEIGHBOUR_ADVERTISEMENT),
        }
    }

    fn is_transport(&mut self, run: &Run<'a>, proto: u8) -> bool {
        let k = &run.packet.key.flow;
        self.mask.0.nw_proto = u8::MAX;
        k.nw_proto == proto && k.ip_frag & flow::frag::LATER == 0
    }

    fn is_discovery(&mut self, run: &Run<'a>, kind: u8) -> bool {
        let k = &run.packet.key.flow;
        if !k.is_ipv6() || !self.is_transport(run, ip_proto::ICMPV6) {
            return false;
        }
        (self.mask.0.tp_src, self.mask.0.tp_dst) = (u16::MAX, u16::MAX);
        k.tp_dst == 0 && k.tp_src == u16::from(kind)
    }

    /// The actions that are named after what they change.
    pub(crate) fn edit_header(&mut self, run: &mut Run<'a>, action: &Action) -> Next {
        let (field, number) = match *action {
            Action::SetEthSrc(mac) => (Field::EthSrc, mac_number(mac)),
            Action::SetEthDst(mac) => (Field::EthDst, mac_number(mac)),
            Action::SetIpSrc(address) => (Field::IpSrc, address.into()),
            Action::SetIpDst(address) => (Field::IpDst, address.into()),
            Action::SetTtl(ttl) => (Field::NwTtl, ttl.into()),
            Action::SetTos(tos) => (Field::IpDscp, (tos >> 2).into()),
            Action::SetEcn(ecn) => (Field::NwEcn, (ecn & 3).into()),
            Action::SetTpSrc(port) => return self.set_port(run, Field::TcpSrc, port),
            Action::SetTpDst(port) => return self.set_port(run, Field::TcpDst, port),
            _ => return self.unknown(),
        };
        if self.has(run, field) {
            let mask = Value::mask(field.row().width, 0, field.row().bits);
            self.write(run, field, &Value::Int(number), &mask);
        }
        Next::Step
    }

    /// Whatever transport has ports.
    fn set_port(&mut self, run: &mut Run<'a>, field: Field, port: u16) -> Next {
        let proto = run.packet.key.flow.nw_proto;
        let has_ports = matches!(proto, ip_proto::TCP | ip_proto::UDP | ip_proto::SCTP);
        if self.meets(run, Prereq::Ip) && self.is_transport(run, proto) && has_ports {
            self.write(run, field, &Value::Int(port.into()), &field.ones());
        }
        Next::Step
    }

    fn unknown(&mut self) -> Next {
        self.note(Kind::Warning, || "action is not supported".into());
        Next::Step
    }

    /// A packet whose time is over goes to controllers, and nowhere else.
    pub(crate) fn dec_ttl(&mut self, run: &mut Run<'a>, controllers: &[u16]) -> Next {
        if !self.meets(run, Prereq::Ip) {
            return Next::Step;
        }
        self.mask.0.nw_ttl = u8::MAX;
        let key = &mut run.packet.key.flow;
        if key.nw_ttl > 1 {
            key.nw_ttl -= 1;
            return Next::Step;
        }
        let what = if key.is_ipv4() { "IPv4 decrement TTL" } else { "IPv6 decrement TTL" };
        self.note(Kind::Warning, || format!("{what} exception"));
        for id in controllers {
            let reason = REASON_INVALID_TTL;
            self.controller(run, &Controller { id: *id, reason, ..Controller::default() });
        }
        Next::Leave
    }
}

/// Where a part of a field is, if that is one word of a key that is looked at as it is.
fn in_place(part: Subfield) -> Option<Bits> {
    Bits::of(part).filter(|bits| !moves(bits.word()))
}

fn is_of_tunnel(field: Field) -> bool {
    (Field::TunId..=Field::TunFlags).contains(&field)
}

fn is_of_label(field: Field) -> bool {
    (Field::MplsLabel..=Field::MplsTtl).contains(&field)
}

fn mac_number(mac: [u8; 6]) -> u128 {
    mac.iter().fold(0, |n, byte| n << 8 | u128::from(*byte))
}
