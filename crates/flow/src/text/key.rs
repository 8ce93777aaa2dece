//! Printing flows.

use std::fmt;

use packet::wire::ethernet::eth_type;
use packet::wire::vlan::is_vlan;

use super::field::{self, ETH, Field, Group, UPPER};
use super::{Numbers, PortNames, PortText, nsh, special, tunnel};
use crate::key::{DpPort, FlowKey, Mask, Vlan};
use crate::options::OptionMask;

/// A flow in text.
///
/// Brief, it shows what the mask looks at; verbose (`-m`), all fields of the headers that the key has. Without a mask every
/// field is exact.
#[derive(Clone, Copy)]
pub struct FlowText<'a> {
    /// The key of a packet of this flow; see the module's essay on values outside the mask.
    pub key: &'a FlowKey,
    /// What of it matters.
    pub mask: &'a Mask,
    /// All fields (`-m`).
    pub verbose: bool,
    /// Port names (`--names`); [`Numbers`] for none.
    pub names: &'a dyn PortNames,
    /// The options that [`crate::TunnelKey::options`] names, as in the header.
    pub options: &'a [u8],
    /// Which of them matter, where the mask looks at them; if that is none here, all do.
    pub looked: &'a OptionMask,
}

/// The part of a flow before the Ethernet header.
#[derive(Clone, Copy)]
enum Meta {
    Scalar(Field),
    Tunnel,
    CtState,
    InPort,
    PacketType,
}

/// Brief and verbose list metadata in different orders: the first is what the newest reference prints, the second what we know
/// of its `-m`.
const BRIEF: [Meta; 11] = [
    Meta::Scalar(field::RECIRC_ID),
    Meta::Scalar(field::DP_HASH),
    Meta::Scalar(field::SKB_PRIORITY),
    Meta::Tunnel,
    Meta::Scalar(field::SKB_MARK),
    Meta::CtState,
    Meta::Scalar(field::CT_ZONE),
    Meta::Scalar(field::CT_MARK),
    Meta::Scalar(field::CT_LABEL),
    Meta::InPort,
    Meta::PacketType,
];
const VERBOSE: [Meta; 11] = [
    Meta::Scalar(field::SKB_PRIORITY),
    Meta::Tunnel,
    Meta::Scalar(field::SKB_MARK),
    Meta::CtState,
    Meta::Scalar(field::CT_ZONE),
    Meta::Scalar(field::CT_MARK),
    Meta::Scalar(field::CT_LABEL),
    Meta::Scalar(field::RECIRC_ID),
    Meta::Scalar(field::DP_HASH),
    Meta::InPort,
    Meta::PacketType,
];

impl<'a> FlowText<'a> {
    /// Brief, with port numbers.
    pub fn brief(key: &'a FlowKey, mask: &'a Mask) -> Self {
        Self {
            key,
            mask,
            verbose: false,
            names: &Numbers,
            options: &[],
            looked: OptionMask::none(),
        }
    }
}

impl fmt::Display for FlowText<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut list = List { f, first: true };
        for meta in if self.verbose { VERBOSE } else { BRIEF } {
            self.meta(&mut list, meta)?;
        }
        self.ethernet(&mut list)?;
        self.link_layer(&mut list, 0)
    }
}

