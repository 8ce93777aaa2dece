//! Whether actions fit the packets that they get: whether fields exist that they read and write, and the rest of what a switch
//! must refuse before it takes a rule.

use std::borrow::Cow;
use std::net::IpAddr;

use packet::wire::ethernet::eth_type;

use crate::action::ct::Nat;
use crate::action::learn::{Destination, Learn, Source};
use crate::action::{Action, Instructions, Subfield};
use crate::error::Code;
use crate::field::{Field, Prereq};
use crate::matching::Match;
use crate::port::Port;
use crate::version::Protocols;

/// The bit that says that there is a tag.
const TAGGED: u16 = 0x1000;

/// A walk along the actions, with what is known of packets at each.
#[derive(Clone)]
struct Walk<'a> {
    /// The rule's own match until an action changes it.
    packet: Cow<'a, Match>,
    /// Whether it has a second tag behind the one that matches can see.
    has_inner_tag: bool,
    /// Who accepts it: OpenFlow 1.0 lets packets pass that an action does not fit, later versions refuse such actions.
    protocols: Protocols,
}

/// Checks what a rule of `table` does with packets that `m` matches. Gives the protocols in which that is acceptable.
pub fn check(all: &Instructions, m: &Match, table: Option<u8>) -> Result<Protocols, Code> {
    let mut walk =
        Walk { packet: Cow::Borrowed(m), has_inner_tag: false, protocols: Protocols::ANY };
    let meter = all.meter.map(Action::Meter);
    walk.list(meter.as_slice())?;
    walk.list(&all.apply)?;
    if let Some(set) = &all.write_actions {
        // When it is done, packets may be other ones: so protocols do not depend on what they are now.
        let mut later = Walk { protocols: Protocols::ANY, ..walk.clone() };
        later.list(set)?;
    }
    if let Some(next) = all.goto_table
        && table.is_some_and(|table| next <= table)
    {
        return Err(Code::OFPBIC_BAD_TABLE_ID);
    }
    Ok(walk.protocols)
}

/// Ports of the protocols that have helpers.
const FTP: u16 = 21;
const TFTP: u16 = 69;

const INCONSISTENT: Result<(), Code> = Err(Code::OFPBAC_MATCH_INCONSISTENT);

