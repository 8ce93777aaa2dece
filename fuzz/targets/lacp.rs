//! Hostile LACP, and frames of other slow protocols, against a bond whose links come and go: whatever a partner says, each
//! message has one answer at most, and frames leave by members that are enabled alone.
#![no_main]

use std::collections::BTreeMap;
use std::time::Duration;

use base::Instant;
use l2::bond::{Choice, Mode};
use l2::aggregate::{Config, Member};
use l2::{Aggregate, bond, lacp};
use libfuzzer_sys::fuzz_target;

/// What happens: a moment passes, a link changes or is spoken on.
type Event<'a> = (u16, u8, Option<bool>, &'a [u8]);

const DST: [u8; 6] = [2, 0, 0, 0, 0, 9];

fn config(settings: u8) -> Config<u16> {
    let flag = |bit: u8| settings >> bit & 1 == 1;
    let mode = [Mode::ActiveBackup, Mode::BalanceSlb, Mode::BalanceTcp][usize::from(settings % 3)];
    let delay = Duration::from_millis(if flag(7) { 50 } else { 0 });
    let bond = bond::Settings {
        mode,
        updelay: delay,
        downdelay: delay,
        rebalance: Some(Duration::from_secs(1)),
        lacp_fallback_ab: flag(2),
        ..bond::Settings::default()
    };
    let lacp = lacp::Settings {
        active: flag(3),
        fast: flag(4),
        sys_id: [2, 0, 0, 0, 0, 1],
        sys_priority: 65534,
        fallback_ab: flag(2),
    };
    let member = |number: u16| Member {
        name: format!("m{number}").into(),
        number,
        mac: [2, 0, 0, 0, 1, number as u8],
        has_carrier: true,
        lacp: lacp::PortSettings::default(),
    };
    let members: BTreeMap<u16, Member> = (1..=3).map(|n| (n, member(n))).collect();
    Config { name: "bond0".into(), bond: Some(bond), lacp: flag(5).then_some(lacp), members }
}

fuzz_target!(|input: (u8, Vec<Event<'_>>)| {
    let (settings, events) = input;
    let mut config = config(settings);
    let mut now = Instant::from_millis(1);
    let mut aggregate = Aggregate::new(&config, now);
    aggregate.run(now);
    for (pause, link, carrier, said) in events {
        now = now + Duration::from_millis(pause.into());
        let link = u16::from(link % 4);
        match carrier {
            Some(up) => {
                if let Some(member) = config.members.get_mut(&link) {
                    member.has_carrier = up;
                }
                aggregate.configure(&config, now);
            }
            None => aggregate.receive(link, said, now),
        }
        let sent = aggregate.run(now);
        assert!((1..=3).all(|n| sent.iter().filter(|(to, _)| *to == n).count() <= 1));
        assert!(aggregate.run(now).is_empty(), "nothing is new");
        let Some(bond) = &mut aggregate.bond else { continue };
        bond.rebalance(now);
        if let Choice::Member(member) = bond.choose() {
            assert!(bond.is_enabled(member));
        }
        assert!((0..=255).filter_map(|n| bond.of_bucket(n)).all(|m| bond.is_enabled(m)));
        bond.admit(link, &DST);
        bond.take_news();
    }
    if let Some(lacp) = &aggregate.lacp {
        assert!(!lacp.show().is_empty() && !lacp.show_stats().is_empty());
    }
});
