//! Wrong settings: `ovs-vsctl` refuses them before anything changes, and says what would be right.
//! What another client writes all the same shows in the row or the log, and breaks nothing that worked.

use std::time::Duration;

use testbed::{Output, wait};

use crate::support::{OneBridge, host_state, ok, ours, reference};

/// Where a wrong setting that came in by another client has to show.
enum Shows {
    /// In the `error` column of this Interface.
    Interface(&'static str),
    /// In the log of the switch, in one line with these words.
    Log(&'static str),
    /// Nowhere: the database's own constraints refuse it.
    Refused,
}

struct Wrong {
    /// The words after `ovs-vsctl`.
    command: &'static str,
    /// What the refusal has to mention: the culprit, and what would be right.
    says: &'static [&'static str],
    shows: Shows,
    /// What puts things right again after another client's success.
    cure: &'static str,
}

const fn wrong(
    command: &'static str,
    says: &'static [&'static str],
    shows: Shows,
    cure: &'static str,
) -> Wrong {
    Wrong { command, says, shows, cure }
}

const VXLAN: &str = "set interface vxlan0 type=vxlan options={remote_ip=10.1.1.1}";
const TAP: &str = "set interface tap0 type=\"\" options={}";

const WRONG: &[Wrong] = &[
    wrong("set interface vxlan0 options:kye=5", &["kye", "key"], Shows::Interface("vxlan0"), VXLAN),
    wrong(
        "set interface vxlan0 options:remote_cret=x",
        &["remote_cret"],
        Shows::Interface("vxlan0"),
        VXLAN,
    ),
    wrong(
        "set interface vxlan0 options:remote_ip=300.1.1.1",
        &["remote_ip", "300.1.1.1"],
        Shows::Interface("vxlan0"),
        VXLAN,
    ),
    wrong(
        "set interface vxlan0 options:key=16777216",
        &["key", "16777215"],
        Shows::Interface("vxlan0"),
        VXLAN,
    ),
    wrong(
        "set interface vxlan0 options:dst_port=70000",
        &["dst_port", "65535"],
        Shows::Interface("vxlan0"),
        VXLAN,
    ),
    wrong(
        "set interface vxlan0 options:ttl=300",
        &["ttl", "255"],
        Shows::Interface("vxlan0"),
        VXLAN,
    ),
    wrong(
        "set interface vxlan0 options:tos=999",
        &["tos", "999"],
        Shows::Interface("vxlan0"),
        VXLAN,
    ),
    wrong(
        "set interface vxlan0 options:df_default=maybe",
        &["df_default", "true", "false"],
        Shows::Interface("vxlan0"),
        VXLAN,
    ),
    wrong(
        "remove interface vxlan0 options remote_ip",
        &["remote_ip"],
        Shows::Interface("vxlan0"),
        VXLAN,
    ),
    wrong(
        "set interface vxlan0 type=vxlann",
        &["vxlann", "vxlan"],
        Shows::Interface("vxlan0"),
        VXLAN,
    ),
    wrong(
        "set interface tap0 options:remote_ip=10.1.1.1",
        &["remote_ip"],
        Shows::Interface("tap0"),
        TAP,
    ),
    wrong(
        "add-port br0 patch0 -- set interface patch0 type=patch",
        &["peer"],
        Shows::Interface("patch0"),
        "del-port patch0",
    ),
    wrong(
        "set bridge br0 datapath_type=netdevv",
        &["netdevv", "netdev"],
        Shows::Log("netdevv"),
        "set bridge br0 datapath_type=netdev",
    ),
    wrong(
        "set bridge br0 other_config:hwaddr=zz:00:00:00:00:01",
        &["hwaddr", "zz:00:00:00:00:01"],
        Shows::Log("hwaddr"),
        "remove bridge br0 other_config hwaddr",
    ),
    wrong(
        "set bridge br0 other_config:mac-aging-time=soon",
        &["mac-aging-time", "soon"],
        Shows::Log("mac-aging-time"),
        "remove bridge br0 other_config mac-aging-time",
    ),
    wrong("set bridge br0 fail_mode=standaloen", &["standaloen", "standalone"], Shows::Refused, ""),
    wrong("set port tap0 tag=5000", &["5000", "4095"], Shows::Refused, ""),
    wrong("set port tap0 vlan_mode=acess", &["acess", "access"], Shows::Refused, ""),
    wrong(
        "set interface tap0 mtu_request=20",
        &["mtu_request", "20"],
        Shows::Log("could not set the MTU to 20"),
        "clear interface tap0 mtu_request",
    ),
    wrong(
        "set interface tap0 options:n_rxq=0",
        &["n_rxq", "from 1 to 64"],
        Shows::Interface("tap0"),
        TAP,
    ),
    wrong(
        "set interface tap0 options:tx-offload=fast",
        &["tx-offload", "auto"],
        Shows::Interface("tap0"),
        TAP,
    ),
    wrong(
        "set interface tap0 type=afxdp options:xdp-mode=fast",
        &["xdp-mode", "best-effort"],
        Shows::Interface("tap0"),
        TAP,
    ),
    wrong(
        "set interface tap0 type=afxdp options:use-need-wakeup=maybe",
        &["use-need-wakeup", "true"],
        Shows::Interface("tap0"),
        TAP,
    ),
    wrong(
        "add-port br0 vm0 -- set interface vm0 type=dpdkvhostuserclient",
        &["vhost-server-path"],
        Shows::Interface("vm0"),
        "del-port vm0",
    ),
    wrong(
        "add-port br0 vm1 -- set interface vm1 type=dpdkvhostuser options:tx-retries-max=33",
        &["tx-retries-max", "from 0 to 32"],
        Shows::Interface("vm1"),
        "del-port vm1",
    ),
    wrong(
        "set interface tap0 other_config:pmd-rxq-affinity=first",
        &["pmd-rxq-affinity", "first"],
        Shows::Log("pmd-rxq-affinity"),
        "remove interface tap0 other_config pmd-rxq-affinity",
    ),
    wrong(
        "set Open_vSwitch . other_config:pmd-cpu-mask=all",
        &["pmd-cpu-mask", "all"],
        Shows::Log("pmd-cpu-mask"),
        "remove Open_vSwitch . other_config pmd-cpu-mask",
    ),
    wrong(
        "set Open_vSwitch . other_config:pmd-rxq-assign=random",
        &["pmd-rxq-assign", "roundrobin"],
        Shows::Log("pmd-rxq-assign"),
        "remove Open_vSwitch . other_config pmd-rxq-assign",
    ),
    wrong(
        "set Open_vSwitch . other_config:pmd-auto-lb-load-threshold=101",
        &["pmd-auto-lb-load-threshold", "100"],
        Shows::Log("pmd-auto-lb-load-threshold"),
        "remove Open_vSwitch . other_config pmd-auto-lb-load-threshold",
    ),
    wrong(
        "set Open_vSwitch . other_config:vhost-sock-dir=../elsewhere",
        &["vhost-sock-dir"],
        Shows::Log("vhost-sock-dir"),
        "remove Open_vSwitch . other_config vhost-sock-dir",
    ),
    wrong("set interface tap0 ofport_request=70000", &["70000", "65279"], Shows::Refused, ""),
];

