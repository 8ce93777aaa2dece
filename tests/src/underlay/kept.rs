//! What the database keeps of the underlay is there after a restart.

use std::time::Duration;
use testbed::guide::{Flavor, HOSTS, Plan, TwoSites};
use testbed::wait;

use crate::support::{assert_connected, ok, ours, programs};

const PATIENCE: Duration = Duration::from_secs(15);

#[test]
fn routes_rules_and_neighbours_come_back_after_a_restart() {
    if !ours() {
        return;
    }
    let mut two = ok(TwoSites::build(&Plan::between(Flavor::Switch(programs()), Flavor::kernel())));
    assert_connected(&two, 1 << 16);
    let host = &mut two.sites[0].host;
    let routes = format!(
        "other_config:tunnel-routes=\"10.66.0.0/16 br-phy {} table=77; nonsense\"",
        HOSTS[1]
    );
    let args = [
        "set",
        "open_vswitch",
        ".",
        &routes,
        "other_config:tunnel-rules=\"from=all prio=9 table=77\"",
        "other_config:tunnel-neighbours=\"br-phy 172.168.1.77 02:00:00:00:00:77\"",
    ];
    ok(ok(host.cmd("ovs-vsctl", args.map(str::to_owned))).ok());
    let shown = |host: &testbed::Host| {
        let said = |command: &str| host.appctl(command).unwrap_or_default();
        said("ovs/route/show table=77").contains("User: 10.66.0.0/16 dev br-phy GW 172.168.1.2")
            && said("ovs/route/rule/show").contains("User: 9: from all lookup 77")
            && said("tnl/neigh/show").contains("02:00:00:00:00:77")
            && said("ovs/route/lookup 10.66.1.1").contains("dev br-phy")
    };
    assert!(shown(host), "{:?}", host.appctl("ovs/route/show table=all"));
    assert!(
        host.switch_log().contains("other_config:tunnel-routes: \"nonsense\""),
        "{}",
        host.switch_log()
    );
    ok(host.appctl("exit"));
    ok(wait::until("the switch to end", PATIENCE, || {
        host.appctl("version").is_err().then_some(())
    }));
    ok(host.start_switch(&[]));
    let back = wait::until("what is kept to come back", PATIENCE, || shown(host).then_some(()));
    back.unwrap_or_else(|e| panic!("{e}: {:?}", host.appctl("ovs/route/show table=all")));
    ok(host.vsctl("clear open_vswitch . other_config"));
    assert!(!shown(host));
    assert!(!ok(host.appctl("tnl/neigh/show")).contains("02:00:00:00:00:77"));
    assert_connected(&two, 1 << 16);
}
