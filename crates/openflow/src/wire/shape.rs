//! Which number is which message in which version, and how long it is: the one table that decoders, encoders and names read.
//!
//! A [`Shape`] is a message as far as bytes go: forms of a message that are read in the same way are one shape, whatever their
//! numbers. What makes a message too short, or of no possible length, stands here as well, so that who reads a body knows that
//! its fixed part is there.

use std::sync::LazyLock;

use super::header::{Kind, Stat};
use crate::error::{NICIRA, ONF};
use crate::version::Version::{self, V10, V11, V12, V13, V14, V15};

/// Who gave a message its number, and in which list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Family {
    Ofpt,
    Nxt,
    Onft,
    Ask,
    Answer,
    NxAsk,
    NxAnswer,
    OnfAsk,
    OnfAnswer,
}

/// How a shape is written in some versions.
#[derive(Clone, Copy, Debug)]
struct Form {
    family: Family,
    number: u32,
    since: Version,
    until: Version,
    /// Bytes behind all headers, at least.
    least: usize,
    /// What may follow comes in pieces of so many bytes; 0: nothing may follow.
    step: usize,
}

macro_rules! families {
    ($($name:ident = $family:ident;)*) => {
        $(const fn $name(number: u32, since: Version, until: Version, least: usize, step: usize) -> Form {
            Form { family: Family::$family, number, since, until, least, step }
        })*
    };
}

families! {
    ofpt = Ofpt; nxt = Nxt; onft = Onft;
    ask = Ask; answer = Answer;
    nx_ask = NxAsk; nx_answer = NxAnswer;
    onf_ask = OnfAsk; onf_answer = OnfAnswer;
}

macro_rules! shapes {
    ($($name:ident $text:literal [$($form:expr),*];)*) => {
        /// A message's form.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(super) enum Shape { $($name),* }

        /// All of them, with the part of their name that does not vary.
        const SHAPES: &[(Shape, &str, &[Form])] = &[$((Shape::$name, $text, &[$($form),*])),*];
    };
}

