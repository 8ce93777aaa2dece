//! Who the switch is, how it is set up, and how a connection is set up.

use openflow::error::Code;
use openflow::message::Message;
use openflow::message::controller::{AsyncConfig, AsyncForm, RoleStatus};
use openflow::message::packet_in::PacketInForm;
use openflow::message::switch::{
    CAPABILITY_GROUP_STATS, Config, Features, Fragments, Role, RoleMessage,
};
use openflow::message::tlv::TlvTableMod;
use openflow::{Protocol, Version};
use pipeline::TABLES;

use super::{Outcome, answer};
use crate::bridge::{Bridge, Request, Step};
use crate::peer::{Kind, MISS_SEND_LEN, Unasked};
use crate::switch::with_program;

/// Flows, tables, ports, queues, groups, ARP addresses, bundles.
const CAPABILITIES: u32 = 0b111 | CAPABILITY_GROUP_STATS | 1 << 6 | 1 << 7 | 1 << 9;
/// All twelve actions of OpenFlow 1.0.
const ACTIONS10: u32 = 0xfff;

pub(super) fn features(bridge: &mut Bridge, request: &Request) -> Outcome {
    let mut features = Features {
        datapath_id: bridge.settings.datapath_id,
        buffers: 0,
        tables: TABLES,
        auxiliary_id: 0,
        capabilities: CAPABILITIES,
        actions: ACTIONS10,
        ports: bridge.settings.ports.clone(),
    };
    // Where the message carries ports it can carry so many; the rest can be asked for.
    let version = bridge.peer(request.from).map_or(Version::V15, |p| p.version());
    features.ports.truncate(if version == Version::V10 { 1364 } else { 1023 });
    answer(bridge, request, &Message::FeaturesReply(features))
}

pub(super) fn desc(bridge: &mut Bridge, request: &Request) -> Outcome {
    let desc = bridge.settings.desc.clone();
    answer(bridge, request, &Message::DescReply(Box::new(desc)))
}

pub(super) fn get(bridge: &mut Bridge, request: &Request) -> Outcome {
    let peer = bridge.peer(request.from).ok_or(Code::OFPBRC_EPERM)?;
    let config = Config {
        fragments: with_program(&*bridge.switch, |program, _| program.fragments())
            .unwrap_or_default(),
        invalid_ttl_to_controller: Some(peer.invalid_ttl),
        miss_send_len: peer.miss_send_len,
    };
    answer(bridge, request, &Message::GetConfigReply(config))
}

pub(super) fn set(bridge: &mut Bridge, request: &Request, wanted: Config) -> Outcome {
    let peer = bridge.peers.get_mut(&request.from).ok_or(Code::OFPBRC_EPERM)?;
    if let Some(send) = wanted.invalid_ttl_to_controller {
        peer.invalid_ttl = send;
    }
    peer.miss_send_len = wanted.miss_send_len;
    // The rest is the whole switch's, and a secondary has no say in it.
    let possible = wanted.fragments != Fragments::Reassemble;
    if !peer.is_secondary() && possible {
        with_program(&*bridge.switch, |program, _| program.set_fragments(wanted.fragments));
    }
    Ok(Step::Done)
}

/// Another became primary.
const PRIMARY_REQUEST: u8 = 0;

/// Gives a peer the role that it asks for (OpenFlow 1.3, 6.3.5). There is one primary: who was it becomes secondary.
pub(super) fn role(bridge: &mut Bridge, request: &Request, wanted: RoleMessage) -> Outcome {
    let elected = matches!(wanted.role, Role::Primary | Role::Secondary);
    if let Some(generation) = wanted.generation.filter(|_| elected) {
        // Numbers wrap around: the sign of the distance tells which is later.
        let is_stale = |last: u64| (generation.wrapping_sub(last) as i64) < 0;
        if bridge.generation.is_some_and(is_stale) {
            return Err(Code::OFPRRFC_STALE);
        }
        bridge.generation = Some(generation);
    }
    if wanted.role == Role::Primary {
        let mut demoted = Vec::new();
        for (id, peer) in &mut bridge.peers {
            if *id != request.from && peer.role == Role::Primary {
                // What it wants to hear of as a primary decides whether it hears of this.
                if peer.hears(Unasked::RoleStatus, PRIMARY_REQUEST) {
                    demoted.push(*id);
                }
                peer.role = Role::Secondary;
            }
        }
        for id in demoted {
            let status = RoleStatus {
                role: Role::Secondary,
                reason: PRIMARY_REQUEST,
                generation: bridge.generation,
            };
            bridge.send(id, 0, &Message::RoleStatus(status));
        }
    }
    let peer = bridge.peers.get_mut(&request.from).ok_or(Code::OFPBRC_EPERM)?;
    if wanted.role != Role::NoChange {
        peer.role = wanted.role;
        peer.short_id = wanted.short_id.unwrap_or(peer.short_id);
    }
    let given = RoleMessage {
        role: peer.role,
        generation: if wanted.nicira { None } else { bridge.generation.or(Some(u64::MAX)) },
        short_id: Some(peer.short_id).filter(|id| *id != 0),
        nicira: wanted.nicira,
    };
    let answered = answer(bridge, request, &Message::RoleReply(given));
    bridge.tell_controllers();
    answered
}

