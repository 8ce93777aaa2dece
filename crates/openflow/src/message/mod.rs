//! Messages, whatever the version that carries them.

pub mod actions;
pub mod bundle;
pub mod continuation;
pub mod controller;
pub mod ct_flush;
pub mod flow_mod;
pub mod group;
pub mod ipfix;
pub mod meter;
pub mod monitor;
pub mod packet_in;
pub mod port;
pub mod queue;
pub mod stats;
pub mod switch;
pub mod table;
pub mod tlv;

pub use flow_mod::FlowMod;
pub use packet_in::{PacketIn, PacketOut};
pub use stats::{
    AggregateReply, Desc, FlowCounters, FlowRemoved, FlowStats, FlowStatsRequest, PortStats,
    TableStats,
};
pub use switch::{Config, Features, Role, RoleMessage};

use crate::error::{Code, Number};
use bundle::{BundleAdd, BundleControl, BundleFeatures, BundleFeaturesRequest};
use controller::{AsyncConfig, ControllerStatus, RequestForward, RoleStatus};
use ct_flush::CtFlush;
use group::{Group, GroupFeatures, GroupMod, GroupStats};
use ipfix::IpfixStats;
use meter::{Meter, MeterFeatures, MeterMod, MeterStats};
use monitor::{FlowUpdate, MonitorRequest};
use port::{PortDesc, PortMod, PortStatus};
use queue::{QueueConfig, QueueRequest, QueueStats};
use table::{TableDesc, TableFeatures, TableMod, TableStatus};

/// A message.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Message {
    /// The first word of either side.
    Hello(Hello),
    Error(ErrorMessage),
    EchoRequest(Vec<u8>),
    EchoReply(Vec<u8>),
    FeaturesRequest,
    FeaturesReply(Features),
    GetConfigRequest,
    GetConfigReply(Config),
    SetConfig(Config),
    BarrierRequest,
    BarrierReply,
    PacketIn(Box<PacketIn>),
    PacketOut(Box<PacketOut>),
    FlowRemoved(Box<FlowRemoved>),
    PortStatus(PortStatus),
    FlowMod(Box<FlowMod>),
    PortMod(PortMod),
    RoleRequest(RoleMessage),
    RoleReply(RoleMessage),
    RoleStatus(RoleStatus),
    GetAsyncRequest,
    GetAsyncReply(AsyncConfig),
    SetAsync(AsyncConfig),
    /// What another controller changed.
    RequestForward(Box<RequestForward>),
    /// How a controller of the switch's stands, unasked.
    ControllerStatus(ControllerStatus),
    ControllerStatusRequest,
    ControllerStatusReply {
        controllers: Vec<ControllerStatus>,
        more: bool,
    },
    GroupMod(Box<GroupMod>),
    TableMod(TableMod),
    TableStatus(TableStatus),
    MeterMod(MeterMod),
    BundleControl(BundleControl),
    BundleAdd(BundleAdd),
    BundleFeaturesRequest(BundleFeaturesRequest),
    BundleFeaturesReply(BundleFeatures),
    /// Nicira: forget connections of a zone.
    CtFlushZone(u16),
    /// Nicira: forget some connections.
    CtFlush(CtFlush),
    /// Nicira: go on with a packet that the controller was given.
    Resume(Box<PacketIn>),
    /// Nicira: which tunnel options are which fields.
    TlvTableMod(tlv::TlvTableMod),
    TlvTableRequest,
    TlvTableReply(tlv::TlvTable),
    /// Nicira: flow-mods' commands carry tables.
    FlowModTableId(bool),
    /// Nicira: the form of flows.
    SetFlowFormat {
        nxm: bool,
    },
    /// Nicira: the form of packets.
    SetPacketInFormat(packet_in::PacketInForm),
    /// Nicira: which controller we are.
    SetControllerId(u16),
    /// Nicira: rules' ages in statistics.
    FlowAge,
    DescRequest,
    DescReply(Box<Desc>),
    FlowStatsRequest(Box<FlowStatsRequest>),
    FlowStatsReply {
        flows: Vec<FlowStats>,
        more: bool,
    },
    /// The same, but only what rules count.
    FlowCountersRequest(Box<FlowStatsRequest>),
    FlowCountersReply {
        flows: Vec<FlowCounters>,
        more: bool,
    },
    AggregateRequest(Box<FlowStatsRequest>),
    AggregateReply(AggregateReply),
    TableStatsRequest,
    TableStatsReply {
        tables: Vec<TableStats>,
        more: bool,
    },
    /// Without tables: what can they do? With tables: they shall be able to do that.
    TableFeaturesRequest {
        tables: Vec<TableFeatures>,
        more: bool,
    },
    TableFeaturesReply {
        tables: Vec<TableFeatures>,
        more: bool,
    },
    TableDescRequest,
    TableDescReply {
        tables: Vec<TableDesc>,
        more: bool,
    },
    /// How queues are set up.
    QueueConfigRequest(QueueRequest),
    /// Before OpenFlow 1.4, of one port, and in one piece.
    QueueConfigReply {
        port: crate::Port,
        queues: Vec<QueueConfig>,
        more: bool,
    },
    QueueStatsRequest(QueueRequest),
    QueueStatsReply {
        queues: Vec<QueueStats>,
        more: bool,
    },
    MonitorRequest {
        monitors: Vec<MonitorRequest>,
        more: bool,
    },
    MonitorReply {
        updates: Vec<FlowUpdate>,
        more: bool,
    },
    MonitorCancel(u32),
    MonitorPaused,
    MonitorResumed,
    IpfixBridgeRequest,
    IpfixBridgeReply(IpfixStats),
    IpfixFlowRequest,
    IpfixFlowReply {
        exporters: Vec<IpfixStats>,
        more: bool,
    },
    PortDescRequest(crate::Port),
    PortDescReply {
        ports: Vec<PortDesc>,
        more: bool,
    },
    PortStatsRequest(crate::Port),
    PortStatsReply {
        ports: Vec<PortStats>,
        more: bool,
    },
    GroupStatsRequest(u32),
    GroupStatsReply {
        groups: Vec<GroupStats>,
        more: bool,
    },
    /// Before OpenFlow 1.5 for all groups.
    GroupDescRequest(u32),
    GroupDescReply {
        groups: Vec<Group>,
        more: bool,
    },
    GroupFeaturesRequest,
    GroupFeaturesReply(GroupFeatures),
    MeterStatsRequest(u32),
    MeterStatsReply {
        meters: Vec<MeterStats>,
        more: bool,
    },
    MeterConfigRequest(u32),
    MeterConfigReply {
        meters: Vec<Meter>,
        more: bool,
    },
    MeterFeaturesRequest,
    MeterFeaturesReply(MeterFeatures),
}

/// The first message of a connection: which versions the sender speaks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hello {
    /// A bit for each version's number.
    pub versions: u32,
    /// Whether there was something that we do not understand. It does no harm.
    pub unknown: bool,
}

impl Hello {
    /// All versions up to this number, as who says nothing else means.
    pub fn up_to(version: u8) -> u32 {
        (((1u64 << (version.min(31) + 1)) - 1) & !1) as u32
    }
}

/// What went wrong with a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ErrorMessage {
    /// If we know the number.
    pub code: Code,
    /// The number that was sent.
    pub number: Number,
    /// The beginning of the message; or a text, where a greeting failed.
    pub data: Vec<u8>,
}
