//! `ovsdb-server`

fn main() -> std::process::ExitCode {
    ovsdb_server::run(std::env::args_os().skip(1))
}
