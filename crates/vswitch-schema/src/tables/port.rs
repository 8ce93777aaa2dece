//! Ports and the devices behind them.

use ovsdb::Uuid;

use super::{choice, table};
use crate::column::{IntMap, StringMap};

choice! {
    /// How a port treats VLAN tags.
    VlanMode {
        /// Every VLAN, tagged.
        Trunk = "trunk",
        /// One VLAN, untagged.
        Access = "access",
        /// Trunk; untagged packets arrive in `tag`, and packets of `tag` leave tagged.
        NativeTagged = "native-tagged",
        /// Trunk; untagged packets arrive in `tag`, and packets of `tag` leave untagged.
        NativeUntagged = "native-untagged",
        /// Customer tags are carried inside the service VLAN `tag`.
        Dot1qTunnel = "dot1q-tunnel",
    }
}

choice! {
    /// How a bond chooses a member.
    BondMode {
        /// By hash of the transport headers; needs LACP.
        BalanceTcp = "balance-tcp",
        /// By hash of source MAC and VLAN.
        BalanceSlb = "balance-slb",
        /// One member at a time.
        ActiveBackup = "active-backup",
    }
}

choice! {
    /// Link aggregation control protocol (IEEE 802.1AX).
    Lacp {
        /// Start negotiating.
        Active = "active",
        /// Answer.
        Passive = "passive",
        /// Neither.
        Off = "off",
    }
}

choice! {
    /// Whether something is up.
    LinkState {
        /// It is.
        Up = "up",
        /// It is not.
        Down = "down",
    }
}

choice! {
    /// Whether a link can send and receive at once.
    Duplex {
        /// One direction at a time.
        Half = "half",
        /// Both.
        Full = "full",
    }
}

table! {
    /// A port of a bridge: one interface, or several that are bonded.
    Port = "Port", index(&["name"]);

    /// The port's name, unique in the whole switch.
    name: String, immutable;
    /// The device behind the port; several make a bond.
    interfaces: Vec<Uuid>, not_empty, refers("Interface");
    /// The VLANs a trunk carries; none means all.
    trunks: Vec<u16>, range(0, 4095), at_most(4096);
    /// The customer VLANs a dot1q-tunnel port carries; none means all.
    cvlans: Vec<u16>, range(0, 4095), at_most(4096);
    /// The VLAN of an access port, the native VLAN of a trunk.
    tag: Option<u16>, range(0, 4095);
    /// How tags are treated; if unset, access if `tag` is set, else trunk.
    vlan_mode: Option<VlanMode>;
    /// Queues and rates for what leaves the port.
    qos: Option<Uuid>, refers("QoS");
    /// MAC address of a bond's local interface; not for single interfaces.
    mac: Option<String>;
    /// How a bond chooses a member.
    bond_mode: Option<BondMode>;
    /// Link aggregation control protocol.
    lacp: Option<Lacp>;
    /// Milliseconds a link must be up before a bond uses it.
    bond_updelay: i64;
    /// Milliseconds a link must be down before a bond leaves it.
    bond_downdelay: i64;
    /// MAC address of the member that an active-backup bond uses now.
    bond_active_slave: Option<String>;
    /// Make an internal interface of the bond's name, for old software.
    bond_fake_iface: bool;
    /// The port stands for a bridge on one VLAN of the real bridge.
    fake_bridge: bool;
    /// Spanning tree state.
    status: StringMap, ephemeral;
    /// Rapid spanning tree state.
    rstp_status: StringMap, ephemeral;
    /// Rapid spanning tree counters.
    rstp_statistics: IntMap, ephemeral;
    /// Spanning tree counters.
    statistics: IntMap, ephemeral;
    /// Protected ports do not forward to each other.
    protected: bool;
    /// Settings.
    other_config: StringMap;
    /// Identifiers that other programs keep here.
    external_ids: StringMap;
}

table! {
    /// A device, real or virtual, that carries packets.
    Interface = "Interface", index(&["name"]);

    /// The device's name, unique in the whole switch.
    name: String, immutable;
    /// The kind of device; empty means `system`.
    kind as "type": String;
    /// Settings of this kind of device.
    options: StringMap;
    /// Most kbit/s to accept from the device; 0 means no limit.
    ingress_policing_rate: i64, at_least(0);
    /// Burst beyond that, in kbit.
    ingress_policing_burst: i64, at_least(0);
    /// Most thousand packets per second to accept; 0 means no limit.
    ingress_policing_kpkts_rate: i64, at_least(0);
    /// Burst beyond that, in thousand packets.
    ingress_policing_kpkts_burst: i64, at_least(0);
    /// The MAC address the device has.
    mac_in_use: Option<String>, ephemeral;
    /// The MAC address an internal device should have.
    mac: Option<String>;
    /// The kernel's number for the device.
    ifindex: Option<i64>, range(0, 4_294_967_295), ephemeral;
    /// Identifiers that other programs keep here.
    external_ids: StringMap;
    /// The OpenFlow port number; -1 if the device could not be added.
    ofport: Option<i64>;
    /// The OpenFlow port number wanted.
    ofport_request: Option<u16>, range(1, 65_279);
    /// Bidirectional forwarding detection (RFC 5880) settings.
    bfd: StringMap;
    /// Bidirectional forwarding detection state.
    bfd_status: StringMap, ephemeral;
    /// Connectivity fault management: this maintenance point; setting it switches CFM on.
    cfm_mpid: Option<i64>;
    /// Maintenance points heard of.
    cfm_remote_mpids: Vec<i64>, ephemeral;
    /// Changes of the fault state.
    cfm_flap_count: Option<i64>;
    /// Whether there is a connectivity fault.
    cfm_fault: Option<bool>, ephemeral;
    /// The reasons of the fault.
    cfm_fault_status: Vec<String>, ephemeral;
    /// What the remote end says of itself.
    cfm_remote_opstate: Option<LinkState>, ephemeral;
    /// Share of probes received, in percent.
    cfm_health: Option<i64>, range(0, 100), ephemeral;
    /// Whether LACP has heard from its partner lately.
    lacp_current: Option<bool>, ephemeral;
    /// Link layer discovery settings.
    lldp: StringMap;
    /// Settings that any kind of device may have.
    other_config: StringMap;
    /// Packets, bytes, drops and errors.
    statistics: IntMap, ephemeral;
    /// What is known of the device and, for a tunnel, of its way.
    status: StringMap, ephemeral;
    /// Whether the device is switched on.
    admin_state: Option<LinkState>, ephemeral;
    /// Whether the device has carrier.
    link_state: Option<LinkState>, ephemeral;
    /// Changes of `link_state`.
    link_resets: Option<i64>, ephemeral;
    /// Speed of the link, bit/s.
    link_speed: Option<i64>, ephemeral;
    /// Duplex mode of the link.
    duplex: Option<Duplex>, ephemeral;
    /// The MTU the device has, in bytes.
    mtu: Option<i64>, ephemeral;
    /// The MTU the device should have, in bytes.
    mtu_request: Option<i64>, at_least(1);
    /// Why the device could not be added or configured.
    error: Option<String>;
}
