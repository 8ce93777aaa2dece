//! What control commands say of LACP, as the reference prints it.

use std::fmt::Write;

use packet::wire::ethernet::MacText;

use super::pdu::{End, state};
use super::{Lacp, Link};

/// The bits of a state by name, each after a blank.
fn words(bits: u8) -> String {
    const WORDS: [(u8, &str); 8] = [
        (state::ACTIVITY, "activity"),
        (state::TIMEOUT, "timeout"),
        (state::AGGREGATION, "aggregation"),
        (state::SYNCHRONIZED, "synchronized"),
        (state::COLLECTING, "collecting"),
        (state::DISTRIBUTING, "distributing"),
        (state::DEFAULTED, "defaulted"),
        (state::EXPIRED, "expired"),
    ];
    let set = WORDS.iter().filter(|(bit, _)| bits & bit != 0);
    set.map(|(_, word)| format!(" {word}")).collect()
}

fn end(out: &mut String, who: &str, end: &End) {
    let _ = writeln!(out, "\n  {who} sys_id: {}", MacText(&end.sys_id));
    let _ = writeln!(out, "  {who} sys_priority: {}", end.sys_priority);
    let _ = writeln!(out, "  {who} port_id: {}", end.port_id);
    let _ = writeln!(out, "  {who} port_priority: {}", end.port_priority);
    let _ = writeln!(out, "  {who} key: {}", end.key);
    let _ = writeln!(out, "  {who} state:{}", words(end.state));
}

impl<P: Copy + Ord> Lacp<P> {
    fn sorted(&self) -> Vec<(P, &Link)> {
        let mut links: Vec<_> = self.links.iter().map(|(at, link)| (*at, link)).collect();
        links.sort_by(|(_, a), (_, b)| a.name.cmp(&b.name));
        links
    }

    /// `lacp/show`.
    pub fn show(&self) -> String {
        let s = &self.settings;
        let mut out = format!("---- {} ----\n  status: ", self.name);
        out.push_str(if s.active { "active" } else { "passive" });
        out.push_str(if self.negotiated { " negotiated\n" } else { "\n" });
        let _ = writeln!(out, "  sys_id: {}", MacText(&s.sys_id));
        let _ = writeln!(out, "  sys_priority: {}", s.sys_priority);
        let _ = writeln!(out, "  aggregation key: {}", self.key().unwrap_or_default());
        let _ = writeln!(out, "  lacp_time: {}", if s.fast { "fast" } else { "slow" });
        for (at, link) in self.sorted() {
            let attached = if link.attached { "attached" } else { "detached" };
            let _ = writeln!(out, "\nmember: {}: {} {attached}", link.name, link.heard.as_str());
            let _ = writeln!(out, "  port_id: {}", link.id());
            let _ = writeln!(out, "  port_priority: {}", link.settings.priority);
            let _ = writeln!(out, "  may_enable: {}", self.may_use(at));
            end(&mut out, "actor", &self.actor(at).unwrap_or_default());
            end(&mut out, "partner", &link.partner);
        }
        out
    }

    /// `lacp/show-stats`.
    pub fn show_stats(&self) -> String {
        let mut out = format!("---- {} statistics ----\n", self.name);
        for (_, link) in self.sorted() {
            let s = &link.stats;
            let _ = writeln!(out, "\nmember: {}:", link.name);
            let counts = [
                ("TX PDUs", s.tx),
                ("RX PDUs", s.rx),
                ("RX Bad PDUs", s.rx_bad),
                ("RX Marker Request PDUs", s.rx_marker),
                ("Link Expired", s.expired),
                ("Link Defaulted", s.defaulted),
                ("Carrier Status Changed", s.carrier_changed),
            ];
            for (name, n) in counts {
                let _ = writeln!(out, "  {name}: {n}");
            }
        }
        out
    }
}
