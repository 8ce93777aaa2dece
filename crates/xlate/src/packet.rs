//! A packet on its walk: its key as the bridge that it is in sees it, and where its VLAN tags came from.
//!
//! VLAN tags move when one is popped: a bridge behind a patch wire may see as outermost what was the inner tag on the wire.
//! The mask is about the packet as it was received, so each tag remembers its place there.

use ::packet::wire::ethernet::eth_type;
use flow::{FlowKey, Mask, Vlan};

/// Where a tag comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// It is, or is absent as, the tag at this place of the received packet.
    Received(usize),
    /// We put it there.
    Ours,
}

/// See the module.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Packet {
    pub(crate) key: FlowKey,
    origins: [Origin; 2],
}

impl Packet {
    /// As received.
    pub(crate) fn new(key: &FlowKey) -> Self {
        Self { key: *key, origins: [Origin::Received(0), Origin::Received(1)] }
    }

    /// The outermost VLAN tag.
    pub(crate) fn tag(&self) -> Option<Vlan> {
        Some(self.key.vlans[0]).filter(|v| v.is_present())
    }

    /// Whether a VLAN header was cut short, or is a third one that keys do not describe.
    pub(crate) fn has_unread_tag(&self) -> bool {
        self.tag().is_none() && matches!(self.key.eth_type, eth_type::VLAN | eth_type::QINQ)
    }

    /// Replaces, removes or adds the outermost tag. The new one is taken for ours even if it equals the old.
    pub(crate) fn set_tag(&mut self, tag: Option<Vlan>) {
        if self.tag().is_some() {
            self.key.vlans = [self.key.vlans[1], Vlan::default()];
            self.origins = [self.origins[1], Origin::Received(2)];
        }
        if let Some(tag) = tag {
            self.key.vlans = [tag, self.key.vlans[0]];
            self.origins = [Origin::Ours, self.origins[0]];
        }
    }

    /// Adds to the mask whether there is an outermost tag and which VLAN it names.
    pub(crate) fn look_at_vid(&self, mask: &mut Mask) {
        self.look_at_tag(mask, Vlan::CFI | 0xfff);
    }

    /// Adds the priority of the outermost tag to the mask, if there is a tag.
    pub(crate) fn look_at_pcp(&self, mask: &mut Mask) {
        if self.tag().is_some() {
            self.look_at_tag(mask, Vlan::CFI | 0xe000);
        }
    }

    fn look_at_tag(&self, mask: &mut Mask, bits: u16) {
        // A third tag is not in the key; its presence is, as `eth_type`, which is always in the mask.
        if let Origin::Received(place) = self.origins[0]
            && let Some(seen) = mask.0.vlans.get_mut(place)
        {
            seen.tpid = u16::MAX;
            seen.tci |= bits;
        }
    }
}
