//! `ovs-pki`

fn main() -> std::process::ExitCode {
    let (mut input, mut out) = (std::io::stdin().lock(), std::io::stdout().lock());
    cli::pki::run(std::env::args_os().skip(1), &mut input, &mut out, &mut std::io::stderr())
}
