//! What controllers hear of packets, and packets that they send.

use std::sync::Arc;

use base::Instant;
use datapath::Miss;
use flow::{FlowKey, Metadata, RecircId};
use openflow::field::Prereq;
use openflow::field::prereq::whole_mask;
use openflow::message::PacketOut;
use openflow::message::continuation::Continuation;
use openflow::{Code, Field, Match, Port};
use packet::Packet;
use pipeline::{BridgeId, Event, Key, MatchKey, OfPort, Options, PacketIn, PortRef, Registers};
use xlate::{Frozen, Request, Translation, translate_packet_out};

use crate::flows::Delta;
use crate::state::State;
use crate::tally::Tally;
use crate::{Shared, lock};

impl Shared {
    /// A packet that a flow sends to controllers.
    pub(crate) fn tell_controllers(&self, state: &State, miss: &Miss, id: RecircId) {
        let Some(frozen) = state.frozens.get(id) else { return };
        let Some(message) = &frozen.message else { return };
        let bridge = state.snapshot.bridge(frozen.bridge).filter(|_| message.pause);
        let continuation = bridge.map(|bridge| frozen.to_continuation(bridge.uuid, &miss.key));
        let options = options(state, frozen.bridge);
        let packet = PacketIn {
            packet: miss.packet.bytes().to_vec(),
            reason: message.reason,
            table: frozen.table,
            cookie: frozen.cookie,
            controller: message.controller,
            max_len: message.max_len,
            metadata: metadata((&miss.key, &miss.options), &frozen, &options),
            userdata: message.userdata.clone(),
            continuation,
        };
        self.events.push(frozen.bridge, Event::PacketIn(Box::new(packet)));
    }

    /// Does what a controller wants done with a packet.
    pub(crate) fn packet_out(&self, bridge: BridgeId, request: &PacketOut) -> Result<(), Code> {
        self.send(|state, now| {
            let port = request.in_port();
            let received = received(state, bridge, &request.packet, &request.metadata, port);
            let Some(Received { packet, key, registers }) = received else { return Ok(None) };
            let (tables, asked) = (state.tables(), asked(&packet, &key, now));
            let actions = &request.actions;
            let t =
                translate_packet_out(&state.snapshot, &tables, bridge, registers, actions, &asked);
            Ok(Some((packet, key, t)))
        })
    }

    /// Lets a packet go on that a controller had been asked about; it may have changed the packet and what is known beside it.
    pub(crate) fn resume(
        &self,
        all: &Continuation,
        bytes: &[u8],
        metadata: &Match,
    ) -> Result<(), Code> {
        self.send(|state, now| {
            let bridge = all.bridge.and_then(|uuid| state.snapshot.bridge_by_uuid(uuid));
            let bridge = bridge.ok_or(Code::NXR_STALE)?.id;
            let port = openflow::message::packet_in::in_port(metadata);
            let received = received(state, bridge, bytes, metadata, port);
            let Some(Received { packet, mut key, registers }) = received else { return Ok(None) };
            // By a port that is no device's it came from another bridge, and into that by a device's.
            if key.in_port == flow::DpPort::NONE.0 {
                key.in_port = all.datapath_port.unwrap_or(key.in_port);
            }
            let frozen = Frozen::of_continuation(all, bridge, &Key { flow: key, registers });
            let asked = asked(&packet, &key, now);
            let t = xlate::translate_resumed(&state.snapshot, &state.tables(), &frozen, &asked);
            Ok(Some((packet, key, t)))
        })
    }

