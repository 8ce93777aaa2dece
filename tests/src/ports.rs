//! How bytes move through ports of the host: the switch chooses, the row's `status` says what it chose, a person may choose
//! otherwise.

use testbed::Host;

use crate::support::{OneBridge, ok, ours};

fn status(host: &Host, port: &str, key: &str) -> String {
    let value = ok(host.vsctl(&format!("--if-exists get interface {port} status:{key}")));
    value.trim().trim_matches('"').to_owned()
}

fn error(host: &Host, port: &str) -> String {
    ok(host.vsctl(&format!("get interface {port} error")))
}

#[test]
fn a_port_has_as_many_queues_as_it_is_asked_to_have() {
    if !ours() {
        return;
    }
    let net = OneBridge::build(2);
    let host = &net.host;
    // Unasked: one for each worker.
    ok(host.vsctl("set Open_vSwitch . other_config:pmd-cpu-mask=1"));
    ok(host.vsctl("del-port tap0 -- add-port br0 tap0"));
    assert_eq!(status(host, "tap0", "n_rxq"), "1");
    ok(host.vsctl("set interface tap0 options:n_rxq=3"));
    assert_eq!((status(host, "tap0", "n_rxq").as_str(), error(host, "tap0").trim()), ("3", "[]"));
    let queues = ok(host.appctl("dpif-netdev/pmd-rxq-show"));
    let of_tap0 = queues.lines().filter(|line| line.trim().starts_with("port: tap0 ")).count();
    assert_eq!(of_tap0, 3, "{queues}");
    net.assert_connected();
    ok(host.vsctl("add-port br0 own0 -- set interface own0 type=tap options:n_rxq=2"));
    assert_eq!(status(host, "own0", "n_rxq"), "2");
    assert_eq!(status(host, "own0", "io-path"), "tap");
    ok(host.vsctl("remove interface tap0 options n_rxq"));
    assert_eq!(status(host, "tap0", "n_rxq"), "1");
    net.assert_connected();
}

/// Each of a port's receiving sockets is served by the worker that it is pinned to.
#[test]
fn queues_of_one_port_can_be_pinned_apart() {
    if !ours() {
        return;
    }
    let net = OneBridge::build(2);
    let host = &net.host;
    ok(host.vsctl(
        "set Open_vSwitch . other_config:pmd-cpu-mask=0x3 \
         -- set interface tap0 options:n_rxq=2 -- set interface tap1 options:n_rxq=2",
    ));
    for pins in [[0, 1], [1, 0], [1, 1]] {
        let [first, second] = pins;
        ok(host.vsctl(&format!(
            "set interface tap0 other_config:pmd-rxq-affinity=\"0:{first},1:{second}\""
        )));
        let show = ok(host.appctl("dpif-netdev/pmd-rxq-show"));
        assert_eq!(served(&show, "tap0"), [(0, first), (1, second)], "{show}");
        net.assert_connected();
    }
    // Deals them out anew, as long as nobody says otherwise.
    ok(host.vsctl("remove interface tap0 other_config pmd-rxq-affinity"));
    let show = ok(host.appctl("dpif-netdev/pmd-rxq-show"));
    assert_eq!(served(&show, "tap0").len(), 2, "{show}");
    assert!(!show.contains("isolated : true"), "{show}");
    net.assert_connected();
}

/// The queues of a port that `pmd-rxq-show` names, each with the processor of its worker.
fn served(show: &str, port: &str) -> Vec<(u32, u32)> {
    let number = |word: Option<&str>| word.and_then(|w| w.trim_end_matches(':').parse().ok());
    let (mut core, mut all) = (0, Vec::new());
    for line in show.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        let behind = |key| words.iter().position(|w| *w == key).and_then(|at| words.get(at + 1));
        if let Some(id) = number(behind("core_id").copied()) {
            core = id;
        } else if behind("port:") == Some(&port) {
            all.extend(number(behind("queue-id:").copied()).map(|queue| (queue, core)));
        }
    }
    all.sort_unstable();
    all
}

#[test]
fn status_says_how_bytes_move_and_options_change_it() {
    if !ours() {
        return;
    }
    let net = OneBridge::build(2);
    let host = &net.host;
    assert_eq!(status(host, "tap0", "io-path"), "packet-socket");
    assert_eq!(status(host, "tap0", "tx-offload-in-use"), "checksum, tcp, udp, tunnel");
    for (way, in_use, tunnel) in [("udp", "checksum, tcp, udp", "udp"), ("off", "none", "segments")]
    {
        ok(host.vsctl(&format!("set interface tap0 options:tx-offload={way}")));
        assert_eq!(status(host, "tap0", "tx-offload-in-use"), in_use);
        assert_eq!(status(host, "tap0", "tunnel-path"), tunnel);
        net.assert_connected();
    }
    ok(host.vsctl("set interface br0 options:tx-offload=off"));
    assert_eq!(status(host, "br0", "tx-offload-in-use"), "none");
}

#[test]
fn a_choice_that_makes_no_sense_is_refused_and_changes_nothing() {
    if !ours() {
        return;
    }
    let net = OneBridge::build(2);
    let host = &net.host;
    for (port, option) in [
        ("tap0", "n_rxq=0"),
        ("tap0", "n_rxq=65"),
        ("tap0", "tx-offload=fast"),
        ("br0", "tx-offload=relay"),
    ] {
        let refused = ok(host.try_vsctl(&format!("set interface {port} options:{option}")));
        assert!(!refused.success(), "{option}: {refused:?}");
    }
    ok(host.vsctl("--force set interface tap0 options:tx-offload=fast"));
    let why = error(host, "tap0");
    assert!(
        why.contains("must be auto, relay, udp or off") && why.contains("stays as it was"),
        "{why}"
    );
    assert_eq!(status(host, "tap0", "io-path"), "packet-socket");
    net.assert_connected();
}