impl FlowText<'_> {
    fn meta(&self, list: &mut List<'_, '_>, meta: Meta) -> fmt::Result {
        let (key, mask) = (self.key, self.mask);
        match meta {
            Meta::Scalar(field) => {
                let wanted = self.verbose || field.get(&mask.0) != 0;
                list.item_if(wanted, |f| {
                    write!(f, "{}(", field.name)?;
                    field.write(f, key, mask)?;
                    f.write_str(")")
                })
            }
            Meta::Tunnel => list.item_if(tunnel::is_shown(key, mask, self.verbose), |f| {
                let options = (self.options, self.looked);
                tunnel::write(f, &key.tunnel, &mask.0.tunnel, options, self.verbose)
            }),
            Meta::CtState => list.item_if(self.verbose || mask.0.ct_state != 0, |f| {
                special::write_ct_state(f, key.ct_state, mask.0.ct_state, self.verbose)
            }),
            Meta::InPort => list.item_if(self.verbose || mask.0.in_port != 0, |f| {
                write!(f, "in_port({})", PortText(DpPort(key.in_port), self.names))
            }),
            Meta::PacketType => list.item_if(self.verbose || mask.0.packet_type != 0, |f| {
                special::write_packet_type(f, key.packet_type, mask.0.packet_type)
            }),
        }
    }

    fn ethernet(&self, list: &mut List<'_, '_>) -> fmt::Result {
        if !(ETH.present)(self.key) {
            return Ok(());
        }
        // Without a packet type to say so, the attribute itself says that there is an Ethernet header.
        let says_so = self.mask.0.packet_type == 0;
        self.group(list, &ETH, says_so)
    }

    fn group(&self, list: &mut List<'_, '_>, group: &Group, always: bool) -> fmt::Result {
        let shown = |field: &&Field| self.verbose || field.get(&self.mask.0) != 0;
        let wanted = always || group.fields.iter().any(|field| shown(&field));
        list.item_if(wanted, |f| {
            write!(f, "{}(", group.name)?;
            let mut fields = List { f, first: true };
            for field in group.fields.iter().filter(shown) {
                fields.item_if(true, |f| {
                    write!(f, "{}=", field.name)?;
                    field.write(f, self.key, self.mask)
                })?;
            }
            f.write_str(")")
        })
    }

    /// The Ethernet type and what follows, from VLAN tag number `depth` on: tags nest.
    fn link_layer(&self, list: &mut List<'_, '_>, depth: usize) -> fmt::Result {
        let (key, mask) = (self.key, self.mask);
        let tag = key.vlans.get(depth).copied().unwrap_or_default();
        // A tag that was cut short: there is a tag's type, but no tag.
        let cut = depth == 0 && !tag.is_present() && is_vlan(key.eth_type);
        if !tag.is_present() && !cut {
            return self.behind_tags(list, depth);
        }
        let tag_mask = mask.0.vlans.get(depth).copied().unwrap_or_default();
        let tpid = if cut { key.eth_type } else { tag.tpid };
        list.item_if(true, |f| write!(f, "eth_type(0x{tpid:04x})"))?;
        list.item_if(self.verbose || tag_mask.tci != 0, |f| {
            special::write_vlan(f, tag, tag_mask, self.verbose)
        })?;
        list.item_if(true, |f| {
            f.write_str("encap(")?;
            if !cut {
                self.link_layer(&mut List { f, first: true }, depth + 1)?;
            }
            f.write_str(")")
        })
    }

    fn behind_tags(&self, list: &mut List<'_, '_>, depth: usize) -> fmt::Result {
        let (key, mask) = (self.key, self.mask);
        if key.eth_type == eth_type::NONE {
            // 802.2 has no type; the reference says so outside of VLAN tags only.
            let wanted = depth == 0 && mask.0.eth_type != 0;
            return list.item_if(wanted, |f| f.write_str("eth_type(0/0xffff)"));
        }
        list.item_if(self.verbose || mask.0.eth_type != 0, |f| {
            write!(f, "eth_type(0x{:04x}", key.eth_type)?;
            if mask.0.eth_type != 0xffff {
                write!(f, "/0x{:04x}", mask.0.eth_type)?;
            }
            f.write_str(")")
        })?;
        if matches!(key.eth_type, eth_type::MPLS | eth_type::MPLS_MULTICAST) {
            let wanted = self.verbose || mask.0.mpls != [0; 4];
            return list.item_if(wanted, |f| special::write_mpls(f, &key.mpls, &mask.0.mpls));
        }
        if key.is_nsh() {
            let wanted = self.verbose || nsh::is_looked_at(mask);
            return list.item_if(wanted, |f| nsh::write(f, key, mask, self.verbose));
        }
        for group in UPPER.iter().filter(|group| (group.present)(key)) {
            // The reference lists none of it with `-m` unless it is looked at.
            if matches!(group.name, "nd_ext" | "ipv6_exthdrs") && !group.is_looked_at(mask) {
                continue;
            }
            self.group(list, group, false)?;
            if group.name == "tcp" && field::is_tcp(key) {
                let wanted = self.verbose || mask.0.tcp_flags & special::TCP_FLAGS != 0;
                list.item_if(wanted, |f| {
                    special::write_tcp_flags(f, key.tcp_flags, mask.0.tcp_flags)
                })?;
            }
        }
        Ok(())
    }
}

