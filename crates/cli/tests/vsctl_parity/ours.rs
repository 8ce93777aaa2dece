//! What only our program has, on a database with our schema (Open vSwitch 4.0's).

use std::collections::BTreeSet;

use crate::sides::{Side, skip};
use crate::{Result, run};

/// Runs a line without waiting for a switch.
fn line(side: &Side, line: &str) -> Result {
    let words: Vec<_> = line.split(' ').map(str::to_owned).collect();
    run(side, &words, false)
}

fn good(side: &Side, text: &str) -> String {
    let result = line(side, text);
    assert_eq!((result.code, result.stderr.as_str()), (Some(0), ""), "{text}");
    result.stdout
}

fn bad(side: &Side, text: &str) -> String {
    let result = line(side, text);
    assert_eq!((result.code, result.stdout.as_str()), (Some(1), ""), "{text}");
    result.stderr
}

#[test]
fn limits_of_conntrack_zones() {
    if skip() {
        return;
    }
    let side = Side::with_our_schema();
    let side = &side;
    assert_eq!(
        bad(side, "set-zone-limit netdev zone=1 5"),
        "ovs-vsctl: datapath netdev does not exist"
    );
    good(
        side,
        "-- --id=@d create Datapath datapath_version=x -- set Open_vSwitch . datapaths:netdev=@d",
    );
    assert_eq!(good(side, "list-zone-limits netdev"), "");
    good(
        side,
        "set-zone-limit netdev zone=1 5 -- set-zone-limit netdev 10 0 -- set-zone-limit netdev default 7",
    );
    assert_eq!(
        good(side, "list-zone-limits netdev"),
        "Default limit: 7\nZone: 1, Limit: 5\nZone: 10, Limit: 0"
    );
    assert!(
        bad(side, "set-zone-limit netdev zone=70000 5")
            .contains("zone=ZONE, with ZONE from 0 to 65535")
    );
    assert!(
        bad(side, "set-zone-limit netdev zone=1 -1")
            .contains("limit (-1) must be from 0 to 4294967295")
    );
    assert_eq!(
        bad(side, "del-zone-limit netdev zone=3"),
        "ovs-vsctl: zone_id 3 does not have a limit"
    );
    good(side, "--if-exists del-zone-limit netdev zone=3");
    // A zone's record stays as long as there is something in it.
    good(
        side,
        "add-zone-tp netdev zone=1 icmp_first=1 -- del-zone-limit netdev zone=1 -- del-zone-limit netdev 10",
    );
    assert_eq!(good(side, "list-zone-tp netdev"), "Zone:1, Timeout Policies: icmp_first=1");
    good(side, "del-zone-limit netdev default -- del-zone-tp netdev zone=1");
    assert_eq!(good(side, "list-zone-limits netdev -- list-zone-tp netdev -- list ct_zone"), "");
}

#[test]
fn show_can_be_narrowed() {
    if skip() {
        return;
    }
    let side = Side::with_our_schema();
    let side = &side;
    good(
        side,
        "add-br br0 -- add-port br0 vx0 -- set interface vx0 type=vxlan options:remote_ip=1.2.3.4 -- add-port br0 p0",
    );
    good(side, "add-br br1");
    let shown = good(side, "--filter=interface(vxlan) show");
    let shown: Vec<_> = shown.lines().map(str::trim).collect();
    let vxlan = [
        "UUID",
        "Bridge br0",
        "Port vx0",
        "Interface vx0",
        "type: vxlan",
        "options: {remote_ip=\"1.2.3.4\"}",
    ];
    assert_eq!(shown, vxlan);
    assert_eq!(good(side, "--filter=bridge(br1) show").matches("Bridge").count(), 1);
    assert!(
        bad(side, "--filter=bridge show")
            .contains("must be like interface(vxlan|geneve),bridge(br0)")
    );
}

