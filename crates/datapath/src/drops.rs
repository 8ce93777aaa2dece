//! Why packets were dropped: one named counter for each reason, none without a name.
//!
//! The first two groups are the names that the reference's `coverage/show` has (all of them, also those whose causes do not
//! exist here yet: they read 0); the third is ours. Workers count privately and publish once per batch.

use std::sync::Arc;

use base::{Counter, Counters};
use flow::DropCause;

macro_rules! drop_reasons {
    ($($(#[$doc:meta])* $variant:ident = $name:literal,)*) => {
        /// A reason to drop a packet.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum DropReason {
            $($(#[$doc])* $variant,)*
        }

        impl DropReason {
            /// Every reason, in the order of declaration.
            pub const ALL: [DropReason; 0 $(+ { let _ = DropReason::$variant; 1 })*] = [$(DropReason::$variant,)*];

            /// The counter's name.
            pub const fn name(self) -> &'static str {
                match self {
                    $(DropReason::$variant => $name,)*
                }
            }
        }
    };
}

drop_reasons! {
    /// Over a meter's rate.
    Meter = "datapath_drop_meter",
    /// No flow, and the queue to the slow path is full.
    UpcallError = "datapath_drop_upcall_error",
    /// Could not take a lock (there are none here).
    LockError = "datapath_drop_lock_error",
    /// A flow sends its packets to the slow path, whose queue is full.
    UserspaceActionError = "datapath_drop_userspace_action_error",
    /// Could not be encapsulated: too long for the outer header's length field.
    TunnelPushError = "datapath_drop_tunnel_push_error",
    /// Came for a tunnel with outer headers that are wrong.
    TunnelPopError = "datapath_drop_tunnel_pop_error",
    /// Re-entered the datapath too often.
    RecircError = "datapath_drop_recirc_error",
    /// Output to a port that does not exist.
    InvalidPort = "datapath_drop_invalid_port",
    /// Output to a bond none of whose members may send.
    InvalidBond = "datapath_drop_invalid_bond",
    /// To be decapsulated for a tunnel port that does not exist.
    InvalidTnlPort = "datapath_drop_invalid_tnl_port",
    /// Received with less than an Ethernet header.
    RxInvalidPacket = "datapath_drop_rx_invalid_packet",
    /// A hardware offload's leftovers could not be restored.
    HwPostProcess = "datapath_drop_hw_post_process",
    /// A hardware offload kept the packet.
    HwPostProcessConsumed = "datapath_drop_hw_post_process_consumed",
    /// A sample action failed.
    SampleError = "datapath_drop_sample_error",
    /// Not a valid NSH header.
    NshDecapError = "datapath_drop_nsh_decap_error",

    /// Nothing in the pipeline wants it.
    Pipeline = "drop_action_of_pipeline",
    /// The bridge went away.
    BridgeNotFound = "drop_action_bridge_not_found",
    /// Resubmits, patch ports or recirculations nested too deep.
    RecursionTooDeep = "drop_action_recursion_too_deep",
    /// Too many resubmits in total.
    TooManyResubmit = "drop_action_too_many_resubmit",
    /// The pipeline's stack is too large.
    StackTooDeep = "drop_action_stack_too_deep",
    /// A recirculation id that nobody knows.
    NoRecirculationContext = "drop_action_no_recirculation_context",
    /// A recirculation within one that cannot contain it.
    RecirculationConflict = "drop_action_recirculation_conflict",
    /// More MPLS labels than can be handled.
    TooManyMplsLabels = "drop_action_too_many_mpls_labels",
    /// Tunnel metadata that does not parse.
    InvalidTunnelMetadata = "drop_action_invalid_tunnel_metadata",
    /// A packet type that the pipeline does not support.
    UnsupportedPacketType = "drop_action_unsupported_packet_type",
    /// ECN marks that may not be combined on decapsulation.
    Congestion = "drop_action_congestion",
    /// The port does not forward (spanning tree, link state).
    ForwardingDisabled = "drop_action_forwarding_disabled",
    /// No route to the tunnel's remote end.
    TunnelRoutingFailed = "drop_action_tunnel_routing_failed",
    /// A packet without Ethernet header for a tunnel that carries Ethernet.
    TunnelOutputNoEthernet = "drop_action_tunnel_output_no_ethernet",
    /// The tunnel's next hop has not told its hardware address.
    TunnelNeighCacheMiss = "drop_action_tunnel_neigh_cache_miss",
    /// The tunnel header could not be built.
    TunnelHeaderBuildFailed = "drop_action_tunnel_header_build_failed",

    /// To go through the connection tracker, which there is not.
    NoConntrack = "datapath_drop_no_conntrack",
    /// To be sent without an Ethernet header, by a port for Ethernet frames.
    NoEthernet = "datapath_drop_no_ethernet",
    /// Not a backbone's frame with a whole customer's frame in it.
    PbbDecapError = "datapath_drop_pbb_decap_error",
    /// Longer than the output device takes, and not a super-packet that could be cut.
    TooBig = "datapath_drop_too_big",
    /// Longer than what the route to a tunnel's other end takes, headers included.
    TunnelTooBig = "datapath_drop_tunnel_too_big",
    /// A super-packet, or a packet with an unfinished checksum, whose headers are not what its offload state says.
    OffloadError = "datapath_drop_offload_error",
    /// Was waiting to be received when its port was closed.
    PortClosed = "datapath_drop_port_closed",
    /// Came at the moment when the kernel took its flow over from workers that got more than they could do.
    Handover = "datapath_drop_handover",
    /// The slow path handed back more packets than a worker may be made to hold.
    CommandOverflow = "datapath_drop_command_overflow",
    /// The route to the tunnel's remote end leads to no device of ours.
    TunnelNoDevice = "drop_action_tunnel_no_device",
    /// Came through a tunnel that nobody configured.
    UnknownTunnel = "drop_action_unknown_tunnel",
    /// VLAN not allowed on the port.
    VlanNotAllowed = "drop_action_vlan_not_allowed",
    /// The input port is down or may not receive.
    PortDown = "drop_action_port_down",
    /// Reserved link-local multicast.
    ReservedMulticast = "drop_action_reserved_multicast",
    /// Would go out where it came in.
    Hairpin = "drop_action_hairpin",
    /// Came in by a member of a bond that does not take it.
    BondRefused = "drop_action_bond_refused",
    /// Came in on a port that the switch does not know.
    UnknownPort = "drop_action_unknown_port",
}

impl From<DropCause> for DropReason {
    fn from(cause: DropCause) -> Self {
        match cause {
            DropCause::Pipeline => DropReason::Pipeline,
            DropCause::RecursionTooDeep => DropReason::RecursionTooDeep,
            DropCause::TooManyResubmits => DropReason::TooManyResubmit,
            DropCause::StackTooDeep => DropReason::StackTooDeep,
            DropCause::NoRecirculationContext => DropReason::NoRecirculationContext,
            DropCause::TooManyMplsLabels => DropReason::TooManyMplsLabels,
            DropCause::InvalidTunnelMetadata => DropReason::InvalidTunnelMetadata,
            DropCause::UnsupportedPacketType => DropReason::UnsupportedPacketType,
            DropCause::BridgeNotFound => DropReason::BridgeNotFound,
            DropCause::TunnelNoRoute => DropReason::TunnelRoutingFailed,
            DropCause::TunnelNoDevice => DropReason::TunnelNoDevice,
            DropCause::TunnelHeader => DropReason::TunnelHeaderBuildFailed,
            DropCause::TunnelNoNeighbour => DropReason::TunnelNeighCacheMiss,
            DropCause::UnknownTunnel => DropReason::UnknownTunnel,
            DropCause::VlanNotAllowed => DropReason::VlanNotAllowed,
            DropCause::PortDisabled => DropReason::PortDown,
            DropCause::ReservedMulticast => DropReason::ReservedMulticast,
            DropCause::Hairpin => DropReason::Hairpin,
            DropCause::BondRefused => DropReason::BondRefused,
            DropCause::BondWithoutMember => DropReason::InvalidBond,
            DropCause::UnknownPort => DropReason::UnknownPort,
            DropCause::InvalidEcn => DropReason::Congestion,
        }
    }
}

/// The published counts of one datapath, and the switch-wide counters of the same names.
#[derive(Debug)]
pub(crate) struct DropCounters {
    own: [Counter; DropReason::ALL.len()],
    shared: Vec<Arc<Counter>>,
}

impl DropCounters {
    /// Registers every name, so that all can be read from the start.
    pub(crate) fn new(counters: &Counters) -> Self {
        Self {
            own: std::array::from_fn(|_| Counter::default()),
            shared: DropReason::ALL.iter().map(|r| counters.counter(r.name())).collect(),
        }
    }

    /// Counts `n` packets, seen by everyone.
    pub(crate) fn add(&self, reason: DropReason, n: u64) {
        self.own[reason as usize].add(n);
        self.shared[reason as usize].add(n);
    }

    /// All counts that are not 0.
    pub(crate) fn snapshot(&self) -> Vec<(DropReason, u64)> {
        DropReason::ALL
            .into_iter()
            .map(|r| (r, self.own[r as usize].get()))
            .filter(|&(_, n)| n > 0)
            .collect()
    }
}

/// One worker's counts that are not published yet.
#[derive(Debug)]
pub(crate) struct Tally {
    counts: [u32; DropReason::ALL.len()],
    any: bool,
}

impl Default for Tally {
    fn default() -> Self {
        Self { counts: [0; DropReason::ALL.len()], any: false }
    }
}

impl Tally {
    /// Counts one packet.
    pub(crate) fn count(&mut self, reason: DropReason) {
        self.counts[reason as usize] += 1;
        self.any = true;
    }

    /// Publishes.
    pub(crate) fn flush(&mut self, to: &DropCounters) {
        if std::mem::take(&mut self.any) {
            for (reason, n) in DropReason::ALL.into_iter().zip(&mut self.counts) {
                if *n > 0 {
                    to.add(reason, u64::from(std::mem::take(n)));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn names_are_unique_and_complete() {
        let names: BTreeSet<_> = DropReason::ALL.iter().map(|r| r.name()).collect();
        assert_eq!(names.len(), DropReason::ALL.len());
        let ours = [
            "no_conntrack",
            "no_ethernet",
            "pbb_decap_error",
            "too_big",
            "tunnel_too_big",
            "offload_error",
            "command_overflow",
            "port_closed",
            "handover",
        ]
        .len();
        assert_eq!(names.iter().filter(|n| n.starts_with("datapath_drop_")).count(), 15 + ours);
        assert!(DropReason::ALL.iter().enumerate().all(|(i, r)| *r as usize == i));
    }

    #[test]
    fn tallies_reach_the_registry_once() {
        let counters = Counters::default();
        let published = DropCounters::new(&counters);
        let mut tally = Tally::default();
        tally.count(DropReason::TooBig);
        tally.count(DropReason::TooBig);
        assert_eq!(counters.read("datapath_drop_too_big"), 0);
        tally.flush(&published);
        tally.flush(&published);
        assert_eq!(counters.read("datapath_drop_too_big"), 2);
        assert_eq!(published.snapshot(), [(DropReason::TooBig, 2)]);
    }
}
