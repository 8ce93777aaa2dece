//! What no option of an interface can know alone: values that are right by themselves, and mean nothing beside others.
//!
//! The switch finds the same when it sets the tunnel up. Here it is found before anything has changed.

use std::net::{IpAddr, Ipv6Addr};

/// Tunnels for frames alone, and for what is in frames alone.
const FRAMES: &[&str] = &["geneve", "erspan", "ip6erspan"];
const PACKETS: &[&str] = &["gtpu", "srv6"];

/// What contradicts itself in the options of an interface of this type, the first if there are several. `get` knows the options.
/// Values that are wrong by themselves are passed over.
pub(super) fn contradiction<'a>(ty: &str, get: impl Fn(&str) -> Option<&'a str>) -> Option<String> {
    if ty == "bareudp" {
        return Some("tunnels of type bareudp are the kernel's alone; try gre or gtpu".to_owned());
    }
    if get("local_ip") == Some("flow") && get("remote_ip") != Some("flow") {
        return Some("options:local_ip=flow needs options:remote_ip=flow".to_owned());
    }
    let address = |key: &str| get(key).and_then(|text| text.parse::<IpAddr>().ok());
    ends(address("remote_ip"), address("local_ip"))
        .or_else(|| segments(ty, address("remote_ip"), address("local_ip"), get("srv6_segs")))
        .or_else(|| packets(ty, get("packet_type"), get("exts")))
}

fn ends(remote: Option<IpAddr>, local: Option<IpAddr>) -> Option<String> {
    let (remote, local) = remote.zip(local)?;
    if remote.is_ipv4() != local.is_ipv4() {
        Some(format!(
            "options:local_ip={local} and options:remote_ip={remote} must be of one family, IPv4 or IPv6"
        ))
    } else if remote == local {
        Some(format!("options:local_ip={local} must be another address than options:remote_ip"))
    } else {
        None
    }
}

/// Segment routing is IPv6's, and leads to the other end first.
fn segments(
    ty: &str,
    remote: Option<IpAddr>,
    local: Option<IpAddr>,
    segments: Option<&str>,
) -> Option<String> {
    if ty != "srv6" {
        return None;
    }
    if let Some(ip) = remote.into_iter().chain(local).find(IpAddr::is_ipv4) {
        return Some(format!("an interface of type srv6 needs IPv6 addresses, and {ip} is none"));
    }
    let first = segments?.split(',').next()?.trim().parse::<Ipv6Addr>().ok()?;
    let remote = remote.filter(|remote| *remote != first)?;
    Some(format!(
        "the first of options:srv6_segs must be {remote}, which is options:remote_ip, and not {first}"
    ))
}

fn packets(ty: &str, packet_type: Option<&str>, exts: Option<&str>) -> Option<String> {
    let has = |ext: &str| exts.is_some_and(|exts| exts.split(',').any(|word| word.trim() == ext));
    if ty == "vxlan" && has("gbp") && has("gpe") {
        return Some(
            "options:exts must be gbp or gpe, not both: they share bits of the header".to_owned(),
        );
    }
    let what = packet_type.filter(|what| match *what {
        "legacy_l3" => FRAMES.contains(&ty) || ty == "vxlan" && !has("gpe"),
        "legacy_l2" => PACKETS.contains(&ty),
        _ => false,
    })?;
    let hint = if ty == "vxlan" { ", for without options:exts=gpe it" } else { ": it" };
    let carries = if what == "legacy_l3" { "frames" } else { "packets without an Ethernet header" };
    Some(format!(
        "options:packet_type={what} means nothing for an interface of type {ty}{hint} carries {carries} alone"
    ))
}
