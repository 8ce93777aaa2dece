//! What a packet costs on the hit path, stage by stage, with devices that cost almost nothing.
//!
//! `cargo run --release -p datapath --example hit_path [packets in millions [workers [part of a name]]]`

mod rig;

use datapath::Stage;
use rig::{Rig, scenarios};

#[global_allocator]
static ALLOCATOR: sys::alloc::Counting = sys::alloc::Counting::new();

fn main() {
    let mut args = std::env::args().skip(1);
    let millions: u64 = args.next().and_then(|n| n.parse().ok()).unwrap_or(5);
    let workers: usize = args.next().and_then(|n| n.parse().ok()).unwrap_or(1);
    let wanted = args.next().unwrap_or_default();
    println!("cycles per packet; Mpps and allocations of all {workers} workers together");
    print!("{:30} {:>6} {:>6} {:>6}", "", "all", "Mpps", "alloc");
    Stage::ALL.iter().take(6).for_each(|s| print!(" {:>11}", s.name()));
    println!();
    for scenario in scenarios().iter().filter(|s| s.name.contains(&wanted)) {
        let rig = Rig::new(scenario, workers);
        rig.run(500_000);
        let before = ALLOCATOR.count();
        let outcome = rig.run(millions * 1_000_000);
        let allocations = ALLOCATOR.count() - before;
        print!("{:30} {:6.0} {:6.2}", scenario.name, outcome.cycles(), outcome.rate / 1e6);
        print!(" {allocations:6}");
        for stage in Stage::ALL.into_iter().take(6) {
            print!(" {:11.1}", outcome.stage(stage));
        }
        println!();
    }
}