shapes! {
    // Any version, also those to come.
    Hello "HELLO" [ofpt(0, V10, V15, 0, 1)];
    Error "ERROR" [ofpt(1, V10, V15, 4, 1)];
    EchoRequest "ECHO_REQUEST" [ofpt(2, V10, V15, 0, 1)];
    EchoReply "ECHO_REPLY" [ofpt(3, V10, V15, 0, 1)];
    // What there is most of.
    FlowMod "FLOW_MOD" [ofpt(14, V10, V10, 64, 8), ofpt(14, V11, V15, 40, 8)];
    PacketIn "PACKET_IN" [ofpt(10, V10, V10, 10, 1), ofpt(10, V11, V11, 16, 1), ofpt(10, V12, V12, 8, 1), ofpt(10, V13, V15, 16, 1)];
    PacketOut "PACKET_OUT" [ofpt(13, V10, V10, 8, 1), ofpt(13, V11, V14, 16, 1), ofpt(13, V15, V15, 8, 1)];
    FlowRemoved "FLOW_REMOVED" [ofpt(11, V10, V10, 80, 0), ofpt(11, V11, V14, 40, 8), ofpt(11, V15, V15, 16, 8)];
    BarrierRequest "BARRIER_REQUEST" [ofpt(18, V10, V10, 0, 0), ofpt(20, V11, V15, 0, 0)];
    BarrierReply "BARRIER_REPLY" [ofpt(19, V10, V10, 0, 0), ofpt(21, V11, V15, 0, 0)];
    BundleControl "BUNDLE_CONTROL" [onft(2300, V13, V13, 8, 8), ofpt(33, V14, V15, 8, 8)];
    BundleAdd "BUNDLE_ADD_MESSAGE" [onft(2301, V13, V13, 8, 1), ofpt(34, V14, V15, 8, 1)];
    BundleFeaturesRequest "BUNDLE_FEATURES" [ask(19, V15, V15, 8, 8)];
    BundleFeaturesReply "BUNDLE_FEATURES" [answer(19, V15, V15, 8, 8)];
    // The switch, its ports, its controllers.
    FeaturesRequest "FEATURES_REQUEST" [ofpt(5, V10, V15, 0, 0)];
    FeaturesReply "FEATURES_REPLY" [ofpt(6, V10, V10, 24, 48), ofpt(6, V11, V12, 24, 64), ofpt(6, V13, V15, 24, 0)];
    GetConfigRequest "GET_CONFIG_REQUEST" [ofpt(7, V10, V15, 0, 0)];
    GetConfigReply "GET_CONFIG_REPLY" [ofpt(8, V10, V15, 4, 0)];
    SetConfig "SET_CONFIG" [ofpt(9, V10, V15, 4, 0)];
    PortStatus "PORT_STATUS" [ofpt(12, V10, V10, 56, 0), ofpt(12, V11, V13, 72, 0), ofpt(12, V14, V15, 48, 8)];
    PortMod "PORT_MOD" [ofpt(15, V10, V10, 24, 0), ofpt(16, V11, V13, 32, 0), ofpt(16, V14, V15, 24, 8)];
    RoleRequest "ROLE_REQUEST" [ofpt(24, V12, V15, 16, 0)];
    RoleReply "ROLE_REPLY" [ofpt(25, V12, V15, 16, 0)];
    NxRoleRequest "ROLE_REQUEST" [nxt(10, V10, V15, 4, 0)];
    NxRoleReply "ROLE_REPLY" [nxt(11, V10, V15, 4, 0)];
    RoleStatus "ROLE_STATUS" [onft(1911, V13, V13, 16, 8), ofpt(30, V14, V15, 16, 8)];
    GetAsyncRequest "GET_ASYNC_REQUEST" [ofpt(26, V13, V15, 0, 0)];
    GetAsyncReply "GET_ASYNC_REPLY" [ofpt(27, V13, V13, 24, 0), ofpt(27, V14, V15, 0, 8)];
    SetAsync "SET_ASYNC" [ofpt(28, V13, V13, 24, 0), ofpt(28, V14, V15, 0, 8)];
    NxSetAsync "SET_ASYNC_CONFIG" [nxt(19, V10, V15, 24, 0)];
    NxSetAsync2 "SET_ASYNC_CONFIG2" [nxt(27, V10, V13, 0, 8)];
    RequestForward "REQUESTFORWARD" [nxt(132, V10, V12, 8, 8), onft(2350, V13, V13, 8, 8), ofpt(32, V14, V15, 8, 8)];
    ControllerStatus "CONTROLLER_STATUS" [ofpt(35, V15, V15, 16, 8)];
    ControllerStatusRequest "CONTROLLER_STATUS" [ask(18, V15, V15, 0, 0)];
    ControllerStatusReply "CONTROLLER_STATUS" [answer(18, V15, V15, 0, 8)];
    // Groups, meters, tables, queues.
    GroupMod "GROUP_MOD" [nxt(31, V10, V10, 16, 8), ofpt(15, V11, V14, 8, 8), ofpt(15, V15, V15, 16, 8)];
    MeterMod "METER_MOD" [ofpt(29, V13, V15, 8, 8)];
    TableMod "TABLE_MOD" [ofpt(17, V11, V13, 8, 0), ofpt(17, V14, V15, 8, 8)];
    TableStatus "TABLE_STATUS" [ofpt(31, V14, V15, 8, 8)];
    QueueConfigRequest "QUEUE_GET_CONFIG_REQUEST" [ofpt(20, V10, V10, 4, 0), ofpt(22, V11, V13, 8, 0)];
    QueueConfigReply "QUEUE_GET_CONFIG_REPLY" [ofpt(21, V10, V10, 8, 8), ofpt(23, V11, V13, 8, 8)];
    // Nicira's.
    NxFlowMod "FLOW_MOD" [nxt(13, V10, V15, 32, 8)];
    NxFlowRemoved "FLOW_REMOVED" [nxt(14, V10, V15, 40, 8)];
    NxFlowModTableId "FLOW_MOD_TABLE_ID" [nxt(15, V10, V15, 8, 0)];
    NxSetFlowFormat "SET_FLOW_FORMAT" [nxt(12, V10, V10, 4, 0)];
    NxSetPacketInFormat "SET_PACKET_IN_FORMAT" [nxt(16, V10, V15, 4, 0)];
    NxPacketIn "PACKET_IN" [nxt(17, V10, V15, 24, 1)];
    NxPacketIn2 "PACKET_IN2" [nxt(30, V10, V15, 0, 8)];
    NxResume "RESUME" [nxt(28, V10, V15, 0, 8)];
    NxFlowAge "FLOW_AGE" [nxt(18, V10, V15, 0, 0)];
    NxSetControllerId "SET_CONTROLLER_ID" [nxt(20, V10, V15, 8, 0)];
    NxCtFlushZone "CT_FLUSH_ZONE" [nxt(29, V10, V15, 8, 0)];
    NxCtFlush "CT_FLUSH" [nxt(32, V10, V15, 8, 8)];
    NxTlvTableMod "TLV_TABLE_MOD" [nxt(24, V10, V15, 8, 8)];
    NxTlvTableRequest "TLV_TABLE_REQUEST" [nxt(25, V10, V15, 0, 0)];
    NxTlvTableReply "TLV_TABLE_REPLY" [nxt(26, V10, V15, 16, 8)];
    // Statistics.
    DescRequest "DESC" [ask(0, V10, V15, 0, 0)];
    DescReply "DESC" [answer(0, V10, V15, 1056, 0)];
    FlowRequest "FLOW" [ask(1, V10, V10, 44, 0), ask(1, V11, V15, 32, 8)];
    FlowReply "FLOW" [answer(1, V10, V15, 0, 1)];
    NxFlowRequest "FLOW" [nx_ask(0, V10, V10, 8, 8)];
    NxFlowReply "FLOW" [nx_answer(0, V10, V10, 0, 1)];
    FlowCountersRequest "FLOW_STATS" [ask(17, V15, V15, 32, 8)];
    FlowCountersReply "FLOW_STATS" [answer(17, V15, V15, 0, 8)];
    AggregateRequest "AGGREGATE" [ask(2, V10, V10, 44, 0), ask(2, V11, V15, 32, 8)];
    AggregateReply "AGGREGATE" [answer(2, V10, V14, 24, 0), answer(2, V15, V15, 0, 1)];
    NxAggregateRequest "AGGREGATE" [nx_ask(1, V10, V10, 8, 8)];
    NxAggregateReply "AGGREGATE" [nx_answer(1, V10, V10, 24, 0)];
    TableRequest "TABLE" [ask(3, V10, V15, 0, 0)];
    TableReply "TABLE" [answer(3, V10, V10, 0, 64), answer(3, V11, V11, 0, 88), answer(3, V12, V12, 0, 128), answer(3, V13, V15, 0, 24)];
    TableFeaturesRequest "TABLE_FEATURES" [ask(12, V13, V15, 0, 8)];
    TableFeaturesReply "TABLE_FEATURES" [answer(12, V13, V15, 64, 8)];
    TableDescRequest "TABLE_DESC" [ask(14, V14, V15, 0, 0)];
    TableDescReply "TABLE_DESC" [answer(14, V14, V15, 8, 8)];
    PortRequest "PORT" [ask(4, V10, V15, 8, 0)];
    PortReply "PORT" [answer(4, V10, V12, 0, 104), answer(4, V13, V13, 0, 112), answer(4, V14, V15, 0, 8)];
    PortDescRequest "PORT_DESC" [ask(13, V10, V14, 0, 0), ask(13, V15, V15, 8, 0)];
    PortDescReply "PORT_DESC" [answer(13, V10, V10, 0, 48), answer(13, V11, V13, 0, 64), answer(13, V14, V15, 0, 8)];
    QueueRequest "QUEUE" [ask(5, V10, V15, 8, 0)];
    QueueReply "QUEUE" [answer(5, V10, V12, 0, 32), answer(5, V13, V13, 0, 40), answer(5, V14, V15, 0, 8)];
    QueueDescRequest "QUEUE_DESC" [ask(15, V14, V15, 8, 0)];
    QueueDescReply "QUEUE_DESC" [answer(15, V14, V15, 0, 8)];
    GroupRequest "GROUP" [nx_ask(7, V10, V10, 8, 0), ask(6, V11, V15, 8, 0)];
    GroupReply "GROUP" [nx_answer(7, V10, V10, 0, 8), answer(6, V11, V15, 0, 8)];
    GroupDescRequest "GROUP_DESC" [nx_ask(8, V10, V10, 8, 0), ask(7, V11, V14, 0, 0), ask(7, V15, V15, 8, 0)];
    GroupDescReply "GROUP_DESC" [nx_answer(8, V10, V10, 0, 8), answer(7, V11, V15, 0, 8)];
    GroupFeaturesRequest "GROUP_FEATURES" [nx_ask(9, V10, V11, 0, 0), ask(8, V12, V15, 0, 0)];
    GroupFeaturesReply "GROUP_FEATURES" [nx_answer(9, V10, V11, 40, 0), answer(8, V12, V15, 40, 0)];
    MeterRequest "METER" [ask(9, V13, V15, 8, 0)];
    MeterReply "METER" [answer(9, V13, V15, 0, 8)];
    MeterConfigRequest "METER_CONFIG" [ask(10, V13, V15, 8, 0)];
    MeterConfigReply "METER_CONFIG" [answer(10, V13, V15, 0, 8)];
    MeterFeaturesRequest "METER_FEATURES" [ask(11, V13, V15, 0, 0)];
    MeterFeaturesReply "METER_FEATURES" [answer(11, V13, V15, 16, 0)];
    IpfixBridgeRequest "IPFIX_BRIDGE" [nx_ask(3, V10, V15, 0, 0)];
    IpfixBridgeReply "IPFIX_BRIDGE" [nx_answer(3, V10, V15, 88, 0)];
    IpfixFlowRequest "IPFIX_FLOW" [nx_ask(4, V10, V15, 0, 0)];
    IpfixFlowReply "IPFIX_FLOW" [nx_answer(4, V10, V15, 0, 88)];
    // Watching rules.
    NxMonitorRequest "FLOW_MONITOR" [nx_ask(2, V10, V12, 0, 8)];
    OnfMonitorRequest "FLOW_MONITOR" [onf_ask(1870, V13, V13, 0, 8)];
    MonitorRequest "FLOW_MONITOR" [ask(16, V14, V15, 0, 8)];
    MonitorReply "FLOW_MONITOR" [nx_answer(2, V10, V12, 0, 8), onf_answer(1870, V13, V13, 0, 8), answer(16, V14, V15, 0, 8)];
    MonitorCancel "FLOW_MONITOR_CANCEL" [nxt(21, V10, V12, 4, 0), onft(1870, V13, V13, 4, 0)];
    MonitorPaused "FLOW_MONITOR_PAUSED" [nxt(22, V10, V12, 0, 0), onft(1871, V13, V13, 0, 0)];
    MonitorResumed "FLOW_MONITOR_RESUMED" [nxt(23, V10, V12, 0, 0), onft(1872, V13, V13, 0, 0)];
}

