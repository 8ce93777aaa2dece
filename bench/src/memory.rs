//! Memory to memory: the datapath alone, between devices that cost almost nothing, stage by stage; with one worker, and with
//! two. There is no peer: nobody else's datapath can be had without its devices.

#[path = "../../crates/datapath/examples/hit_path/rig.rs"]
mod rig;

/// What to call it.
pub(crate) const NAME: &str = "memory";

/// What it measures.
pub(crate) const WHAT: &str =
    "the datapath from memory to memory, stage by stage, one worker and two";

/// In what.
pub(crate) const UNIT: &str = "cycles per packet";

#[global_allocator]
static ALLOCATOR: sys::alloc::Counting = sys::alloc::Counting::new();

/// Measures and prints; each figure from about `seconds` seconds. A second worker tells how much the two disturb each other:
/// it is a whole worker more only where a whole processor is free for it.
pub(crate) fn run(seconds: u32) {
    let packets = u64::from(seconds) * 2_000_000;
    let alone = rig::table(packets, 1, "", None, || ALLOCATOR.count());
    println!();
    rig::table(packets, 2, "", Some(&alone), || ALLOCATOR.count());
}
