//! What `ovs-ofctl ct-flush` takes: tuples of connections, `ct_nw_src=10.0.0.1,ct_nw_proto=6,ct_tp_dst=80`.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::key_value::pairs;
use super::number::parse;
use crate::message::ct_flush::{CtFlush, CtTuple};
use crate::wire::ct_flush::is_icmp;

/// Reads the way of a connection's first packet, and the way back, if it is said. The protocol may stand in either, once.
pub fn parse_ct_flush(
    zone: Option<u16>,
    original: &str,
    reply: Option<&str>,
) -> Result<CtFlush, String> {
    let mut flush = CtFlush { zone, ..CtFlush::default() };
    flush.original = parse_tuple(original, &mut flush.protocol, &[])?;
    if let Some(reply) = reply {
        let before = [flush.original.source, flush.original.destination];
        flush.reply = parse_tuple(reply, &mut flush.protocol, &before)?;
    }
    Ok(flush)
}

fn parse_tuple(
    text: &str,
    protocol: &mut u8,
    others: &[Option<IpAddr>],
) -> Result<CtTuple, String> {
    let mut tuple = CtTuple::default();
    for pair in pairs(text) {
        let (key, value) = (pair.key, pair.value);
        if value.is_empty() {
            return Err(format!("field {key} missing value"));
        }
        let bad = || format!("failed to parse field {key}");
        match key {
            "ct_nw_src" | "ct_nw_dst" | "ct_ipv6_src" | "ct_ipv6_dst" => {
                let address: IpAddr = if key.starts_with("ct_nw") {
                    value.parse::<Ipv4Addr>().map_err(|_| bad())?.into()
                } else {
                    value.parse::<Ipv6Addr>().map_err(|_| bad())?.into()
                };
                let all = others.iter().chain([&tuple.source, &tuple.destination]);
                if all.flatten().any(|other| other.is_ipv4() != address.is_ipv4()) {
                    return Err(format!("the L3 protocol does not match {value}"));
                }
                let place =
                    if key.ends_with("src") { &mut tuple.source } else { &mut tuple.destination };
                if place.replace(address).is_some() {
                    return Err(format!("{key} is set multiple times"));
                }
            }
            "ct_nw_proto" if *protocol != 0 => {
                return Err(format!("{key} is set multiple times"));
            }
            "ct_nw_proto" => *protocol = parse(value).ok_or_else(bad)?,
            "ct_tp_src" => tuple.source_port = parse(value).ok_or_else(bad)?,
            "ct_tp_dst" => tuple.destination_port = parse(value).ok_or_else(bad)?,
            "icmp_type" | "icmp_code" | "icmp_id" if !is_icmp(*protocol) => {
                return Err("invalid L4 fields".to_owned());
            }
            "icmp_type" => tuple.icmp_type = parse(value).ok_or_else(bad)?,
            "icmp_code" => tuple.icmp_code = parse(value).ok_or_else(bad)?,
            "icmp_id" => tuple.icmp_id = parse(value).ok_or_else(bad)?,
            _ => return Err(format!("invalid conntrack tuple field: {key}")),
        }
    }
    if *protocol == 0 && (tuple.source_port != 0 || tuple.destination_port != 0) {
        return Err("port is set without protocol".to_owned());
    }
    Ok(tuple)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tuples_are_of_one_family_and_ports_of_a_protocol() {
        let text = "ct_nw_src=10.0.0.1,ct_nw_proto=6,ct_tp_dst=80";
        let flush = parse_ct_flush(Some(5), text, Some("ct_nw_dst=10.0.0.1")).expect("tuples");
        assert_eq!((flush.protocol, flush.zone), (6, Some(5)));
        assert_eq!(flush.original.destination_port, 80);
        for (original, reply, why) in [
            ("ct_tp_src=1", None, "port is set without protocol"),
            ("ct_nw_src=10.0.0.1,ct_ipv6_dst=::1", None, "the L3 protocol does not match ::1"),
            ("ct_nw_src=10.0.0.1", Some("ct_ipv6_src=::1"), "the L3 protocol does not match"),
            ("ct_nw_src=10.0.0.1,ct_nw_src=10.0.0.1", None, "set multiple times"),
            ("icmp_id=1", None, "invalid L4 fields"),
            ("ct_nw_src", None, "missing value"),
            ("ct_nw_src=x", None, "failed to parse field ct_nw_src"),
            ("ct_zone=1", None, "invalid conntrack tuple field: ct_zone"),
        ] {
            assert!(parse_ct_flush(None, original, reply).expect_err(original).contains(why));
        }
    }
}
