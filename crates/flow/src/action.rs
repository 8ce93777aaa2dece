//! What a datapath flow does to its packets.

use std::sync::Arc;

use crate::ct::Ct;
use crate::key::{DpPort, FlowKey, Mask, RecircId, Vlan};
use crate::nsh::NshPush;
use crate::push::TnlPush;

/// One step. A flow has a list; an empty list drops.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Send a copy out of a port.
    Output(DpPort),
    /// Push this tag.
    PushVlan(Vlan),
    /// Pop the outermost tag.
    PopVlan,
    /// Overwrite the bits of `key` that `mask` selects: Ethernet, the outermost MPLS label, NSH, IPv4/IPv6, ARP, transport and
    /// neighbour discovery fields, marks; and, with `tunnel.*`, the metadata that a following tunnel output uses. The key's
    /// `eth_type` and `nw_proto` outside the mask do not change the packet; they tell the text which headers the fields are of.
    Set(Box<(FlowKey, Mask)>),
    /// Push a label stack entry behind the Ethernet header and its VLAN tags, whose type becomes `eth_type`.
    PushMpls {
        /// Label (20 bits), traffic class (3), bottom of stack (1), TTL (8).
        entry: u32,
        /// 0x8847 or 0x8848.
        eth_type: u16,
    },
    /// Pop the outermost label stack entry; the packet is of type `eth_type` then.
    PopMpls {
        /// What is behind the entry.
        eth_type: u16,
    },
    /// Copy the time to live of the next MPLS or IP header to the outermost label stack entry.
    CopyTtlOut,
    /// Copy the time to live of the outermost label stack entry to the next MPLS or IP header.
    CopyTtlIn,
    /// Put a backbone header in front of the frame (IEEE 802.1ah): a copy of its addresses, and this service tag.
    PushPbb {
        /// As in [`FlowKey::ipv6_label`].
        tci: u32,
    },
    /// Take the backbone header off, up to the customer's frame behind the service tag. A frame without one is dropped.
    PopPbb,
    /// Put a label stack entry in front of the whole packet, Ethernet header and all; it has no Ethernet header then.
    AddMpls {
        /// As for [`Action::PushMpls`].
        entry: u32,
        /// 0x8847 or 0x8848.
        eth_type: u16,
    },
    /// Put an Ethernet header in front of a packet that has none; its type is the packet's.
    PushEth {
        /// Source.
        src: [u8; 6],
        /// Destination.
        dst: [u8; 6],
    },
    /// Take the Ethernet header off. Only for packets without VLAN tags.
    PopEth,
    /// Put a network service header (RFC 8300) in front of the packet, which has no Ethernet header then.
    PushNsh(Box<NshPush>),
    /// Take the network service header off a packet without an Ethernet header in front of it.
    PopNsh,
    /// Encapsulate, and go on as a packet for `out_port` (the underlay bridge's next actions follow in the list that
    /// [`TnlPush`] does not contain: each is compiled in line).
    TnlPush(Arc<TnlPush>),
    /// Take the outer headers off and re-enter the datapath with `in_port` set to this tunnel's number.
    TnlPop(DpPort),
    /// Re-enter the datapath with this id.
    Recirc(RecircId),
    /// Limit the next output, or what is next given to the slow path, to this many bytes.
    Trunc(u32),
    /// Drop what is over this meter's rate. A meter that does not exist lets all pass.
    Meter(u32),
    /// Compute [`FlowKey::dp_hash`] from the packet's headers ([`crate::hash`]).
    Hash(HashMethod, u32),
    /// Run these on a copy.
    Clone(Vec<Action>),
    /// Run these on a copy of some packets, chosen at random.
    Sample {
        /// Out of [`u32::MAX`], which is all.
        probability: u32,
        /// What to do with them.
        actions: Vec<Action>,
    },
    /// Run one list or the other, by the length of the frame; what follows sees the packet as it was.
    CheckPktLen {
        /// Bytes from the Ethernet header on, padding and all.
        len: u16,
        /// For packets longer than that.
        greater: Vec<Action>,
        /// For all others.
        less_or_equal: Vec<Action>,
    },
    /// Through the connection tracker.
    Ct(Box<Ct>),
    /// Forget what the connection tracker said.
    CtClear,
    /// Give the packet to the slow path each time.
    Userspace(SlowReason),
    /// Drop under a named counter. Only last.
    Drop(DropCause),
}

/// Why a flow's packets keep going to the slow path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum SlowReason {
    /// A protocol that the switch itself terminates.
    Protocol(Protocol),
    /// A controller asked for it.
    Controller(PacketIn),
    /// A sample of a flow, for collectors.
    Sample(FlowSample),
    /// The packet, edited up to this point, waits for a tunnel neighbour's address. The number says which tunnel output
    /// waits; only the slow path knows what it means.
    Neighbour(u64),
    /// A router tells of a tunnel's packet that it is too long.
    PathMtu,
    /// A fragment that may be a tunnel's. What is not goes out of this port, which is the host's.
    Fragment(DpPort),
    /// Only the slow path can do these actions.
    Action,
    /// The flow's match is more than a datapath flow can say.
    Match,
}

