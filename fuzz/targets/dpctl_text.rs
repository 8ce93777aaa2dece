//! What `dpctl/..` commands take: flows and actions, put in order. What was put in order once stays as it is.
#![no_main]

use datapath::Ufid;
use flow::dpctl::{again, normalized};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (&str, &str)| {
    let (flow, actions) = input;
    if let (said, None) = again(&[actions]) {
        assert_eq!(again(&[said.trim_end()]), (said.clone(), None));
    }
    if let (first, None) = normalized(flow, actions) {
        // One part, without changes of tags: what is done is the whole of it.
        if let Some((_, part)) = first.split_once("\nno vlan: no mpls: ")
            && !part.contains("mpls:")
        {
            let (second, error) = normalized(flow, part);
            assert_eq!((second, error), (first.clone(), None));
        }
    }
    if let Ok(ufid) = flow.parse::<Ufid>() {
        assert_eq!(ufid.to_string().parse(), Ok(ufid));
    }
});
