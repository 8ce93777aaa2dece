//! What a packet costs on the hit path, stage by stage, with devices that cost almost nothing.
//!
//! `cargo run --release -p datapath --example hit_path [packets in millions [workers [part of a name]]]`

mod rig;

#[global_allocator]
static ALLOCATOR: sys::alloc::Counting = sys::alloc::Counting::new();

fn main() {
    let mut args = std::env::args().skip(1);
    let millions: u64 = args.next().and_then(|n| n.parse().ok()).unwrap_or(5);
    let workers = args.next().and_then(|n| n.parse().ok()).unwrap_or(1);
    let wanted = args.next().unwrap_or_default();
    rig::table(millions * 1_000_000, workers, &wanted, None, || ALLOCATOR.count());
}
