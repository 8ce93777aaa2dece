//! What a worker does when told.

use rustix::event::epoll::{self, EventData, EventFlags};

use super::{Queue, Worker};
use crate::drops::DropReason;
use crate::mailbox::{Command, NewPort};
use crate::stats::Stage;
use flow::DpPort;
use netdev::Received;
use packet::BATCH;

/// Batches that are looked for in a queue that is closed: more than any holds, but not without end.
const UNREAD: usize = 1024;

impl Worker {
    /// Carries out everything in the mailbox, in order.
    pub(super) fn obey(&mut self) {
        self.engine.meter.start();
        self.desk.mailbox.take(&mut self.commands);
        let (mut holds, mut swept) = (Vec::new(), false);
        // One by one: should one fail, the others are still there.
        while let Some(command) = self.commands.pop_front() {
            match command {
                Command::Put(flow) => self.engine.cache.put(flow),
                Command::Reclaim(hold) => holds.push(hold),
                Command::Remove(flow) => self.engine.cache.remove(&flow),
                Command::Sweep => self.engine.cache.sweep(),
                Command::AddPort(new) => self.add_port(*new),
                Command::AddTunnel(port, kind) => self.engine.exec.ports.add_tunnel(port, kind),
                Command::RemovePort(port, ticket) => {
                    self.remove_port(port);
                    drop(ticket);
                }
                Command::Release { queue, to, ticket } => self.leaving.push((queue, to, ticket)),
                Command::Adopt(queue) => {
                    // A flow that was removed before the other worker installed it, and that we have and have not been told to
                    // remove yet: packets of this queue that missed it there must not be overtaken by newer ones that meet it.
                    if !std::mem::replace(&mut swept, true) {
                        self.engine.cache.sweep();
                    }
                    self.adopt(queue);
                }
                Command::Run(run) => {
                    // They may be looked at again where it goes.
                    self.engine.exec.options.name(&run.options);
                    match run.actions {
                        Some(actions) => {
                            self.engine.run(run.packet, run.key, run.source, &actions);
                        }
                        None => self.engine.enter(run.packet, run.key, run.source),
                    }
                }
                Command::Open(openings) => self.tend(openings),
                Command::Barrier(ticket) => self.barriers.push(ticket),
                Command::Look => {}
                Command::Stop => self.stopping = true,
                #[cfg(test)]
                Command::Panic => panic!("told to"),
            }
        }
        if !holds.is_empty() {
            self.engine.reclaim();
        }
        self.engine.meter.mark(Stage::Command);
        self.engine.finish(self.shared.clock.now());
    }

    fn add_port(&mut self, new: NewPort) {
        self.engine.exec.ports.add_device(new.port, new.tx);
        new.rx.into_iter().for_each(|queue| self.adopt(Box::new(queue)));
    }

    /// Serves a queue from now on.
    fn adopt(&mut self, mut queue: Box<Queue>) {
        let free = self.queues.iter().position(Option::is_none);
        let index = free.unwrap_or_else(|| {
            self.queues.push(None);
            self.queues.len() - 1
        });
        let data = EventData::new_u64(index as u64);
        if let Err(error) = epoll::add(&self.epoll, queue.rx.fd(), data, EventFlags::IN) {
            log::error!("datapath port {}: cannot wait for packets: {error}", queue.port.0);
            return;
        }
        if queue.is_polled() {
            // Nobody has asked its sender for anything yet, or not for us.
            queue.make_ready(index, &mut self.turns);
        }
        self.queues[index] = Some(queue);
    }

    fn remove_port(&mut self, port: DpPort) {
        self.engine.finish(self.shared.clock.now());
        self.engine.exec.ports.remove(port);
        for index in 0..self.queues.len() {
            if self.queues[index].as_ref().is_some_and(|q| q.port == port)
                && let Some(mut queue) = self.forget(index)
            {
                self.write_off(&mut queue);
            }
        }
        self.engine.exec.buffers.pool.give_chunks_back();
    }

    /// Counts what waits in a queue that is about to be closed.
    fn write_off(&mut self, queue: &mut Queue) {
        if queue.rx.keeps_unread() {
            return;
        }
        let exec = &mut self.engine.exec;
        let mut unread = Vec::with_capacity(BATCH);
        for _ in 0..UNREAD {
            let received = queue.rx.recv(&mut exec.buffers.pool, BATCH, &mut unread);
            for packet in unread.drain(..) {
                exec.tally.count(DropReason::PortClosed);
                exec.buffers.put(packet.buf);
            }
            if !matches!(received, Ok(Received::More)) {
                break;
            }
        }
    }

    /// Lets go of a receive queue.
    pub(super) fn forget(&mut self, index: usize) -> Option<Box<Queue>> {
        let mut queue = self.queues.get_mut(index).and_then(Option::take)?;
        // The descriptor may be dead already; then it is not in the set either.
        let _ = epoll::delete(&self.epoll, queue.rx.fd());
        self.turns.forget(index);
        queue.is_served();
        self.tended.retain(|tended| !tended.opening.concerns(queue.port));
        Some(queue)
    }
}
