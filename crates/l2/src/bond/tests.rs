use packet::wire::ethernet::BROADCAST;
use proptest::prelude::*;

use super::*;

const HOST: Mac = [2, 0, 0, 0, 0, 9];

fn at(ms: u64) -> Instant {
    Instant::from_millis(ms)
}

fn bond(settings: Settings, members: u16) -> Bond<u16> {
    let mut bond = Bond::new("bond0".into(), settings, at(0));
    for member in 1..=members {
        bond.set_member(member, &format!("p{member}").into(), [2, 0, 0, 0, 1, member as u8]);
        bond.set_usable(member, true);
    }
    bond.run(at(0));
    bond
}

fn of(mode: Mode) -> Settings {
    Settings { mode, rebalance: Some(Duration::from_secs(10)), ..Settings::default() }
}

#[test]
fn the_backup_takes_over_and_keeps_it() {
    let mut b = bond(of(Mode::ActiveBackup), 2);
    assert_eq!(b.choose(), Choice::Member(1));
    assert_eq!(b.admit(1, &HOST), Admit::Yes);
    assert_eq!(b.admit(2, &HOST), Admit::No);
    assert!(b.take_announcement() && !b.take_announcement());
    let before = b.version();
    b.set_usable(1, false);
    b.run(at(1));
    assert_eq!(b.choose(), Choice::Member(2));
    assert!(b.version() > before && b.take_announcement());
    b.set_usable(1, true);
    b.run(at(2));
    assert_eq!(b.choose(), Choice::Member(2), "no change without need");
    b.set_usable(2, false);
    b.set_usable(1, false);
    b.run(at(3));
    assert_eq!(b.choose(), Choice::Nobody);
}

#[test]
fn the_primary_is_preferred_until_somebody_chooses_another() {
    let settings = Settings { primary: Some("p2".into()), ..of(Mode::ActiveBackup) };
    let mut b = bond(settings, 3);
    assert_eq!(b.active(), Some(2));
    b.set_usable(2, false);
    b.run(at(1));
    assert_eq!(b.active(), Some(1));
    b.set_usable(2, true);
    b.run(at(2));
    assert_eq!(b.active(), Some(2), "it is back");
    assert_eq!(b.set_active("p3"), Ok(true));
    b.run(at(3));
    assert_eq!(b.active(), Some(3));
    assert_eq!(b.set_active("p3"), Ok(false));
    assert_eq!(b.set_active("p9"), Err("no such member"));
}

#[test]
fn the_member_that_was_active_before_a_restart_is_so_again() {
    let settings = Settings { last_active: Some([2, 0, 0, 0, 1, 2]), ..of(Mode::ActiveBackup) };
    assert_eq!(bond(settings, 3).active(), Some(2));
}

#[test]
fn delays_hold_back_changes_but_not_the_first_member() {
    let delays = (Duration::from_millis(100), Duration::from_millis(200));
    let settings = Settings { updelay: delays.0, downdelay: delays.1, ..of(Mode::BalanceSlb) };
    let mut b = bond(settings, 2);
    assert!(b.is_enabled(1) && !b.is_enabled(2), "one need not wait");
    b.run(at(99));
    assert!(!b.is_enabled(2));
    b.run(at(100));
    assert!(b.is_enabled(2));
    b.set_usable(1, false);
    b.run(at(1000));
    assert_eq!(b.next_deadline(), Some(at(1200)));
    assert!(b.show(None, at(1007)).contains("  downdelay expires in 193 ms\n"));
    b.set_usable(1, true);
    b.run(at(1100));
    b.run(at(1300));
    assert!(b.is_enabled(1), "it was back in time");
    b.set_usable(1, false);
    b.set_usable(2, false);
    b.run(at(2000));
    b.run(at(2200));
    assert!(!b.is_enabled(1) && !b.is_enabled(2));
}

#[test]
fn slb_takes_each_flooded_frame_once_and_suspects_what_has_moved() {
    let mut b = bond(of(Mode::BalanceSlb), 2);
    assert_eq!(b.admit(1, &BROADCAST), Admit::UnlessMoved);
    assert_eq!(b.admit(2, &BROADCAST), Admit::No);
    assert_eq!(b.admit(2, &HOST), Admit::UnlessMoved);
    b.set_settings(Settings { all_members_active: true, ..of(Mode::BalanceSlb) }, at(0));
    assert_eq!(b.admit(2, &BROADCAST), Admit::UnlessMoved);
    assert_eq!(b.admit(7, &HOST), Admit::No, "no member");
}