impl Walk<'_> {
    fn list(&mut self, actions: &[Action]) -> Result<(), Code> {
        actions.iter().try_for_each(|action| self.one(action))
    }

    /// The field must be there.
    fn must(&self, field: Field) -> Result<(), Code> {
        if field.row().prereq.is_met(&self.packet) { Ok(()) } else { INCONSISTENT }
    }

    fn part(&self, part: &Subfield) -> Result<(), Code> {
        self.must(part.field)
    }

    /// The part must be there, and change when it is written to.
    fn target(&self, part: &Subfield) -> Result<(), Code> {
        self.part(part)?;
        if part.field.row().writable { Ok(()) } else { Err(Code::OFPBAC_BAD_SET_ARGUMENT) }
    }

    /// It should be there.
    fn should(&mut self, prereq: Prereq) {
        if !prereq.is_met(&self.packet) {
            self.protocols = self.protocols.and(Protocols::OF10.or(Protocols::NXM));
        }
    }

    fn has_vlan(&self) -> bool {
        Prereq::Vlan.is_met(&self.packet)
    }

    fn set_vlan(&mut self) {
        let tci =
            self.packet.get(Field::VlanTci).map_or(0, |(tci, _)| tci.int()) | u128::from(TAGGED);
        self.packet.to_mut().set_exact(Field::VlanTci, tci);
    }

    fn one(&mut self, action: &Action) -> Result<(), Code> {
        match action {
            Action::Output { port: Port::NONE | Port::UNSET, .. } => {
                return Err(Code::OFPBAC_BAD_OUT_PORT);
            }
            Action::Output { port, .. } | Action::OutputTrunc { port, .. }
                if port.0 >= Port::MAX.0 && !port.has_name() =>
            {
                return Err(Code::OFPBAC_BAD_OUT_PORT);
            }
            Action::Enqueue { port, .. }
                if port.0 >= Port::MAX.0 && *port != Port::IN_PORT && *port != Port::LOCAL =>
            {
                return Err(Code::OFPBAC_BAD_OUT_PORT);
            }
            // The highest numbers are the switch's own.
            Action::Meter(id) if *id == 0 || *id > 0xffff_0000 => {
                return Err(Code::OFPMMFC_INVALID_METER);
            }
            Action::OutputReg { src, .. } => self.part(src)?,
            Action::Bundle(bundle) => bundle.dst.iter().try_for_each(|dst| self.target(dst))?,
            Action::Multipath(multipath) => self.target(&multipath.dst)?,
            Action::SetVlanVid { push, .. } | Action::SetVlanPcp { push, .. } => {
                if !self.has_vlan() && !push {
                    self.protocols = self.protocols.and(Protocols::OF10.or(Protocols::NXM));
                }
                self.set_vlan();
            }
            Action::StripVlan | Action::PopVlan => {
                if !self.has_vlan() {
                    self.protocols = self.protocols.and(Protocols::OF10.or(Protocols::NXM));
                }
                let next = if self.has_inner_tag { TAGGED } else { 0 };
                self.has_inner_tag = false;
                self.packet.to_mut().set_exact(Field::VlanTci, next);
            }
            Action::PushVlan(_) => {
                if self.has_vlan() {
                    if self.has_inner_tag {
                        return Err(Code::OFPBAC_BAD_TAG);
                    }
                    self.has_inner_tag = true;
                    // A second tag, which needs more than one.
                    self.protocols = self.protocols.and(Protocols::OXM.or(Protocols::OF11));
                }
                self.set_vlan();
            }
            Action::SetIpSrc(_) | Action::SetIpDst(_) => self.should(Prereq::Ipv4),
            Action::SetTos(_) | Action::SetEcn(_) | Action::SetTtl(_) | Action::DecTtl(_) => {
                self.should(Prereq::Ip);
            }
            Action::SetTpSrc(_) | Action::SetTpDst(_) => {
                let known = [Prereq::Tcp, Prereq::Udp, Prereq::Sctp];
                if !known.iter().any(|prereq| prereq.is_met(&self.packet)) {
                    self.should(Prereq::Tcp);
                }
            }
            Action::SetMplsLabel(_)
            | Action::SetMplsTc(_)
            | Action::SetMplsTtl(_)
            | Action::DecMplsTtl => self.should(Prereq::Mpls),
            Action::PushMpls(kind) => self.become_kind(*kind),
            Action::PopMpls(kind) => {
                self.should(Prereq::Mpls);
                self.become_kind(*kind);
            }
            Action::CopyTtlOut | Action::CopyTtlIn => self.should(Prereq::Mpls),
            Action::PushPbb(kind) => {
                if !self.packet.is_ethernet() {
                    return INCONSISTENT;
                }
                // Tags are behind the new header, as all else is.
                self.has_inner_tag = false;
                self.packet.to_mut().set_exact(Field::VlanTci, 0u8);
                self.become_kind(*kind);
            }
            Action::PopPbb => {
                if !Prereq::Pbb.is_met(&self.packet) {
                    return INCONSISTENT;
                }
                // Nobody has seen what is behind it.
                self.packet = Cow::Owned(Match::any());
                self.has_inner_tag = false;
            }
            Action::SetField { field, value, .. } => {
                // There is no id to set where there is no tag.
                let missing = *field == Field::VlanVid && !self.has_vlan();
                if missing {
                    return INCONSISTENT;
                }
                self.must(*field)?;
                if *field == Field::VlanVid && value.int() & 0x1000 == 0 {
                    self.packet.to_mut().set_exact(Field::VlanTci, 0u8);
                }
            }
            Action::Load { dst, .. } => self.part(dst)?,
            Action::Move { src, dst } => {
                self.part(src)?;
                self.target(dst)?;
            }
            Action::Push(part) => self.part(part)?,
            Action::Pop(part) => self.target(part)?,
            Action::DeleteField(field) if field.tun_metadata_index().is_none() => {
                return Err(Code::OFPBAC_BAD_ARGUMENT);
            }
            Action::CheckPktLarger { dst, .. } => self.part(dst)?,
            Action::Resubmit { with_ct: true, .. } if !Prereq::Ct.is_met(&self.packet) => {
                return INCONSISTENT;
            }
            Action::FinTimeout { .. } => self.should(Prereq::Tcp),
            Action::Clone(actions) => {
                let mut inner = self.clone();
                inner.list(actions)?;
                self.protocols = inner.protocols;
            }
            Action::Learn(learn) => self.learn(learn)?,
            Action::Ct(ct) => {
                // A helper looks into packets of its own protocol alone.
                let needed = match ct.alg {
                    FTP => Prereq::Tcp,
                    TFTP => Prereq::Udp,
                    _ => Prereq::Ip,
                };
                if !needed.is_met(&self.packet) {
                    return INCONSISTENT;
                }
                if let crate::action::Zone::Field(part) = &ct.zone {
                    self.part(part)?;
                }
                ct.nat.iter().try_for_each(|nat| self.nat(nat))?;
                self.list(&ct.exec)?;
            }
            Action::Encap { packet_type, .. } => self.encap(*packet_type)?,
            Action::Decap { packet_type } => self.decap(*packet_type)?,
            Action::DecNshTtl => self.should(Prereq::Nsh),
            _ => {}
        }
        Ok(())
    }

    fn become_kind(&mut self, kind: u16) {
        if self.packet.is_ethernet() {
            self.packet.to_mut().set_exact(Field::EthType, kind);
        } else {
            self.packet
                .to_mut()
                .set_exact(Field::PacketType, crate::field::prereq::packet_type_of(kind));
        }
    }

    /// What is learned from packets must be in them; and what learned rules match and change, in packets that they match, as far
    /// as is known already: from values, not from those of fields.
    fn learn(&self, learn: &Learn) -> Result<(), Code> {
        let mut learned = Walk {
            packet: Cow::Owned(Match::any()),
            has_inner_tag: false,
            protocols: Protocols::ANY,
        };
        for spec in &learn.specs {
            if let Source::Field(part) = &spec.source {
                self.part(part)?;
            }
            match (&spec.destination, &spec.source) {
                (Destination::Match(part), source) => {
                    learned.part(part)?;
                    if let Source::Immediate(value) = source
                        && part.is_whole()
                    {
                        learned.packet.to_mut().set(part.field, value, &part.field.ones());
                    }
                }
                (Destination::Load(part), _) => learned.target(part)?,
                (Destination::Output, _) => {}
            }
        }
        Ok(())
    }

    fn nat(&self, nat: &Nat) -> Result<(), Code> {
        let Some((first, _)) = nat.addresses else { return Ok(()) };
        let kind = self.packet.ether_type();
        let fits = match first {
            IpAddr::V4(_) => kind == Some(eth_type::IPV4),
            IpAddr::V6(_) => kind == Some(eth_type::IPV6),
        };
        if fits { Ok(()) } else { INCONSISTENT }
    }

    fn encap(&mut self, packet_type: u32) -> Result<(), Code> {
        if packet_type == 0 {
            // An Ethernet header around a packet that has none.
            let kind = self.packet.ether_type();
            self.packet.to_mut().set_exact(Field::PacketType, 0u8);
            if let Some(kind) = kind {
                self.packet.to_mut().set_exact(Field::EthType, kind);
            }
        } else {
            self.packet = Cow::Owned(Match::any());
            self.packet.to_mut().set_exact(Field::PacketType, packet_type);
        }
        Ok(())
    }

    fn decap(&mut self, _packet_type: u32) -> Result<(), Code> {
        if self.packet.is_ethernet() {
            let kind = self.packet.ether_type();
            self.packet.to_mut().clear(Field::EthType);
            if let Some(kind) = kind {
                let packet_type = crate::field::prereq::packet_type_of(kind);
                self.packet.to_mut().set_exact(Field::PacketType, packet_type);
            }
        }
        Ok(())
    }
}
