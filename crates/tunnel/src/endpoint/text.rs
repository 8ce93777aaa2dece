//! How `dpif/show` prints an endpoint's options: `key=value` in order of key, defaults left out.

use std::fmt;

use super::{Endpoint, InKey, Local, OutKey, Remote, Tos, Ttl};

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut first = true;
        for (key, value) in self.settings() {
            write!(f, "{}{key}={value}", if first { "" } else { ", " })?;
            first = false;
        }
        Ok(())
    }
}

impl Endpoint {
    /// The options that differ from their defaults, as their texts, in order of key.
    pub fn settings(&self) -> Vec<(&'static str, String)> {
        let mut s = Vec::new();
        let mut put = |key, value: Option<String>| s.extend(value.map(|v| (key, v)));
        let (in_key, out_key) = (in_key(self.in_key), out_key(self.out_key));
        let one_key = in_key == out_key;
        // "false" is the default over IPv4, and not worth a word.
        let ipv6 = matches!(self.remote, Remote::Address(ip) if ip.is_ipv6());
        put("csum", self.csum.filter(|csum| *csum || ipv6).map(|csum| csum.to_string()));
        put("df_default", (!self.df).then(|| "false".into()));
        put(
            "dst_port",
            (self.dst_port != self.kind.default_dst_port()).then(|| self.dst_port.to_string()),
        );
        put(
            "egress_pkt_mark",
            (self.egress_pkt_mark != 0).then(|| self.egress_pkt_mark.to_string()),
        );
        put("in_key", in_key.clone().filter(|_| !one_key));
        put("key", in_key.filter(|_| one_key));
        put("local_ip", local(self.local));
        put("out_key", out_key.filter(|_| !one_key));
        put("pmtud", (!self.sizes.answer).then(|| "false".into()));
        put("remote_ip", Some(remote(self.remote)));
        put("tcp_mss_clamp", self.sizes.clamp.then(|| "true".into()));
        put("tos", tos(self.tos));
        put("ttl", ttl(self.ttl));
        s
    }
}

fn in_key(k: InKey) -> Option<String> {
    match k {
        InKey::Absent => None,
        InKey::Exact(vni) => Some(vni.get().to_string()),
        InKey::Flow => Some("flow".into()),
    }
}

fn out_key(k: OutKey) -> Option<String> {
    match k {
        OutKey::Absent => None,
        OutKey::Exact(vni) => Some(vni.get().to_string()),
        OutKey::Flow => Some("flow".into()),
    }
}

fn remote(r: Remote) -> String {
    match r {
        Remote::Address(ip) => ip.to_string(),
        Remote::Flow => "flow".into(),
    }
}

fn local(l: Local) -> Option<String> {
    match l {
        Local::Any => None,
        Local::Address(ip) => Some(ip.to_string()),
        Local::Flow => Some("flow".into()),
    }
}

fn tos(t: Tos) -> Option<String> {
    match t {
        Tos::Value(0) => None,
        Tos::Value(v) => Some(format!("{v:#x}")),
        Tos::Inherit => Some("inherit".into()),
    }
}

fn ttl(t: Ttl) -> Option<String> {
    match t {
        Ttl::Value(Ttl::DEFAULT) => None,
        Ttl::Value(v) => Some(v.to_string()),
        Ttl::Inherit => Some("inherit".into()),
    }
}
