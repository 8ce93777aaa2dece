//! The smallest switch: two devices back to back.
#![allow(dead_code, unreachable_pub, missing_docs)] // each user takes what it needs

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::thread::JoinHandle;

use netdev::{Device, Pool, Received, RxQueue, TxQueue};
use packet::{BATCH, Packet};
use rustix::event::{EventfdFlags, PollFd, PollFlags, eventfd, poll};

/// What passed in one direction.
#[derive(Clone, Copy, Debug, Default)]
pub struct Passed {
    pub packets: u64,
    pub bytes: u64,
    pub super_packets: u64,
    pub longest: usize,
    pub calls: u64,
}

/// Why forwarding ended.
pub struct Report {
    /// From the first device to the second, and back.
    pub passed: [Passed; 2],
    /// The receiving error that ended it, if it was not asked to end.
    pub error: Option<io::Error>,
}

/// A thread that forwards between two devices until told to stop or a device is gone.
pub struct Forwarder {
    stop: Arc<OwnedFd>,
    thread: JoinHandle<Report>,
}

impl Forwarder {
    pub fn start(a: Arc<dyn Device>, b: Arc<dyn Device>) -> Self {
        let stop = Arc::new(eventfd(0, EventfdFlags::CLOEXEC).unwrap());
        let stopped = stop.clone();
        let mut roads = [Road::new(&*a, &*b), Road::new(&*b, &*a)];
        let thread = std::thread::spawn(move || {
            let error = forward(&mut roads, &stopped).err();
            Report { passed: roads.map(|road| road.passed), error }
        });
        Self { stop, thread }
    }

    /// Stops and tells what passed.
    pub fn stop(self) -> Report {
        rustix::io::write(&self.stop, &1u64.to_ne_bytes()).unwrap();
        self.join()
    }

    /// Waits until it ends by itself.
    pub fn join(self) -> Report {
        self.thread.join().unwrap()
    }
}

struct Road {
    rx: Box<dyn RxQueue>,
    tx: Box<dyn TxQueue>,
    pool: Pool,
    batch: Vec<Packet>,
    passed: Passed,
}

fn forward(roads: &mut [Road; 2], stop: &OwnedFd) -> io::Result<()> {
    loop {
        let mut fds = [roads[0].rx.fd(), roads[1].rx.fd(), stop.as_fd()]
            .map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN));
        poll(&mut fds, None)?;
        let ready = fds.map(|fd| !fd.revents().is_empty());
        if ready[2] {
            return Ok(());
        }
        for (road, ready) in roads.iter_mut().zip(ready) {
            // A few rounds, so that neither direction starves the other.
            for _ in 0..if ready { 4 } else { 0 } {
                if road.turn()? == Received::Drained {
                    break;
                }
            }
        }
    }
}

impl Road {
    fn new(from: &dyn Device, to: &dyn Device) -> Self {
        let rx = from.take_rx_queues().pop().unwrap();
        let tx = to.tx_queue().unwrap();
        Self {
            rx,
            tx,
            pool: Pool::default(),
            batch: Vec::with_capacity(BATCH),
            passed: Passed::default(),
        }
    }

    fn turn(&mut self) -> io::Result<Received> {
        let received = self.rx.recv(&mut self.pool, BATCH, &mut self.batch)?;
        self.passed.calls += 1;
        for packet in &self.batch {
            self.passed.packets += 1;
            self.passed.bytes += packet.buf.len() as u64;
            self.passed.super_packets += u64::from(packet.offload.gso.is_some());
            self.passed.longest = self.passed.longest.max(packet.buf.len());
        }
        self.tx.send(&mut self.pool, &mut self.batch);
        Ok(received)
    }
}