#[test]
fn tcp_takes_a_partner() {
    let mut b = bond(of(Mode::BalanceTcp), 2);
    assert_eq!((b.choose(), b.admit(1, &HOST)), (Choice::Nobody, Admit::No));
    b.set_lacp_status(LacpStatus::Configured);
    assert_eq!((b.choose(), b.admit(1, &HOST)), (Choice::Nobody, Admit::No));
    b.set_lacp_status(LacpStatus::Negotiated);
    assert_eq!((b.choose(), b.admit(2, &BROADCAST)), (Choice::ByConnection, Admit::Yes));
    b.set_settings(Settings { lacp_fallback_ab: true, ..of(Mode::BalanceTcp) }, at(0));
    b.set_lacp_status(LacpStatus::Configured);
    assert_eq!((b.choose(), b.admit(1, &HOST)), (Choice::Member(1), Admit::Yes));
    assert_eq!(b.admit(2, &HOST), Admit::No);
}

/// As the reference's `bond/hash` prints them.
#[test]
fn stations_hash_as_in_the_reference() {
    let hash = |mac: Mac, vlan, basis| slb_hash(&mac, vlan, basis) & 0xff;
    assert_eq!(hash([0, 0, 0, 0, 0, 1], 0, 0), 68);
    assert_eq!(hash([0, 0, 0, 0, 0, 1], 5, 7), 87);
    assert_eq!(hash([0, 0, 0, 0, 0, 1], 4095, 0), 151);
    assert_eq!(hash([0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0xff], 100, 12345), 198);
}

#[test]
fn load_goes_to_where_there_is_less() {
    let mut b = bond(of(Mode::BalanceSlb), 2);
    let mut loads = [0; BUCKETS];
    // All of one member's.
    let of_first: Vec<usize> = (0..BUCKETS).filter(|n| b.of_bucket(*n as u8) == Some(1)).collect();
    of_first.iter().for_each(|bucket| loads[*bucket] = 1_000_000);
    b.add_loads(&loads);
    assert_eq!(b.rebalance(at(9999)), 0, "not yet");
    assert_eq!(b.rebalance(at(10_000)), of_first.len() / 2);
    let on = |b: &Bond<u16>, member| {
        of_first.iter().filter(|bucket| b.of_bucket(**bucket as u8) == Some(member)).count()
    };
    assert_eq!((on(&b, 1), on(&b, 2)), (64, 64));
    assert_eq!(b.rebalance(at(20_000)), 0, "all is well");
    // One station that is all the load there is stays where it is.
    let mut b = bond(of(Mode::BalanceSlb), 2);
    let mut loads = [0; BUCKETS];
    loads[4] = 1 << 40;
    b.add_loads(&loads);
    assert_eq!(b.rebalance(at(10_000)), 0);
    assert!(b.show(None, at(10_000)).contains("  hash 4: 536870912 kB load\n"));
}

#[test]
fn buckets_follow_their_members() {
    let mut b = bond(of(Mode::BalanceSlb), 3);
    b.migrate(5, "p3").unwrap();
    assert_eq!(b.of_bucket(5), Some(3));
    b.set_usable(3, false);
    b.run(at(1));
    assert!((0..=255).all(|n| matches!(b.of_bucket(n), Some(1 | 2))));
    assert_eq!(b.migrate(5, "p3"), Err("cannot migrate to disabled member"));
    b.retain(|member| member == 3);
    b.run(at(2));
    assert!((0..=255).all(|n| b.of_bucket(n).is_none()));
}

proptest! {
    /// Whatever happens: who is active is enabled, each bucket's member is enabled, and somebody is active if anybody can be.
    #[test]
    fn a_bond_never_sends_into_a_dead_link(
        mode in prop_oneof![Just(Mode::ActiveBackup), Just(Mode::BalanceSlb)],
        delays in (0_u64..50, 0_u64..50),
        events in proptest::collection::vec((1_u16..4, any::<bool>(), 0_u64..40, 0..5), 1..60),
    ) {
        let (updelay, downdelay) = (Duration::from_millis(delays.0), Duration::from_millis(delays.1));
        let mut b = bond(Settings { updelay, downdelay, ..of(mode) }, 3);
        let mut now = 0;
        for (member, usable, pause, what) in events {
            now += pause;
            let name = format!("p{member}");
            match what {
                0 => { let _ = b.set_active(&name); }
                1 => { let _ = b.set_enabled(&name, usable); }
                2 => { let _ = b.migrate(pause as u8, &name); }
                _ => b.set_usable(member, usable),
            }
            b.run(at(now));
            let enabled: Vec<u16> = (1..4).filter(|m| b.is_enabled(*m)).collect();
            let any_usable = (1..4).any(|m| b.members[&m].usable);
            prop_assert!(b.active().is_none_or(|active| enabled.contains(&active)));
            prop_assert_eq!(b.active().is_none(), enabled.is_empty());
            prop_assert!(!any_usable || b.active().is_some());
            if mode.is_balanced() {
                for bucket in 0..=255 {
                    prop_assert_eq!(b.of_bucket(bucket).is_none(), enabled.is_empty());
                    prop_assert!(b.of_bucket(bucket).is_none_or(|m| enabled.contains(&m)));
                }
            }
        }
    }
}
