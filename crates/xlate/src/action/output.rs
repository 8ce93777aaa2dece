//! Sending a packet to a port, or to one of the numbers that mean more than a port.

use flow::Action as Datapath;
use openflow::{Port as OpenFlowPort, Subfield};
use pipeline::{OfPort, PortRef};

use crate::run::{Entry, Next, Run};
use crate::trace::Kind;
use crate::walk::Walk;

impl<'a> Walk<'a> {
    pub(crate) fn output_action(
        &mut self,
        run: &mut Run<'a>,
        port: OpenFlowPort,
        max_len: u16,
    ) -> Next {
        match port {
            OpenFlowPort::IN_PORT => {
                let own = OpenFlowPort(run.packet.key.registers.in_port);
                self.output_to(run, own);
            }
            OpenFlowPort::TABLE => return Next::Table(Entry::of(0)),
            OpenFlowPort::NORMAL => self.normal_action(run),
            OpenFlowPort::FLOOD => self.output_all(run, false),
            OpenFlowPort::ALL => self.output_all(run, true),
            OpenFlowPort::CONTROLLER => return self.controller_port(run, max_len),
            OpenFlowPort::NONE => {}
            _ if port.0 == run.packet.key.registers.in_port => {
                self.note(Kind::Warning, || "skipping output to input port".into());
                self.give_up(flow::DropCause::Hairpin);
            }
            _ => self.output_to(run, port),
        }
        Next::Step
    }

    /// The packet leaves by this port, even if it is where it came from.
    fn output_to(&mut self, run: &Run<'a>, port: OpenFlowPort) {
        let ofport = OfPort(port.0);
        match run.bridge.port(ofport) {
            Some(to) => {
                self.output(PortRef { bridge: run.bridge.id, port: ofport }, to, &run.packet);
            }
            None => self.note(Kind::Warning, || "Nonexistent output port".into()),
        }
    }

    fn normal_action(&mut self, run: &Run<'a>) {
        let port = OpenFlowPort(run.packet.key.registers.in_port);
        match run.from() {
            None if !matches!(port, OpenFlowPort::NONE | OpenFlowPort::CONTROLLER) => {
                self.mask.0.eth_src = [u8::MAX; 6];
                self.mask.0.eth_dst = [u8::MAX; 6];
                self.note(Kind::Error, || format!("received packet on unknown port {}", port.0));
                self.note(Kind::Warning, || "no input bundle, dropping".into());
            }
            from => self.normal(run.bridge, from, run.packet),
        }
    }

    /// To all ports but the one that the packet came in by; `all`, even to those that are left out of floods.
    fn output_all(&mut self, run: &Run<'a>, all: bool) {
        for to in run.bridge.flood_ports() {
            let is_own = to.ofport.0 == run.packet.key.registers.in_port;
            if !is_own && (all || !to.config.no_flood) {
                let at = PortRef { bridge: run.bridge.id, port: to.ofport };
                self.output(at, to, &run.packet);
            }
        }
    }

    /// To the port whose number a field holds.
    pub(crate) fn output_reg(&mut self, run: &mut Run<'a>, src: Subfield, max_len: u16) -> Next {
        let number = self.read(run, src);
        self.note(Kind::Detail, || format!("output port is {number}"));
        match u32::try_from(number).ok().and_then(OpenFlowPort::from_wire32) {
            Some(port) => self.output_action(run, port, max_len),
            None if number <= u128::from(u16::MAX) => {
                self.output_action(run, OpenFlowPort(number as u16), max_len)
            }
            None => Next::Step,
        }
    }

    /// No more than so many bytes of it.
    pub(crate) fn output_trunc(&mut self, run: &mut Run<'a>, port: OpenFlowPort, max_len: u32) {
        let before = self.actions.len();
        self.output_action(run, port, 0);
        // What is sent is the last thing done; all before it only makes the packet so. It is cut when it is sent.
        if self.actions.len() > before && matches!(self.actions.last(), Some(Datapath::Output(_))) {
            self.actions.insert(before, Datapath::Trunc(max_len));
        }
    }

    pub(crate) fn enqueue(&mut self, run: &mut Run<'a>, port: OpenFlowPort, queue: u32) -> Next {
        let before = run.packet.key.flow.skb_priority;
        self.set_queue(run, queue);
        let port = match port {
            OpenFlowPort::IN_PORT => OpenFlowPort(run.packet.key.registers.in_port),
            port => port,
        };
        let next = self.output_action(run, port, 0);
        run.packet.key.flow.skb_priority = before;
        next
    }

    /// Devices know queues by priorities of the same number.
    pub(crate) fn set_queue(&mut self, run: &mut Run<'a>, queue: u32) {
        self.mask.0.skb_priority = u32::MAX;
        run.packet.key.flow.skb_priority = queue;
    }

    pub(crate) fn pop_queue(&mut self, run: &mut Run<'a>) {
        self.mask.0.skb_priority = u32::MAX;
        let queue = self.received.skb_priority;
        if run.packet.key.flow.skb_priority != queue {
            run.packet.key.flow.skb_priority = queue;
            self.say(|| format!("queue = {}", base_hex(queue)));
        }
    }
}

fn base_hex(n: u32) -> String {
    if n == 0 { "0".into() } else { format!("{n:#x}") }
}
