//! Memory of AF_XDP sockets, and who has which piece of it.
//!
//! [`Memory`] is cut into chunks. A chunk is in one of these places, and only moves between them:
//!
//! | place | type |
//! |---|---|
//! | nobody has it | a number in the depot of [`Memory`] |
//! | we have it: a packet, or kept at hand for one | [`Chunk`], which cannot be copied |
//! | the kernel has it, by a ring of one half of a socket | a bit in that half's [`Lent`], made of a `Chunk` and worth one |
//! | a socket ended with it, and the kernel may still use it | a number in `stranded` |
//!
//! So no chunk can be in two rings, or in a ring and a packet, whatever the kernel writes into descriptors.

use std::io;
use std::ptr::NonNull;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::FRAME;
use crate::block::Block;
use crate::mapping::Mapping;

/// Memory that sockets share.
pub(crate) struct Memory {
    map: Mapping,
    kept: Mutex<Kept>,
}

/// The chunks that nobody can use now.
#[derive(Default)]
struct Kept {
    /// Free ones.
    depot: Vec<u32>,
    stranded: Vec<Stranded>,
}

/// Chunks with which a socket ended.
struct Stranded {
    place: Place,
    chunks: Vec<u32>,
}

/// A hardware queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) ifindex: u32,
    pub(super) queue: u32,
}

impl Memory {
    /// `chunks` of them, all free.
    pub(super) fn new(chunks: u32) -> io::Result<Arc<Self>> {
        let map = Mapping::anonymous(chunks as usize * FRAME)?;
        map.advise_huge();
        let kept = Kept { depot: (0..chunks).rev().collect(), stranded: Vec::new() };
        Ok(Arc::new(Self { map, kept: Mutex::new(kept) }))
    }

    pub(super) fn map(&self) -> &Mapping {
        &self.map
    }

    /// How many there are, whoever has them.
    pub(super) fn chunks(&self) -> u32 {
        (self.map.len() / FRAME) as u32
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes up to `count` free ones.
    pub(super) fn take(self: &Arc<Self>, count: usize, into: &mut Vec<Chunk>) {
        let mut kept = self.kept();
        let left = kept.depot.len().saturating_sub(count);
        for number in kept.depot.drain(left..) {
            // SAFETY: its number was in the depot, which is proof that nobody has it, and is no longer.
            #[allow(unsafe_code)]
            let block = unsafe { Block::chunk(self.clone(), number) };
            into.extend(block.map(Chunk));
        }
    }

    /// How many are free.
    pub(super) fn free(&self) -> usize {
        self.kept().depot.len()
    }

    /// How many wait until the kernel is known to be done with them.
    pub(super) fn stranded(&self) -> usize {
        self.kept().stranded.iter().map(|s| s.chunks.len()).sum()
    }

    /// Where chunk number `number` is.
    pub(crate) fn place(&self, number: u32) -> Option<(NonNull<u8>, usize)> {
        let at = number as usize * FRAME;
        let inside = at + FRAME <= self.map.len();
        let base = NonNull::new(self.map.base().wrapping_add(at)).filter(|_| inside)?;
        Some((base, FRAME))
    }

    /// The number of the chunk at `base`.
    fn number(&self, base: NonNull<u8>) -> u32 {
        (base.addr().get().wrapping_sub(self.map.base().addr()) / FRAME) as u32
    }

    /// Has the chunk that begins there back.
    pub(crate) fn put(&self, base: NonNull<u8>) {
        let number = self.number(base);
        self.kept().depot.push(number);
    }

    /// Has chunks of its own back.
    fn put_all(&self, chunks: impl Iterator<Item = Chunk>) {
        let mut kept = self.kept();
        kept.depot.extend(chunks.map(|chunk| self.number(chunk.0.forget())));
    }

    /// Has those of these numbers back.
    pub(super) fn put_numbers(&self, chunks: &[u32]) {
        self.kept().depot.extend_from_slice(chunks);
    }

    /// Keeps those with which a socket ended until [`Memory::recover`].
    pub(super) fn strand(&self, place: Place, chunks: Vec<u32>) {
        if !chunks.is_empty() {
            self.kept().stranded.push(Stranded { place, chunks });
        }
    }

    /// Has those back that the kernel is done with. It is when another socket could be bound to their queue, because until then
    /// it would have been busy, or when the interface is gone.
    pub(super) fn recover(&self, mut done: impl FnMut(Place) -> bool) {
        let mut kept = self.kept();
        let Kept { depot, stranded } = &mut *kept;
        stranded.retain(|s| {
            let done = done(s.place);
            if done {
                depot.extend_from_slice(&s.chunks);
            }
            !done
        });
    }
}

/// A chunk that we have.
pub struct Chunk(Block);

impl Chunk {
    /// The same as a packet's memory.
    pub fn into_block(self) -> Block {
        self.0
    }

    fn is_of(&self, home: &Arc<Memory>) -> bool {
        self.0.home().is_some_and(|h| Arc::ptr_eq(h, home))
    }
}

impl TryFrom<Block> for Chunk {
    type Error = Block;

    fn try_from(block: Block) -> Result<Self, Block> {
        if block.home().is_some() { Ok(Self(block)) } else { Err(block) }
    }
}

impl std::ops::Deref for Chunk {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl std::ops::DerefMut for Chunk {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.0
    }
}

/// Chunks that a thread has at hand, so that it need not ask [`Memory`] for each.
#[derive(Default)]
pub struct Chunks(Vec<Chunk>);

impl Chunks {
    /// What is fetched, or given back, at once.
    const SOME: usize = 64;
    /// What is kept at most.
    const KEEP: usize = 4 * Self::SOME;

