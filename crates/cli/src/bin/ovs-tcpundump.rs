//! `ovs-tcpundump`

fn main() -> std::process::ExitCode {
    let mut input = std::io::stdin().lock();
    let (mut out, mut err) = (std::io::stdout().lock(), std::io::stderr());
    cli::hexdumps::tcpundump(std::env::args_os().skip(1), &mut input, &mut out, &mut err)
}
