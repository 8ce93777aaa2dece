//! NORMAL: forward like an ordinary VLAN-aware learning bridge (IEEE 802.1Q; ovs-actions(7), "the OVS normal pipeline").

use flow::{DropCause, Vlan};
use packet::wire::ethernet::{Mac, MacText, eth_type, is_multicast, is_reserved};
use pipeline::{Bridge, OfPort, Port, PortRef, PriorityTags, Vid};

use crate::packet::Packet;
use crate::request::{Effect, Learn, Use};
use crate::walk::Walk;

impl<'a> Walk<'a> {
    /// Admits the packet, learns its source, and sends it to its destination's port or to all. What came in by no port, for a
    /// controller has made it, is of the VLAN that its tag says, and teaches nothing.
    pub(crate) fn normal(&mut self, bridge: &'a Bridge, from: Option<&'a Port>, packet: Packet) {
        self.mask.0.eth_src = [u8::MAX; 6];
        self.mask.0.eth_dst = [u8::MAX; 6];
        let vid = match self.admit(bridge, from, &packet) {
            Ok(vid) => vid,
            Err(cause) => return self.give_up(cause),
        };
        let announces = bridge.may_hear_itself() && self.is_gratuitous_arp(&packet);
        if let Some(from) = from {
            if let Err(cause) = self.admit_to_aggregate(bridge, from, vid, &packet, announces) {
                return self.give_up(cause);
            }
            self.learn(bridge, from, vid, packet.key.flow.eth_src, announces);
        }
        match self.station(bridge, vid, packet.key.flow.eth_dst) {
            Some(to) if from.is_some_and(|from| from.home() == to.home()) => {
                self.say(|| "learned port is input port, dropping".into());
                self.give_up(DropCause::Hairpin);
            }
            Some(to) if from.is_some_and(|from| from.protected) && to.protected => {
                self.give_up(DropCause::PortDisabled);
            }
            Some(to) => {
                self.say(|| "forwarding to learned port".into());
                self.output_vlan(bridge, to, vid, packet);
            }
            None => {
                self.say(|| "no learned MAC for destination, flooding".into());
                self.flood(bridge, from, vid, packet);
            }
        }
    }

    /// The VLAN that the packet belongs to, if it may come in.
    fn admit(
        &mut self,
        bridge: &Bridge,
        from: Option<&Port>,
        packet: &Packet,
    ) -> Result<Vid, DropCause> {
        packet.look_at_vid(&mut self.mask);
        if packet.has_unread_tag() {
            self.say(|| "VLAN header cut short, or one too many".into());
            return Err(DropCause::VlanNotAllowed);
        }
        let tag_vid = packet.tag().and_then(|t| Vid::new(t.vid())).unwrap_or(Vid::NONE);
        let vid = from.map_or(Some(tag_vid), |from| from.vlan.ingress(tag_vid));
        let vid = vid.ok_or(DropCause::VlanNotAllowed)?;
        if !bridge.forward_bpdu && is_control(&packet.key.flow.eth_dst) {
            self.say(|| "packet has reserved destination MAC, dropping".into());
            return Err(DropCause::ReservedMulticast);
        }
        Ok(vid)
    }

    fn learn(&mut self, bridge: &Bridge, from: &Port, vid: Vid, mac: Mac, announces: bool) {
        if is_multicast(&mac) || !bridge.learns(vid) {
            return;
        }
        let is_bonded = bridge.aggregate(from.home()).is_some_and(|b| b.bond.is_some());
        if announces && is_bonded && self.has_announced(bridge, vid, mac) {
            return;
        }
        let announces = announces && !is_bonded;
        let port = from.home();
        let learn = Learn { bridge: bridge.id, vlan: vid.get(), mac, port, announces };
        // Without a packet nothing will be learned.
        if self.is_traced() && self.has_packet {
            let table = self.tables.macs.get(&bridge.id);
            let known = table.and_then(|table| table.lookup(vid.get(), mac, self.now));
            if known != Some(port) {
                let (mac, vid) = (MacText(&mac), vid.get());
                let name = bridge.aggregate(port).map_or(&from.name, |aggregate| &aggregate.name);
                self.say(|| format!("learned that {mac} is on port {name} in VLAN {vid}"));
            }
        }
        self.effects.push(Effect::Learn(learn));
        self.uses.push(Use::Learn(learn));
    }

