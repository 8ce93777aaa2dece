//! `coverage/show`: named counters and how fast they grow.
//!
//! The counters themselves live where the events happen. This keeps a history of samples, taken every five seconds, from which
//! the averages over five seconds, a minute and an hour come.

use base::Instant;
use std::collections::BTreeMap;
use std::fmt::Write;
use std::time::Duration;

/// Time between samples.
pub const PERIOD: Duration = Duration::from_secs(5);
/// Samples in a minute.
const FIVES: usize = 12;
/// Minutes in an hour.
const MINUTES: usize = 60;

#[derive(Default)]
struct History {
    total: u64,
    fives: [u64; FIVES],
    minutes: Vec<u64>,
}

/// The history of a daemon's counters.
pub struct Coverage {
    histories: BTreeMap<String, History>,
    next_sample: Instant,
    /// Samples taken; tells which slots are next.
    samples: usize,
}

impl Coverage {
    /// An empty history that begins now. `known` names are listed as never hit until a sample says otherwise.
    pub fn new(known: &[&str], now: Instant) -> Coverage {
        let histories = known.iter().map(|name| ((*name).to_owned(), History::default())).collect();
        Coverage { histories, next_sample: now + PERIOD, samples: 0 }
    }

    /// When [`Coverage::sample`] wants to be called next.
    pub fn deadline(&self) -> Instant {
        self.next_sample
    }

    /// Takes the counters' present values, if it is time. Periods that were missed count as one.
    pub fn sample(
        &mut self,
        now: Instant,
        counters: impl IntoIterator<Item = (impl AsRef<str>, u64)>,
    ) {
        if now < self.next_sample {
            return;
        }
        self.next_sample = now + PERIOD;
        let five = self.samples % FIVES;
        let minute = self.samples / FIVES % MINUTES;
        for history in self.histories.values_mut() {
            history.begin(five, minute);
        }
        for (name, total) in counters {
            let history = match self.histories.get_mut(name.as_ref()) {
                Some(history) => history,
                None => self.histories.entry(name.as_ref().to_owned()).or_default(),
            };
            history.add(five, minute, total);
        }
        self.samples += 1;
    }

    /// The value of a counter of that name, sampled or known.
    pub fn knows(&self, name: &str) -> bool {
        self.histories.contains_key(name)
    }

    /// The table that `coverage/show` prints, with the counters' present values.
    pub fn show(&self, counters: impl IntoIterator<Item = (impl AsRef<str>, u64)>) -> String {
        let present: BTreeMap<String, u64> =
            counters.into_iter().map(|(name, total)| (name.as_ref().to_owned(), total)).collect();
        let hit = present.iter().filter(|(_, total)| **total > 0);
        let mut out = format!(
            "Event coverage, avg rate over last: 5 seconds, last minute, last hour,  hash={:08x}:\n",
            hash(hit.clone())
        );
        let nothing = History::default();
        for (name, total) in hit {
            let history = self.histories.get(name).unwrap_or(&nothing);
            let [five, minute, hour] = history.rates(self.samples);
            // Writing to a String cannot fail.
            let _ = writeln!(
                out,
                "{name:<24} {five:5.1}/sec {minute:9.3}/sec {hour:13.4}/sec   total: {total}"
            );
        }
        let sampled = self.histories.keys().filter(|name| !present.contains_key(*name)).count();
        let never = sampled + present.values().filter(|total| **total == 0).count();
        let _ = writeln!(out, "{never} events never hit");
        out
    }
}

impl History {
    /// Clears the slots that the next sample goes to.
    fn begin(&mut self, five: usize, minute: usize) {
        if let Some(slot) = self.fives.get_mut(five) {
            *slot = 0;
        }
        if five == 0
            && let Some(slot) = self.minutes.get_mut(minute)
        {
            *slot = 0;
        }
    }

    fn add(&mut self, five: usize, minute: usize, total: u64) {
        let grown = total.saturating_sub(self.total);
        self.total = total;
        if grown == 0 {
            return;
        }
        if self.minutes.is_empty() {
            self.minutes = vec![0; MINUTES]; // only counters that ever move pay for this
        }
        for slot in [self.fives.get_mut(five), self.minutes.get_mut(minute)].into_iter().flatten() {
            *slot = slot.saturating_add(grown);
        }
    }