/// Writes `set(..)` actions: one per header that `mask` touches.
pub(super) fn write_sets(f: &mut fmt::Formatter<'_>, key: &FlowKey, mask: &Mask) -> fmt::Result {
    let text = FlowText::brief(key, mask);
    let mut list = List { f, first: true };
    let set = |list: &mut List<'_, '_>, write: &dyn Fn(&mut List<'_, '_>) -> fmt::Result| {
        list.item_if(true, |f| {
            f.write_str("set(")?;
            write(&mut List { f: &mut *f, first: true })?;
            f.write_str(")")
        })
    };
    for scalar in field::SCALARS.into_iter().filter(|s| s.get(&mask.0) != 0) {
        set(&mut list, &|list| text.meta(list, Meta::Scalar(scalar)))?;
    }
    if mask.0.tunnel != Default::default() {
        set(&mut list, &|list| list.item_if(true, |f| tunnel::write_set(f, &key.tunnel)))?;
    }
    if ETH.is_looked_at(mask) {
        set(&mut list, &|list| text.group(list, &ETH, false))?;
    }
    if mask.0.mpls != [0; 4] {
        let (label, of) = (key.mpls[0], mask.0.mpls[0]);
        set(&mut list, &|list| list.item_if(true, |f| special::write_labels(f, &[label], &[of])))?;
    }
    if key.is_nsh() {
        if nsh::is_looked_at(mask) {
            set(&mut list, &|list| list.item_if(true, |f| nsh::write(f, key, mask, false)))?;
        }
        return Ok(());
    }
    let (last, first): (Vec<&Group>, Vec<&Group>) =
        set_groups(key).filter(|group| group.is_looked_at(mask)).partition(|g| g.name == "nd");
    for group in first.into_iter().chain(last) {
        set(&mut list, &|list| text.group(list, group, false))?;
    }
    if mask.0.tcp_flags & special::TCP_FLAGS != 0 {
        let write = |f: &mut fmt::Formatter<'_>| {
            special::write_tcp_flags(f, key.tcp_flags, mask.0.tcp_flags)
        };
        set(&mut list, &|list| list.item_if(true, write))?;
    }
    Ok(())
}

/// The groups that a `set(..)` with this key is about. The key's Ethernet type and protocol say which, though they are not
/// part of the mask; without them IPv4 and UDP are meant.
fn set_groups(key: &FlowKey) -> impl Iterator<Item = &'static Group> {
    let mut hints = *key;
    let kind = match hints.eth_type {
        0 if hints.ipv6_src != [0; 16] || hints.ipv6_dst != [0; 16] || hints.ipv6_label != 0 => {
            eth_type::IPV6
        }
        0 => eth_type::IPV4,
        kind => kind,
    };
    hints.eth_type = kind;
    hints.ip_frag = 0;
    if hints.nw_proto == 0 {
        field::hint(&mut hints, "udp");
    }
    UPPER.iter().filter(move |group| (group.present)(&hints))
}

/// A comma-separated list.
pub(super) struct List<'f, 'b> {
    pub(super) f: &'f mut fmt::Formatter<'b>,
    pub(super) first: bool,
}

impl List<'_, '_> {
    pub(super) fn item_if(
        &mut self,
        wanted: bool,
        write: impl FnOnce(&mut fmt::Formatter<'_>) -> fmt::Result,
    ) -> fmt::Result {
        if !wanted {
            return Ok(());
        }
        if !self.first {
            self.f.write_str(",")?;
        }
        self.first = false;
        write(self.f)
    }
}

/// The VLAN tag with nothing known of it.
pub(super) const NO_TAG: Vlan = Vlan { tpid: 0, tci: 0 };
