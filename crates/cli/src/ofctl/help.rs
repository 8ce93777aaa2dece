//! `--help` and the list of commands.

use super::{COMMANDS, Context, End, PROGRAM};
use observe::daemon;

pub(super) fn help(context: &mut Context<'_>, _: &[String]) -> End {
    let text = format!(
        "{PROGRAM}: OpenFlow switch management utility\n\
         usage: {PROGRAM} [OPTIONS] COMMAND [ARG...]\n\
         \n\
         Commands that need no switch:\n\
         \x20 ofp-parse FILE              print messages read from FILE\n\
         \x20 ofp-parse-pcap PCAP [PORT...]  print the OpenFlow in PCAP's connections\n\
         \x20 ofp-print HEX [VERBOSITY]   print one message\n\
         \x20 parse-flow FLOW             print the message that adds FLOW\n\
         \x20 parse-flows FILE            the same for each line of FILE\n\
         \n\
         OpenFlow options:\n\
         \x20 -O, --protocols=VERSIONS    OpenFlow versions that may be used\n\
         \x20                             (default: OpenFlow10 to OpenFlow15)\n\
         \x20 -F, --flow-format=FORMAT    how flows are written, of what they allow\n\
         \x20 -m, --more                  print more of messages, most with -mmmmm\n\
         \x20 --strict                    accept no fields that are unknown or out of place\n\
         {}\
         Other options:\n\
         \x20 -h, --help                  print this help\n\
         \x20 -V, --version               print version information\n",
        daemon::vlog_usage(PROGRAM)
    );
    context.print(&text);
    Ok(())
}

pub(super) fn list_commands(context: &mut Context<'_>, _: &[String]) -> End {
    context.print("The available commands are:\n");
    for command in COMMANDS {
        let line = format!("  {:<23} {}", command.name, command.args);
        context.print(&format!("{}\n", line.trim_end()));
    }
    Ok(())
}