    /// Whether a station told everybody a moment ago where it is.
    pub(crate) fn has_announced(&self, bridge: &Bridge, vid: Vid, mac: Mac) -> bool {
        let table = self.tables.macs.get(&bridge.id);
        table.is_some_and(|table| table.has_announced(vid.get(), mac, self.now))
    }

    /// The number under which a station is known.
    pub(crate) fn home_of(&self, bridge: &Bridge, vid: Vid, mac: Mac) -> Option<OfPort> {
        self.tables.macs.get(&bridge.id)?.lookup(vid.get(), mac, self.now)
    }

    /// The port of a station, if it is known and the port is still there and of this VLAN.
    fn station(&self, bridge: &'a Bridge, vid: Vid, mac: Mac) -> Option<&'a Port> {
        if is_multicast(&mac) || !bridge.learns(vid) {
            return None;
        }
        let port = bridge.port(self.home_of(bridge, vid, mac)?)?;
        port.vlan.carries(vid).then_some(port)
    }

    fn flood(&mut self, bridge: &'a Bridge, from: Option<&Port>, vid: Vid, packet: Packet) {
        for to in bridge.flood_ports() {
            let may = from
                .is_none_or(|from| to.home() != from.home() && !(from.protected && to.protected));
            let wanted = may && to.is_home() && !to.config.no_flood && to.vlan.carries(vid);
            if wanted {
                self.output_vlan(bridge, to, vid, packet);
            }
        }
    }

    /// Sends the packet, which belongs to VLAN `vid`, out of a port with the tag that the port wants.
    fn output_vlan(&mut self, bridge: &'a Bridge, to: &'a Port, vid: Vid, mut packet: Packet) {
        let tag = self.egress_tag(to, vid, &packet);
        if tag != packet.tag() {
            packet.look_at_pcp(&mut self.mask);
            packet.set_tag(tag);
        }
        if to.aggregate.is_some() {
            return self.output_aggregate(bridge, to, vid, &packet);
        }
        self.output(PortRef { bridge: bridge.id, port: to.ofport }, to, &packet);
    }

    /// The reference's rules: a VLAN is told by a tag unless the port strips it; without a VLAN a tag stays for a priority's
    /// sake alone (on ports that strip only if they are told to send such tags), or because it was there.
    fn egress_tag(&mut self, to: &Port, vid: Vid, packet: &Packet) -> Option<Vlan> {
        let tag = packet.tag();
        let tpid = tag.map_or(eth_type::VLAN, |t| t.tpid);
        let pcp = tag.map_or(0, Vlan::pcp);
        let strips = to.vlan.strips(vid);
        if vid != Vid::NONE && !strips {
            return Some(Vlan::new(tpid, vid.get(), pcp));
        }
        if strips && to.priority_tags == PriorityTags::Never {
            return None;
        }
        packet.look_at_pcp(&mut self.mask);
        let always = to.priority_tags == PriorityTags::Always && !strips && tag.is_some();
        (pcp != 0 || always).then(|| Vlan::new(tpid, 0, pcp))
    }
}

/// Destinations that bridges keep to themselves unless told otherwise (ovs-vswitchd.conf.db(5), `forward-bpdu`).
fn is_control(mac: &Mac) -> bool {
    const VENDORS: &[Mac] = &[
        [0x00, 0xe0, 0x2b, 0x00, 0x00, 0x00], // Extreme Discovery Protocol
        [0x00, 0xe0, 0x2b, 0x00, 0x00, 0x04], // Ethernet Automatic Protection Switching
        [0x00, 0xe0, 0x2b, 0x00, 0x00, 0x06],
        [0x01, 0x00, 0x0c, 0x00, 0x00, 0x00], // Inter Switch Link
        [0x01, 0x00, 0x0c, 0xcd, 0xcd, 0xcd], // STP uplink fast
    ];
    // Cisco's discovery, trunking, spanning tree and CFM.
    let cisco = mac[..5] == [0x01, 0x00, 0x0c, 0xcc, 0xcc] && mac[5] & 0xf0 == 0xc0;
    is_reserved(mac) || cisco || VENDORS.contains(mac)
}
