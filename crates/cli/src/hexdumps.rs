//! `ovs-pcap` and `ovs-tcpundump`: packets as lines of hexadecimal digits, as `ofproto/trace` and `ovs-ofctl` take them.

use std::ffi::OsString;
use std::fmt::Write as _;
use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::process::ExitCode;

use observe::options::{COMMON, Options};
use observe::version;
use packet::pcap;

/// How a program ends: an error is printed behind its name.
type End = Result<(), String>;

/// Prints the packets of a capture.
pub fn pcap(
    args: impl IntoIterator<Item = OsString>,
    out: &mut dyn Write,
    err: &mut dyn Write,
) -> ExitCode {
    const PROGRAM: &str = "ovs-pcap";
    let help = format!(
        "{PROGRAM}: print pcap file packet data as hex\nusage: {PROGRAM} FILE\nwhere FILE is a PCAP file.\n"
    );
    finish(
        PROGRAM,
        err,
        (|| {
            let Some(operands) = operands(PROGRAM, &help, args, out)? else { return Ok(()) };
            let [name] = &operands[..] else {
                return Err(
                    "exactly 1 non-option argument required (use --help for help)".to_owned()
                );
            };
            print_capture(name, out)
        })(),
    )
}

/// Prints the packets in what `tcpdump -xx` printed.
pub fn tcpundump(
    args: impl IntoIterator<Item = OsString>,
    input: &mut dyn BufRead,
    out: &mut dyn Write,
    err: &mut dyn Write,
) -> ExitCode {
    const PROGRAM: &str = "ovs-tcpundump";
    let help = format!(
        "{PROGRAM}: print \"tcpdump -xx\" output as hex\nusage: {PROGRAM} < FILE\n\
         where FILE is output from \"tcpdump -xx\".\n"
    );
    finish(
        PROGRAM,
        err,
        (|| {
            let Some(operands) = operands(PROGRAM, &help, args, out)? else { return Ok(()) };
            if !operands.is_empty() {
                return Err("non-option argument not supported (use --help for help)".to_owned());
            }
            print_text(input, out)
        })(),
    )
}

fn finish(program: &str, err: &mut dyn Write, result: End) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(text) => {
            // Nobody is left to complain to when this fails.
            let _ = writeln!(err, "{program}: {text}");
            ExitCode::FAILURE
        }
    }
}

/// What stands on the command line besides options; `None` when an option was all that was wanted.
fn operands(
    program: &str,
    help: &str,
    args: impl IntoIterator<Item = OsString>,
    out: &mut dyn Write,
) -> Result<Option<Vec<String>>, String> {
    let mut options = Options::new(&[COMMON], args);
    if let Some(option) = options.next()? {
        let text = match option.name {
            "help" => format!(
                "{help}\nThe following options are also available:\n\
                 \x20 -h, --help                  display this help message\n\
                 \x20 -V, --version               display version information\n"
            ),
            _ => version::text(program),
        };
        out.write_all(text.as_bytes()).map_err(failed)?;
        return Ok(None);
    }
    Ok(Some(options.operands()))
}

fn failed(error: std::io::Error) -> String {
    format!("write failed ({})", stream::strerror(&error))
}

fn print_capture(name: &str, out: &mut dyn Write) -> End {
    let file = File::open(name).map_err(|e| format!("{name}: {}", stream::strerror(&e)))?;
    let mut reader = pcap::Reader::new(BufReader::new(file)).map_err(|e| format!("{name}: {e}"))?;
    while let Some(record) = reader.next().transpose().map_err(|e| format!("{name}: {e}"))? {
        let mut line = String::with_capacity(record.frame.len() * 2 + 1);
        for byte in &record.frame {
            let _ = write!(line, "{byte:02x}");
        }
        writeln!(out, "{line}").map_err(failed)?;
    }
    Ok(())
}

/// The longest packet that is put together; what a capture has beyond is cut off.
const MOST_DIGITS: usize = 2 * 262_144;

fn print_text(input: &mut dyn BufRead, out: &mut dyn Write) -> End {
    let mut packet = String::new();
    let mut line = Vec::new();
    loop {
        line.clear();
        let read = input.read_until(b'\n', &mut line);
        if read.map_err(|e| format!("read failed ({})", stream::strerror(&e)))? == 0 {
            break;
        }
        let Some((offset, digits)) = hex_line(&String::from_utf8_lossy(&line)) else { continue };
        if offset == 0 && !packet.is_empty() {
            writeln!(out, "{packet}").map_err(failed)?;
            packet.clear();
        }
        if packet.len() < MOST_DIGITS {
            packet.push_str(&digits);
        }
    }
    if !packet.is_empty() {
        writeln!(out, "{packet}").map_err(failed)?;
    }
    Ok(())
}

/// A line with a part of a packet: where the part begins, and its digits. They stand two blanks behind the offset, in groups with
/// a blank between; what is two blanks behind them is text.
fn hex_line(line: &str) -> Option<(u64, String)> {
    let rest = line.trim_start();
    if rest.len() == line.len() {
        return None;
    }
    let (offset, rest) = rest.strip_prefix("0x")?.split_once(":  ")?;
    let offset = u64::from_str_radix(offset, 16).ok()?;
    let mut digits = String::new();
    for group in rest.trim_end().split(' ') {
        let is_group = matches!(group.len(), 2 | 4) && group.bytes().all(|b| b.is_ascii_hexdigit());
        if !is_group {
            break;
        }
        digits.push_str(group);
    }
    (!digits.is_empty()).then_some((offset, digits))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn undump(text: &str) -> String {
        let (mut out, mut err) = (Vec::new(), Vec::new());
        tcpundump([], &mut text.as_bytes(), &mut out, &mut err);
        assert!(err.is_empty());
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn lines_are_put_together_and_text_is_left_out() {
        let text = "12:00:00.0 IP 10.0.0.1 > 10.0.0.2: ICMP echo request\n\
                    \t0x0000:  ffff ffff ffff 0000 0000 0001 0800 4500  ........abcd\n\
                    \t0x0010:  00\n\
                    \t0x0000:  aabb ccdd\n\
                    0x0010:  1122\n\
                    \t0x0010: 3344\n";
        assert_eq!(undump(text), "ffffffffffff0000000000010800450000\naabbccdd\n");
        assert_eq!(undump("nothing\n"), "");
    }

    #[test]
    fn packets_of_a_capture_are_lines() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let mut writer = pcap::Writer::new(file.reopen().unwrap()).unwrap();
        writer.write(std::time::Duration::ZERO, &[1, 0xab]).unwrap();
        writer.write(std::time::Duration::ZERO, &[]).unwrap();
        drop(writer);
        let (mut out, mut err) = (Vec::new(), Vec::new());
        pcap([file.path().into()], &mut out, &mut err);
        assert_eq!((String::from_utf8(out).unwrap(), err), ("01ab\n\n".to_owned(), Vec::new()));
        let (mut out, mut err) = (Vec::new(), Vec::new());
        assert_eq!(pcap(["/nonexistent".into()], &mut out, &mut err), ExitCode::FAILURE);
        assert!(String::from_utf8(err).unwrap().contains("No such file"));
    }
}
