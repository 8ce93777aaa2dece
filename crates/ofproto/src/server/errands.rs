//! Threads for what takes time, so that the connections' thread never waits.

use std::io;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};

use stream::Waker;

use super::lock;
use crate::bridge::Errand;
use crate::peer::PeerId;

/// How many errands can be under way at once.
const THREADS: usize = 4;

/// An errand of a peer, and the answer that it gets when that is done.
pub(super) struct Order {
    pub(super) peer: PeerId,
    pub(super) errand: Errand,
    pub(super) reply: Option<Vec<u8>>,
}

/// The threads. They end when this does.
pub(super) struct Errands {
    orders: Sender<Order>,
    done: Receiver<(PeerId, Option<Vec<u8>>)>,
}

impl Errands {
    pub(super) fn start(waker: &Waker) -> io::Result<Errands> {
        let (orders, queue) = channel::<Order>();
        let queue = Arc::new(Mutex::new(queue));
        let (finished, done) = channel();
        for n in 0..THREADS {
            let (queue, finished, waker) = (queue.clone(), finished.clone(), waker.clone());
            let run = move || {
                loop {
                    let order = lock(&queue).recv();
                    let Ok(Order { peer, errand, reply }) = order else { break };
                    errand();
                    if finished.send((peer, reply)).is_err() {
                        break;
                    }
                    waker.wake();
                }
            };
            std::thread::Builder::new().name(format!("openflow-{n}")).spawn(run)?;
        }
        Ok(Errands { orders, done })
    }

    pub(super) fn order(&self, order: Order) {
        // The threads outlive this.
        let _ = self.orders.send(order);
    }

    /// Who need not wait any more, with what to answer.
    pub(super) fn done(&self) -> impl Iterator<Item = (PeerId, Option<Vec<u8>>)> {
        self.done.try_iter()
    }
}