/// A protocol that a switch itself terminates.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Protocol {
    /// Connectivity fault management (IEEE 802.1ag).
    Cfm,
    /// Bidirectional forwarding detection (RFC 5880).
    Bfd,
    /// Link aggregation control (IEEE 802.1AX).
    Lacp,
    /// Spanning tree (IEEE 802.1D).
    Stp,
    /// Link layer discovery (IEEE 802.1AB).
    Lldp,
}

/// What a packet is sent to controllers with. The text has all of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PacketIn {
    /// OpenFlow's reason (`OFPR_*`).
    pub reason: u8,
    /// Nobody is to be told: the packet is for a monitor's, or nobody's, benefit (`dont_send`).
    pub dont_send: bool,
    /// The controller is to be able to resume the pipeline.
    pub continuation: bool,
    /// Names the state of the pipeline at that point; only the slow path knows what it means.
    pub state: RecircId,
    /// The rule's cookie.
    pub cookie: u64,
    /// Which of the controllers.
    pub controller_id: u16,
    /// Bytes of the packet at most.
    pub max_len: u16,
}

/// What a sample is taken with. The text has all of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FlowSample {
    /// How many of 65535 packets are taken.
    pub probability: u16,
    /// Which set of collectors.
    pub collectors: u32,
    /// Observation domain (RFC 7011, 2).
    pub domain: u32,
    /// Observation point.
    pub point: u32,
    /// The port that the rule's author named, or [`DpPort::NONE`].
    pub output: DpPort,
    /// Which way the packet goes there.
    pub direction: Direction,
}

/// Which way a packet goes through a port.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Direction {
    /// Not said.
    #[default]
    Default,
    /// Into the switch.
    Ingress,
    /// Out of it.
    Egress,
}

/// What is hashed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum HashMethod {
    /// Addresses, protocol and ports.
    L4,
    /// The same for both directions of a connection.
    SymmetricL4,
}

/// Why a translated flow drops: one named counter each (the reference's `drop_action_*` names where it has the same).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum DropCause {
    /// Nothing in the OpenFlow tables or the forwarding database wants it (`drop_action_of_pipeline`).
    Pipeline,
    /// Resubmits, copies or bridges nest too deep, or there are too many actions (`drop_action_recursion_too_deep`).
    RecursionTooDeep,
    /// Looked up in too many tables (`drop_action_too_many_resubmit`).
    TooManyResubmits,
    /// Too much put by on the pipeline's stack (`drop_action_stack_too_deep`).
    StackTooDeep,
    /// Came back with a number that nobody knows (`drop_action_no_recirculation_context`).
    NoRecirculationContext,
    /// More labels than keys describe (`drop_action_too_many_mpls_labels`).
    TooManyMplsLabels,
    /// Tunnel options that do not parse (`drop_action_invalid_tunnel_metadata`).
    InvalidTunnelMetadata,
    /// No way to put a header around, or take one off, packets of this kind (`drop_action_unsupported_packet_type`).
    UnsupportedPacketType,
    /// A port or bridge that no longer exists (`drop_action_bridge_not_found`).
    BridgeNotFound,
    /// No route to the tunnel's remote end (`drop_action_tunnel_routing_failed`).
    TunnelNoRoute,
    /// Route without a usable device bridge (`drop_action_tunnel_output_no_ethernet` is another matter).
    TunnelNoDevice,
    /// The tunnel's header cannot say what it would have to (`drop_action_tunnel_header_build_failed`).
    TunnelHeader,
    /// The remote end's neighbour address is not known and the waiting queue is full or given up
    /// (`drop_action_tunnel_neigh_cache_miss`).
    TunnelNoNeighbour,
    /// Came in through a tunnel that nobody configured (unknown VNI or endpoint) (`drop_action_unknown_tunnel`).
    UnknownTunnel,
    /// VLAN tag not allowed on this port (`drop_action_vlan_not_allowed`).
    VlanNotAllowed,
    /// The input port is down, or forbids flooding or receiving (`drop_action_port_down`).
    PortDisabled,
    /// Reserved link-local multicast that a bridge does not forward (`drop_action_forwarding_disabled` family).
    ReservedMulticast,
    /// Output to the port it came from (hairpin) is the only choice (`drop_action_hairpin`).
    Hairpin,
    /// Came in by a member of a bond that does not take it (`drop_action_bond_refused`).
    BondRefused,
    /// Output to a bond none of whose members may send (`datapath_drop_invalid_bond`).
    BondWithoutMember,
    /// The flow arrived on a port that the switch does not know (`drop_action_unknown_port`).
    UnknownPort,
    /// ECN marks that RFC 6040 forbids to combine (`drop_action_ecn`).
    InvalidEcn,
}
