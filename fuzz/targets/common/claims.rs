//! Offload state out of arbitrary numbers.

use packet::{Carrier, Csum, Encap, Gso, GsoKind, Offload};

/// What a guest claims about its packet: a virtio-net header and tunnel offsets, all of it arbitrary.
pub(crate) type Claims = (u8, u16, u16, u16, u16, u16, u16);

pub(crate) fn offload((flags, start, offset, size, l3, l4, inner): Claims) -> Offload {
    let kinds = [GsoKind::Tcp4, GsoKind::Tcp6, GsoKind::Udp];
    let kind = kinds[usize::from(flags & 3) % 3];
    Offload {
        csum: if flags & 4 == 0 { Csum::Complete } else { Csum::Partial { start, offset } },
        gso: (flags & 8 != 0).then_some(Gso { kind, size, ecn: flags & 16 != 0 }),
        encap: (flags & 32 != 0).then_some(Encap {
            l3,
            l4,
            inner,
            carrier: [Carrier::Udp, Carrier::Gtpu, Carrier::Gre, Carrier::Ipv6]
                [usize::from(flags >> 6)],
            csum: inner & 1 != 0,
            bare: l4 & 1 != 0,
        }),
        plain: false,
    }
}
