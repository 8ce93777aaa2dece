//! Settings of ports: VLANs, bonds, spanning tree.

use super::Kind::{Bool, Int, Obsolete, Station, Text, Word};
use super::{Group, Setting};

const MAX: i64 = i64::MAX;

const PORT: Group = Group::at("Port", "other_config");
const PORT_IDS: Group = Group::at("Port", "external_ids");

// One setting a line.
#[rustfmt::skip]
pub(super) const SETTINGS: &[Setting] = &[
    PORT.key("qinq-ethtype", Word(&["802.1ad", "802.1q"]), "802.1ad", "Type of the service tag of a dot1q-tunnel port."),
    PORT.key("priority-tags", Word(&["never", "if-nonzero", "always", "true", "false"]), "never", "When to send a tag with VLAN 0."),
    PORT.key("transient", Bool, "false", "Remove the port when the host starts again."),
    // Bonds.
    PORT.key("bond-hash-basis", Int(i64::MIN, MAX), "0", "Number that goes into the hash by which members are chosen."),
    PORT.key("lb-output-action", Bool, "false", "Choose the member in the datapath, without recirculation."),
    PORT.key("bond-primary", Text, "", "Member to prefer in active-backup."),
    PORT.key("all-members-active", Bool, "false", "Accept broadcast and multicast from every member."),
    PORT.key("bond-detect-mode", Word(&["carrier", "miimon"]), "carrier", "How a dead link is noticed."),
    PORT.key("bond-miimon-interval", Int(0, MAX), "200", "Milliseconds between looks at a link's state."),
    PORT.key("bond-rebalance-interval", Int(0, i32::MAX as i64), "10000", "Milliseconds between shifts of load; 0 means never."),
    PORT.key("lacp-system-id", Station, "the bridge's address", "Address that names this end in LACP."),
    PORT.key("lacp-system-priority", Int(1, 65_535), "65534", "The end with the lower number decides."),
    PORT.key("lacp-time", Word(&["fast", "slow"]), "slow", "Ask for a message each second, or every 30."),
    PORT.key("lacp-fallback-ab", Bool, "false", "Work as active-backup while the partner does not speak LACP."),
    PORT.key("lacp-force-aggregatable", Obsolete("it has no effect"), "", "Does nothing."),
    // Spanning tree.
    PORT.key("stp-enable", Bool, "true", "Take part in spanning tree."),
    PORT.key("stp-port-num", Int(1, 255), "by order", "The lower 8 bits of the port's identifier."),
    PORT.key("stp-port-priority", Int(0, 255), "0x80", "The upper 8 bits of the port's identifier."),
    PORT.key("stp-path-cost", Int(0, 65_535), "by speed", "Cost of the way through this port."),
    PORT.key("rstp-enable", Bool, "true", "Take part in rapid spanning tree."),
    PORT.key("rstp-port-priority", Int(0, 240), "128", "The upper bits of the port's identifier, a multiple of 16."),
    PORT.key("rstp-port-num", Int(1, 4095), "by order", "The lower 12 bits of the port's identifier."),
    PORT.key("rstp-path-cost", Int(0, 200_000_000), "by speed", "Cost of the way through this port."),
    PORT.key("rstp-port-admin-edge", Bool, "false", "The port leads to a station, not to a switch."),
    PORT.key("rstp-port-auto-edge", Bool, "true", "Find that out by listening."),
    PORT.key("rstp-port-mcheck", Bool, "false", "Try again whether the neighbour speaks the rapid protocol."),
    PORT.key("rstp-admin-p2p-mac", Int(0, 2), "1", "Whether the link has two ends only: 0 no, 1 yes, 2 find out."),
    PORT.key("rstp-admin-port-state", Bool, "true", "Take the port into the active topology."),
    PORT.key("mcast-snooping-flood", Bool, "false", "Send multicast here without being asked."),
    PORT.key("mcast-snooping-flood-reports", Bool, "false", "Send reports of receivers here."),
    PORT_IDS.key("fake-bridge-*", Text, "", "Identifiers of the bridge that a fake bridge's port stands for."),
];
