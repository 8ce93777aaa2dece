//! Settings of the switch as a whole and of bridges.

use super::Kind::{
    BelowRunDir, Bool, CpuMask, DatapathId, Int, Masked, Obsolete, Short, Station, Text, Word,
};
use super::{Group, Setting};

const MAX: i64 = i64::MAX;
const U32: i64 = u32::MAX as i64;

const SWITCH: Group = Group::at("Open_vSwitch", "other_config");
const SWITCH_IDS: Group = Group::at("Open_vSwitch", "external_ids");
const BRIDGE: Group = Group::at("Bridge", "other_config");
const BRIDGE_IDS: Group = Group::at("Bridge", "external_ids");

// One setting a line.
#[rustfmt::skip]
pub(super) const SETTINGS: &[Setting] = &[
    // The daemon: flows, threads, statistics.
    SWITCH.key("stats-update-interval", Int(5000, MAX), "5000", "Milliseconds between updates of statistics in the database."),
    SWITCH.key("enable-statistics", Bool, "false", "Fill the statistics column with figures of the host."),
    SWITCH.key("flow-restore-wait", Bool, "false", "Keep packets from being flooded until flows are restored after a restart."),
    SWITCH.key("flow-limit", Int(0, MAX), "200000", "Most flows in the datapath's cache."),
    SWITCH.key("max-idle", Int(500, MAX), "10000", "Milliseconds an unused flow stays in the datapath's cache."),
    SWITCH.key("max-revalidator", Int(100, MAX), "500", "Most milliseconds between checks of cached flows."),
    SWITCH.key("min-revalidate-pps", Int(0, MAX), "5", "Packets per second below which a flow is not checked again but removed."),
    SWITCH.key("offloaded-stats-delay", Int(0, MAX), "2000", "Milliseconds by which statistics of offloaded flows may lag."),
    SWITCH.key("n-handler-threads", Int(1, MAX), "by processors", "Threads that answer packets without a cached flow."),
    SWITCH.key("n-revalidator-threads", Int(1, MAX), "by processors", "Threads that check cached flows."),
    SWITCH.key("explicit-sampled-drops", Bool, "false", "Sample dropped packets with an action that names the drop."),
    SWITCH.key("vlan-limit", Int(0, MAX), "1", "VLAN headers that flows can match; 0 means as many as the datapath can."),
    SWITCH.key("bundle-idle-timeout", Int(1, MAX), "10", "Seconds after which an idle OpenFlow bundle is dropped."),
    // Offload.
    SWITCH.key("host-underlay", Text, "", "Devices of the host, with commas between, whose addresses stay with the host and that carry tunnels all the same."),
    SWITCH.key("tunnel-routes", Text, "", "Routes for tunnels, with semicolons between, as ovs/route/add takes them."),
    SWITCH.key("tunnel-rules", Text, "", "Rules that choose tables of routes, with semicolons between, as ovs/route/rule/add takes them."),
    SWITCH.key("tunnel-neighbours", Text, "", "Tunnels' next hops, with semicolons between: BRIDGE IP MAC, as tnl/neigh/set takes them."),
    SWITCH.key("kernel-offload", Bool, "true", "Let the kernel forward the packets of established flows between its own interfaces."),
    SWITCH.key("hw-offload", Bool, "false", "Let network cards forward."),
    SWITCH.key("hw-offload-priority", Text, "", "Providers of offload, in order of preference."),
    SWITCH.key("n-offload-threads", Int(1, 10), "1", "Threads that offload flows."),
    SWITCH.key("offload-rebalance", Bool, "false", "Move busy flows to the card and idle ones away from it."),
    SWITCH.key("tc-policy", Word(&["none", "skip_sw", "skip_hw"]), "none", "Where kernel traffic control puts flows."),
    SWITCH.key("userspace-tso-enable", Bool, "", "Let large TCP segments cross the userspace datapath. They do so in any case."),
    // The userspace datapath.
    SWITCH.key("pmd-cpu-mask", CpuMask, "half of the processors that the process may use, none in particular", "Processors of the threads that move packets: one for each, confined to it."),
    SWITCH.key("pmd-rxq-assign", Word(&["cycles", "roundrobin", "group"]), "cycles", "How receive queues are spread over processors."),
    SWITCH.key("pmd-rxq-isolate", Bool, "true", "A processor with a pinned queue serves no other queues."),
    SWITCH.key("pmd-auto-lb", Bool, "false", "Spread receive queues again when the load is uneven."),
    SWITCH.key("pmd-auto-lb-rebal-interval", Int(0, 20_000), "1", "Minutes between such spreadings."),
    SWITCH.key("pmd-auto-lb-load-threshold", Int(0, 100), "95", "Load in percent from which spreading is considered."),
    SWITCH.key("pmd-auto-lb-improvement-threshold", Int(0, 100), "25", "Gain in percent from which spreading is done."),
    SWITCH.key("pmd-sleep-max", Text, "until woken", "Most microseconds, 0 to 10000, that a thread with little to do rests before it looks for packets by itself, asking nobody to be woken; 0 means that it never rests. CORE:MICROSECONDS for some, as in 50,8:0."),
    SWITCH.key("pmd-maxsleep", Obsolete("renamed to pmd-sleep-max"), "", "Old name of pmd-sleep-max."),
    SWITCH.key("pmd-perf-metrics", Bool, "false", "Record detailed performance figures."),
    SWITCH.key("smc-enable", Bool, "false", "Use the signature match cache."),
    SWITCH.key("emc-insert-inv-prob", Int(0, U32), "100", "One in this many flows enters the exact match cache; 0 switches it off."),
    SWITCH.key("tx-flush-interval", Int(0, 1_000_000), "0", "Microseconds a packet may wait for its batch."),
    SWITCH.key("shared-mempool-config", Text, "", "Sizes of packet pools that ports share."),
    SWITCH.key("per-port-memory", Bool, "false", "Give each port its own packet pool."),
    // DPDK.
    SWITCH.key("dpdk-init", Word(&["true", "false", "try"]), "false", "Start DPDK."),
    SWITCH.key("dpdk-lcore-mask", CpuMask, "lowest processor", "Processors for DPDK's own threads."),
    SWITCH.key("dpdk-alloc-mem", Int(0, MAX), "", "Megabytes of huge pages to take."),
    SWITCH.key("dpdk-socket-mem", Text, "", "Megabytes of huge pages to take, per NUMA node."),
    SWITCH.key("dpdk-socket-limit", Text, "", "Most megabytes of huge pages, per NUMA node."),
    SWITCH.key("dpdk-hugepage-dir", Text, "/dev/hugepages", "Where huge pages are mounted."),
    SWITCH.key("dpdk-extra", Text, "", "More arguments for DPDK."),
    SWITCH.key("vhost-sock-dir", BelowRunDir, "the run directory itself", "Directory of vhost-user sockets, below the run directory."),
    SWITCH.key("vhost-iommu-support", Bool, "false", "Let guests use an I/O MMU with vhost-user."),
    SWITCH.key("vhost-postcopy-support", Bool, "false", "Let guests migrate by post-copy with vhost-user."),
    // IPsec and OVN's additions that the switch itself reads.
    SWITCH.key("private_key", Text, "", "File with the private key for IPsec."),
    SWITCH.key("certificate", Text, "", "File with the certificate for IPsec."),
    SWITCH.key("ca_cert", Text, "", "File with the certificate authority for IPsec."),
    SWITCH.key("ipsec_skb_mark", Masked, "", "Drop plain-text tunnel packets whose mark matches."),
    SWITCH_IDS.key("system-id", Text, "", "A unique name of this switch."),
    SWITCH_IDS.key("hostname", Text, "", "The host's name."),
    SWITCH_IDS.key("rundir", Text, "", "The run directory of the daemon."),
    // Bridges.
    Group::at("Bridge", "datapath_type").key("", Word(&["", "system", "netdev", "dummy"]), "system", "The datapath provider."),
    BRIDGE.key("datapath-id", DatapathId, "from hwaddr", "The OpenFlow datapath identifier."),
    BRIDGE.key("dp-desc", Short(255), "", "The datapath's description for controllers."),
    BRIDGE.key("dp-sn", Short(31), "", "The datapath's serial number for controllers."),
    BRIDGE.key("hwaddr", Station, "lowest of its ports", "The MAC address of the local port."),
    BRIDGE.key("disable-in-band", Bool, "false", "Do not add flows for connections through the bridge itself."),
    BRIDGE.key("in-band-queue", Int(0, U32), "", "Queue for connections through the bridge itself."),
    BRIDGE.key("controller-queue-size", Int(1, 512), "100", "Packets that may wait for a controller."),
    BRIDGE.key("forward-bpdu", Bool, "false", "Forward reserved link-local addresses like any other."),
    BRIDGE.key("mac-aging-time", Int(1, MAX), "300", "Seconds a learned address lives without traffic."),
    BRIDGE.key("mac-table-size", Int(1, MAX), "8192", "Most learned addresses."),
    BRIDGE.key("mcast-snooping-aging-time", Int(1, MAX), "300", "Seconds a multicast receiver lives without reports."),
    BRIDGE.key("mcast-snooping-table-size", Int(1, MAX), "2048", "Most multicast groups."),
    BRIDGE.key("mcast-snooping-disable-flood-unregistered", Bool, "false", "Send groups without receivers to routers only."),
    BRIDGE.key("stp-system-id", Station, "the bridge's address", "The lower 48 bits of the spanning tree identifier."),
    BRIDGE.key("stp-priority", Int(0, 65_535), "0x8000", "The upper 16 bits of the spanning tree identifier."),
    BRIDGE.key("stp-hello-time", Int(1, 10), "2", "Seconds between hello messages."),
    BRIDGE.key("stp-max-age", Int(6, 40), "20", "Seconds until what the root said is forgotten."),
    BRIDGE.key("stp-forward-delay", Int(4, 30), "15", "Seconds a port listens, and then learns, before it forwards."),
    BRIDGE.key("rstp-address", Station, "the bridge's address", "The lower 48 bits of the rapid spanning tree identifier."),
    BRIDGE.key("rstp-priority", Int(0, 61_440), "32768", "Its upper bits, a multiple of 4096."),
    BRIDGE.key("rstp-ageing-time", Int(10, 1_000_000), "300", "Seconds a learned address lives."),
    BRIDGE.key("rstp-force-protocol-version", Word(&["0", "2"]), "2", "0 speaks plain spanning tree."),
    BRIDGE.key("rstp-max-age", Int(6, 40), "20", "Seconds until what the root said is forgotten."),
    BRIDGE.key("rstp-forward-delay", Int(4, 30), "15", "Seconds before a port forwards."),
    BRIDGE.key("rstp-transmit-hold-count", Int(1, 10), "6", "Messages per second at most."),
    BRIDGE_IDS.key("bridge-id", Text, "", "A unique name of the bridge."),
];
