//! Queues.

use std::fmt::Write;

use super::super::names::Names;
use crate::message::queue::{ALL_QUEUES, QueueConfig, QueueRequest, QueueStats};
use crate::port::Port;

fn queue(queue: u32) -> String {
    if queue == ALL_QUEUES { "ALL".to_owned() } else { queue.to_string() }
}

pub(super) fn config_request(out: &mut String, asked: QueueRequest, names: &Names) {
    let _ = write!(out, " port={}", names.port(asked.port));
    if asked.queue != ALL_QUEUES {
        let _ = write!(out, " queue={}", asked.queue);
    }
}

pub(super) fn configs(out: &mut String, queues: &[QueueConfig], names: &Names) {
    let mut queues = queues.to_vec();
    queues.sort_by_key(|config| (config.port, config.queue));
    out.push(' ');
    let mut port = Port(0);
    for config in queues {
        if config.port != port {
            port = config.port;
            let _ = writeln!(out, "port={}", names.port(port));
        }
        let _ = write!(out, "queue {}:", config.queue);
        for (name, rate) in [("min_rate", config.min_rate), ("max_rate", config.max_rate)] {
            let _ = match rate {
                None => Ok(()),
                Some(rate @ 0..=1000) => write!(out, " {name}:{}.{}%", rate / 10, rate % 10),
                Some(_) => write!(out, " {name}:(disabled)"),
            };
        }
        out.push('\n');
    }
}

pub(super) fn stats_request(out: &mut String, asked: QueueRequest, names: &Names) {
    let (port, queue) = (names.port(asked.port), queue(asked.queue));
    let _ = write!(out, " port={port} queue={queue}");
}

pub(super) fn all_stats(out: &mut String, queues: &[QueueStats], names: &Names) {
    let _ = writeln!(out, " {} queues", queues.len());
    for stats in queues {
        let count = |count: Option<u64>| count.map_or("?".to_owned(), |count| count.to_string());
        let duration = stats.duration.map_or("?".to_owned(), super::flow::seconds);
        let _ = writeln!(
            out,
            "  port {} queue {}: bytes={}, pkts={}, errors={}, duration={duration}",
            names.port(stats.port),
            queue(stats.queue),
            count(stats.bytes),
            count(stats.packets),
            count(stats.errors)
        );
    }
}
