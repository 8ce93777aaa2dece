//! What rules cost a switch, without connections and sockets: added one by one, and deleted by cookie, 51 at a time, as the rows
//! `of-load` and `of-delete` of `bench` have it.
//!
//! `cargo run --release -p pipeline --example rules [ROUNDS]` prints, for each round, nanoseconds for each rule.

use base::{Clock, Instant};
use openflow::message::flow_mod::Command;
use openflow::text::flow::parse_flow;
use pipeline::{Program, Request};

#[global_allocator]
static ALLOC: sys::alloc::Mimalloc = sys::alloc::Mimalloc;

const RULES: u32 = 51_000;
const TABLES: u32 = 40;
/// Each cookie is on so many rules.
const OF_A_COOKIE: u32 = 51;

fn request(text: &str, command: Command) -> Request {
    Request::new(&parse_flow(text, command).unwrap().flow)
}

/// What a security group's rules look like: an address, a protocol, a port; by the masks of a dozen kinds.
fn rule(i: u32) -> Request {
    let (a, b, c) = (i >> 16 & 0xff, i >> 8 & 0xff, i & 0xff);
    let matching = match i % 4 {
        0 => format!("ip,nw_src=10.{a}.{b}.{c}"),
        1 => format!("tcp,nw_dst=10.{a}.{b}.{c},tp_dst={}", i % 1000),
        2 => format!("metadata=0x{i:x},udp,tp_dst={}", i % 5000),
        _ => format!("reg0=0x{i:x},dl_dst=02:00:00:{a:02x}:{b:02x}:{c:02x}"),
    };
    let (table, cookie) = (i % TABLES, i / OF_A_COOKIE);
    let text = format!(
        "table={table},cookie=0x{cookie:x},priority={},{matching} actions=load:{}->NXM_NX_REG1[],resubmit(,{})",
        100 + i % 7,
        i % 1000,
        table + 1
    );
    request(&text, Command::Add)
}

/// Nanoseconds for each rule. What has changed is forgotten after every 64 requests, as the switch does.
fn carry_out(program: &mut Program, requests: &[Request]) -> u128 {
    let clock = Clock::real();
    let start = clock.now();
    for some in requests.chunks(64) {
        let changes: Vec<_> =
            some.iter().map(|request| program.change(request, Instant::default())).collect();
        changes.into_iter().for_each(|changes| drop(changes.unwrap()));
        program.take_touched();
    }
    clock.now().since(start).as_nanos() / u128::from(RULES)
}

fn main() {
    let rounds = std::env::args().nth(1).and_then(|rounds| rounds.parse().ok()).unwrap_or(10);
    let delete = |cookie| request(&format!("cookie=0x{cookie:x}/-1"), Command::Delete);
    let deletes: Vec<_> = (0..RULES / OF_A_COOKIE).map(delete).collect();
    let mut program = Program::new(1);
    for _ in 0..rounds {
        let adds: Vec<_> = (0..RULES).map(rule).collect();
        let added = carry_out(&mut program, &adds);
        drop(adds);
        let deleted = carry_out(&mut program, &deletes);
        assert!(program.tables().all(|(id, table)| id >= pipeline::TABLES || table.is_empty()));
        println!("{added} ns to add a rule, {deleted} ns to delete one");
    }
}