impl Form {
    fn is_in(&self, version: Version) -> bool {
        self.since <= version && version <= self.until
    }

    /// What the headers of a message of this form say, apart from whether more follows.
    fn kind(&self) -> Kind {
        let standard = Stat::Standard(self.number as u16);
        match self.family {
            Family::Ofpt => Kind::Standard(self.number as u8),
            Family::Nxt => Kind::Experimenter(NICIRA, self.number),
            Family::Onft => Kind::Experimenter(ONF, self.number),
            Family::Ask => Kind::Request(standard),
            Family::Answer => Kind::Reply(standard),
            Family::NxAsk => Kind::Request(Stat::Experimenter(NICIRA, self.number)),
            Family::NxAnswer => Kind::Reply(Stat::Experimenter(NICIRA, self.number)),
            Family::OnfAsk => Kind::Request(Stat::Experimenter(ONF, self.number)),
            Family::OnfAnswer => Kind::Reply(Stat::Experimenter(ONF, self.number)),
        }
    }

    fn allows(&self, len: usize) -> bool {
        match len.checked_sub(self.least) {
            Some(more) if self.step == 0 => more == 0,
            Some(more) => more.is_multiple_of(self.step),
            None => false,
        }
    }
}

/// A shape in the form of one version.
#[derive(Clone, Copy, Debug)]
pub(super) struct Known {
    /// What it is.
    pub shape: Shape,
    text: &'static str,
    form: &'static Form,
}