#[test]
fn wrong_settings_stop_the_run_and_force_overrides() {
    if skip() {
        return;
    }
    let side = Side::with_our_schema();
    let side = &side;
    good(side, "add-br br0");
    let before = good(side, "show");
    for (wrong, right) in [
        ("add-port br0 v -- set interface v type=vxlan", "needs options:remote_ip"),
        ("add-port br0 v -- set interface v type=vxlann", "did you mean \"vxlan\"?"),
        (
            "add-port br0 v -- set interface v type=vxlan options:remote_ip=1.2.3",
            "a unicast IPv4 or IPv6 address",
        ),
        (
            "add-port br0 v -- set interface v type=vxlan options={remote_ip=1.2.3.4,key=16777216}",
            "from 0 to 16777215",
        ),
        (
            "add-port br0 v -- set interface v type=vxlan options:remote_ip=1.2.3.4 options:dst_port=70000",
            "1 to 65535",
        ),
        (
            "add-port br0 v -- set interface v type=vxlan options:remote_ip=1.2.3.4 options:tos=300",
            "multiple of 4",
        ),
        ("add-port br0 v -- set interface v type=patch", "needs options:peer"),
        (
            "add-port br0 v -- set interface v options:remote_ip=1.2.3.4",
            "means nothing for an interface of type system",
        ),
        ("add-port br0 v -- set interface v mtu_request=70000", "from 68 to 65535"),
        ("add-port br0 v -- set interface v mac=\"01:00:00:00:00:00\"", "neither multicast"),
        ("add-port br0 v tag=4096", "not in the valid range 0 to 4095"),
        ("add-port br0 v other_config:rstp-port-num=0", "from 1 to 4095"),
        ("set bridge br0 fail_mode=standalon", "not one of the allowed values"),
        ("set bridge br0 datapath_type=netdevv", "did you mean \"netdev\"?"),
        ("set bridge br0 other_config:hwaddr=zz", "an Ethernet address"),
        ("add bridge br0 other_config mac-table-size=0", "1 or more"),
        ("-- --id=@q create qos type=linux-htb other_config:max-rate=fast", "a whole number"),
    ] {
        let error = bad(side, wrong);
        assert!(error.contains(right), "{wrong}: {error}");
    }
    assert_eq!(good(side, "show"), before, "nothing of it is in the database");

    let forced = line(side, "--force set bridge br0 other_config:hwaddr=zz");
    assert_eq!(forced.code, Some(0));
    assert!(forced.stderr.ends_with("; set anyway"), "{}", forced.stderr);
    assert_eq!(good(side, "get bridge br0 other_config:hwaddr"), "zz");
    // What is wrong already does not stop other changes, and can be removed.
    good(side, "set bridge br0 other_config:mac-aging-time=60");
    good(side, "remove bridge br0 other_config hwaddr");
    // Other programs' keys.
    good(side, "set bridge br0 external_ids:ct-zone-x=1 other_config:ovn-x=2");
    let hinted = line(side, "set interface br0 external_ids:iface-idd=x");
    assert_eq!(hinted.code, Some(0));
    assert!(
        hinted.stderr.contains("hint: ") && hinted.stderr.contains("did you mean \"iface-id\"?"),
        "{}",
        hinted.stderr
    );
}

#[test]
fn many_at_once_lose_nothing() {
    if skip() {
        return;
    }
    let side = Side::with_our_schema();
    good(&side, "add-br br0");
    std::thread::scope(|scope| {
        for i in 0..24 {
            let side = &side;
            scope.spawn(move || {
                good(side, &format!("add-port br0 p{i}"));
                good(side, &format!("set bridge br0 external_ids:k{i}=v"));
                // All of them make the same bridge and the same port.
                good(side, "--may-exist add-br shared -- --may-exist add-port shared s0");
            });
        }
    });
    let ports: BTreeSet<_> = good(&side, "list-ports br0").lines().map(str::to_owned).collect();
    assert_eq!(ports, (0..24).map(|i| format!("p{i}")).collect());
    assert_eq!(good(&side, "get bridge br0 external_ids").matches("=v").count(), 24);
    assert_eq!(good(&side, "list-ports shared"), "s0");
}

#[test]
fn a_server_without_the_database_or_no_server_is_an_error() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let run = |db: &str| {
        let program = env!("CARGO_BIN_EXE_ovs-vsctl");
        let output = std::process::Command::new(program)
            .args([format!("--db={db}"), "list-br".into()])
            .output();
        let output = output.expect("the program starts");
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let missing = format!("unix:{}", dir.path().join("sock").display());
    assert_eq!(
        run(&missing),
        (
            Some(1),
            format!(
                "ovs-vsctl: {missing}: database connection failed (No such file or directory)\n"
            )
        )
    );
    assert_eq!(run("nonsense").0, Some(1));
}
