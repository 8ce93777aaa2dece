//! VLAN tags.
//!
//! Whoever changes a part of a tag that is there looks at all of it, for it is popped and pushed anew.

use flow::Vlan;
use packet::wire::ethernet::eth_type;

use crate::run::Run;
use crate::walk::Walk;

impl<'a> Walk<'a> {
    pub(crate) fn set_vlan_vid(&mut self, run: &mut Run<'a>, vid: u16, push: bool) {
        self.set_tci(run, Vlan::CFI | vid & 0xfff, Vlan::CFI | 0xfff, push);
    }

    pub(crate) fn set_vlan_pcp(&mut self, run: &mut Run<'a>, pcp: u8, push: bool) {
        self.set_tci(run, Vlan::CFI | u16::from(pcp & 7) << 13, Vlan::CFI | 0xe000, push);
    }

    /// Overwrites bits of the outermost tag's control information. Without a tag there is nothing to overwrite, unless the bit
    /// that says that there is one is among them, and `push`.
    pub(crate) fn set_tci(&mut self, run: &mut Run<'a>, value: u16, mask: u16, push: bool) {
        let packet = &mut run.packet;
        packet.look_at_whole_tag(&mut self.mask);
        match packet.tag() {
            Some(old) => {
                let tag = Vlan { tci: old.tci & !mask | value & mask, ..old };
                if tag.is_present() { packet.rewrite_tag(tag) } else { packet.set_tag(None) }
            }
            None if push && value & mask & Vlan::CFI != 0 => {
                packet.push_tag(Vlan { tpid: eth_type::VLAN, tci: value & mask });
            }
            None => {}
        }
    }

    pub(crate) fn pop_vlan(&mut self, run: &mut Run<'a>) {
        run.packet.look_at_presence(&mut self.mask);
        run.packet.set_tag(None);
    }

    /// The new tag is of VLAN 0 and without priority, whatever is behind it.
    pub(crate) fn push_vlan(&mut self, run: &mut Run<'a>, tpid: u16) {
        // Whether there are tags already says how many there will be.
        run.packet.look_at_presence(&mut self.mask);
        if run.packet.tag().is_some() {
            run.packet.look_at_inner_presence(&mut self.mask);
        }
        if run.packet.key.flow.vlans[1].is_present() {
            // There is no room for a third in the key: what is popped and pushed to get there depends on both.
            self.mask.0.vlans = flow::Mask::exact().0.vlans;
        }
        run.packet.push_tag(Vlan::new(tpid, 0, 0));
    }
}
