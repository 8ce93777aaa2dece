//! GRE, of frames or of packets of any type.

use packet::wire::ethernet::eth_type;
use packet::wire::gre::Gre;

use super::Said;

pub(super) fn write(said: &Said<'_>, to: &mut Vec<u8>) -> Option<()> {
    let gre = Gre {
        proto: said.bare.unwrap_or(eth_type::TEB),
        csum: said.endpoint.csum.filter(|wanted| *wanted).map(|_| 0),
        key: said.key(),
        seq: said.endpoint.numbering.sequence().map(|_| 0),
    };
    gre.write(to);
    Some(())
}
