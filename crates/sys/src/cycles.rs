//! The processor's cycle counter: what pieces of work cost, read in a few nanoseconds.
//!
//! It counts at a constant rate on every processor of a machine. It is not a clock: nothing but the length of stretches of
//! work is to be taken from it ([`base::Clock`](../../base/clock/struct.Clock.html) tells time).

/// The counter now.
#[cfg(target_arch = "x86_64")]
#[inline]
#[allow(unsafe_code)]
pub fn now() -> u64 {
    // SAFETY: reads a register; every x86-64 processor has it, and Linux leaves it readable.
    unsafe { core::arch::x86_64::_rdtsc() }
}

/// The counter now.
#[cfg(target_arch = "aarch64")]
#[inline]
#[allow(unsafe_code)]
pub fn now() -> u64 {
    let ticks;
    // SAFETY: reads a register that Linux makes readable for programs, and touches nothing else.
    unsafe { core::arch::asm!("mrs {}, cntvct_el0", out(reg) ticks, options(nomem, nostack)) };
    ticks
}

/// The counter now: nanoseconds, where the processor's own counter is not known here.
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
pub fn now() -> u64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

/// How long the calling thread has run so far, in nanoseconds: the counter goes on while others have the processor, this does
/// not. A system call.
pub fn thread_nanos() -> u64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

#[cfg(test)]
mod tests {
    #[test]
    fn work_takes_cycles() {
        let start = super::now();
        let sum: u64 = (0..1000u64).map(std::hint::black_box).sum();
        assert_eq!(sum, 499_500);
        assert!(super::now() > start);
        assert!(super::thread_nanos() > 0);
    }
}