    /// Sends a packet on its way, as `made` says. As with packets that come in, that is a reader's affair unless it teaches
    /// something; then a writer begins again.
    fn send(
        &self,
        made: impl Fn(&State, Instant) -> Result<Option<(Packet, FlowKey, Translation)>, Code>,
    ) -> Result<(), Code> {
        let now = self.clock.now();
        let count = |packet: &Packet, key: &FlowKey| {
            let bytes = packet.bytes().len() as u64;
            Delta { packets: 1, bytes, tcp_flags: key.tcp_flags }
        };
        {
            let state = self.read();
            let Some((packet, key, t)) = made(&state, now)? else { return Ok(()) };
            let delta = count(&packet, &key);
            if !state.has_news(&t.uses, delta, now) && !state.has_effect(&t.effects, now) {
                let mut tally = Tally::default();
                self.count((&state, &mut tally), &t.uses, delta, now);
                tally.write(&state);
                self.inject(&state, packet, key, t, now);
                return Ok(());
            }
        }
        let mut state = self.write();
        if let Some((packet, key, mut t)) = made(&state, now)? {
            self.credit(&mut state, &t.uses, count(&packet, &key), now);
            self.apply(&mut state, std::mem::take(&mut t.effects), now);
            self.inject(&state, packet, key, t, now);
        }
        self.note_change(&mut state);
        Ok(())
    }

    fn inject(&self, state: &State, packet: Packet, key: FlowKey, t: Translation, now: Instant) {
        // The numbers of frozen states are in use while the packet is under way.
        lock(&state.held).hold(&t.uses, now);
        self.datapath.inject(packet, key, Some(Arc::from(t.actions)));
    }
}

/// A packet that a controller sends, as if it had come in.
struct Received {
    packet: Packet,
    key: FlowKey,
    registers: Registers,
}

/// Makes one of its bytes, what is known beside it, and the port that it is to have come in by. `None`: it is too short, or
/// `metadata` contradicts itself.
fn received(
    state: &State,
    bridge: BridgeId,
    bytes: &[u8],
    metadata: &Match,
    port: Port,
) -> Option<Received> {
    let options = options(state, bridge);
    let beside = MatchKey::new(metadata, &options)?.key;
    let known = FlowKey { in_port: dp_port(state, bridge, port), ..beside.flow };
    let packet = Packet::from_frame(bytes);
    let (key, _) = flow::extract(packet.bytes(), &Metadata::of(&known))?;
    Some(Received { packet, key, registers: beside.registers })
}

fn asked<'a>(packet: &'a Packet, key: &'a FlowKey, now: Instant) -> Request<'a> {
    Request {
        key,
        options: &[],
        packet: Some(packet.bytes()),
        now,
        want_trace: false,
        entered: None,
    }
}

/// The datapath's port that packets of a bridge's port come in by; none if packets have none.
fn dp_port(state: &State, bridge: BridgeId, port: Port) -> u32 {
    let at = PortRef { bridge, port: OfPort(port.0) };
    let own = state.snapshot.port(at).and_then(|(_, port)| port.kind.own_dp());
    own.unwrap_or(flow::DpPort::NONE).0
}

/// Which options of tunnels are fields in a bridge.
fn options(state: &State, bridge: BridgeId) -> Arc<Options> {
    state.programs.get(&bridge).map_or_else(Arc::default, |p| p.options().clone())
}

/// What is known beside a packet: what is not zero, the tunnel's options, and its port.
fn metadata((key, header): (&FlowKey, &[u8]), frozen: &Frozen, options: &Options) -> Match {
    let mut key = Key { flow: *key, registers: frozen.registers_of(options, header) };
    key.flow.tunnel = frozen.tunnel_of(&key.flow.tunnel);
    let mut m = Match::any();
    for field in Field::ALL {
        let row = field.row();
        let beside = matches!(row.prereq, Prereq::None | Prereq::Ct)
            && row.home.0 == *field
            && field.registers().is_none_or(|(_, count)| count == 1)
            && !matches!(
                field,
                Field::InPort
                    | Field::InPortOxm
                    | Field::PacketType
                    | Field::ActsetOutput
                    | Field::ConjId
                    | Field::DpHash
                    | Field::RecircId
                    | Field::SkbPriority
            );
        let value = key.get(*field);
        if beside && !value.is_zero() {
            m.set(*field, &value, &whole_mask(*field));
        }
    }
    for field in options.present(&key) {
        m.set(field, &options.get(&key, field), &field.ones());
    }
    m.set_exact(Field::InPort, frozen.registers.in_port);
    m
}
