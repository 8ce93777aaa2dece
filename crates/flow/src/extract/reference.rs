//! The reference and we read the same out of the same frames, whole ones and broken ones, and say it in the same words.

use super::{Metadata, extract};
use crate::key::{DpPort, Mask};
use crate::options::OptionMask;
use crate::text::{FlowText, Numbers, parse_flow, parse_hex_packet};

const SEEN: &str = include_str!("../../testdata/keys.txt");

/// A second tag that is cut short. The reference lists it as this when told to look at two, as we always are, and as we do when
/// told to look at one, as it is by itself.
const CUT_TAG: &str = "encap(eth_type(0x8100),vlan(vid=0,pcp=0,cfi=0),encap())";

#[test]
fn frames_are_read_as_the_reference_reads_them() {
    let (mut count, mut wrong) = (0, vec![]);
    for line in SEEN.lines().filter(|line| !line.starts_with('#')) {
        let (frame, want) = line.split_once(' ').unwrap();
        let frame = parse_hex_packet(frame).unwrap();
        let (key, _) = extract(&frame, &Metadata::port(DpPort(1))).unwrap();
        let mut mask = Mask::exact();
        // It does not know which extension headers there are.
        mask.0.ipv6_exthdr = 0;
        if want.contains("nd(target=") {
            // Its exact flows do not look at neighbour discovery.
            (mask.0.nd_target, mask.0.nd_reserved, mask.0.nd_options_type) = ([0; 16], 0, 0);
            (mask.0.arp_sha, mask.0.arp_tha) = ([0; 6], [0; 6]);
        }
        let text = FlowText {
            key: &key,
            mask: &mask,
            verbose: true,
            names: &Numbers,
            options: &[],
            looked: OptionMask::none(),
        }
        .to_string();
        let (_, got) = text.split_once("packet_type(ns=0,id=0),").unwrap();
        count += 1;
        let want = want.replace(CUT_TAG, "encap(eth_type(0x8100))");
        // It stumbles over a stack without a whole entry.
        let want = want.replace("mpls((bad key length 0)", "mpls()");
        if got != want {
            wrong.push(format!("{line}\nnot {got}"));
        }
        // What is written is read as the same key, but for what the text does not have.
        let (again, _) = parse_flow(&text, &Numbers).unwrap();
        let again = FlowText {
            key: &again,
            mask: &mask,
            verbose: true,
            names: &Numbers,
            options: &[],
            looked: OptionMask::none(),
        };
        assert_eq!(again.to_string(), text);
    }
    assert!(count >= 440, "{count}");
    assert!(wrong.is_empty(), "{} of {count}:\n{}", wrong.len(), wrong.join("\n"));
}