/// OpenFlow 1.0 has four protocols; these two messages choose among them.
pub(super) fn flow_mod_table_id(bridge: &mut Bridge, request: &Request, on: bool) -> Outcome {
    choose(bridge, request, |nxm, _| (nxm, on))
}

pub(super) fn flow_format(bridge: &mut Bridge, request: &Request, nxm: bool) -> Outcome {
    choose(bridge, request, |_, table| (nxm, table))
}

fn choose(
    bridge: &mut Bridge,
    request: &Request,
    choice: impl Fn(bool, bool) -> (bool, bool),
) -> Outcome {
    let peer = bridge.peers.get_mut(&request.from).ok_or(Code::OFPBRC_EPERM)?;
    if peer.version() == Version::V10 {
        peer.protocol = match choice(peer.protocol.is_nxm(), peer.protocol.has_table()) {
            (false, false) => Protocol::Of10,
            (false, true) => Protocol::Of10Table,
            (true, false) => Protocol::Nxm,
            (true, true) => Protocol::NxmTable,
        };
    }
    Ok(Step::Done)
}

pub(super) fn packet_in_form(
    bridge: &mut Bridge,
    request: &Request,
    form: PacketInForm,
) -> Outcome {
    bridge.peers.get_mut(&request.from).ok_or(Code::OFPBRC_EPERM)?.form = form;
    Ok(Step::Done)
}

pub(super) fn controller_id(bridge: &mut Bridge, request: &Request, id: u16) -> Outcome {
    bridge.peers.get_mut(&request.from).ok_or(Code::OFPBRC_EPERM)?.controller_id = id;
    bridge.settle_misses();
    Ok(Step::Done)
}

pub(super) fn get_async(bridge: &mut Bridge, request: &Request) -> Outcome {
    let wants = bridge.peer(request.from).ok_or(Code::OFPBRC_EPERM)?.wants;
    let config = AsyncConfig {
        primary: wants.primary.map(Some),
        secondary: wants.secondary.map(Some),
        form: AsyncForm::Standard,
    };
    answer(bridge, request, &Message::GetAsyncReply(config))
}

pub(super) fn set_async(bridge: &mut Bridge, request: &Request, wanted: &AsyncConfig) -> Outcome {
    let peer = bridge.peers.get_mut(&request.from).ok_or(Code::OFPBRC_EPERM)?;
    let sides = [
        (&mut peer.wants.primary, &wanted.primary),
        (&mut peer.wants.secondary, &wanted.secondary),
    ];
    for (has, wants) in sides {
        for (has, wants) in has.iter_mut().zip(wants) {
            *has = wants.unwrap_or(*has);
        }
    }
    // Who says what it wants to hear of wants to hear of something.
    if peer.kind == Kind::Service && peer.miss_send_len == 0 {
        peer.miss_send_len = MISS_SEND_LEN;
    }
    Ok(Step::Done)
}

pub(super) fn tlv_table(bridge: &mut Bridge, request: &Request) -> Outcome {
    let table = bridge.options.table();
    answer(bridge, request, &Message::TlvTableReply(table))
}

pub(super) fn change_tlv_table(bridge: &mut Bridge, change: &TlvTableMod) -> Outcome {
    let options = with_program(&*bridge.switch, |program, _| {
        program.tlv_mod(change)?;
        Ok::<_, Code>(program.options().clone())
    });
    bridge.options = options.ok_or(Code::OFPBRC_EPERM)??;
    Ok(Step::Done)
}
