//! Settings of queues, connections and exporters.

use super::Kind::{Bool, Int, Text, Word};
use super::{Group, Setting};

const MAX: i64 = i64::MAX;
const U32: i64 = u32::MAX as i64;

const QOS: Group = Group::at("QoS", "other_config");
const QUEUE: Group = Group::at("Queue", "other_config");
const IPFIX: Group = Group::at("IPFIX", "other_config");

// One setting a line.
#[rustfmt::skip]
pub(super) const SETTINGS: &[Setting] = &[
    QOS.key("max-rate", Int(0, MAX), "the link's", "Most bit/s of linux-htb and linux-hfsc."),
    QOS.key("cir", Int(0, MAX), NONE, "Committed bytes per second of a policer."),
    QOS.key("cbs", Int(0, MAX), NONE, "Committed burst of a policer, in bytes."),
    QOS.key("eir", Int(0, MAX), NONE, "Excess bytes per second of a policer."),
    QOS.key("ebs", Int(0, MAX), NONE, "Excess burst of a policer, in bytes."),
    QOS.key("perturb", Int(0, MAX), "10", "Seconds between changes of linux-sfq's hash."),
    QOS.key("quantum", Int(0, MAX), "the MTU", "Bytes a flow may send in its turn, for linux-sfq."),
    QOS.key("latency", Int(0, MAX), NONE, "Microseconds of delay that linux-netem adds."),
    QOS.key("jitter", Int(0, MAX), NONE, "Microseconds by which that delay varies."),
    QOS.key("limit", Int(0, MAX), "1000", "Packets that linux-netem may hold."),
    QOS.key("loss", Int(0, 100), NONE, "Percent of packets that linux-netem loses."),
    QOS.key("target", Int(0, MAX), "5000", "Microseconds of queueing that linux-codel accepts."),
    QOS.key("interval", Int(0, MAX), "100000", "Microseconds over which linux-codel looks."),
    QOS.key("flows", Int(0, MAX), "1024", "Queues of linux-fq_codel."),
    QUEUE.key("min-rate", Int(1, MAX), "1500 bytes/s", "Bit/s this queue always gets."),
    QUEUE.key("max-rate", Int(1, MAX), "no limit", "Most bit/s of this queue."),
    QUEUE.key("burst", Int(1, MAX), "chosen", "Bits this queue may send at once after a pause."),
    QUEUE.key("priority", Int(0, U32), "0", "Queues with lower numbers get spare bandwidth first."),
    QUEUE.key("cir", Int(0, MAX), NONE, "Committed bytes per second of a policer."),
    QUEUE.key("cbs", Int(0, MAX), NONE, "Committed burst of a policer, in bytes."),
    QUEUE.key("eir", Int(0, MAX), NONE, "Excess bytes per second of a policer."),
    QUEUE.key("ebs", Int(0, MAX), NONE, "Excess burst of a policer, in bytes."),
    Group::at("QoS", "type").key("", Word(&["", "linux-htb", "linux-hfsc", "linux-sfq", "linux-codel", "linux-fq_codel", "linux-netem", "linux-noop", "egress-policer", "trtcm-policer"]), "", "The queueing discipline."),
    Group::at("Controller", "other_config").key("dscp", Int(0, 63), "48", "DSCP bits of the connection."),
    Group::at("Manager", "other_config").key("dscp", Int(0, 63), "48", "DSCP bits of the connection."),
    IPFIX.key("enable-tunnel-sampling", Bool, "true", "Report tunnel headers."),
    IPFIX.key("enable-input-sampling", Bool, "true", "Sample packets that arrive."),
    IPFIX.key("enable-output-sampling", Bool, "true", "Sample packets that leave."),
    IPFIX.key("virtual_obs_id", Text, "", "Text that goes with every record."),
    IPFIX.key("template-interval", Int(1, 3600), "600", "Seconds between templates."),
    IPFIX.key("stats-interval", Int(1, 3600), "600", "Seconds between statistics."),
];

const NONE: &str = "0";
