//! The field table against what ovs-fields(7) of Open vSwitch 3.1 says, one line for each field: name, other name, width, bits
//! that can be set, format, masking, prerequisites, access, OpenFlow 1.0, OpenFlow 1.1, names and numbers on the wire.

use openflow::field::{Field, Fixed, Format, Prereq};

const FACTS: &str = include_str!("fields.txt");

/// Fields of Open vSwitch's own, which the page leaves out.
const INTERNAL: &[&str] = &["dp_hash", "recirc_id"];

/// Fields of the standard that Open vSwitch does not have.
const BEYOND: &[&str] = &["ipv6_exthdr", "pbb_isid", "pbb_uca"];

fn lines() -> impl Iterator<Item = Vec<&'static str>> {
    FACTS.lines().map(|line| line.split('|').collect())
}

#[test]
fn every_field_of_the_page_is_in_the_table_and_no_other() {
    let more = INTERNAL.iter().chain(BEYOND).copied();
    let mut page: Vec<&str> = lines().map(|line| line[0]).chain(more).collect();
    let mut table: Vec<&str> = Field::ALL.iter().map(|field| field.name()).collect();
    page.sort_unstable();
    table.sort_unstable();
    assert_eq!(table, page);
}

#[test]
fn rows_say_what_the_page_says() {
    for line in lines() {
        let [name, alias, width, bits, format, masking, prereq, access, of10, of11, numbers] =
            line[..]
        else {
            panic!("{line:?}");
        };
        let row = Field::by_name(name).expect(name).row();
        assert_eq!(row.alias, alias, "{name}");
        assert_eq!(row.width.to_string(), width, "{name}");
        assert_eq!(row.bits.to_string(), bits, "{name}");
        assert_eq!(row.maskable, masking == "arbitrary bitwise masks", "{name}");
        assert_eq!(row.writable, access == "read/write", "{name}");
        assert_eq!(fixed(row.of10), of10, "{name}");
        assert_eq!(fixed(row.of11), of11, "{name}");
        assert_eq!(format_name(row.format), format, "{name}");
        assert_eq!(prereq_name(row.prereq), prereq, "{name}");
        let headers: Vec<String> =
            row.headers.iter().map(|h| format!("{}({})", h.name, h.number)).collect();
        assert_eq!(headers.join(" "), numbers, "{name}");
    }
}

fn fixed(fixed: Fixed) -> &'static str {
    match fixed {
        Fixed::No => "not supported",
        Fixed::Exact => "yes (exact match only)",
        Fixed::Cidr => "yes (CIDR match only)",
        Fixed::Masked => "yes",
    }
}

fn format_name(format: Format) -> &'static str {
    match format {
        Format::Decimal => "decimal",
        Format::Hex => "hexadecimal",
        Format::Ethernet => "Ethernet",
        Format::Ipv4 => "IPv4",
        Format::Ipv6 => "IPv6",
        Format::Port => "OpenFlow 1.0 port",
        Format::Port32 => "OpenFlow 1.1+ port",
        Format::Frag => "frag",
        Format::CtState => "ct state",
        Format::TunnelFlags => "tunnel flags",
        Format::TcpFlags => "TCP flags",
        Format::PacketType => "packet type",
    }
}

fn prereq_name(prereq: Prereq) -> &'static str {
    match prereq {
        Prereq::None => "none",
        Prereq::Ethernet => "Ethernet",
        Prereq::Vlan => "VLAN VID",
        Prereq::Mpls => "MPLS",
        Prereq::Pbb => "PBB",
        Prereq::Ipv4 => "IPv4",
        Prereq::Ipv6 => "IPv6",
        Prereq::Ip => "IPv4/IPv6",
        Prereq::Arp => "ARP",
        Prereq::Nsh => "NSH",
        Prereq::Tcp => "TCP",
        Prereq::Udp => "UDP",
        Prereq::Sctp => "SCTP",
        Prereq::Icmp => "ICMPv4",
        Prereq::Icmpv6 => "ICMPv6",
        Prereq::Nd => "ND",
        Prereq::NdSolicit => "ND solicit",
        Prereq::NdAdvert => "ND advert",
        Prereq::Ct => "CT",
    }
}

#[test]
fn numbers_on_the_wire_are_unique() {
    let mut seen = std::collections::HashMap::new();
    for field in Field::ALL {
        for header in field.row().headers {
            if let Some(other) = seen.insert(header.number(), field) {
                panic!("{} and {} have the same number", other.name(), field.name());
            }
        }
    }
}
