//! Nothing is allocated per packet on the hit path.

#[path = "../examples/hit_path/rig.rs"]
#[allow(dead_code)] // what prints
mod rig;

#[global_allocator]
static ALLOCATOR: sys::alloc::Counting = sys::alloc::Counting::new();

#[test]
fn the_hit_path_allocates_nothing() {
    // The only test here: nobody else allocates meanwhile.
    for scenario in rig::scenarios().iter().filter(|s| s.frames.len() <= 10_000) {
        let rig = rig::Rig::new(scenario, 1);
        rig.run(50_000);
        let before = ALLOCATOR.count();
        rig.run(50_000);
        let allocated = ALLOCATOR.count() - before;
        // Commands and counts around the run: a handful, whatever the number of packets.
        assert!(allocated < 100, "{}: {allocated} allocations", scenario.name);
    }
}
