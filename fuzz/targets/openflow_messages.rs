//! Messages of every version: read, printed, written and read again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use openflow::text::message::{Verbosity, print, print_named};
use openflow::text::names::Names;
use openflow::wire::{decode, encode};
use openflow::{Port, Protocol, Protocols, Version};

fuzz_target!(|data: &[u8]| {
    // The first byte chooses the version; the header's length is made right, for else nothing else is looked at.
    let [version, rest @ ..] = data else { return };
    if rest.len() < 8 || rest.len() > usize::from(u16::MAX) {
        return;
    }
    let mut message = rest.to_vec();
    message[0] = version % 7;
    message[2..4].copy_from_slice(&(rest.len() as u16).to_be_bytes());
    let mut names = Names::default();
    names.add_port(Port(1), "eth0");
    names.add_port(Port::LOCAL, "br-int");
    names.add_table(1, "acl");
    print_named(&message, &names, Verbosity(5));
    let Ok((header, read)) = decode(&message) else { return };
    let Some(version) = Version::from_wire(header.version) else { return };
    let protocols = match version {
        Version::V10 => vec![Protocol::Of10Table, Protocol::NxmTable],
        version => Protocols::of_version(version).preferred().into_iter().collect(),
    };
    for protocol in protocols {
        let Ok(written) = encode(&read, protocol, header.xid) else { continue };
        print(&written, Verbosity(0));
        // What was read once, written and read again, is written in the same way.
        if let Ok((_, again)) = decode(&written) {
            let third = encode(&again, protocol, header.xid);
            assert_eq!(third.as_deref(), Ok(&written[..]), "{read:?}\n{again:?}");
        }
    }
});
