//! `--help` and `list-commands`.

use observe::daemon;

use super::{Args, COMMANDS, Context, End, PROGRAM, default_database, default_schema};

pub(super) fn help(context: &mut Context<'_>, _: &Args) -> Result<End, String> {
    let text = format!(
        "{PROGRAM}: Open vSwitch database management utility\n\
         usage: {PROGRAM} [OPTIONS] COMMAND [ARG...]\n\
         \x20 create [DB [SCHEMA]]          make DB, empty, with SCHEMA\n\
         \x20 compact [DB [DST]]            rewrite DB (or to DST) without its history\n\
         \x20 convert [DB [SCHEMA [DST]]]   rewrite DB (or to DST) under SCHEMA\n\
         \x20 needs-conversion [DB [SCHEMA]]  tell whether DB's schema differs from SCHEMA\n\
         \x20 db-name [DB]                  print the name of DB's schema\n\
         \x20 db-version [DB]               print the version of DB's schema\n\
         \x20 db-cksum [DB]                 print the checksum of DB's schema\n\
         \x20 db-cid DB                     print the identifier of DB's cluster\n\
         \x20 db-sid DB                     print the identifier of DB's server in it\n\
         \x20 db-local-address DB           print that server's address in it\n\
         \x20 db-is-clustered DB            exit with 0 if DB is clustered, else 2\n\
         \x20 db-is-standalone DB           exit with 0 if DB is standalone, else 2\n\
         \x20 schema-name [SCHEMA]          print SCHEMA's name\n\
         \x20 schema-version [SCHEMA]       print SCHEMA's version\n\
         \x20 schema-cksum [SCHEMA]         print SCHEMA's checksum\n\
         \x20 compare-versions A OP B       exit with 0 if A OP B holds, else 2\n\
         \x20 query [DB] TRNS               execute TRNS on DB, changing nothing\n\
         \x20 transact [DB] TRNS            execute TRNS on DB\n\
         \x20 [-m]... show-log [DB]         print DB's transactions\n\
         The default DB is {}.\n\
         The default SCHEMA is {}.\n\
         {}\n\
         Other options:\n\
         \x20 -m, --more                  increase show-log verbosity\n\
         \x20 --rbac-role=ROLE            query and transact as ROLE may\n\
         \x20 -h, --help                  display this help message\n\
         \x20 -V, --version               display version information\n",
        default_database().display(),
        default_schema().display(),
        daemon::vlog_usage(PROGRAM)
    );
    context.print(&text)
}

pub(super) fn list_commands(context: &mut Context<'_>, _: &Args) -> Result<End, String> {
    let line = |command: &super::Command| format!("  {:<23} {}\n", command.name, command.usage);
    let lines: String = COMMANDS.iter().map(line).collect();
    context.print(&format!("The available commands are:\n{lines}"))
}
