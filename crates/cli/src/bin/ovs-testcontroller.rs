//! `ovs-testcontroller`

fn main() -> std::process::ExitCode {
    let (mut out, mut err) = (std::io::stdout().lock(), std::io::stderr());
    cli::testcontroller::run(std::env::args_os().skip(1), &mut out, &mut err)
}
