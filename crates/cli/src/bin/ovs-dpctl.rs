//! `ovs-dpctl`

fn main() -> std::process::ExitCode {
    let (mut out, mut err) = (std::io::stdout().lock(), std::io::stderr());
    cli::dpctl::run(std::env::args_os().skip(1), &mut out, &mut err)
}