impl Known {
    /// Whether a body can be that long.
    pub(super) fn allows(&self, len: usize) -> bool {
        self.form.allows(len)
    }

    /// As in the standards' header files, or in Nicira's.
    pub(super) fn name(&self) -> String {
        let (prefix, suffix) = match self.form.family {
            Family::Ofpt => ("OFPT_", ""),
            Family::Nxt => ("NXT_", ""),
            Family::Onft => ("ONFT_", ""),
            Family::Ask => ("OFPST_", " request"),
            Family::Answer => ("OFPST_", " reply"),
            Family::NxAsk => ("NXST_", " request"),
            Family::NxAnswer => ("NXST_", " reply"),
            Family::OnfAsk => ("ONFST_", " request"),
            Family::OnfAnswer => ("ONFST_", " reply"),
        };
        format!("{prefix}{}{suffix}", self.text)
    }
}

/// The shape that has this number in `version`.
pub(super) fn find(kind: Kind, version: Version) -> Option<Known> {
    /// Messages of the standard's own, by version and number: among them those that come by the hundred thousand a second.
    static STANDARD: LazyLock<Vec<Option<Known>>> = LazyLock::new(|| {
        let numbers = |version| (0..=u8::MAX).map(move |n| search(Kind::Standard(n), version));
        Version::ALL.iter().flat_map(|version| numbers(*version)).collect()
    });
    let row = Version::ALL.iter().position(|v| *v == version);
    match (kind, row) {
        (Kind::Standard(number), Some(row)) => {
            *STANDARD.get(256 * row + usize::from(number)).unwrap_or(&None)
        }
        _ => search(kind, version),
    }
}

