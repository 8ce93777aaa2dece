//! Masks, each once: of a hundred thousand rules, most have one that others have as well.

use std::sync::Arc;

use hashbrown::HashTable;

use super::layout::Layout;
use super::sparse::{Shape, Sparse, Terms};

/// Masks that masked keys share. It holds those that some key has, and at most as many again that none has any more: to share
/// is good, and never necessary.
#[derive(Debug)]
pub struct Shapes<const N: usize> {
    layout: &'static Layout<N>,
    all: HashTable<Arc<Shape>>,
    /// How many there are when those are dropped that nobody has.
    sweep: usize,
}

/// So many masks are worth no sweep.
const FEW: usize = 64;

impl<const N: usize> Shapes<N> {
    /// None yet.
    pub fn new(layout: &'static Layout<N>) -> Self {
        Shapes { layout, all: HashTable::new(), sweep: FEW }
    }

    /// The masked key of these words.
    pub fn pattern(&mut self, terms: Terms) -> Sparse {
        self.share(Sparse::from_terms(self.layout, terms))
    }

    /// The same masked key, with the mask that others have.
    pub fn share(&mut self, pattern: Sparse) -> Sparse {
        let own = pattern.shape();
        if let Some(shape) = self.all.find(own.hash(), |shape| shape == own) {
            return pattern.sharing(shape);
        }
        if self.all.len() >= self.sweep {
            self.all.retain(|shape| Arc::strong_count(shape) > 1);
            self.sweep = FEW.max(2 * self.all.len());
        }
        self.all.insert_unique(own.hash(), own.clone(), |shape| shape.hash());
        pattern
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::tests::LAYOUT;

    #[test]
    fn equal_masks_are_one_and_those_that_nobody_has_go() {
        let mut shapes = Shapes::new(&LAYOUT);
        let mut of = |words: &[(u8, u64, u64)]| shapes.pattern(words.iter().copied().collect());
        let a = of(&[(1, 5, 0xff), (0, 1, 1)]);
        let b = of(&[(0, 0, 1), (1, 7, 0xff)]);
        let c = of(&[(0, 0, 1), (1, 7, 0xf)]);
        assert!(Arc::ptr_eq(a.shape(), b.shape()) && !Arc::ptr_eq(a.shape(), c.shape()));
        let [mut key, mut mask] = [[0; 4]; 2];
        (key[0], key[1], mask[0], mask[1]) = (1, 5, 1, 0xff);
        assert_eq!(a, Sparse::new(&LAYOUT, &key, &mask));
        for i in 0..1000 {
            of(&[(2, 0, i + 1)]);
        }
        assert!(shapes.all.len() <= FEW, "{}", shapes.all.len());
        let again = shapes.pattern([(0, 0, 1), (1, 9, 0xff)].into_iter().collect());
        assert!(Arc::ptr_eq(a.shape(), again.shape()), "it is in use");
    }
}
