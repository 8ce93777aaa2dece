//! How `dpif/show` prints an endpoint's options: `key=value` in order of key, defaults left out.

use std::fmt;

use flow::{DpPort, TunnelProtocol};

use super::{Endpoint, ErspanSettings, FlowLabel, InKey, Local, OutKey, Remote, Setting, Tos, Ttl};

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
        if self.kind.protocol() == TunnelProtocol::Erspan {
            let ErspanSettings { version, index, direction, hwid } = self.erspan;
            let (first, second) = (version != Setting::Value(2), version != Setting::Value(1));
            let none = version == Setting::Value(0);
            let shown = |wanted: bool, text: String| Some(text).filter(|_| wanted && !none);
            put("erspan_dir", shown(second, setting(direction, |n| n.to_string())));
            put("erspan_hwid", shown(second, setting(hwid, |n| format!("{n:#x}"))));
            put("erspan_idx", shown(first, setting(index, |n| format!("{n:#x}"))));
            put("erspan_ver", Some(setting(version, |n| n.to_string())));
        }
        put("in_key", in_key.clone().filter(|_| !one_key));
        put("key", in_key.filter(|_| one_key));
        put("local_ip", local(self.local));
        put("out_key", out_key.filter(|_| !one_key));
        let usual = Endpoint::new("", self.kind, self.remote).carries;
        put("packet_type", Some(self.carries.name().to_owned()).filter(|_| self.carries != usual));
        put("pmtud", (!self.sizes.answer).then(|| "false".into()));
        put("remote_ip", Some(remote(self.remote)));
        let numbered = self.kind.protocol() == TunnelProtocol::Gre;
        put("seq", self.numbering.sequence().filter(|_| numbered).map(|_| "true".to_owned()));
        put("srv6_flowlabel", flow_label(self.flow_label));
        let segments: Vec<_> = self.segments.iter().map(ToString::to_string).collect();
        put("srv6_segs", Some(segments.join(",")).filter(|_| !segments.is_empty()));
        put("tcp_mss_clamp", self.sizes.clamp.then(|| "true".into()));
        put("tos", tos(self.tos));
        put("ttl", ttl(self.ttl));
        s
    }
}

/// An endpoint as `ofproto/list-tunnels` shows it, behind this datapath port: what it asks of packets, and what it sends.
pub struct Listed<'a>(pub &'a Endpoint, pub DpPort);

impl fmt::Display for Listed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(endpoint, DpPort(dp)) = self;
        let Endpoint { name, kind, carries, .. } = endpoint;
        let from = local(endpoint.local).unwrap_or_else(|| "::".into());
        let to = remote(endpoint.remote);
        let in_key = match endpoint.in_key {
            InKey::Absent => number(0),
            InKey::Exact(key) => number(key.get()),
            InKey::Flow => "flow".into(),
        };
        write!(f, "port {dp}: {name} ({}: {from}->{to}, key={in_key}, ", kind.name())?;
        write!(f, "{}, dp port={dp}", carries.name())?;
        let is_one = match (endpoint.in_key, endpoint.out_key) {
            (InKey::Absent, OutKey::Absent) | (InKey::Flow, OutKey::Flow) => true,
            (InKey::Exact(a), OutKey::Exact(b)) => a == b,
            _ => false,
        };
        match endpoint.out_key {
            _ if is_one => {}
            OutKey::Absent => f.write_str(", out_key=none")?,
            OutKey::Exact(key) => write!(f, ", out_key={}", number(key.get()))?,
            OutKey::Flow => f.write_str(", out_key=flow")?,
        }
        match endpoint.ttl {
            Ttl::Value(ttl) => write!(f, ", ttl={ttl}")?,
            Ttl::Inherit => f.write_str(", ttl=inherit")?,
        }
        if let Some(tos) = tos(endpoint.tos) {
            write!(f, ", tos={tos}")?;
        }
        f.write_str(if endpoint.df { "" } else { ", df=false" })?;
        f.write_str(if endpoint.csum == Some(true) { ", csum=true)" } else { ")" })
    }
}

/// In hexadecimal, but for 0.
fn number(n: u32) -> String {
    if n == 0 { "0".into() } else { format!("{n:#x}") }
}

fn setting<T: Copy>(setting: Setting<T>, text: impl Fn(T) -> String) -> String {
    match setting {
        Setting::Value(value) => text(value),
        Setting::Flow => "flow".into(),
    }
}

fn flow_label(label: FlowLabel) -> Option<String> {
    match label {
        FlowLabel::Copy => None,
        FlowLabel::Zero => Some("zero".into()),
        FlowLabel::Compute => Some("compute".into()),
    }
}

fn in_key(k: InKey) -> Option<String> {
    match k {
        InKey::Absent => None,
        InKey::Exact(key) => Some(key.get().to_string()),
        InKey::Flow => Some("flow".into()),
    }
}

fn out_key(k: OutKey) -> Option<String> {
    match k {
        OutKey::Absent => None,
        OutKey::Exact(key) => Some(key.get().to_string()),
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
