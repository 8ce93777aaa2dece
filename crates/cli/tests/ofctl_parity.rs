//! Our `ovs-ofctl` and Debian's, side by side: the commands that need no switch print the same and end the same.
//!
//! What they know about flows and messages is compared in `openflow`'s own tests.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

const DEBIANS: &str = "/usr/bin/ovs-ofctl";

/// Exit code and standard output.
fn run(program: &str, args: &[&str], input: &str) -> (Option<i32>, String) {
    let mut child = Command::new(program)
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap_or_else(|e| panic!("{program} is needed here: {e}"));
    // A program that does not want its input may have gone.
    let _ = child.stdin.take().expect("a pipe").write_all(input.as_bytes());
    let output = child.wait_with_output().expect("an exit");
    (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned())
}

#[track_caller]
fn same(args: &[&str], input: &str) {
    assert!(Path::new(DEBIANS).exists(), "Debian's openvswitch-common is needed here");
    let theirs = run(DEBIANS, args, input);
    let ours = run(env!("CARGO_BIN_EXE_ovs-ofctl"), args, input);
    assert_eq!(ours, theirs, "{args:?} {input:?} (left: ours)");
}

#[test]
fn commands_do_what_debians_do() {
    let words: &[&[&str]] = &[
        &[],
        &["nope"],
        &["--nope"],
        &["parse-flow"],
        &["-O", "foo", "parse-flow", "actions=1"],
        &["-O", "OpenFlow13,OpenFlow15", "parse-flow", "in_port=1,actions=2,goto_table:3"],
        &["--protocols=OpenFlow14", "parse-flow", "tcp,actions=push_vlan:0x8100,output:2"],
        &["-F", "NXM+table_id", "parse-flow", "in_port=1,actions=2"],
        &["parse-flow", "actions=meter:1"],
        &["parse-flow", "table=3,tcp,tp_dst=80,actions=normal"],
        &["parse-flow", "foo=1,actions=2"],
        &["ofp-print", "0100000800000001"],
        &["ofp-print", "01 00 00 08 00 00 00 01", "5"],
        &["ofp-print", "01"],
        &["ofp-print", "01zz"],
        &["ofp-print", "010000080000000100"],
        &["ofp-print", "0100000900000001"],
        &["ofp-parse", "/nonexistent"],
        &["parse-key-value", "a=b,c=d", "a(b,c)", "a(b)->c,d", "a=(b,c),d", "x"],
        &["print-error", "OFPBRC_BAD_VERSION"],
        &["print-error", "NXBRC_NXM_INVALID"],
        &["print-error", "OFPBPC_BAD_EXP_TYPE"],
        &["print-error", "nope"],
        &["encode-error-reply", "OFPBRC_EPERM", "0102000800000001"],
        &["encode-error-reply", "NXBRC_NXM_INVALID", "0102000800000001"],
        &["encode-error-reply", "NXBRC_NXM_INVALID", "0602000800000001"],
        &["encode-error-reply", "OFPBRC_EPERM", "01"],
        &["encode-hello", "0x12"],
        &["encode-hello", "0x7e"],
        &["encode-hello", "2"],
        &["check-vlan", "b123", "ffff"],
        &["check-vlan", "1123", "1fff"],
        &["check-vlan", "0000", "ffff"],
        &["check-vlan", "1000", "1000"],
        &["check-vlan", "0", "0"],
        &["check-vlan", "3000", "f000"],
        &["check-vlan", "1000", "ffff"],
    ];
    for args in words {
        same(args, "");
    }
}

#[test]
fn what_comes_in_is_read_as_debians_reads_it() {
    same(
        &["parse-actions", "OpenFlow10"],
        "0000 0008 0001 0000\n# nothing\n\n0020 0008 0001 0000\n",
    );
    same(&["parse-actions", "OpenFlow13"], "0019 0010 80001604 01020304 00000000\n0000 0004\n");
    same(&["parse-actions", "OpenFlow15"], "0019 0010 00010108 00000001 00000001\n");
    same(
        &["parse-instructions", "OpenFlow13"],
        "0001 0008 03000000\n0005 0008 00000000 0001 0008 03000000\n0007 0008 00000000\n",
    );
    same(
        &["parse-nx-match"],
        "NXM_OF_IN_PORT(0001)\nNXM_OF_ETH_TYPE(0800), NXM_OF_IP_SRC_W(01020300/ffffff00)\n<any>\n\
         NXM_NX_REG0_W(00000001/00000003)\nNXM_OF_ETH_TYPE(0800), NXM_OF_ETH_TYPE(0800)\n",
    );
    same(&["--strict", "parse-nx-match"], "NXM_OF_IP_SRC(01020304)\nNXM_OF_IN_PORT(0001)\n");
    same(&["parse-oxm", "OpenFlow15"], "OXM_OF_ETH_TYPE(0800), OXM_OF_IP_PROTO(06)\n");
    same(&["parse-flows", "-"], "# two\n\nin_port=1,actions=2\ntcp,actions=drop # a port\n");
    same(&["parse-flows", "-"], "in_port=1,actions=2\nfoo,actions=3\n");
}