fn search(kind: Kind, version: Version) -> Option<Known> {
    SHAPES.iter().find_map(|(shape, text, forms)| {
        let form = forms.iter().find(|form| form.is_in(version) && form.kind() == kind)?;
        Some(Known { shape: *shape, text, form })
    })
}

impl Shape {
    /// The numbers in `version`, if it has the message at all.
    pub(super) fn kind(self, version: Version) -> Option<Kind> {
        let (_, _, forms) = SHAPES.iter().find(|(shape, ..)| *shape == self)?;
        forms.iter().find(|form| form.is_in(version)).map(Form::kind)
    }

    /// The name, without what says who gave it.
    pub(super) fn text(self) -> &'static str {
        SHAPES.iter().find(|(shape, ..)| *shape == self).map_or("", |(_, text, _)| text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_name_one_shape_each_and_shapes_find_themselves() {
        for version in Version::ALL {
            let mut seen: Vec<Kind> = Vec::new();
            for (shape, ..) in SHAPES {
                let Some(kind) = shape.kind(version) else { continue };
                assert!(!seen.contains(&kind), "{shape:?} {kind:?} in {version}");
                seen.push(kind);
                assert_eq!(find(kind, version).map(|known| known.shape), Some(*shape));
            }
            assert!(seen.len() > 60, "{version}: {}", seen.len());
        }
    }

    #[test]
    fn lengths_are_those_of_the_fixed_part_and_whole_pieces() {
        let known = find(Kind::Standard(15), Version::V13).expect("group-mod");
        assert_eq!(known.name(), "OFPT_GROUP_MOD");
        assert_eq!([0, 8, 12, 16].map(|len| known.allows(len)), [false, true, false, true]);
        let known = find(Kind::Standard(5), Version::V13).expect("features request");
        assert_eq!([0, 8].map(|len| known.allows(len)), [true, false]);
    }
}
