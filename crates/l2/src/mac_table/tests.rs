use super::*;

fn at(secs: u64) -> Instant {
    Instant::from_millis(secs * 1000)
}

fn mac(n: u32) -> Mac {
    let [a, b, c, d] = n.to_be_bytes();
    [2, 0, a, b, c, d]
}

fn table(max_entries: usize) -> MacTable<u16> {
    MacTable::new(MacConfig { max_entries, ..MacConfig::default() })
}

#[test]
fn learning_tells_change_from_refresh() {
    let mut t = table(100);
    assert_eq!(t.learn(0, mac(1), 1, at(0)), Learned::New);
    let v = t.version();
    assert_eq!(t.learn(0, mac(1), 1, at(1)), Learned::Refreshed);
    assert_eq!(t.version(), v);
    assert_eq!(t.learn(0, mac(1), 2, at(2)), Learned::Moved);
    assert!(t.version() > v);
    assert_eq!(t.lookup(0, mac(1), at(2)), Some(2));
    assert_eq!(t.lookup(1, mac(1), at(2)), None, "another VLAN is another station");
    assert_eq!(t.learn(0, [1, 0, 0, 0, 0, 1], 1, at(2)), Learned::Refused);
    assert_eq!(t.stats(), FdbStats { learned: 1, moved: 1, ..FdbStats::default() });
}

#[test]
fn entries_age_from_when_they_were_last_heard() {
    let mut t = table(100);
    t.learn(0, mac(1), 1, at(0));
    t.learn(0, mac(2), 1, at(5));
    t.learn(0, mac(1), 1, at(10));
    assert_eq!(t.next_deadline(), Some(at(305)));
    assert_eq!(t.lookup(0, mac(2), at(304)), Some(1));
    assert_eq!(t.lookup(0, mac(2), at(305)), None, "gone before anybody swept");
    let v = t.version();
    assert!(t.expire(at(305)));
    assert!(t.version() > v);
    assert!(!t.expire(at(309)));
    assert_eq!((t.len(), t.stats().expired), (1, 1));
    assert_eq!(t.learn(0, mac(1), 1, at(310)), Learned::New, "too late for a refresh");
}

#[test]
fn late_news_is_no_news() {
    let mut t = table(100);
    t.learn(0, mac(1), 1, at(10));
    assert_eq!(t.learn(0, mac(1), 2, at(9)), Learned::Refused);
    assert_eq!(t.learn(0, mac(1), 1, at(9)), Learned::Refreshed);
    assert_eq!(t.next_deadline(), Some(at(310)));
}

#[test]
fn a_flooding_port_evicts_its_own_stations() {
    let mut t = table(100);
    for i in 0..20 {
        t.learn(0, mac(i), 1, at(0));
    }
    for i in 0..10_000 {
        assert_eq!(t.learn(0, mac(1_000_000 + i), 2, at(1)), Learned::New);
    }
    assert_eq!(t.len(), 100);
    assert!((0..20).all(|i| t.lookup(0, mac(i), at(1)) == Some(1)));
    assert_eq!(t.stats().evicted, 9_920);
    assert!(t.lookup(0, mac(1_009_999), at(1)).is_some());
}

#[test]
fn static_entries_stay() {
    let mut t = table(10);
    assert_eq!(t.set_static(5, mac(9), 2), SetStatic::Changed);
    assert_eq!(t.set_static(5, mac(9), 2), SetStatic::Unchanged);
    assert_eq!(t.learn(5, mac(9), 1, at(0)), Learned::Refused);
    for i in 0..100 {
        t.learn(0, mac(i), 1, at(0));
    }
    assert_eq!(t.lookup(5, mac(9), at(100_000)), Some(2));
    assert!(t.flush());
    assert!(!t.flush());
    assert_eq!((t.len(), t.static_len()), (1, 1));
    assert!(!t.remove_static(5, mac(8)));
    assert!(t.remove_static(5, mac(9)));
    for i in 0..10 {
        assert_eq!(t.set_static(0, mac(i), 1), SetStatic::Changed);
    }
    assert_eq!(t.set_static(0, mac(99), 1), SetStatic::Full);
    assert_eq!(t.learn(0, mac(98), 1, at(0)), Learned::Refused);
    assert!(t.forget_port(1));
    assert!(t.is_empty());
}