#[test]
fn groups_and_packets_are_what_debians_makes_of_them() {
    for version in ["OpenFlow10", "OpenFlow11", "OpenFlow13", "OpenFlow15"] {
        for group in [
            "group_id=1,type=all",
            "group_id=1,type=all,bucket=actions=1",
            "group_id=7,type=select,bucket=weight:5,output:2,bucket=weight:7,output:3",
            "group_id=7,type=ff,bucket=watch_port:1,output:1",
            "group_id=7,type=indirect,bucket=set_field:1->reg0,2",
            "add group_id=1,type=all",
            "type=all",
            "foo",
        ] {
            same(&["-O", version, "parse-group", group], "");
        }
    }
    for flow in [
        "tcp",
        "tcp,in_port=1,nw_src=1.2.3.4,nw_dst=5.6.7.8,nw_ttl=64,tp_src=5,tp_dst=80",
        "udp,dl_src=02:00:00:00:00:01,dl_dst=02:00:00:00:00:02,nw_tos=16,udp_dst=53",
        "udp,dl_vlan=5,dl_vlan_pcp=3,udp_dst=53",
        "icmp,icmp_type=8,nw_src=1.2.3.4",
        "sctp,sctp_src=1",
        "arp,arp_op=1,arp_spa=1.2.3.4,arp_tha=02:00:00:00:00:01",
        "ip",
        "ip,nw_proto=99",
        "udp6,ipv6_src=::1,udp_src=7",
        "tcp6,ipv6_dst=fe80::1,nw_ttl=9,ipv6_label=5",
        "icmp6,icmpv6_type=128",
        "dl_type=0x1234",
        "foo",
    ] {
        same(&["compose-packet", flow], "");
    }
    let tcp = "abcdefghijkl\x08\x00\x45\0\0\x28\0\0\0\0\x40\x06\0\0\x0a\0\0\x01\x0a\0\0\x02\0\x50\0\x51\
               \0\0\0\0\0\0\0\0\x50\x02\0\0\x12\x34\0\0";
    for packet in [tcp, &tcp[..40], &tcp[..14], &tcp[..13], ""] {
        same(&["parse-packet"], packet);
    }
}

#[test]
fn captures_are_read_as_debians_reads_them() {
    let dir = tempfile::tempdir().expect("a directory");
    let file = dir.path().join("x.pcap");
    let mut capture = Vec::new();
    capture.extend([0xd4, 0xc3, 0xb2, 0xa1, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    capture.extend([0xff, 0xff, 0, 0, 1, 0, 0, 0]);
    // A connection's beginning, and three messages in two segments.
    let hello = [4u8, 0, 0, 8, 0, 0, 0, 1];
    let features = [4u8, 5, 0, 8, 0, 0, 0, 2];
    let barrier = [4u8, 20, 0, 8, 0, 0, 0, 3];
    let stream = [hello, features, barrier].concat();
    for (seq, flags, payload) in
        [(99u32, 2u8, &[][..]), (100, 0x10, &stream[..12]), (112, 0x18, &stream[12..])]
    {
        let frame = segment(seq, flags, payload);
        capture.extend([0; 8]);
        capture.extend((frame.len() as u32).to_le_bytes());
        capture.extend((frame.len() as u32).to_le_bytes());
        capture.extend(frame);
    }
    std::fs::write(&file, capture).expect("a file");
    let file = file.display().to_string();
    same(&["ofp-parse-pcap", &file], "");
    same(&["parse-pcap", &file], "");
    same(&["parse-pcap", &file, &file], "");
    same(&["ofp-parse-pcap", &file, "1234"], "");
}

/// A TCP segment from 10.0.0.1:40000 to 10.0.0.2:6653.
fn segment(seq: u32, flags: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 8, 0];
    let len = (40 + payload.len()) as u16;
    frame.extend([0x45, 0]);
    frame.extend(len.to_be_bytes());
    frame.extend([0, 0, 0x40, 0, 64, 6, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2]);
    frame.extend(40000u16.to_be_bytes());
    frame.extend(6653u16.to_be_bytes());
    frame.extend(seq.to_be_bytes());
    frame.extend([0, 0, 0, 0, 0x50, flags, 0xff, 0xff, 0, 0, 0, 0]);
    frame.extend(payload);
    frame
}
