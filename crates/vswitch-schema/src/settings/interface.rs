//! Interface types and the settings of interfaces.

use super::Kind::{
    Bool, Endpoint, Int, Ipv4, Ipv6List, Key, Mac, Obsolete, Pairs, Station, Text, Tos, Word,
    WordOrInt, Words,
};
use super::{Group, Setting};

/// One kind of device.
#[derive(Clone, Copy, Debug)]
pub struct InterfaceType {
    /// The value of Interface `type`.
    pub name: &'static str,
    /// Options without which such a device cannot work.
    pub required: &'static [&'static str],
    /// What it is.
    pub doc: &'static str,
}

const fn plain(name: &'static str, doc: &'static str) -> InterfaceType {
    InterfaceType { name, required: &[], doc }
}

const fn tunnel(name: &'static str, doc: &'static str) -> InterfaceType {
    InterfaceType { name, required: &["remote_ip"], doc }
}

/// Every kind of device that Open vSwitch 4.0 knows.
pub const INTERFACE_TYPES: &[InterfaceType] = &[
    plain(
        "system",
        "A device of the host: a network card, one end of a veth pair, somebody's tap.",
    ),
    plain("internal", "A device of the host that the switch makes; a bridge's own is one."),
    plain("tap", "A tap device that the switch makes."),
    InterfaceType {
        name: "patch",
        required: &["peer"],
        doc: "One end of a cable between two bridges.",
    },
    tunnel("geneve", "Ethernet in Geneve (RFC 8926)."),
    tunnel("vxlan", "Ethernet in VXLAN (RFC 7348)."),
    tunnel("gre", "Ethernet or IP in GRE (RFC 2784, RFC 2890)."),
    tunnel("ip6gre", "The same over IPv6."),
    tunnel("gtpu", "IP in GTP-U (3GPP TS 29.281)."),
    tunnel("srv6", "IP in segment routing over IPv6 (RFC 8986)."),
    tunnel("erspan", "Mirrored Ethernet in ERSPAN."),
    tunnel("ip6erspan", "The same over IPv6."),
    InterfaceType {
        name: "bareudp",
        required: &["remote_ip", "dst_port", "payload_type"],
        doc: "IP or MPLS straight in UDP; by the kernel only.",
    },
    plain("afxdp", "A device of the host, by AF_XDP, polled."),
    plain("afxdp-nonpmd", "A device of the host, by AF_XDP, not polled."),
    InterfaceType {
        name: "dpdk",
        required: &["dpdk-devargs"],
        doc: "A device that DPDK drives, in builds that have DPDK.",
    },
    plain("dpdkvhostuser", "A guest's device by vhost-user; the switch listens."),
    InterfaceType {
        name: "dpdkvhostuserclient",
        required: &["vhost-server-path"],
        doc: "A guest's device by vhost-user; the hypervisor listens.",
    },
    plain("dummy", "A device for tests that reaches nothing."),
    plain("dummy-internal", "The same, as a bridge's own."),
    plain("dummy-pmd", "The same, polled."),
];

/// The type that `name` means in Interface `type`, where an empty value means `system`.
pub fn interface_type(name: &str) -> Option<&'static InterfaceType> {
    let name = if name.is_empty() { "system" } else { name };
    INTERFACE_TYPES.iter().find(|ty| ty.name == name)
}

const TYPE_NAMES: &[&str] = &{
    let mut names = [""; INTERFACE_TYPES.len() + 1];
    let mut i = 0;
    while i < INTERFACE_TYPES.len() {
        names[i + 1] = INTERFACE_TYPES[i].name;
        i += 1;
    }
    names
};

const TUNNELS: &[&str] =
    &["geneve", "vxlan", "gre", "ip6gre", "gtpu", "srv6", "erspan", "ip6erspan", "bareudp"];
