//! `--help` and the list of commands.

use super::{COMMANDS, Context, End, PROGRAM};
use observe::daemon;

pub(super) fn help(context: &mut Context<'_>, _: &[String]) -> End {
    let mut commands = String::new();
    for command in COMMANDS {
        let line = format!("  {} {}", command.name, command.args);
        commands += &format!("{}\n", line.trim_end());
    }
    let text = format!(
        "{PROGRAM}: OpenFlow switch management utility\n\
         usage: {PROGRAM} [OPTIONS] COMMAND [ARG...]\n\
         A switch is a bridge of this host, unix:FILE, tcp:HOST[:PORT] or ssl:HOST[:PORT] (default: 6653), or a socket's path.\n\
         \n\
         Commands:\n\
         {commands}\
         \n\
         OpenFlow options:\n\
         \x20 -O, --protocols=VERSIONS    OpenFlow versions that may be used (default: OpenFlow10)\n\
         \x20 -F, --flow-format=FORMAT    how flows are written, of what they allow\n\
         \x20 -P, --packet-in-format=FORM how packets come to monitor\n\
         \x20 -m, --more                  print more of messages, most with -mmmmm\n\
         \x20 --strict                    take priority and match of flows to change to the letter;\n\
         \x20                             accept no fields that are unknown or out of place\n\
         \x20 --bundle                    changes happen together or not at all\n\
         \x20 --may-create                mod-group adds a group that is not there\n\
         \x20 --readd                     replace-flows adds flows anew that are the same\n\
         \x20 --read-only                 refuse commands that change something\n\
         \x20 --names, --no-names         call ports and tables by names, or by numbers only\n\
         \x20 --stats, --no-stats         print flows with what they counted, or without\n\
         \x20 --sort[=FIELD], --rsort[=FIELD]  sort flows, upwards or downwards (default: by priority)\n\
         \x20 --timestamp                 monitor and snoop say when\n\
         \x20 --color[=WHEN]              print flows in colours: always, never, or auto (at terminals)\n\
         \x20 --pcap                      compose-packet writes a capture\n\
         \x20 --raw                       accepted; changes nothing\n\
         \x20 -t, --timeout=SECS          give up after SECS seconds\n\
         {}{}\n\
         Other options:\n\
         \x20 -o, --option                list all options\n\
         \x20 -h, --help                  print this help\n\
         \x20 -V, --version               print version information\n",
        daemon::usage(PROGRAM),
        daemon::vlog_usage(PROGRAM)
    );
    context.print(&text);
    Ok(())
}

/// The first of the commands that are for tests, of which the list has nothing but names, as the reference's.
const FIRST_OF_TESTS: &str = "help";

pub(super) fn list_commands(context: &mut Context<'_>, _: &[String]) -> End {
    context.print("The available commands are:\n");
    let mut for_tests = false;
    for command in COMMANDS {
        for_tests |= command.name == FIRST_OF_TESTS;
        let args = if for_tests { "" } else { command.args };
        context.print(&format!("  {:<23} {args}\n", command.name));
    }
    Ok(())
}
