//! `ovsdb-server`

/// Rows come and go by the million: this costs less there than the C library's, and gives back what is free.
#[global_allocator]
static ALLOCATOR: sys::alloc::Mimalloc = sys::alloc::Mimalloc;

fn main() -> std::process::ExitCode {
    ovsdb_server::run(std::env::args_os().skip(1))
}
