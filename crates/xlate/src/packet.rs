//! A packet on its walk: its key as the bridge that it is in sees it, and where its VLAN tags came from.
//!
//! VLAN tags move when one is popped: a bridge behind a patch wire may see as outermost what was the inner tag on the wire.
//! The mask is about the packet as it was received, so each tag remembers its place there, and labels how many of them are
//! gone. Every other field stays where it
//! is: to look at one after it was changed is to look at what it was changed from, which is more than need be, and never less,
//! for whatever a value is computed from is looked at as well.

use ::packet::wire::ethernet::eth_type;
use flow::{FlowKey, Mask, TunnelKey, Vlan};
use pipeline::{Key, KeyMask, Registers};

use crate::memory::Answer;

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
    pub(crate) key: Key,
    origins: [Origin; 2],
    /// How many of the labels that it was received with were taken off.
    pub(crate) labels_off: usize,
    /// Which bits of `key.flow.tunnel` are ours, not the received packet's.
    pub(crate) tunnel_set: TunnelKey,
    /// Whether options in the key are those of the tunnel that it came through, but for those that are ours.
    pub(crate) has_options: bool,
    /// Fields of options that are ours, a bit for each. Whatever was left of the received ones in them has been looked at.
    pub(crate) options_set: u64,
}

impl Packet {
    /// As received.
    pub(crate) fn new(key: &FlowKey) -> Self {
        let key = Key { flow: *key, registers: Registers::default() };
        let origins = [Origin::Received(0), Origin::Received(1)];
        let tunnel_set = TunnelKey::default();
        Self { key, origins, labels_off: 0, tunnel_set, has_options: false, options_set: 0 }
    }

    /// The same with another key.
    pub(crate) fn with(&self, key: Key) -> Self {
        Self { key, ..*self }
    }

    /// Adds to the mask what somebody has looked at in this packet's key, but for options: see [`crate::walk::Walk::look`].
    pub(crate) fn look(&self, looked: &KeyMask, mask: &mut Mask) {
        let mut fields = Mask(looked.0.flow);
        for (origin, seen) in self.origins.iter().zip(std::mem::take(&mut fields.0.vlans)) {
            if seen != Vlan::default() {
                look_at(*origin, mask, seen.tci | Vlan::CFI);
            }
        }
        let labels = std::mem::take(&mut fields.0.mpls);
        let received = mask.0.mpls.iter_mut().skip(self.labels_off);
        received.zip(labels).for_each(|(bits, seen)| *bits |= seen);
        mask.union(&fields);
    }

    /// Adds bits of one word of the key to the mask, which is none that moves ([`crate::view::moves`]).
    pub(crate) fn look_at_word(&self, word: usize, bits: u64, mask: &mut Mask) {
        // Those behind are not the packet's.
        if let Some(word) = mask.0.words_mut().get_mut(word) {
            *word |= bits;
        }
    }

    /// Adds to the mask what an answer depends on that is remembered, and of which nothing [`Answer::moves`].
    pub(crate) fn look_again(&self, answer: &Answer<'_>, mask: &mut Mask) {
        for (i, bits, _) in &answer.looked {
            self.look_at_word(usize::from(*i), *bits, mask);
        }
    }

    /// The outermost VLAN tag.
    pub(crate) fn tag(&self) -> Option<Vlan> {
        Some(self.key.flow.vlans[0]).filter(|v| v.is_present())
    }

    /// Whether what there is, or is not, of tags is where it was received.
    pub(crate) fn has_tags_in_place(&self) -> bool {
        self.origins == [Origin::Received(0), Origin::Received(1)]
    }

    /// Whether a VLAN header was cut short, or is a third one that keys do not describe.
    pub(crate) fn has_unread_tag(&self) -> bool {
        self.tag().is_none() && matches!(self.key.flow.eth_type, eth_type::VLAN | eth_type::QINQ)
    }

    /// These bits of what tunnels are told are ours.
    pub(crate) fn set_tunnel(&mut self, bits: &TunnelKey) {
        let mut all = Mask(of_tunnel(self.tunnel_set));
        all.union(&Mask(of_tunnel(*bits)));
        self.tunnel_set = all.0.tunnel;
    }

    /// Adds to the mask these bits of what tunnels are told, as far as they are still those of the tunnel that it came through.
    pub(crate) fn look_at_tunnel(&self, bits: TunnelKey, mask: &mut Mask) {
        let (mut looked, own) = (of_tunnel(bits), of_tunnel(self.tunnel_set));
        looked.words_mut().iter_mut().zip(own.words()).for_each(|(bits, own)| *bits &= !own);
        mask.union(&Mask(looked));
    }

