//! `tnl/neigh/*` and its older names `tnl/arp/*`: the texts and manners of the reference's commands.

use std::fmt::Write;
use std::net::IpAddr;
use std::time::Duration;

use base::Instant;
use packet::wire::ethernet::{self, MacText};

use super::Neighbours;

/// `tnl/neigh/show`.
pub fn show(neighbours: &Neighbours, now: Instant) -> String {
    let mut out =
        String::from("IP                                            MAC                 Bridge\n");
    out.push_str("==========================================================================\n");
    for (bridge, ip, mac, expired) in neighbours.list(now) {
        let stale = if expired { " STALE" } else { "" };
        let _ = writeln!(out, "{:<46}{}   {bridge}{stale}", ip.to_string(), MacText(&mac));
    }
    out
}

/// `tnl/neigh/set BRIDGE IP MAC`.
pub fn set(neighbours: &mut Neighbours, args: &[&str], now: Instant) -> Result<String, String> {
    let [bridge, ip, mac] = args else { return Err("bad IP address".into()) };
    let ip: IpAddr = ip.parse().map_err(|_| "bad IP address")?;
    let mac = ethernet::parse_mac(mac).ok_or("bad MAC address")?;
    neighbours.set(&(*bridge).into(), ip, mac, now);
    Ok("OK".into())
}

/// `tnl/neigh/flush`.
pub fn flush(neighbours: &mut Neighbours) -> String {
    neighbours.flush(None);
    "OK".into()
}

/// `tnl/neigh/aging [SECS]`.
pub fn aging(neighbours: &mut Neighbours, args: &[&str], now: Instant) -> Result<String, String> {
    const MAX: u64 = 3600;
    let Some(arg) = args.first() else { return Ok(neighbours.aging().as_secs().to_string()) };
    match arg.parse::<u64>() {
        Ok(secs @ 1..=MAX) => {
            neighbours.set_aging(Duration::from_secs(secs), now);
            Ok("OK".into())
        }
        _ => Err("bad aging value".into()),
    }
}
