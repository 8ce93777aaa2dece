//! What control commands say of a bond, as the reference prints it.

use std::fmt::Write;

use base::Instant;
use packet::wire::ethernet::MacText;

use super::{Bond, LacpStatus, Mode};

/// Milliseconds until then.
fn until(at: Instant, now: Instant) -> u128 {
    at.since(now).as_millis()
}

impl<P: Copy + Ord> Bond<P> {
    /// `bond/show`; `recirc` is the number under which packets come back that the datapath has hashed.
    pub fn show(&self, recirc: Option<u32>, now: Instant) -> String {
        let s = &self.settings;
        let may_recirculate = s.mode == Mode::BalanceTcp && !self.falls_back();
        let number = |is_so: bool| match recirc.filter(|_| is_so) {
            Some(id) => id.to_string(),
            None => "-1".into(),
        };
        let yes = |is_so: bool| if is_so { "yes" } else { "no" };
        let mut out = format!("---- {} ----\nbond_mode: {}\n", self.name, s.mode.as_str());
        let _ = writeln!(
            out,
            "bond may use recirculation: {}, Recirc-ID : {}",
            yes(may_recirculate),
            number(may_recirculate)
        );
        let _ = writeln!(out, "bond-hash-basis: {}", s.basis);
        let lb_output = s.mode == Mode::BalanceTcp && s.lb_output;
        let word = if lb_output { "enabled" } else { "disabled" };
        let _ = writeln!(out, "lb_output action: {word}, bond-id: {}", number(lb_output));
        if s.mode == Mode::BalanceSlb {
            let _ = writeln!(out, "all members active: {}", s.all_members_active);
        }
        let _ = writeln!(out, "updelay: {} ms", s.updelay.as_millis());
        let _ = writeln!(out, "downdelay: {} ms", s.downdelay.as_millis());
        if let Some(at) = self.next_rebalance.filter(|_| self.balances()) {
            let _ = writeln!(out, "next rebalance: {} ms", until(at, now));
        }
        let status = match self.lacp {
            LacpStatus::Off => "off",
            LacpStatus::Configured => "configured",
            LacpStatus::Negotiated => "negotiated",
        };
        let _ = writeln!(out, "lacp_status: {status}\nlacp_fallback_ab: {}", s.lacp_fallback_ab);
        let _ = match &s.primary {
            None => writeln!(out, "active-backup primary: <none>"),
            Some(name) if self.find(name).is_some() => {
                writeln!(out, "active-backup primary: {name}")
            }
            Some(name) => writeln!(out, "active-backup primary: {name} (no such member)"),
        };
        let named = self.members.values().find(|m| m.mac == self.active_mac);
        let name = named.map_or("none", |m| &*m.name);
        let _ = writeln!(out, "active member mac: {}({name})", MacText(&self.active_mac));
        let mut members: Vec<_> = self.members.iter().collect();
        members.sort_by(|(_, a), (_, b)| a.name.cmp(&b.name));
        for (id, m) in members {
            let word = if m.enabled { "enabled" } else { "disabled" };
            let _ = writeln!(out, "\nmember {}: {word}", m.name);
            if self.active == Some(*id) {
                out.push_str("  active member\n");
            }
            if let Some(at) = m.changes_at {
                let what = if m.enabled { "downdelay" } else { "updelay" };
                let _ = writeln!(out, "  {what} expires in {} ms", until(at, now));
            }
            let _ = writeln!(out, "  may_enable: {}", m.usable);
            if !self.balances() {
                continue;
            }
            for bucket in self.buckets.of(*id) {
                let kilobytes = self.buckets.loads[bucket] / 1024;
                if kilobytes > 0 {
                    let _ = writeln!(out, "  hash {bucket}: {kilobytes} kB load");
                }
            }
        }
        out.push('\n');
        out
    }

    /// A line of `bond/list`.
    pub fn list_line(&self, recirc: Option<u32>) -> String {
        let names: Vec<&str> = self.members.values().map(|m| &*m.name).collect();
        let (name, mode) = (&self.name, self.settings.mode.as_str());
        format!("{name}\t{mode}\t{}\t{}\n", recirc.unwrap_or(0), names.join(", "))
    }
}
