//! Advisory locks (RFC 7047 section 4.1.8): named, for the whole server, held by a session.

use std::collections::VecDeque;

use hashbrown::HashMap;

use super::SessionId;

/// Who waits for which lock.
#[derive(Debug, Default)]
pub(super) struct Locks {
    queues: HashMap<String, Queue>,
}

/// Who asked for a lock and has not given it up since. Never without anybody.
#[derive(Debug, Default)]
struct Queue {
    /// The first holds the lock.
    waiting: VecDeque<Waiter>,
    /// Robbed of a lock that they had stolen themselves: they must give it up before they may ask again, but wait no more.
    robbed: Vec<SessionId>,
}

#[derive(Clone, Copy, Debug)]
struct Waiter {
    session: SessionId,
    stole: bool,
}

impl Queue {
    fn place(&self, session: SessionId) -> Option<usize> {
        self.waiting.iter().position(|waiter| waiter.session == session)
    }

    fn knows(&self, session: SessionId) -> bool {
        self.place(session).is_some() || self.robbed.contains(&session)
    }

    fn holder(&self) -> Option<SessionId> {
        self.waiting.front().map(|waiter| waiter.session)
    }
}

/// What asking for a lock led to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Claim {
    /// The session has it now.
    Held {
        /// Who lost it.
        victim: Option<SessionId>,
    },
    /// The session will be told when it has it.
    Queued,
    /// The session has asked before.
    AlreadyAsked,
}

impl Locks {
    /// `session` asks for the lock `name`; with `steal`, it gets it.
    pub(super) fn claim(&mut self, name: &str, session: SessionId, steal: bool) -> Claim {
        let queue = self.queues.entry_ref(name).or_default();
        if queue.knows(session) {
            return Claim::AlreadyAsked;
        }
        let waiter = Waiter { session, stole: steal };
        if !steal {
            queue.waiting.push_back(waiter);
            let victim = None;
            return if queue.waiting.len() == 1 { Claim::Held { victim } } else { Claim::Queued };
        }
        // Who is robbed is the next to get the lock, but for thieves.
        let victim = queue.holder();
        if queue.waiting.front().is_some_and(|holder| holder.stole) {
            queue.waiting.pop_front();
            queue.robbed.extend(victim);
        }
        queue.waiting.push_front(waiter);
        Claim::Held { victim }
    }

    /// `session` gives up the lock or its place in the queue: `None` if it had none, else who holds the lock now if that
    /// has changed.
    pub(super) fn release(&mut self, name: &str, session: SessionId) -> Option<Option<SessionId>> {
        let queue = self.queues.get_mut(name)?;
        let at = queue.place(session);
        match at {
            Some(at) => drop(queue.waiting.remove(at)),
            None => {
                let at = queue.robbed.iter().position(|robbed| *robbed == session)?;
                queue.robbed.swap_remove(at);
            }
        }
        let heir = queue.holder().filter(|_| at == Some(0));
        if queue.waiting.is_empty() && queue.robbed.is_empty() {
            self.queues.remove(name);
        }
        Some(heir)
    }

    /// `session` is gone. Returns the locks that pass to others, and to whom.
    pub(super) fn release_all(&mut self, session: SessionId) -> Vec<(String, SessionId)> {
        let names: Vec<_> = self
            .queues
            .iter()
            .filter(|(_, queue)| queue.knows(session))
            .map(|(name, _)| name.clone())
            .collect();
        let heirs = names.into_iter().filter_map(|name| {
            let heir = self.release(&name, session)??;
            Some((name, heir))
        });
        heirs.collect()
    }

    /// True if `session` holds the lock.
    pub(super) fn is_held(&self, name: &str, session: SessionId) -> bool {
        self.queues.get(name).and_then(Queue::holder) == Some(session)
    }

    /// How many locks `session` holds or waits for.
    pub(super) fn count(&self, session: SessionId) -> usize {
        self.queues.values().filter(|queue| queue.knows(session)).count()
    }
}
