//! Telling the processor which memory will be wanted soon.

/// Starts to bring the cache line where `value` begins closer. Only a hint: nothing is read, nothing can go wrong.
#[inline]
pub fn prefetch<T: ?Sized>(value: &T) {
    #[cfg(target_arch = "x86_64")]
    {
        use core::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        let address = std::ptr::from_ref(value).cast::<i8>();
        // SAFETY: a hint that never faults, whatever the address; every x86-64 processor has it.
        #[allow(unsafe_code)]
        unsafe {
            _mm_prefetch::<_MM_HINT_T0>(address);
        }
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = value;
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_hint_changes_nothing() {
        let value = [1, 2, 3];
        super::prefetch(&value);
        super::prefetch("");
        assert_eq!(value, [1, 2, 3]);
    }
}
