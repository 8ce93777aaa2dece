//! The protocols: one row each. Whoever asks what a protocol is like asks here.

use flow::TunnelProtocol;
use packet::wire::{geneve, gtpu, vxlan};

/// The type of a tunnel port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// RFC 8926.
    Geneve,
    /// RFC 7348, and its extensions.
    Vxlan,
    /// RFC 2784 and RFC 2890.
    Gre,
    /// The same, by another name: either goes over IPv4 and IPv6.
    Ip6Gre,
    /// draft-foschiano-erspan.
    Erspan,
    /// The same, by another name.
    Ip6Erspan,
    /// 3GPP TS 29.281.
    Gtpu,
    /// RFC 8986, without its functions but the last one's: to take the header off.
    Srv6,
}

/// What a kind of tunnel can carry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layers {
    /// Ethernet frames.
    L2,
    /// Packets that begin with a network header.
    L3,
    /// Either.
    Both,
}

/// What makes a packet a tunnel's, as far as its outer headers tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Arrival {
    /// This UDP destination port.
    Udp(u16),
    /// GRE.
    Gre,
    /// An IP packet right behind an IPv6 header and its extensions.
    Ipv6,
}

struct Row {
    kind: Kind,
    /// Interface `type`.
    name: &'static str,
    /// The datapath port's name, without the UDP port.
    device: &'static str,
    protocol: TunnelProtocol,
    /// The UDP port that IANA assigned; `None` for what has no ports.
    udp_port: Option<u16>,
    /// Bits of a key; 0: it has none.
    key_bits: u32,
    layers: Layers,
}

impl Kind {
    const ROWS: [Row; 8] = {
        use TunnelProtocol::{Erspan, Geneve, Gre, Gtpu, Srv6, Vxlan};
        const fn row(
            kind: Kind,
            (name, device): (&'static str, &'static str),
            protocol: TunnelProtocol,
            udp_port: Option<u16>,
            key_bits: u32,
            layers: Layers,
        ) -> Row {
            Row { kind, name, device, protocol, udp_port, key_bits, layers }
        }
        // In the order of the enum.
        [
            row(Kind::Geneve, ("geneve", "genev_sys"), Geneve, Some(geneve::PORT), 24, Layers::L2),
            // That it carries more with an extension the endpoint knows.
            row(Kind::Vxlan, ("vxlan", "vxlan_sys"), Vxlan, Some(vxlan::PORT), 24, Layers::L2),
            row(Kind::Gre, ("gre", "gre_sys"), Gre, None, 32, Layers::Both),
            row(Kind::Ip6Gre, ("ip6gre", "ip6gre_sys"), Gre, None, 32, Layers::Both),
            row(Kind::Erspan, ("erspan", "erspan_sys"), Erspan, None, 10, Layers::L2),
            row(Kind::Ip6Erspan, ("ip6erspan", "ip6erspan_sys"), Erspan, None, 10, Layers::L2),
            row(Kind::Gtpu, ("gtpu", "gtpu_sys"), Gtpu, Some(gtpu::PORT), 32, Layers::L3),
            row(Kind::Srv6, ("srv6", "srv6_sys"), Srv6, None, 0, Layers::L3),
        ]
    };

    fn row(self) -> &'static Row {
        const ROWS: &[Row; 8] = &Kind::ROWS;
        &ROWS[self as usize]
    }

    /// All of them.
    pub fn all() -> impl Iterator<Item = Self> {
        Self::ROWS.into_iter().map(|row| row.kind)
    }

    /// The Interface `type` that asks for it.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::all().find(|kind| kind.name() == name)
    }

    /// The Interface `type`.
    pub fn name(self) -> &'static str {
        self.row().name
    }

    /// What is on the wire.
    pub fn protocol(self) -> TunnelProtocol {
        self.row().protocol
    }

    /// The UDP port that IANA assigned; 0 for what has no ports.
    pub fn default_dst_port(self) -> u16 {
        self.row().udp_port.unwrap_or(0)
    }

    /// The largest key.
    pub fn key_max(self) -> u32 {
        u32::MAX.checked_shr(32 - self.row().key_bits).unwrap_or(0)
    }

    /// What it can carry.
    pub(super) fn layers(self) -> Layers {
        self.row().layers
    }

    /// What makes packets its own.
    pub fn arrival(self, dst_port: u16) -> Arrival {
        match self.protocol() {
            TunnelProtocol::Vxlan | TunnelProtocol::Geneve | TunnelProtocol::Gtpu => {
                Arrival::Udp(dst_port)
            }
            TunnelProtocol::Gre | TunnelProtocol::Erspan => Arrival::Gre,
            TunnelProtocol::Srv6 => Arrival::Ipv6,
        }
    }

    /// The name of the datapath port that serves all endpoints of this kind (and UDP port).
    pub fn device_name(self, dst_port: u16) -> String {
        let row = self.row();
        match row.udp_port {
            Some(_) => format!("{}_{dst_port}", row.device),
            None => row.device.to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_its_own_row() {
        for kind in Kind::all() {
            assert_eq!(kind.row().kind, kind);
            assert_eq!(Kind::from_name(kind.name()), Some(kind));
        }
        assert_eq!(Kind::from_name("bareudp"), None);
    }

    /// Observed on Open vSwitch 3.1.
    #[test]
    fn devices_are_called_as_in_the_reference() {
        assert_eq!(Kind::Geneve.device_name(6081), "genev_sys_6081");
        assert_eq!(Kind::Gtpu.device_name(9), "gtpu_sys_9");
        assert_eq!(Kind::Ip6Gre.device_name(0), "ip6gre_sys");
    }

    #[test]
    fn keys_are_as_long_as_headers_have_room() {
        let max = |kind: Kind| kind.key_max();
        assert_eq!(max(Kind::Vxlan), 0xff_ffff);
        assert_eq!(max(Kind::Gre), u32::MAX);
        assert_eq!(max(Kind::Erspan), 1023);
        assert_eq!(max(Kind::Srv6), 0);
    }
}