#[test]
fn a_smaller_table_evicts_at_once() {
    let mut t = table(100);
    for i in 0..100 {
        t.learn(0, mac(i), (i % 2) as u16, at(0));
    }
    t.set_config(MacConfig { max_entries: 50, ..MacConfig::default() });
    assert_eq!(t.len(), 50);
    t.set_config(MacConfig { max_entries: 0, ..MacConfig::default() });
    assert_eq!(t.len(), 10, "the least that the reference allows");
}

/// Recorded from Open vSwitch 3.1 (the header from 4.0).
#[test]
fn texts_are_the_references() {
    let mut t = MacTable::<u16>::default();
    t.learn(0, [0x50, 0x54, 0, 0, 0, 1], 1, at(0));
    t.set_static(5, [0, 0, 0, 0, 0, 9], 2);
    assert_eq!(
        t.show(at(0)),
        " Port  VLAN  MAC                Age\n\
         \x20   1     0  50:54:00:00:00:01    0\n\
         \x20   2     5  00:00:00:00:00:09  static\n"
    );
    assert_eq!(
        t.show_stats("br0"),
        "Statistics for bridge \"br0\":\n\
         \x20 Current/maximum MAC entries in the table: 2/8192\n\
         \x20 Current static MAC entries in the table : 1\n\
         \x20 Total number of learned MAC entries     : 1\n\
         \x20 Total number of expired MAC entries     : 0\n\
         \x20 Total number of evicted MAC entries     : 0\n\
         \x20 Total number of port moved MAC entries  : 0\n"
    );
}

/// Whatever happens, the two indexes agree and the bound holds.
#[test]
fn indexes_agree_after_any_history() {
    use proptest::prelude::*;
    proptest!(|(ops in prop::collection::vec((0u8..6, 0u32..40, 0u16..5, 0u64..50), 0..300))| {
        let mut t = table(16);
        let mut now = 0;
        for (op, station, port, later) in ops {
            now += later;
            match op {
                0..=2 => { t.learn(port % 2, mac(station), port, at(now)); }
                3 => { t.set_static(0, mac(station), port); }
                4 => { t.expire(at(now)); }
                _ => { t.forget_port(port); }
            }
            prop_assert!(t.len() <= 16);
            let linked: usize = t.by_port.values().map(BTreeMap::len).sum();
            prop_assert_eq!(linked + t.static_len(), t.len());
            for (port, of_port) in &t.by_port {
                prop_assert!(!of_port.is_empty());
                for (order, key) in of_port {
                    let e = t.entries[key];
                    prop_assert_eq!((e.port, e.age_order(), e.heard.is_some()), (*port, *order, true));
                }
            }
        }
    });
}

#[test]
fn what_a_station_announces_holds_for_a_while_and_no_longer() {
    let mut t = table(10);
    t.announce(0, mac(1), at(0));
    assert!(!t.has_announced(0, mac(1), at(0)), "nobody knows it");
    t.learn(0, mac(1), 1, at(0));
    t.announce(0, mac(1), at(0));
    t.learn(0, mac(1), 1, at(1));
    assert!(t.has_announced(0, mac(1), at(4)), "whatever else it says");
    assert!(!t.has_announced(1, mac(1), at(4)) && !t.has_announced(0, mac(1), at(5)));
    let before = t.version();
    t.expire(at(4));
    assert_eq!(t.version(), before);
    t.expire(at(5));
    assert!(t.version() > before, "flows are to be looked at again");
    t.announce(0, mac(1), at(6));
    t.forget_port(1);
    assert!(!t.has_announced(0, mac(1), at(6)));
}