fn bridge() -> OneBridge {
    let net = OneBridge::build(2);
    ok(net.host.vsctl(&format!("add-port br0 vxlan0 -- {VXLAN}")));
    net
}

/// Everything that people configure, in one text.
fn configuration(net: &OneBridge) -> String {
    let columns = [
        ("Bridge", "name,datapath_type,fail_mode,other_config,ports"),
        ("Port", "name,tag,vlan_mode,other_config,interfaces"),
        ("Interface", "name,type,options,mtu_request,ofport_request,other_config"),
    ];
    let list = |(table, columns)| ok(net.host.vsctl(&format!("--columns={columns} list {table}")));
    columns.map(list).concat()
}

#[test]
fn vsctl_refuses_each_wrong_setting_and_says_what_is_right() {
    if !ours() {
        return; // The reference accepts most of them.
    }
    let net = bridge();
    let before = configuration(&net);
    let mut complaints = Vec::new();
    for wrong in WRONG {
        let Output { code, stdout, stderr } = ok(net.host.try_vsctl(wrong.command));
        let silent: Vec<_> = wrong.says.iter().filter(|word| !stderr.contains(*word)).collect();
        if code != Some(1) || !silent.is_empty() {
            complaints.push(format!(
                "{}: code {code:?}, does not mention {silent:?} in: {stdout}{stderr}",
                wrong.command
            ));
        }
        if configuration(&net) != before {
            complaints.push(format!("{}: has changed the configuration", wrong.command));
            ok(net.host.shell(&format!("ovs-vsctl --force {}", wrong.cure)).output());
        }
    }
    assert!(complaints.is_empty(), "{}", complaints.join("\n"));
    net.assert_connected();
}

