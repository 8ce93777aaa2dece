//! Whether a switch or controller answers, and how fast.

use std::time::Duration;

use base::Instant;
use openflow::message::Message;
use openflow::text::message::print;
use openflow::wire::decode;
use openflow::wire::header::Header;

use super::switch::Switch;
use super::{Context, End, Stop};

/// The most that an echo can carry.
const MOST: usize = 65535 - 8;

pub(super) fn probe(context: &mut Context<'_>, args: &[String]) -> End {
    let mut switch = Switch::open(context, &args[0])?;
    let answer = switch.ask(context, &Message::EchoRequest(Vec::new()))?;
    if answer.len() != 8 {
        return Err("reply does not match request".into());
    }
    Ok(())
}

fn size(text: &str) -> Result<usize, Stop> {
    // Like atoi(): what does not begin with a number is none.
    let digits: String = text.chars().take_while(char::is_ascii_digit).collect();
    match digits.parse().unwrap_or(0) {
        size @ 0..=MOST => Ok(size),
        _ => Err(format!("payload must be between 0 and {MOST} bytes").into()),
    }
}

pub(super) fn ping(context: &mut Context<'_>, args: &[String]) -> End {
    let size = args.get(1).map_or(Ok(64), |text| size(text))?;
    let mut switch = Switch::open(context, &args[0])?;
    for _ in 0..10 {
        let payload = noise(size, context.clock.now());
        let sent = context.clock.now();
        let answer = switch.ask(context, &Message::EchoRequest(payload.clone()))?;
        let passed = context.clock.now().since(sent);
        if !matches!(decode(&answer), Ok((_, Message::EchoReply(data))) if data == payload) {
            let verbosity = context.more_verbose(2);
            context.print(&format!(
                "Reply does not match request.  Reply:\n{}",
                print(&answer, verbosity)
            ));
        }
        let xid = Header::peek(&answer).map_or(0, |header| header.xid);
        let length = answer.len().saturating_sub(8);
        context.print(&format!(
            "{length} bytes from {}: xid={xid:08x} time={:.1} ms\n",
            args[0],
            milliseconds(passed)
        ));
        let _ = context.out.flush();
    }
    Ok(())
}

/// Bytes that nobody sends by chance.
fn noise(size: usize, now: Instant) -> Vec<u8> {
    let mut state = now.as_nanos() | 1;
    let next = || {
        // Xorshift: this is no secret.
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as u8
    };
    std::iter::repeat_with(next).take(size).collect()
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

pub(super) fn benchmark(context: &mut Context<'_>, args: &[String]) -> End {
    let size = size(&args[1])?;
    let count: u64 = args[2].parse().unwrap_or(0);
    let message = size + 8;
    context.print(&format!(
        "Sending {count} packets * {message} bytes (with header) = {} bytes total\n",
        count * message as u64
    ));
    let mut switch = Switch::open(context, &args[0])?;
    let begin = context.clock.now();
    for _ in 0..count {
        switch.ask(context, &Message::EchoRequest(vec![0; size]))?;
    }
    let passed = context.clock.now().since(begin);
    let per_second = |number: f64| number / passed.as_secs_f64().max(1e-9);
    context.print(&format!(
        "Finished in {:.1} ms ({:.0} packets/s) ({:.0} bytes/s)\n",
        milliseconds(passed),
        per_second(count as f64),
        per_second(count as f64 * message as f64)
    ));
    Ok(())
}