    /// Events per second over the last five seconds, minute, hour.
    fn rates(&self, samples: usize) -> [f64; 3] {
        let last =
            samples.checked_sub(1).and_then(|s| self.fives.get(s % FIVES)).copied().unwrap_or(0);
        let sum = |slots: &[u64]| slots.iter().fold(0u64, |a, b| a.saturating_add(*b)) as f64;
        [last as f64 / 5.0, sum(&self.fives) / 60.0, sum(&self.minutes) / 3600.0]
    }
}

/// A number that differs when another set of events has happened (FNV-1a over the names).
fn hash<'a>(hit: impl Iterator<Item = (&'a String, &'a u64)>) -> u32 {
    let bytes = hit.flat_map(|(name, _)| name.bytes().chain([0]));
    bytes.fold(0x811c_9dc5, |h, b| (h ^ u32::from(b)).wrapping_mul(0x0100_0193))
}

/// The counters that the reference's switch daemon has: `coverage/read-counter` answers 0 for those that we never count.
pub const REFERENCE_COUNTERS: &[&str] = &[
    "afxdp_cq_empty",
    "afxdp_cq_skip",
    "afxdp_fq_full",
    "afxdp_tx_full",
    "bridge_reconfigure",
    "ccmap_expand",
    "ccmap_shrink",
    "conntrack_full",
    "conntrack_invalid_tcp_flags",
    "conntrack_l3csum_err",
    "conntrack_l4csum_err",
    "conntrack_lookup_natted_miss",
    "conntrack_tcp_seq_chk_bypass",
    "conntrack_tcp_seq_chk_failed",
    "datapath_drop_hw_miss_recover",
    "datapath_drop_invalid_bond",
    "datapath_drop_invalid_port",
    "datapath_drop_invalid_tnl_port",
    "datapath_drop_lock_error",
    "datapath_drop_meter",
    "datapath_drop_nsh_decap_error",
    "datapath_drop_recirc_error",
    "datapath_drop_rx_invalid_packet",
    "datapath_drop_sample_error",
    "datapath_drop_tunnel_pop_error",
    "datapath_drop_tunnel_push_error",
    "datapath_drop_tunnel_tso_recirc",
    "datapath_drop_upcall_error",
    "datapath_drop_userspace_action_error",
    "dpif_destroy",
    "dpif_execute",
    "dpif_execute_with_help",
    "dpif_flow_del",
    "dpif_flow_flush",
    "dpif_flow_get",
    "dpif_flow_put",
    "dpif_meter_del",
    "dpif_meter_get",
    "dpif_meter_set",
    "dpif_port_add",
    "dpif_port_del",
    "dpif_purge",
    "drop_action_bridge_not_found",
    "drop_action_congestion",
    "drop_action_forwarding_disabled",
    "drop_action_invalid_tunnel_metadata",
    "drop_action_no_recirculation_context",
    "drop_action_of_pipeline",
    "drop_action_recirculation_conflict",
    "drop_action_recursion_too_deep",
    "drop_action_stack_too_deep",
    "drop_action_too_many_mpls_labels",
    "drop_action_too_many_resubmit",
    "drop_action_tunnel_header_build_failed",
    "drop_action_tunnel_neigh_cache_miss",
    "drop_action_tunnel_output_no_ethernet",
    "drop_action_tunnel_routing_failed",
    "drop_action_unsupported_packet_type",
    "dumped_duplicate_flow",
    "dumped_new_flow",
    "flow_extract",
    "handler_duplicate_upcall",
    "hindex_expand",
    "hindex_pathological",
    "hindex_reserve",
    "hindex_shrink",
    "hmap_expand",
    "hmap_pathological",
    "hmap_reserve",
    "hmap_shrink",
    "ipf_l3csum_err",
    "ipf_stuck_frag_list_purged",
    "lockfile_error",
    "lockfile_lock",
    "lockfile_unlock",
    "mac_learning_evicted",
    "mac_learning_expired",
    "mac_learning_learned",
    "mac_learning_moved",
    "mac_learning_static_none_move",
    "mcast_snooping_expired",
    "mcast_snooping_learned",
    "miniflow_extract_ipv4_pkt_len_error",
    "miniflow_extract_ipv4_pkt_too_short",
    "miniflow_extract_ipv6_pkt_len_error",
    "miniflow_extract_ipv6_pkt_too_short",
    "miniflow_malloc",
    "netdev_add_router",
    "netdev_arp_lookup",
    "netdev_get_ethtool",
    "netdev_get_hwaddr",
    "netdev_get_ifindex",
    "netdev_get_stats",
    "netdev_push_header_drops",
    "netdev_received",
    "netdev_send_prepare_drops",
    "netdev_sent",
    "netdev_set_ethtool",
    "netdev_set_hwaddr",
    "netdev_set_policing",
    "netlink_overflow",
    "netlink_received",
    "netlink_recv_jumbo",
    "netlink_sent",
    "nln_changed",
    "ofmonitor_pause",
    "ofmonitor_resume",
    "ofproto_dpif_expired",
    "ofproto_flush",
    "ofproto_packet_out",
    "ofproto_queue_req",
    "ofproto_recv_openflow",
    "ofproto_reinit_ports",
    "ofproto_update_port",
    "packet_in_overflow",
    "poll_create_node",
    "poll_zero_timeout",
    "process_start",
    "pstream_open",
    "rconn_discarded",
    "rconn_overflow",
    "rconn_queued",
    "rconn_sent",
    "rev_bond",
    "rev_flow_table",
    "rev_mac_learning",
    "rev_mcast_snooping",
    "rev_port_toggled",
    "rev_reconfigure",
    "rev_rstp",
    "rev_stp",
    "revalidate_missed_dp_flow",
    "seq_change",
    "stream_open",
    "txn_aborted",
    "txn_error",
    "txn_incomplete",
    "txn_not_locked",
    "txn_success",
    "txn_try_again",
    "txn_unchanged",
    "txn_uncommitted",
    "unixctl_received",
    "unixctl_replied",
    "upcall_flow_limit_hit",
    "upcall_flow_limit_kill",
    "upcall_ukey_contention",
    "upcall_ukey_replace",
    "util_xalloc",
    "vconn_open",
    "vconn_received",
    "vconn_sent",
    "xlate_actions",
    "xlate_actions_oversize",
    "xlate_actions_too_many_output",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shows_rates_and_totals_as_the_reference_does() {
        let at = |s: u64| Instant::from_millis(s * 1000);
        let mut coverage = Coverage::new(&["hmap_expand", "quiet"], at(0));
        coverage.sample(at(1), [("hmap_expand", 7)]); // not yet time
        for five in 1..=12 {
            coverage.sample(at(five * 5), [("hmap_expand", five * 10), ("seq_change", 1)]);
        }
        let table = coverage.show([("hmap_expand", 125), ("seq_change", 1), ("lockfile_lock", 0)]);
        let lines: Vec<&str> = table.lines().skip(1).collect();
        assert_eq!(
            lines,
            [
                "hmap_expand                2.0/sec     2.000/sec        0.0333/sec   total: 125",
                "seq_change                 0.0/sec     0.017/sec        0.0003/sec   total: 1",
                "2 events never hit",
            ]
        );
        assert!(table.starts_with(
            "Event coverage, avg rate over last: 5 seconds, last minute, last hour,  hash="
        ));
    }

    #[test]
    fn old_events_leave_the_averages() {
        let at = |s: u64| Instant::from_millis(s * 1000);
        let mut coverage = Coverage::new(&[], at(0));
        coverage.sample(at(5), [("x", 600)]);
        for five in 2..=13 {
            coverage.sample(at(five * 5), [("x", 600)]);
        }
        let table = coverage.show([("x", 600)]);
        assert!(
            table.contains(
                "x                          0.0/sec     0.000/sec        0.1667/sec   total: 600"
            ),
            "{table}"
        );
        for five in 14..=733 {
            coverage.sample(at(five * 5), [("x", 600)]);
        }
        assert!(coverage.show([("x", 600)]).contains("0.0000/sec"));
    }

    #[test]
    fn reference_names_are_sorted_and_unique() {
        assert!(REFERENCE_COUNTERS.is_sorted_by(|a, b| a < b));
    }
}