#[test]
fn what_other_clients_get_wrong_shows_and_breaks_nothing() {
    if !ours() {
        return;
    }
    let net = bridge();
    let mut complaints = Vec::new();
    for wrong in WRONG {
        if let Err(complaint) = by_another_client(&net, wrong) {
            complaints.push(format!("{}: {complaint}", wrong.command));
        }
        if let Err(e) = net.connected() {
            complaints.push(format!(
                "{}: then the guests could not reach each other: {e}",
                wrong.command
            ));
        }
    }
    assert!(complaints.is_empty(), "{}\n{}", complaints.join("\n"), host_state(&net.host));
}

fn by_another_client(net: &OneBridge, wrong: &Wrong) -> Result<(), String> {
    let foreign = |line: &str| {
        let words = ["--no-wait"].into_iter().chain(line.split_whitespace());
        ok(ok(net.host.foreign(&reference(), "ovs-vsctl", words)).output())
    };
    let log_before = net.host.switch_log().len();
    let output = foreign(wrong.command);
    let patience = Duration::from_secs(3);
    let result = match wrong.shows {
        Shows::Refused if output.success() => Err("the database took it".to_owned()),
        Shows::Refused => return Ok(()),
        _ if !output.success() => Err(format!("the database refused it: {}", output.stderr)),
        Shows::Interface(name) => wait::until("an error in the row", patience, || {
            let error = ok(net.host.vsctl(&format!("get interface {name} error")));
            wrong.says.iter().any(|word| error.contains(word)).then_some(())
        })
        .map_err(|e| {
            format!("{e}: {}", ok(net.host.vsctl(&format!("get interface {name} error"))))
        }),
        Shows::Log(words) => {
            let said = || net.host.switch_log().get(log_before..).unwrap_or("").to_owned();
            let mentions = |log: &str| log.lines().filter(|l| l.contains(words)).count();
            wait::until("a line in the log", patience, || (mentions(&said()) > 0).then_some(()))
                .map_err(|e| e.to_string())
                .and_then(|()| {
                    // Later changes that have nothing to do with it do not bring it up again.
                    for i in 0..3 {
                        ok(net.host.vsctl(&format!("set bridge br0 external_ids:round={i}")));
                    }
                    let count = mentions(&said());
                    if count == 1 {
                        Ok(())
                    } else {
                        Err(format!("{count} lines in the log, not one"))
                    }
                })
        }
    };
    foreign(wrong.cure);
    ok(net.host.vsctl("set bridge br0 external_ids:cured=yes"));
    if let Shows::Interface(name @ ("vxlan0" | "tap0")) = wrong.shows {
        let error = ok(net.host.vsctl(&format!("get interface {name} error")));
        if error.trim() != "[]" {
            return Err(format!("the error stays after the cure: {error}"));
        }
    }
    result
}

/// A wrong datapath type takes nothing down.
#[test]
fn a_wrong_datapath_type_leaves_the_bridge_running() {
    if !ours() {
        return; // The reference tears the bridge down.
    }
    let net = bridge();
    let ports = ok(net.host.appctl("dpif/show"));
    let refused = ok(net.host.try_vsctl("set bridge br0 datapath_type=netdevv"));
    assert_eq!(refused.code, Some(1), "{refused:?}");
    let forced = ["--no-wait", "set", "bridge", "br0", "datapath_type=netdevv"];
    ok(ok(net.host.foreign(&reference(), "ovs-vsctl", forced)).ok());
    // The switch has seen it when it has seen what came after it.
    ok(net.host.vsctl("set bridge br0 external_ids:seen=yes"));
    net.assert_connected();
    let names = |text: &str| -> Vec<String> {
        text.lines().filter_map(|l| l.split_whitespace().next().map(str::to_owned)).collect()
    };
    assert_eq!(names(&ok(net.host.appctl("dpif/show")))[1..], names(&ports)[1..]);
}

/// Unknown keys of `other_config` are other programs' business; near misses get a hint.
#[test]
fn near_misses_in_other_config_pass_with_a_hint() {
    if !ours() {
        return;
    }
    let net = bridge();
    let near = ok(net.host.try_vsctl("set bridge br0 other_config:mac-agin-time=60"));
    assert!(near.success() && near.stderr.contains("mac-aging-time"), "{near:?}");
    let far = ok(net.host.try_vsctl("set bridge br0 other_config:neutron-thing=60"));
    assert!(far.success() && far.stderr.is_empty(), "{far:?}");
    let forced = ok(net.host.try_vsctl("--force set interface vxlan0 options:kye=5"));
    assert!(forced.success(), "{forced:?}");
    assert_eq!(ok(net.host.vsctl("get interface vxlan0 options:kye")), "\"5\"\n");
}
