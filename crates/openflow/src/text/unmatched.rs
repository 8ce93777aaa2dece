//! What texts of packets say beside what a match can say: of a second tag, of more labels than one, of service headers.

use std::fmt::Write;

use flow::{FlowKey, Vlan};
use packet::wire::ethernet::eth_type;
use packet::wire::ip_proto;

/// The bottom of a stack of labels (RFC 3032, 2.1).
const BOS: u32 = 0x100;

/// A match's text with the inner of a packet's tags, if it has an outer one.
pub fn with_inner_tag(text: String, vlans: &[Vlan; 2]) -> String {
    let [outer, inner] = vlans;
    if !outer.is_present() {
        return text;
    }
    let inner = if inner.is_present() {
        format!(",dl_vlan1={},dl_vlan_pcp1={}", inner.vid(), inner.pcp())
    } else {
        ",vlan_tci1=0x0000".into()
    };
    let after = format!("dl_vlan_pcp={}", outer.pcp());
    text.replacen(&after, &format!("{after}{inner}"), 1)
}

/// What stands behind the match's text.
pub fn unmatched(key: &FlowKey) -> String {
    let mut text = igmp_ports(key).to_owned();
    inner_labels(key, &mut text);
    service_header(key, &mut text);
    text
}

/// The reference sees ports in IGMP, of which our keys have none.
fn igmp_ports(key: &FlowKey) -> &'static str {
    let is_igmp = key.is_ipv4() && key.nw_proto == ip_proto::IGMP;
    if is_igmp && key.ip_frag & flow::frag::LATER == 0 { ",tp_src=0,tp_dst=0" } else { "" }
}

/// Matches know of one label; packets are shown with up to three.
fn inner_labels(key: &FlowKey, text: &mut String) {
    if !matches!(key.eth_type, eth_type::MPLS | eth_type::MPLS_MULTICAST) {
        return;
    }
    for (i, pair) in key.mpls.windows(2).take(2).enumerate() {
        if let [outer, inner] = pair {
            if outer & BOS != 0 {
                break;
            }
            let _ = write!(text, ",mpls_lse{}={inner}", i + 1);
        }
    }
}

/// The network service header, and what the reference takes such packets to have besides.
fn service_header(key: &FlowKey, text: &mut String) {
    if !key.is_nsh() {
        return;
    }
    let nsh = key.nsh();
    let _ = write!(
        text,
        ",nsh_flags={},nsh_ttl={},nsh_mdtype={},nsh_np={},nsh_spi={:#x},nsh_si={}",
        nsh.flags,
        nsh.ttl,
        nsh.mdtype,
        nsh.np,
        nsh.spi(),
        nsh.si()
    );
    if nsh.mdtype == 1 {
        for (i, word) in nsh.context.iter().enumerate() {
            let _ = write!(text, ",nsh_c{}={word:#x}", i + 1);
        }
    }
    text.push_str(",nw_proto=0,nw_tos=0,nw_ecn=0,nw_ttl=0,nw_frag=no");
}
