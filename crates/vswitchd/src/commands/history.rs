//! What turns of workers' loops cost, as `pmd-perf-show` prints it with `other_config:pmd-perf-metrics`. The texts are the
//! reference's.

use std::fmt::Write;

use datapath::{History, Measure, Span};

/// Headings of histograms, and those of the averages below.
const HEADINGS: [(&str, &str); Measure::ALL.len()] = [
    ("cycles/it", "cycles/it"),
    ("packets/it", "packets/it"),
    ("cycles/pkt", "cycles/pkt"),
    ("pkts/batch", "pkts/batch"),
    ("max vhost qlen", "vhost qlen"),
    ("upcalls/it", "upcalls/it"),
    ("cycles/upcall", "cycles/upcall"),
];

fn each(part: u64, whole: u64) -> u64 {
    part.checked_div(whole).unwrap_or(0)
}

fn exactly(part: u64, whole: u64) -> String {
    format!("{:.5}", if whole == 0 { 0.0 } else { part as f64 / whole as f64 })
}

/// A line of columns of 20, each behind 3 blanks, and a blank.
fn wide(out: &mut String, columns: impl IntoIterator<Item = String>) {
    columns.into_iter().for_each(|text| {
        let _ = write!(out, "   {text:<20}");
    });
    out.push_str(" \n");
}

/// All histograms, side by side, and averages.
pub(super) fn histograms(out: &mut String, history: &History) {
    out.push_str("\nHistograms\n");
    wide(out, HEADINGS.iter().map(|(name, _)| (*name).to_owned()));
    let limits = Measure::ALL.map(Measure::limits);
    for bin in 0..history.histograms[0].len() {
        let columns = limits.iter().zip(&history.histograms).map(|(limits, bins)| {
            let limit = limits.get(bin).map_or_else(|| ">".to_owned(), u64::to_string);
            format!("{limit:<9} {:<10}", bins[bin])
        });
        wide(out, columns);
    }
    let sum = &history.sum;
    if sum.turns == 0 {
        return;
    }
    out.push_str(&"-".repeat(154));
    out.push('\n');
    wide(out, HEADINGS.iter().map(|(_, name)| (*name).to_owned()));
    wide(
        out,
        [
            each(sum.cycles, sum.turns).to_string(),
            exactly(sum.packets, sum.turns),
            each(sum.busy_cycles, sum.packets).to_string(),
            exactly(sum.packets, sum.batches),
            exactly(0, sum.turns),
            exactly(sum.upcalls, sum.turns),
            each(sum.upcall_cycles, sum.upcalls).to_string(),
        ],
    );
}

/// What both lists end with.
fn costs(span: &Span) -> [u64; 5] {
    [
        each(span.busy_cycles, span.packets),
        each(span.packets, span.batches),
        0,
        span.upcalls,
        each(span.upcall_cycles, span.upcalls),
    ]
}

/// The last `n` turns, the last one first.
pub(super) fn turns(out: &mut String, history: &History, n: usize) {
    if n == 0 {
        return;
    }
    table(out, history.turns.iter().rev().take(n));
}

/// Turns, by number.
pub(super) fn table<'a>(out: &mut String, turns: impl Iterator<Item = &'a (u64, Span)>) {
    out.push_str("\n   iter                cycles       packets      cycles/pkt   pkts/batch   vhost qlen   upcalls      cycles/upcall\n");
    for (number, span) in turns {
        let _ = write!(out, "   {number:<17}   {:<10}   {:<10}", span.cycles, span.packets);
        narrow(out, costs(span));
    }
}

/// The last `n` milliseconds, the last one first.
pub(super) fn millis(out: &mut String, history: &History, n: usize) {
    if n == 0 {
        return;
    }
    out.push_str("\n   ms             iterations   cycles/it    Kpps         cycles/pkt   pkts/batch   vhost qlen   upcalls      cycles/upcall\n");
    for (at, span) in history.millis.iter().rev().take(n) {
        let cycles = each(span.cycles, span.turns);
        let _ =
            write!(out, "   {at:<12}   {:<10}   {cycles:<10}   {:<10}", span.turns, span.packets);
        narrow(out, costs(span));
    }
}

/// Columns of 10, each behind 3 blanks, and a blank.
fn narrow(out: &mut String, columns: impl IntoIterator<Item = u64>) {
    columns.into_iter().for_each(|n| {
        let _ = write!(out, "   {n:<10}");
    });
    out.push_str(" \n");
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Lines of the reference's own output.
    const HISTOGRAMS: [&str; 8] = [
        "Histograms",
        "   cycles/it              packets/it             cycles/pkt             pkts/batch             max vhost qlen         upcalls/it             cycles/upcall        ",
        "   499       0            0         178106       100       0            0         0            0         178226       0         178225       999       0          ",
        "   716       0            1         120          1096      0            1         120          1         0            1         1            1258      0          ",
        "   >         0            >         0            >         39           >         0            >         0            >         0            >         0          ",
        "----------------------------------------------------------------------------------------------------------------------------------------------------------",
        "   cycles/it              packets/it             cycles/pkt             pkts/batch             vhost qlen             upcalls/it             cycles/upcall        ",
        "   3276                   0.00067                215560                 1.00000                0.00000                0.00001                330226               ",
    ];

    const LISTS: &str = "
   iter                cycles       packets      cycles/pkt   pkts/batch   vhost qlen   upcalls      cycles/upcall
   2764303             2782         0            0            0            0            0            0          

   ms             iterations   cycles/it    Kpps         cycles/pkt   pkts/batch   vhost qlen   upcalls      cycles/upcall
   2243327        882          2916         3            223704       1            0            1            438750     
";

    fn history() -> History {
        let mut history = History::default();
        let [_, packets, cycles_per_packet, packets_per_batch, queue, upcalls, _] =
            &mut history.histograms;
        (packets[0], packets[1]) = (178_106, 120);
        cycles_per_packet[31] = 39;
        packets_per_batch[1] = 120;
        queue[0] = 178_226;
        (upcalls[0], upcalls[1]) = (178_225, 1);
        history.sum = Span {
            turns: 178_226,
            cycles: 583_936_213,
            busy_cycles: 25_867_218,
            packets: 120,
            batches: 120,
            upcalls: 1,
            upcall_cycles: 330_226,
        };
        history.turns.push_back((2_764_302, Span::default()));
        let idle = Span { turns: 1, cycles: 2782, ..Span::default() };
        history.turns.push_back((2_764_303, idle));
        let millisecond = Span {
            turns: 882,
            cycles: 882 * 2916,
            busy_cycles: 3 * 223_704,
            packets: 3,
            batches: 3,
            upcalls: 1,
            upcall_cycles: 438_750,
        };
        history.millis.push_back((2_243_327, millisecond));
        history
    }

    #[test]
    fn histograms_read_as_the_references() {
        let mut out = String::new();
        histograms(&mut out, &history());
        let lines: Vec<_> = out.lines().skip(1).collect();
        assert_eq!(lines.len(), 37);
        assert_eq!([&lines[..4], &lines[33..]].concat(), HISTOGRAMS);
    }

    #[test]
    fn lists_read_as_the_references_and_are_as_long_as_asked_for() {
        let mut out = String::new();
        turns(&mut out, &history(), 1);
        millis(&mut out, &history(), 1024);
        assert_eq!(out, LISTS);
        out.clear();
        turns(&mut out, &history(), 0);
        assert_eq!(out, "");
    }
}