    /// Forgets the tunnel that it came through.
    pub(crate) fn leave_tunnel(&mut self) {
        self.key.flow.tunnel = TunnelKey::default();
        self.key.registers.options_present = 0;
        self.key.registers.options = <[u64; 32]>::default();
        (self.has_options, self.options_set) = (false, 0);
        self.tunnel_set = Mask::exact().0.tunnel;
    }

    /// What tunnels are told that is ours.
    pub(crate) fn own_tunnel(&self) -> TunnelKey {
        Mask(of_tunnel(self.tunnel_set)).apply(&of_tunnel(self.key.flow.tunnel)).tunnel
    }

    /// Replaces, removes or adds the outermost tag. The new one is taken for ours even if it equals the old.
    pub(crate) fn set_tag(&mut self, tag: Option<Vlan>) {
        if self.tag().is_some() {
            self.key.flow.vlans = [self.key.flow.vlans[1], Vlan::default()];
            self.origins = [self.origins[1], Origin::Received(2)];
        }
        if let Some(tag) = tag {
            self.key.flow.vlans = [tag, self.key.flow.vlans[0]];
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

    /// Adds whether there is an outermost tag.
    pub(crate) fn look_at_presence(&self, mask: &mut Mask) {
        self.look_at_tag(mask, Vlan::CFI);
    }

    /// Adds whether there is a tag behind the outermost.
    pub(crate) fn look_at_inner_presence(&self, mask: &mut Mask) {
        look_at(self.origins[1], mask, Vlan::CFI);
    }

    /// Adds all of the outermost tag, or that there is none.
    pub(crate) fn look_at_whole_tag(&self, mask: &mut Mask) {
        let bits = if self.tag().is_some() { u16::MAX } else { Vlan::CFI };
        self.look_at_tag(mask, bits);
    }

    fn look_at_tag(&self, mask: &mut Mask, bits: u16) {
        look_at(self.origins[0], mask, bits);
    }

    /// Adds all of the received tags that are still there, or that there is none; and, if `both`, that there is no second.
    pub(crate) fn look_at_received_tags(&self, both: bool, mask: &mut Mask) {
        for (i, (origin, tag)) in self.origins.iter().zip(&self.key.flow.vlans).enumerate() {
            match tag.is_present() {
                true => look_at(*origin, mask, u16::MAX),
                false if i == 0 || both => look_at(*origin, mask, Vlan::CFI),
                false => {}
            }
        }
    }

    /// Overwrites the outermost tag, which must be there, in its place. Whoever does it has looked at all of it.
    pub(crate) fn rewrite_tag(&mut self, tag: Vlan) {
        self.key.flow.vlans[0] = tag;
    }

    /// Adds a tag outside of all.
    pub(crate) fn push_tag(&mut self, tag: Vlan) {
        self.key.flow.vlans = [tag, self.key.flow.vlans[0]];
        self.origins = [Origin::Ours, self.origins[0]];
    }

    /// Its tags are behind a new header: there are none in front of it, whatever was received.
    pub(crate) fn without_tags(&mut self) {
        self.key.flow.vlans = <[Vlan; 2]>::default();
        self.origins = [Origin::Received(2); 2];
    }

    /// Adds to the mask the tags of the received packet that a tag of ours may have come in place of: whether those are to be
    /// popped and ours pushed depends on whether they differ.
    pub(crate) fn look_at_replaced_tags(&self, received: &FlowKey, mask: &mut Mask) {
        if !self.origins.contains(&Origin::Ours) {
            return;
        }
        for (place, (tag, seen)) in received.vlans.iter().zip(&mut mask.0.vlans).enumerate() {
            if tag.is_present() && !self.origins.contains(&Origin::Received(place)) {
                *seen = Vlan { tpid: u16::MAX, tci: u16::MAX };
            }
        }
    }
}

fn of_tunnel(tunnel: TunnelKey) -> FlowKey {
    FlowKey { tunnel, ..FlowKey::default() }
}

/// `old` with the bits of `mask` from `new`.
pub(crate) fn merge_tunnel(old: &TunnelKey, new: &TunnelKey, mask: &TunnelKey) -> TunnelKey {
    let (mut out, new, mask) = (of_tunnel(*old), of_tunnel(*new), of_tunnel(*mask));
    for ((out, new), mask) in out.words_mut().iter_mut().zip(new.words()).zip(mask.words()) {
        *out = *out & !mask | new & mask;
    }
    out.tunnel
}

fn look_at(origin: Origin, mask: &mut Mask, bits: u16) {
    // A third tag is not in the key; its presence is, as `eth_type`, which is always in the mask.
    if let Origin::Received(place) = origin
        && let Some(seen) = mask.0.vlans.get_mut(place)
    {
        seen.tpid = u16::MAX;
        seen.tci |= bits;
    }
}