/// Those whose packets may have a type.
const TYPED: &[&str] = &["geneve", "vxlan", "gre", "ip6gre", "gtpu", "srv6", "erspan", "ip6erspan"];
/// Tunnels with a key, by its size.
const KEY24: &[&str] = &["geneve", "vxlan"];
const KEY32: &[&str] = &["gre", "ip6gre", "gtpu"];
const KEY10: &[&str] = &["erspan", "ip6erspan"];
const UDP: &[&str] = &["geneve", "vxlan", "gtpu", "bareudp"];
const GRE: &[&str] = &["gre", "ip6gre"];
const ERSPAN: &[&str] = &["erspan", "ip6erspan"];
const CHECKSUMMED: &[&str] = &["geneve", "vxlan", "gre", "ip6gre", "gtpu", "bareudp"];
const QUEUED: &[&str] = &["dpdk", "dummy-pmd"];
const AFXDP: &[&str] = &["afxdp", "afxdp-nonpmd"];
const DPDK: &[&str] = &["dpdk"];
const VHOST: &[&str] = &["dpdkvhostuser", "dpdkvhostuserclient"];
/// With `--enable-dummy=override`, tests use these options on every ordinary device.
const DUMMY: &[&str] = &["dummy", "dummy-internal", "dummy-pmd", "system", "internal", "tap"];

const MAX: i64 = i64::MAX;
const U32: i64 = u32::MAX as i64;

const OPTIONS: Group = Group::at("Interface", "options");
const CONFIG: Group = Group::at("Interface", "other_config");
const BFD: Group = Group::at("Interface", "bfd");
const IDS: Group = Group::at("Interface", "external_ids");

const KEY_DOC: &str =
    "Sets in_key and out_key at once: the VNI of VXLAN and Geneve, the key of GRE.";
const IN_KEY_DOC: &str =
    "The key that packets must arrive with; flow takes any and shows it to flows.";
const OUT_KEY_DOC: &str = "The key that packets leave with; flow leaves it to flows.";
const NO_IPSEC: &str = "IPsec is the kernel's, which does not see this switch's tunnels: their packets leave unencrypted";
const NONE: &str = "0";