    /// One of that memory's. Chunks of several memories are at hand only where one alone was not enough for all sockets.
    pub(super) fn take(&mut self, home: &Arc<Memory>) -> Option<Chunk> {
        if self.0.last().is_some_and(|c| c.is_of(home)) {
            return self.0.pop();
        }
        if let Some(at) = self.0.iter().rposition(|c| c.is_of(home)) {
            return Some(self.0.swap_remove(at));
        }
        if self.0.len() + Self::SOME > Self::KEEP {
            self.give_back();
        }
        home.take(Self::SOME, &mut self.0);
        self.0.pop_if(|c| c.is_of(home))
    }

    /// Whether `count` of that memory's are at hand, or can be had.
    pub(super) fn hold(&mut self, home: &Arc<Memory>, count: usize) -> bool {
        let has = |chunks: &Self| {
            chunks.0.iter().rev().filter(|c| c.is_of(home)).take(count).count() >= count
        };
        if has(self) {
            return true;
        }
        home.take(Self::SOME, &mut self.0);
        has(self)
    }

    /// Keeps a chunk at hand.
    #[inline]
    pub fn put(&mut self, chunk: Chunk) {
        if self.0.len() >= Self::KEEP {
            self.give_back();
        }
        self.0.push(chunk);
    }

    /// Lets others have some of those that have been here longest.
    #[cold]
    fn give_back(&mut self) {
        let Some(home) = self.0.first().and_then(|c| c.0.home().cloned()) else { return };
        let end = self.0.len().min(Self::SOME);
        home.put_all(self.0.extract_if(..end, |c| c.is_of(&home)));
    }

    /// Lets others have all of them.
    pub fn clear(&mut self) {
        self.0.clear();
    }
}

/// What the kernel has of a memory, by a ring of one half of a socket.
pub(super) struct Lent {
    memory: Arc<Memory>,
    /// By number, a bit for each chunk. A bit that is set owns what a `Chunk` owns: the chunk, and a claim on `memory`.
    bits: Box<[u64]>,
    count: usize,
    /// Descriptors that named no chunk that the kernel had.
    pub(super) corrupt: u64,
}

impl Lent {
    pub(super) fn new(memory: Arc<Memory>) -> Self {
        let words = (memory.chunks() as usize).div_ceil(64);
        Self { memory, bits: vec![0; words].into(), count: 0, corrupt: 0 }
    }

    pub(super) fn memory(&self) -> &Arc<Memory> {
        &self.memory
    }

    /// How many the kernel has.
    pub(super) fn count(&self) -> usize {
        self.count
    }

    /// Whether a chunk is of this memory.
    #[inline]
    pub(super) fn takes(&self, block: &Block) -> bool {
        block.home().is_some_and(|home| Arc::ptr_eq(home, &self.memory))
    }

    /// Counts a chunk as the kernel's and says where in the memory it begins. One of another memory comes back.
    #[inline]
    pub(super) fn lend(&mut self, chunk: Chunk) -> Result<u64, Chunk> {
        if !self.takes(&chunk.0) {
            return Err(chunk);
        }
        let number = self.memory.number(chunk.0.disown());
        self.bits[number as usize / 64] |= 1 << (number % 64);
        self.count += 1;
        Ok(u64::from(number) * FRAME as u64)
    }

    /// The chunk that a descriptor of the kernel's names, and where in it the bytes begin, if the kernel had it and all of the
    /// bytes are in it.
    #[inline]
    pub(super) fn returned(&mut self, address: u64, len: u32) -> Option<(Chunk, usize)> {
        let size = FRAME as u64;
        let (number, at) = (address / size, address % size);
        let bit = 1 << (number % 64);
        let word = usize::try_from(number / 64).ok().and_then(|n| self.bits.get_mut(n));
        let Some(word) = word.filter(|w| **w & bit != 0 && at + u64::from(len) <= size) else {
            self.corrupt += 1;
            return None;
        };
        *word &= !bit;
        self.count -= 1;
        let chunk = self.claim(number as u32)?;
        Some((chunk, at as usize))
    }

    /// Makes a chunk of a bit that was just cleared.
    fn claim(&self, number: u32) -> Option<Chunk> {
        // SAFETY: the pointer is that of an `Arc` that is alive, and the bit, which is no longer, owned one claim on it: that
        // of the chunk which `lend` disowned.
        #[allow(unsafe_code)]
        let home = unsafe { Arc::from_raw(Arc::as_ptr(&self.memory)) };
        // SAFETY: the bit was proof that the kernel had it from this half, and nobody else; a descriptor gave it back.
        #[allow(unsafe_code)]
        unsafe {
            Block::chunk(home, number).map(Chunk)
        }
    }

    /// Gives up what the kernel has: the numbers of the chunks, which are not to be used before it is done with them.
    pub(super) fn abandon(&mut self) -> Vec<u32> {
        let mut numbers = Vec::new();
        for n in 0..self.bits.len() {
            let mut word = std::mem::take(&mut self.bits[n]);
            while word != 0 {
                let number = n as u32 * 64 + word.trailing_zeros();
                word &= word - 1;
                numbers.push(number);
                // The claim on the memory goes, the chunk stays where it is.
                if let Some(chunk) = self.claim(number) {
                    let _ = chunk.0.forget();
                }
            }
        }
        self.count = 0;
        numbers
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        // Whoever has not taken them over leaves them to the kernel.
        self.abandon();
    }
}
