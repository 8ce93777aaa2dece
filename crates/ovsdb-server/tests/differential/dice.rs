//! Choices that a seed determines.

/// A small generator of numbers (splitmix64): the same seed gives the same choices for ever.
pub(crate) struct Dice {
    state: u64,
    /// Another mistake may be made. Of two mistakes in one object, which is told depends on the order in which a server looks
    /// at an object's members, and that is nobody's business.
    may_err: bool,
}

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self { state: seed, may_err: true }
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `n`, which is not zero.
    pub(crate) fn below(&mut self, n: usize) -> usize {
        (self.next() % n as u64) as usize
    }

    /// True so many times in a hundred.
    pub(crate) fn percent(&mut self, n: u64) -> bool {
        self.next() % 100 < n
    }

    /// One of `choices`, of which there is one at least.
    pub(crate) fn pick<'a, T: ?Sized>(&mut self, choices: &[&'a T]) -> &'a T {
        choices[self.below(choices.len())]
    }

    /// One of `choices`, of which there is one at least.
    pub(crate) fn one_of<'a, T>(&mut self, choices: &'a [T]) -> &'a T {
        &choices[self.below(choices.len())]
    }

    /// A new object begins, in which one mistake may be made, or none.
    pub(crate) fn forgive(&mut self, may_err: bool) {
        self.may_err = may_err;
    }

    /// So many times in a hundred, a mistake, if one may be made.
    pub(crate) fn errs(&mut self, n: u64) -> bool {
        let errs = self.percent(n) && self.may_err;
        self.may_err &= !errs;
        errs
    }
}