// One setting a line.
#[rustfmt::skip]
pub(super) const SETTINGS: &[Setting] = &[
    Group::at("Interface", "type").key("", Word(TYPE_NAMES), "system", "The kind of device."),
    Group::at("Interface", "mac").key("", Station, "chosen by the switch", "The MAC address an internal device should have."),
    Group::at("Interface", "mtu_request").key("", Int(68, 65_535), "by the other ports", "The MTU the device should have."),
    // Tunnels.
    OPTIONS.key_on(TUNNELS, "remote_ip", Endpoint, "required", "The other end; flow leaves it to flows."),
    OPTIONS.key_on(TUNNELS, "local_ip", Endpoint, "by route", "This end; flow leaves it to flows."),
    OPTIONS.key_on(KEY24, "key", Key(24), NONE, KEY_DOC),
    OPTIONS.key_on(KEY24, "in_key", Key(24), NONE, IN_KEY_DOC),
    OPTIONS.key_on(KEY24, "out_key", Key(24), NONE, OUT_KEY_DOC),
    OPTIONS.key_on(KEY32, "key", Key(32), NONE, KEY_DOC),
    OPTIONS.key_on(KEY32, "in_key", Key(32), NONE, IN_KEY_DOC),
    OPTIONS.key_on(KEY32, "out_key", Key(32), NONE, OUT_KEY_DOC),
    OPTIONS.key_on(KEY10, "key", Key(10), NONE, KEY_DOC),
    OPTIONS.key_on(KEY10, "in_key", Key(10), NONE, IN_KEY_DOC),
    OPTIONS.key_on(KEY10, "out_key", Key(10), NONE, OUT_KEY_DOC),
    OPTIONS.key_on(UDP, "dst_port", Int(1, 65_535), "vxlan 4789, geneve 6081, gtpu 2152", "UDP port of the other end."),
    OPTIONS.key_on(TUNNELS, "tos", Tos, NONE, "Type-of-service bits of the outer header; ECN bits are always inherited."),
    OPTIONS.key_on(TUNNELS, "ttl", WordOrInt(&["inherit"], 0, 255), "64", "Time to live of the outer header."),
    OPTIONS.key_on(TUNNELS, "df_default", Bool, "true", "Set the outer header's don't-fragment bit."),
    OPTIONS.key_on(TUNNELS, "pmtud", Bool, "true", "Tell senders of packets that are too long for the tunnel what would fit (ICMP), and cut those that may be cut."),
    OPTIONS.key_on(TUNNELS, "tcp_mss_clamp", Bool, "false", "Have TCP connections through the tunnel opened with segments that fit, for guests that ICMP does not reach."),
    OPTIONS.key_on(TUNNELS, "egress_pkt_mark", Int(0, U32), NONE, "Packet mark of what leaves the tunnel port."),
    OPTIONS.key_on(CHECKSUMMED, "csum", Bool, "IPv4 false, IPv6 true", "Compute checksums of the outer UDP or GRE header."),
    OPTIONS.key_on(&["vxlan"], "exts", Words(&["gbp", "gpe"]), "", "Extensions of VXLAN."),
    OPTIONS.key_on(TYPED, "packet_type", Word(&["legacy_l2", "legacy_l3", "ptap"]), "legacy_l3 for gtpu and srv6, else legacy_l2", "Which packets the tunnel carries, and how flows see them: frames; packets without an Ethernet header, with one for flows; either, as it is. Geneve and ERSPAN carry frames, VXLAN without gpe too."),
    OPTIONS.key_on(GRE, "seq", Bool, "false", "Number packets (RFC 2890)."),
    OPTIONS.key_on(ERSPAN, "erspan_ver", WordOrInt(&["flow"], 1, 2), "", "ERSPAN version: 1 (type II) or 2 (type III)."),
    OPTIONS.key_on(ERSPAN, "erspan_idx", WordOrInt(&["flow"], 0, 0xf_ffff), NONE, "Port number in version 1."),
    OPTIONS.key_on(ERSPAN, "erspan_dir", WordOrInt(&["flow"], 0, 1), NONE, "Direction in version 2: 0 ingress, 1 egress."),
    OPTIONS.key_on(ERSPAN, "erspan_hwid", WordOrInt(&["flow"], 0, 0x3f), NONE, "Hardware number in version 2."),
    OPTIONS.key_on(&["srv6"], "srv6_segs", Ipv6List(6), "remote_ip", "The segments to pass, the other end among them."),
    OPTIONS.key_on(&["srv6"], "srv6_flowlabel", Word(&["copy", "zero", "compute"]), "copy", "Flow label of the outer header."),
    OPTIONS.key_on(&["bareudp"], "payload_type", Text, "required", "What is carried: an Ethernet type, ip or mpls."),
    OPTIONS.key_on(TUNNELS, "psk", Obsolete(NO_IPSEC), "", "Secret for IPsec."),
    OPTIONS.key_on(TUNNELS, "remote_cert", Obsolete(NO_IPSEC), "", "File with the other end's certificate for IPsec."),
    OPTIONS.key_on(TUNNELS, "remote_name", Obsolete(NO_IPSEC), "", "Name in the other end's certificate for IPsec."),
    OPTIONS.key_on(TUNNELS, "ipsec_*", Text, "", "Passed on to the IPsec daemon."),
    // Patch ports.
    OPTIONS.key_on(&["patch"], "peer", Text, "required", "The Interface at the other end."),
    // Devices of the host.
    OPTIONS.key_on(&["system"], "n_rxq", Int(1, 64), "as many as there are workers", "Receive queues."),
    OPTIONS.key_on(&["internal", "tap"], "n_rxq", Int(1, 64), "1", "Receive queues."),
    OPTIONS.key_on(&["system"], "tx-offload", Word(&["auto", "relay", "udp", "off"]), "auto", "What may leave unfinished: all that the device takes; the same, and in any case whole super-packets in tunnels; such only as super-packets of their outer datagrams; nothing."),
    OPTIONS.key_on(&["internal", "tap"], "tx-offload", Word(&["auto", "off"]), "auto", "What may leave unfinished: all that the device takes, or nothing."),
    // Devices with queues.
    OPTIONS.key_on(QUEUED, "n_rxq", Int(1, MAX), "1", "Receive queues."),
    OPTIONS.key_on(&["dpdk", "dummy-pmd"], "n_txq", Int(1, MAX), "by threads", "Transmit queues."),
    OPTIONS.key_on(&["dpdk", "dummy-pmd", "dummy"], "numa_id", Int(0, MAX), "by device", "NUMA node."),
    OPTIONS.key_on(AFXDP, "n_rxq", Int(1, U32), "all that the device has", "Receive queues to serve."),
    OPTIONS.key_on(AFXDP, "xdp-mode", Word(&["best-effort", "native-with-zerocopy", "native", "generic"]), "best-effort", "How the kernel hands packets over."),
    OPTIONS.key_on(AFXDP, "xdp-busy-poll", Int(0, 1024), "0", "Packets that a worker has the driver take in at a time; 0: the driver does by itself."),
    OPTIONS.key_on(AFXDP, "use-need-wakeup", Bool, "true", "Enter the kernel only when it asks for it."),
    OPTIONS.key_on(AFXDP, "n_rxq_desc", Obsolete("it is for dpdk devices"), "", "Does nothing here."),
    OPTIONS.key_on(DPDK, "dpdk-devargs", Text, "required", "The device, as DPDK names it."),
    OPTIONS.key_on(DPDK, "n_rxq_desc", Int(1, 4096), "2048", "Slots of a receive queue, a power of two."),
    OPTIONS.key_on(DPDK, "n_txq_desc", Int(1, 4096), "2048", "Slots of a transmit queue, a power of two."),
    OPTIONS.key_on(DPDK, "dpdk-vf-mac", Station, "by device", "MAC address of the virtual function behind a representor."),
    OPTIONS.key_on(DPDK, "rx-flow-ctrl", Bool, "false", "Obey pause frames."),
    OPTIONS.key_on(DPDK, "tx-flow-ctrl", Bool, "false", "Send pause frames."),
    OPTIONS.key_on(DPDK, "flow-ctrl-autoneg", Bool, "false", "Negotiate pause frames."),
    OPTIONS.key_on(DPDK, "dpdk-lsc-interrupt", Bool, "true", "Learn of link changes by interrupt."),
    OPTIONS.key_on(DPDK, "rx-steering", Word(&["rss", "rss+lacp"]), "rss", "Keep a receive queue for LACP."),
    OPTIONS.key_on(DPDK, "flow-ctrl-highwater", Int(0, MAX), "", "Fill level at which to pause the sender."),
    OPTIONS.key_on(&["dpdkvhostuserclient"], "vhost-server-path", Text, "required", "Socket of the hypervisor."),
    OPTIONS.key_on(VHOST, "huge-pages", Bool, "true", "Put guest memory that packets pass through on huge pages."),
    OPTIONS.key_on(VHOST, "tx-retries-max", Int(0, 32), "8", "Attempts to hand a packet to a busy guest."),
    OPTIONS.key_on(VHOST, "vhost-max-queue-pairs", Int(1, 1024), "16", "Most queue pairs a guest may use; 16 at most."),
    // Devices for tests.
    OPTIONS.key_on(DUMMY, "pcap", Text, "", "File for packets in both directions."),
    OPTIONS.key_on(DUMMY, "rxq_pcap", Text, "", "File for packets received."),
    OPTIONS.key_on(DUMMY, "tx_pcap", Text, "", "File for packets sent."),
    OPTIONS.key_on(DUMMY, "stream", Text, "", "Connection to another dummy device."),
    OPTIONS.key_on(DUMMY, "pstream", Text, "", "Where to listen for other dummy devices."),
    OPTIONS.key_on(DUMMY, "ifindex", Int(0, U32), "", "Kernel device number to pretend to."),
    OPTIONS.key_on(DUMMY, "ol_*", Text, "", "Offloads to pretend to."),
    // What any interface may have.
    CONFIG.key("pmd-rxq-affinity", Pairs, "", "Receive queues pinned to processors, queue:core."),
    CONFIG.key("tx-steering", Word(&["thread", "hash"]), "thread", "How packets are spread over transmit queues."),
    CONFIG.key("emc-enable", Bool, "true", "Use the exact match cache for packets from here."),
    CONFIG.key("pmd-sleep-max", Int(0, 10_000), "", "Most microseconds its polling thread sleeps."),
    CONFIG.key("hw-offload-priority", Text, "", "Providers of offload, in order of preference."),
    CONFIG.key("cfm_interval", Int(1, MAX), "1000", "Milliseconds between CFM probes."),
    CONFIG.key("cfm_extended", Bool, "false", "CFM with finer intervals and wider identifiers."),
    CONFIG.key("cfm_demand", Bool, "false", "Let traffic stand for CFM probes."),
    CONFIG.key("cfm_opstate", Word(&["up", "down"]), "up", "State to tell the other end."),
    CONFIG.key("cfm_ccm_vlan", WordOrInt(&["random"], 1, 4095), "", "VLAN of CFM probes."),
    CONFIG.key("cfm_ccm_pcp", Int(1, 7), "", "Priority of CFM probes."),
    CONFIG.key("lacp-port-id", Int(1, 65_535), "by order", "Number of this member in LACP."),
    CONFIG.key("lacp-port-priority", Int(1, 65_535), "65535", "Members with the lower number are preferred."),
    CONFIG.key("lacp-aggregation-key", Int(1, 65_535), "by bond", "Members with different keys are not used together."),
    BFD.key("enable", Bool, "false", "Watch the other end by BFD."),
    BFD.key("min_rx", Int(1, MAX), "1000", "Least milliseconds between packets to receive."),
    BFD.key("min_tx", Int(1, MAX), "100", "Least milliseconds between packets to send."),
    BFD.key("decay_min_rx", Int(0, MAX), "0", "min_rx while there is no traffic; 0 means the same."),
    BFD.key("forwarding_if_rx", Bool, "false", "Let received traffic stand for a working session."),
    BFD.key("cpath_down", Bool, "false", "Tell the other end not to send traffic this way."),
    BFD.key("check_tnl_key", Bool, "false", "Take only packets with tunnel key 0."),
    BFD.key("bfd_local_src_mac", Mac, "the device's", "Source address of packets sent."),
    BFD.key("bfd_local_dst_mac", Mac, "00:23:20:00:00:01", "Destination address of packets sent."),
    BFD.key("bfd_remote_dst_mac", Mac, "any", "Destination address of packets to take."),
    BFD.key("bfd_src_ip", Ipv4, "169.254.1.1", "Source address of packets sent."),
    BFD.key("bfd_dst_ip", Ipv4, "169.254.1.0", "Destination address of packets sent."),
    BFD.key("oam", Bool, "false", "Mark packets as OAM in tunnels that can."),
    BFD.key("mult", Int(1, 255), "3", "Packets that may be missed."),
    Group::at("Interface", "lldp").key("enable", Bool, "false", "Speak LLDP."),
    IDS.key("attached-mac", Text, "", "MAC address of the guest's device."),
    IDS.key("iface-id", Text, "", "A unique name of the guest's device."),
    IDS.key("iface-status", Word(&["active", "inactive"]), "active", "Which of two interfaces with one iface-id counts."),
    IDS.key("vm-id", Text, "", "A unique name of the guest."),
];
