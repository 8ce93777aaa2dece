//! The rows: one for each field. Facts of the standards and of ovs-fields(7); `tests/fields.txt` has them once more, as the
//! manual page prints them, to compare with.

use super::Class::{Eric, NshVendor as Nsh, NxEt, NxmNx, NxmOf, OnfEt, Oxm, PktReg};
use super::Fixed::{Cidr, Exact, Masked, No};
use super::Format::{
    CtState as CtStateText, Decimal, Ethernet, Frag, Hex, Ipv4, Ipv6, PacketType as PktType, Port,
    Port32, TcpFlags as TcpFlagsText, TunnelFlags,
};
use super::{Header, Prereq, Row};
use crate::version::Version::{V10, V12, V13, V14, V15};

const fn c(name: &'static str, class: super::Class, number: u8, since: crate::Version) -> Header {
    Header { name, class, number, since }
}

#[allow(clippy::too_many_arguments)]
const fn row(
    name: &'static str,
    alias: &'static str,
    width: u32,
    bits: u32,
    format: super::Format,
    maskable: bool,
    prereq: Prereq,
    writable: bool,
    of10: super::Fixed,
    of11: super::Fixed,
    home: (Field, u32),
    headers: &'static [Header],
) -> Row {
    Row { name, alias, width, bits, format, maskable, prereq, writable, of10, of11, home, headers }
}

macro_rules! fields {
    ($($name:ident = $row:expr;)*) => {
        /// A field that a flow can match, or an action can read or write.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u8)]
        #[allow(missing_docs)]
        pub enum Field { $($name),* }

        /// All rows, in the order of [`Field`].
        pub(super) static ROWS: &[Row] = {
            use Field::*;
            &[$($row),*]
        };

        impl Field {
            /// All fields.
            pub const ALL: &[Field] = &[$(Field::$name),*];
        }
    };
}

fields! {
    DpHash = row("dp_hash", "", 32, 32, Hex, true, Prereq::None, false, No, No, (DpHash, 0), &[c("NXM_NX_DP_HASH", NxmNx, 35, V10)]);
    RecircId = row("recirc_id", "", 32, 32, Decimal, false, Prereq::None, false, No, No, (RecircId, 0), &[c("NXM_NX_RECIRC_ID", NxmNx, 36, V10)]);
    PacketType = row("packet_type", "", 32, 32, PktType, false, Prereq::None, false, No, No, (PacketType, 0), &[c("OXM_OF_PACKET_TYPE", Oxm, 44, V15)]);
    ConjId = row("conj_id", "", 32, 32, Decimal, false, Prereq::None, false, No, No, (ConjId, 0), &[c("NXM_NX_CONJ_ID", NxmNx, 37, V10)]);
    TunId = row("tun_id", "tunnel_id", 64, 64, Hex, true, Prereq::None, true, No, No, (TunId, 0), &[c("NXM_NX_TUN_ID", NxmNx, 16, V10), c("OXM_OF_TUNNEL_ID", Oxm, 38, V13)]);
    TunSrc = row("tun_src", "", 32, 32, Ipv4, true, Prereq::None, true, No, No, (TunSrc, 0), &[c("NXM_NX_TUN_IPV4_SRC", NxmNx, 31, V10)]);
    TunDst = row("tun_dst", "", 32, 32, Ipv4, true, Prereq::None, true, No, No, (TunDst, 0), &[c("NXM_NX_TUN_IPV4_DST", NxmNx, 32, V10)]);
    TunIpv6Src = row("tun_ipv6_src", "", 128, 128, Ipv6, true, Prereq::None, true, No, No, (TunIpv6Src, 0), &[c("NXM_NX_TUN_IPV6_SRC", NxmNx, 109, V10)]);
    TunIpv6Dst = row("tun_ipv6_dst", "", 128, 128, Ipv6, true, Prereq::None, true, No, No, (TunIpv6Dst, 0), &[c("NXM_NX_TUN_IPV6_DST", NxmNx, 110, V10)]);
    TunGbpId = row("tun_gbp_id", "", 16, 16, Decimal, true, Prereq::None, true, No, No, (TunGbpId, 0), &[c("NXM_NX_TUN_GBP_ID", NxmNx, 38, V10)]);
    TunGbpFlags = row("tun_gbp_flags", "", 8, 8, Hex, true, Prereq::None, true, No, No, (TunGbpFlags, 0), &[c("NXM_NX_TUN_GBP_FLAGS", NxmNx, 39, V10)]);
    TunErspanVer = row("tun_erspan_ver", "", 8, 4, Decimal, true, Prereq::None, true, No, No, (TunErspanVer, 0), &[c("NXOXM_ET_ERSPAN_VER", NxEt, 12, V10)]);
    TunErspanIdx = row("tun_erspan_idx", "", 32, 20, Hex, true, Prereq::None, true, No, No, (TunErspanIdx, 0), &[c("NXOXM_ET_ERSPAN_IDX", NxEt, 11, V10)]);
    TunErspanDir = row("tun_erspan_dir", "", 8, 1, Decimal, true, Prereq::None, true, No, No, (TunErspanDir, 0), &[c("NXOXM_ET_ERSPAN_DIR", NxEt, 13, V10)]);
    TunErspanHwid = row("tun_erspan_hwid", "", 8, 6, Hex, true, Prereq::None, true, No, No, (TunErspanHwid, 0), &[c("NXOXM_ET_ERSPAN_HWID", NxEt, 14, V10)]);
    TunGtpuFlags = row("tun_gtpu_flags", "", 8, 8, Hex, true, Prereq::None, false, No, No, (TunGtpuFlags, 0), &[c("NXOXM_ET_GTPU_FLAGS", NxEt, 15, V10)]);
    TunGtpuMsgtype = row("tun_gtpu_msgtype", "", 8, 8, Decimal, true, Prereq::None, false, No, No, (TunGtpuMsgtype, 0), &[c("NXOXM_ET_GTPU_MSGTYPE", NxEt, 16, V10)]);
    TunMetadata0 = row("tun_metadata0", "", 992, 992, Hex, true, Prereq::None, true, No, No, (TunMetadata0, 0), &[c("NXM_NX_TUN_METADATA0", NxmNx, 40, V10)]);
    TunMetadata1 = row("tun_metadata1", "", 992, 992, Hex, true, Prereq::None, true, No, No, (TunMetadata1, 0), &[c("NXM_NX_TUN_METADATA1", NxmNx, 41, V10)]);
    TunMetadata2 = row("tun_metadata2", "", 992, 992, Hex, true, Prereq::None, true, No, No, (TunMetadata2, 0), &[c("NXM_NX_TUN_METADATA2", NxmNx, 42, V10)]);
    TunMetadata3 = row("tun_metadata3", "", 992, 992, Hex, true, Prereq::None, true, No, No, (TunMetadata3, 0), &[c("NXM_NX_TUN_METADATA3", NxmNx, 43, V10)]);
    TunMetadata4 = row("tun_metadata4", "", 992, 992, Hex, true, Prereq::None, true, No, No, (TunMetadata4, 0), &[c("NXM_NX_TUN_METADATA4", NxmNx, 44, V10)]);
    TunMetadata5 = row("tun_metadata5", "", 992, 992, Hex, true, Prereq::None, true, No, No, (TunMetadata5, 0), &[c("NXM_NX_TUN_METADATA5", NxmNx, 45, V10)]);
    TunMetadata6 = row("tun_metadata6", "", 992, 992, Hex, true, Prereq::None, true, No, No, (TunMetadata6, 0), &[c("NXM_NX_TUN_METADATA6", NxmNx, 46, V10)]);
    TunMetadata7 = row("tun_metadata7", "", 992, 992, Hex, true, Prereq::None, true, No, No, (TunMetadata7, 0), &[c("NXM_NX_TUN_METADATA7", NxmNx, 47, V10)]);
    TunMetadata8 = row("tun_metadata8", "", 992, 992, Hex, true, Prereq::None, true, No, No, (TunMetadata8, 0), &[c("NXM_NX_TUN_METADATA8", NxmNx, 48, V10)]);
    TunMetadata9 = row("tun_metadata9", "", 992, 992, Hex, true, Prereq::None, true, No, No, (TunMetadata9, 0), &[c("NXM_NX_TUN_METADATA9", NxmNx, 49, V10)]);
    TunMetadata10 = row("tun_metadata10", "", 992, 992, Hex, true, Prereq::None, true, No, No, (TunMetadata10, 0), &[c("NXM_NX_TUN_METADATA10", NxmNx, 50, V10)]);
    TunMetadata11 = row("tun_metadata11", "", 992, 992, Hex, true, Prereq::None, true, No, No, (TunMetadata11, 0), &[c("NXM_NX_TUN_METADATA11", NxmNx, 51, V10)]);
    TunMetadata12 = row("tun_metadata12", "", 992, 992, Hex, true, Prereq::None, true, No, No, (TunMetadata12, 0), &[c("NXM_NX_TUN_METADATA12", NxmNx, 52, V10)]);
    TunMetadata13 = row("tun_metadata13", "", 992, 992, Hex, true, Prereq::None, true, No, No, (TunMetadata13, 0), &[c("NXM_NX_TUN_METADATA13", NxmNx, 53, V10)]);
    TunMetadata14 = row("tun_metadata14", "", 992, 992, Hex, true, Prereq::None, true, No, No, (TunMetadata14, 0), &[c("NXM_NX_TUN_METADATA14", NxmNx, 54, V10)]);
    TunMetadata15 = row("tun_metadata15", "", 992, 992, Hex, true, Prereq::None, true, No, No, (TunMetadata15, 0), &[c("NXM_NX_TUN_METADATA15", NxmNx, 55, V10)]);
    TunMetadata16 = row("tun_metadata16", "", 992, 992, Hex, true, Prereq::None, true, No, No, (TunMetadata16, 0), &[c("NXM_NX_TUN_METADATA16", NxmNx, 56, V10)]);
    TunMetadata17 = row("tun_metadata17", "", 992, 992, Hex, true, Prereq::None, true, No, No, (TunMetadata17, 0), &[c("NXM_NX_TUN_METADATA17", NxmNx, 57, V10)]);
    TunMetadata18 = row("tun_metadata18", "", 992, 992, Hex, true, Prereq::None, true, No, No, (TunMetadata18, 0), &[c("NXM_NX_TUN_METADATA18", NxmNx, 58, V10)]);
    TunMetadata19 = row("tun_metadata19", "", 992, 992, Hex, true, Prereq::None, true, No, No, (TunMetadata19, 0), &[c("NXM_NX_TUN_METADATA19", NxmNx, 59, V10)]);
    TunMetadata20 = row("tun_metadata20", "", 992, 992, Hex, true, Prereq::None, true, No, No, (TunMetadata20, 0), &[c("NXM_NX_TUN_METADATA20", NxmNx, 60, V10)]);
    TunMetadata21 = row("tun_metadata21", "", 992, 992, Hex, true, Prereq::None, true, No, No, (TunMetadata21, 0), &[c("NXM_NX_TUN_METADATA21", NxmNx, 61, V10)]);
    TunMetadata22 = row("tun_metadata22", "", 992, 992, Hex, true, Prereq::None, true, No, No, (TunMetadata22, 0), &[c("NXM_NX_TUN_METADATA22", NxmNx, 62, V10)]);
    TunMetadata23 = row("tun_metadata23", "", 992, 992, Hex, true, Prereq::None, true, No, No, (TunMetadata23, 0), &[c("NXM_NX_TUN_METADATA23", NxmNx, 63, V10)]);
    TunMetadata24 = row("tun_metadata24", "", 992, 992, Hex, true, Prereq::None, true, No, No, (TunMetadata24, 0), &[c("NXM_NX_TUN_METADATA24", NxmNx, 64, V10)]);
    TunMetadata25 = row("tun_metadata25", "", 992, 992, Hex, true, Prereq::None, true, No, No, (TunMetadata25, 0), &[c("NXM_NX_TUN_METADATA25", NxmNx, 65, V10)]);
    TunMetadata26 = row("tun_metadata26", "", 992, 992, Hex, true, Prereq::None, true, No, No, (TunMetadata26, 0), &[c("NXM_NX_TUN_METADATA26", NxmNx, 66, V10)]);
    TunMetadata27 = row("tun_metadata27", "", 992, 992, Hex, true, Prereq::None, true, No, No, (TunMetadata27, 0), &[c("NXM_NX_TUN_METADATA27", NxmNx, 67, V10)]);
    TunMetadata28 = row("tun_metadata28", "", 992, 992, Hex, true, Prereq::None, true, No, No, (TunMetadata28, 0), &[c("NXM_NX_TUN_METADATA28", NxmNx, 68, V10)]);
    TunMetadata29 = row("tun_metadata29", "", 992, 992, Hex, true, Prereq::None, true, No, No, (TunMetadata29, 0), &[c("NXM_NX_TUN_METADATA29", NxmNx, 69, V10)]);
    TunMetadata30 = row("tun_metadata30", "", 992, 992, Hex, true, Prereq::None, true, No, No, (TunMetadata30, 0), &[c("NXM_NX_TUN_METADATA30", NxmNx, 70, V10)]);
    TunMetadata31 = row("tun_metadata31", "", 992, 992, Hex, true, Prereq::None, true, No, No, (TunMetadata31, 0), &[c("NXM_NX_TUN_METADATA31", NxmNx, 71, V10)]);
    TunMetadata32 = row("tun_metadata32", "", 992, 992, Hex, true, Prereq::None, true, No, No, (TunMetadata32, 0), &[c("NXM_NX_TUN_METADATA32", NxmNx, 72, V10)]);
    TunMetadata33 = row("tun_metadata33", "", 992, 992, Hex, true, Prereq::None, true, No, No, (TunMetadata33, 0), &[c("NXM_NX_TUN_METADATA33", NxmNx, 73, V10)]);
    TunMetadata34 = row("tun_metadata34", "", 992, 992, Hex, true, Prereq::None, true, No, No, (TunMetadata34, 0), &[c("NXM_NX_TUN_METADATA34", NxmNx, 74, V10)]);
    TunMetadata35 = row("tun_metadata35", "", 992, 992, Hex, true, Prereq::None, true, No, No, (TunMetadata35, 0), &[c("NXM_NX_TUN_METADATA35", NxmNx, 75, V10)]);
    TunMetadata36 = row("tun_metadata36", "", 992, 992, Hex, true, Prereq::None, true, No, No, (TunMetadata36, 0), &[c("NXM_NX_TUN_METADATA36", NxmNx, 76, V10)]);
    TunMetadata37 = row("tun_metadata37", "", 992, 992, Hex, true, Prereq::None, true, No, No, (TunMetadata37, 0), &[c("NXM_NX_TUN_METADATA37", NxmNx, 77, V10)]);
    TunMetadata38 = row("tun_metadata38", "", 992, 992, Hex, true, Prereq::None, true, No, No, (TunMetadata38, 0), &[c("NXM_NX_TUN_METADATA38", NxmNx, 78, V10)]);
    TunMetadata39 = row("tun_metadata39", "", 992, 992, Hex, true, Prereq::None, true, No, No, (TunMetadata39, 0), &[c("NXM_NX_TUN_METADATA39", NxmNx, 79, V10)]);
    TunMetadata40 = row("tun_metadata40", "", 992, 992, Hex, true, Prereq::None, true, No, No, (TunMetadata40, 0), &[c("NXM_NX_TUN_METADATA40", NxmNx, 80, V10)]);
    TunMetadata41 = row("tun_metadata41", "", 992, 992, Hex, true, Prereq::None, true, No, No, (TunMetadata41, 0), &[c("NXM_NX_TUN_METADATA41", NxmNx, 81, V10)]);
    TunMetadata42 = row("tun_metadata42", "", 992, 992, Hex, true, Prereq::None, true, No, No, (TunMetadata42, 0), &[c("NXM_NX_TUN_METADATA42", NxmNx, 82, V10)]);
    TunMetadata43 = row("tun_metadata43", "", 992, 992, Hex, true, Prereq::None, true, No, No, (TunMetadata43, 0), &[c("NXM_NX_TUN_METADATA43", NxmNx, 83, V10)]);
    TunMetadata44 = row("tun_metadata44", "", 992, 992, Hex, true, Prereq::None, true, No, No, (TunMetadata44, 0), &[c("NXM_NX_TUN_METADATA44", NxmNx, 84, V10)]);
    TunMetadata45 = row("tun_metadata45", "", 992, 992, Hex, true, Prereq::None, true, No, No, (TunMetadata45, 0), &[c("NXM_NX_TUN_METADATA45", NxmNx, 85, V10)]);
    TunMetadata46 = row("tun_metadata46", "", 992, 992, Hex, true, Prereq::None, true, No, No, (TunMetadata46, 0), &[c("NXM_NX_TUN_METADATA46", NxmNx, 86, V10)]);
    TunMetadata47 = row("tun_metadata47", "", 992, 992, Hex, true, Prereq::None, true, No, No, (TunMetadata47, 0), &[c("NXM_NX_TUN_METADATA47", NxmNx, 87, V10)]);
    TunMetadata48 = row("tun_metadata48", "", 992, 992, Hex, true, Prereq::None, true, No, No, (TunMetadata48, 0), &[c("NXM_NX_TUN_METADATA48", NxmNx, 88, V10)]);
    TunMetadata49 = row("tun_metadata49", "", 992, 992, Hex, true, Prereq::None, true, No, No, (TunMetadata49, 0), &[c("NXM_NX_TUN_METADATA49", NxmNx, 89, V10)]);
    TunMetadata50 = row("tun_metadata50", "", 992, 992, Hex, true, Prereq::None, true, No, No, (TunMetadata50, 0), &[c("NXM_NX_TUN_METADATA50", NxmNx, 90, V10)]);
    TunMetadata51 = row("tun_metadata51", "", 992, 992, Hex, true, Prereq::None, true, No, No, (TunMetadata51, 0), &[c("NXM_NX_TUN_METADATA51", NxmNx, 91, V10)]);
    TunMetadata52 = row("tun_metadata52", "", 992, 992, Hex, true, Prereq::None, true, No, No, (TunMetadata52, 0), &[c("NXM_NX_TUN_METADATA52", NxmNx, 92, V10)]);
    TunMetadata53 = row("tun_metadata53", "", 992, 992, Hex, true, Prereq::None, true, No, No, (TunMetadata53, 0), &[c("NXM_NX_TUN_METADATA53", NxmNx, 93, V10)]);
    TunMetadata54 = row("tun_metadata54", "", 992, 992, Hex, true, Prereq::None, true, No, No, (TunMetadata54, 0), &[c("NXM_NX_TUN_METADATA54", NxmNx, 94, V10)]);
    TunMetadata55 = row("tun_metadata55", "", 992, 992, Hex, true, Prereq::None, true, No, No, (TunMetadata55, 0), &[c("NXM_NX_TUN_METADATA55", NxmNx, 95, V10)]);
    TunMetadata56 = row("tun_metadata56", "", 992, 992, Hex, true, Prereq::None, true, No, No, (TunMetadata56, 0), &[c("NXM_NX_TUN_METADATA56", NxmNx, 96, V10)]);
    TunMetadata57 = row("tun_metadata57", "", 992, 992, Hex, true, Prereq::None, true, No, No, (TunMetadata57, 0), &[c("NXM_NX_TUN_METADATA57", NxmNx, 97, V10)]);
    TunMetadata58 = row("tun_metadata58", "", 992, 992, Hex, true, Prereq::None, true, No, No, (TunMetadata58, 0), &[c("NXM_NX_TUN_METADATA58", NxmNx, 98, V10)]);
    TunMetadata59 = row("tun_metadata59", "", 992, 992, Hex, true, Prereq::None, true, No, No, (TunMetadata59, 0), &[c("NXM_NX_TUN_METADATA59", NxmNx, 99, V10)]);
    TunMetadata60 = row("tun_metadata60", "", 992, 992, Hex, true, Prereq::None, true, No, No, (TunMetadata60, 0), &[c("NXM_NX_TUN_METADATA60", NxmNx, 100, V10)]);
    TunMetadata61 = row("tun_metadata61", "", 992, 992, Hex, true, Prereq::None, true, No, No, (TunMetadata61, 0), &[c("NXM_NX_TUN_METADATA61", NxmNx, 101, V10)]);
    TunMetadata62 = row("tun_metadata62", "", 992, 992, Hex, true, Prereq::None, true, No, No, (TunMetadata62, 0), &[c("NXM_NX_TUN_METADATA62", NxmNx, 102, V10)]);
    TunMetadata63 = row("tun_metadata63", "", 992, 992, Hex, true, Prereq::None, true, No, No, (TunMetadata63, 0), &[c("NXM_NX_TUN_METADATA63", NxmNx, 103, V10)]);
    TunFlags = row("tun_flags", "", 16, 1, TunnelFlags, true, Prereq::None, true, No, No, (TunFlags, 0), &[c("NXM_NX_TUN_FLAGS", NxmNx, 104, V10)]);
    InPort = row("in_port", "", 16, 16, Port, false, Prereq::None, true, Exact, Exact, (InPort, 0), &[c("NXM_OF_IN_PORT", NxmOf, 0, V10)]);
    InPortOxm = row("in_port_oxm", "", 32, 32, Port32, false, Prereq::None, true, No, Exact, (InPort, 0), &[c("OXM_OF_IN_PORT", Oxm, 0, V12)]);
    SkbPriority = row("skb_priority", "", 32, 32, Hex, false, Prereq::None, false, No, No, (SkbPriority, 0), &[]);
    PktMark = row("pkt_mark", "", 32, 32, Hex, true, Prereq::None, true, No, No, (PktMark, 0), &[c("NXM_NX_PKT_MARK", NxmNx, 33, V10)]);
    ActsetOutput = row("actset_output", "", 32, 32, Port32, false, Prereq::None, false, No, No, (ActsetOutput, 0), &[c("ONFOXM_ET_ACTSET_OUTPUT", OnfEt, 43, V13), c("OXM_OF_ACTSET_OUTPUT", Oxm, 43, V15)]);
    CtState = row("ct_state", "", 32, 32, CtStateText, true, Prereq::None, false, No, No, (CtState, 0), &[c("NXM_NX_CT_STATE", NxmNx, 105, V10)]);
    CtZone = row("ct_zone", "", 16, 16, Hex, false, Prereq::None, false, No, No, (CtZone, 0), &[c("NXM_NX_CT_ZONE", NxmNx, 106, V10)]);
    CtMark = row("ct_mark", "", 32, 32, Hex, true, Prereq::None, true, No, No, (CtMark, 0), &[c("NXM_NX_CT_MARK", NxmNx, 107, V10)]);
    CtLabel = row("ct_label", "", 128, 128, Hex, true, Prereq::None, true, No, No, (CtLabel, 0), &[c("NXM_NX_CT_LABEL", NxmNx, 108, V10)]);
    CtNwSrc = row("ct_nw_src", "", 32, 32, Ipv4, true, Prereq::Ct, false, No, No, (CtNwSrc, 0), &[c("NXM_NX_CT_NW_SRC", NxmNx, 120, V10)]);
    CtNwDst = row("ct_nw_dst", "", 32, 32, Ipv4, true, Prereq::Ct, false, No, No, (CtNwDst, 0), &[c("NXM_NX_CT_NW_DST", NxmNx, 121, V10)]);
    CtIpv6Src = row("ct_ipv6_src", "", 128, 128, Ipv6, true, Prereq::Ct, false, No, No, (CtIpv6Src, 0), &[c("NXM_NX_CT_IPV6_SRC", NxmNx, 122, V10)]);
    CtIpv6Dst = row("ct_ipv6_dst", "", 128, 128, Ipv6, true, Prereq::Ct, false, No, No, (CtIpv6Dst, 0), &[c("NXM_NX_CT_IPV6_DST", NxmNx, 123, V10)]);
    CtNwProto = row("ct_nw_proto", "", 8, 8, Decimal, false, Prereq::Ct, false, No, No, (CtNwProto, 0), &[c("NXM_NX_CT_NW_PROTO", NxmNx, 119, V10)]);
    CtTpSrc = row("ct_tp_src", "", 16, 16, Decimal, true, Prereq::Ct, false, No, No, (CtTpSrc, 0), &[c("NXM_NX_CT_TP_SRC", NxmNx, 124, V10)]);
    CtTpDst = row("ct_tp_dst", "", 16, 16, Decimal, true, Prereq::Ct, false, No, No, (CtTpDst, 0), &[c("NXM_NX_CT_TP_DST", NxmNx, 125, V10)]);
    Metadata = row("metadata", "", 64, 64, Hex, true, Prereq::None, true, No, Masked, (Metadata, 0), &[c("OXM_OF_METADATA", Oxm, 2, V12)]);
    Reg0 = row("reg0", "", 32, 32, Hex, true, Prereq::None, true, No, No, (Reg0, 0), &[c("NXM_NX_REG0", NxmNx, 0, V10)]);
    Reg1 = row("reg1", "", 32, 32, Hex, true, Prereq::None, true, No, No, (Reg1, 0), &[c("NXM_NX_REG1", NxmNx, 1, V10)]);
    Reg2 = row("reg2", "", 32, 32, Hex, true, Prereq::None, true, No, No, (Reg2, 0), &[c("NXM_NX_REG2", NxmNx, 2, V10)]);
    Reg3 = row("reg3", "", 32, 32, Hex, true, Prereq::None, true, No, No, (Reg3, 0), &[c("NXM_NX_REG3", NxmNx, 3, V10)]);
    Reg4 = row("reg4", "", 32, 32, Hex, true, Prereq::None, true, No, No, (Reg4, 0), &[c("NXM_NX_REG4", NxmNx, 4, V10)]);
    Reg5 = row("reg5", "", 32, 32, Hex, true, Prereq::None, true, No, No, (Reg5, 0), &[c("NXM_NX_REG5", NxmNx, 5, V10)]);
    Reg6 = row("reg6", "", 32, 32, Hex, true, Prereq::None, true, No, No, (Reg6, 0), &[c("NXM_NX_REG6", NxmNx, 6, V10)]);
    Reg7 = row("reg7", "", 32, 32, Hex, true, Prereq::None, true, No, No, (Reg7, 0), &[c("NXM_NX_REG7", NxmNx, 7, V10)]);
    Reg8 = row("reg8", "", 32, 32, Hex, true, Prereq::None, true, No, No, (Reg8, 0), &[c("NXM_NX_REG8", NxmNx, 8, V10)]);
    Reg9 = row("reg9", "", 32, 32, Hex, true, Prereq::None, true, No, No, (Reg9, 0), &[c("NXM_NX_REG9", NxmNx, 9, V10)]);
    Reg10 = row("reg10", "", 32, 32, Hex, true, Prereq::None, true, No, No, (Reg10, 0), &[c("NXM_NX_REG10", NxmNx, 10, V10)]);
    Reg11 = row("reg11", "", 32, 32, Hex, true, Prereq::None, true, No, No, (Reg11, 0), &[c("NXM_NX_REG11", NxmNx, 11, V10)]);
    Reg12 = row("reg12", "", 32, 32, Hex, true, Prereq::None, true, No, No, (Reg12, 0), &[c("NXM_NX_REG12", NxmNx, 12, V10)]);
    Reg13 = row("reg13", "", 32, 32, Hex, true, Prereq::None, true, No, No, (Reg13, 0), &[c("NXM_NX_REG13", NxmNx, 13, V10)]);
    Reg14 = row("reg14", "", 32, 32, Hex, true, Prereq::None, true, No, No, (Reg14, 0), &[c("NXM_NX_REG14", NxmNx, 14, V10)]);
    Reg15 = row("reg15", "", 32, 32, Hex, true, Prereq::None, true, No, No, (Reg15, 0), &[c("NXM_NX_REG15", NxmNx, 15, V10)]);
    Xreg0 = row("xreg0", "", 64, 64, Hex, true, Prereq::None, true, No, No, (Xreg0, 0), &[c("OXM_OF_PKT_REG0", PktReg, 0, V13)]);
    Xreg1 = row("xreg1", "", 64, 64, Hex, true, Prereq::None, true, No, No, (Xreg1, 0), &[c("OXM_OF_PKT_REG1", PktReg, 1, V13)]);
    Xreg2 = row("xreg2", "", 64, 64, Hex, true, Prereq::None, true, No, No, (Xreg2, 0), &[c("OXM_OF_PKT_REG2", PktReg, 2, V13)]);
    Xreg3 = row("xreg3", "", 64, 64, Hex, true, Prereq::None, true, No, No, (Xreg3, 0), &[c("OXM_OF_PKT_REG3", PktReg, 3, V13)]);
    Xreg4 = row("xreg4", "", 64, 64, Hex, true, Prereq::None, true, No, No, (Xreg4, 0), &[c("OXM_OF_PKT_REG4", PktReg, 4, V13)]);
    Xreg5 = row("xreg5", "", 64, 64, Hex, true, Prereq::None, true, No, No, (Xreg5, 0), &[c("OXM_OF_PKT_REG5", PktReg, 5, V13)]);
    Xreg6 = row("xreg6", "", 64, 64, Hex, true, Prereq::None, true, No, No, (Xreg6, 0), &[c("OXM_OF_PKT_REG6", PktReg, 6, V13)]);
    Xreg7 = row("xreg7", "", 64, 64, Hex, true, Prereq::None, true, No, No, (Xreg7, 0), &[c("OXM_OF_PKT_REG7", PktReg, 7, V13)]);
    Xxreg0 = row("xxreg0", "", 128, 128, Hex, true, Prereq::None, true, No, No, (Xxreg0, 0), &[c("NXM_NX_XXREG0", NxmNx, 111, V10)]);
    Xxreg1 = row("xxreg1", "", 128, 128, Hex, true, Prereq::None, true, No, No, (Xxreg1, 0), &[c("NXM_NX_XXREG1", NxmNx, 112, V10)]);
    Xxreg2 = row("xxreg2", "", 128, 128, Hex, true, Prereq::None, true, No, No, (Xxreg2, 0), &[c("NXM_NX_XXREG2", NxmNx, 113, V10)]);
    Xxreg3 = row("xxreg3", "", 128, 128, Hex, true, Prereq::None, true, No, No, (Xxreg3, 0), &[c("NXM_NX_XXREG3", NxmNx, 114, V10)]);
    EthSrc = row("eth_src", "dl_src", 48, 48, Ethernet, true, Prereq::Ethernet, true, Exact, Masked, (EthSrc, 0), &[c("NXM_OF_ETH_SRC", NxmOf, 2, V10), c("OXM_OF_ETH_SRC", Oxm, 4, V12)]);
    EthDst = row("eth_dst", "dl_dst", 48, 48, Ethernet, true, Prereq::Ethernet, true, Exact, Masked, (EthDst, 0), &[c("NXM_OF_ETH_DST", NxmOf, 1, V10), c("OXM_OF_ETH_DST", Oxm, 3, V12)]);
    EthType = row("eth_type", "dl_type", 16, 16, Hex, false, Prereq::Ethernet, false, Exact, Exact, (EthType, 0), &[c("NXM_OF_ETH_TYPE", NxmOf, 3, V10), c("OXM_OF_ETH_TYPE", Oxm, 5, V12)]);
    VlanVid = row("vlan_vid", "", 16, 12, Decimal, true, Prereq::Ethernet, true, Exact, Exact, (VlanTci, 0), &[c("OXM_OF_VLAN_VID", Oxm, 6, V12)]);
    VlanPcp = row("vlan_pcp", "", 8, 3, Decimal, false, Prereq::Vlan, true, Exact, Exact, (VlanTci, 13), &[c("OXM_OF_VLAN_PCP", Oxm, 7, V12)]);
    VlanTci = row("vlan_tci", "", 16, 16, Hex, true, Prereq::Ethernet, true, Exact, Exact, (VlanTci, 0), &[c("NXM_OF_VLAN_TCI", NxmOf, 4, V10)]);
    MplsLabel = row("mpls_label", "", 32, 20, Decimal, false, Prereq::Mpls, true, No, Exact, (MplsLabel, 0), &[c("OXM_OF_MPLS_LABEL", Oxm, 34, V12)]);
    MplsTc = row("mpls_tc", "", 8, 3, Decimal, false, Prereq::Mpls, true, No, Exact, (MplsTc, 0), &[c("OXM_OF_MPLS_TC", Oxm, 35, V12)]);
    MplsBos = row("mpls_bos", "", 8, 1, Decimal, false, Prereq::Mpls, false, No, No, (MplsBos, 0), &[c("OXM_OF_MPLS_BOS", Oxm, 36, V13)]);
    MplsTtl = row("mpls_ttl", "", 8, 8, Decimal, false, Prereq::Mpls, true, No, No, (MplsTtl, 0), &[c("NXM_NX_MPLS_TTL", NxmNx, 30, V10)]);
    PbbIsid = row("pbb_isid", "", 24, 24, Decimal, true, Prereq::Pbb, true, No, No, (PbbIsid, 0), &[c("OXM_OF_PBB_ISID", Oxm, 37, V13)]);
    PbbUca = row("pbb_uca", "", 8, 1, Decimal, false, Prereq::Pbb, true, No, No, (PbbUca, 0), &[c("OXM_OF_PBB_UCA", Oxm, 41, V14)]);
    IpSrc = row("ip_src", "nw_src", 32, 32, Ipv4, true, Prereq::Ipv4, true, Cidr, Masked, (IpSrc, 0), &[c("NXM_OF_IP_SRC", NxmOf, 7, V10), c("OXM_OF_IPV4_SRC", Oxm, 11, V12)]);
    IpDst = row("ip_dst", "nw_dst", 32, 32, Ipv4, true, Prereq::Ipv4, true, Cidr, Masked, (IpDst, 0), &[c("NXM_OF_IP_DST", NxmOf, 8, V10), c("OXM_OF_IPV4_DST", Oxm, 12, V12)]);
    Ipv6Src = row("ipv6_src", "", 128, 128, Ipv6, true, Prereq::Ipv6, true, No, No, (Ipv6Src, 0), &[c("NXM_NX_IPV6_SRC", NxmNx, 19, V10), c("OXM_OF_IPV6_SRC", Oxm, 26, V12)]);
    Ipv6Dst = row("ipv6_dst", "", 128, 128, Ipv6, true, Prereq::Ipv6, true, No, No, (Ipv6Dst, 0), &[c("NXM_NX_IPV6_DST", NxmNx, 20, V10), c("OXM_OF_IPV6_DST", Oxm, 27, V12)]);
    Ipv6Label = row("ipv6_label", "", 32, 20, Hex, true, Prereq::Ipv6, true, No, No, (Ipv6Label, 0), &[c("NXM_NX_IPV6_LABEL", NxmNx, 27, V10), c("OXM_OF_IPV6_FLABEL", Oxm, 28, V12)]);
    Ipv6Exthdr = row("ipv6_exthdr", "", 16, 9, Hex, true, Prereq::Ipv6, false, No, No, (Ipv6Exthdr, 0), &[c("OXM_OF_IPV6_EXTHDR", Oxm, 39, V13)]);
    NwProto = row("nw_proto", "ip_proto", 8, 8, Decimal, false, Prereq::Ip, false, Exact, Exact, (NwProto, 0), &[c("NXM_OF_IP_PROTO", NxmOf, 6, V10), c("OXM_OF_IP_PROTO", Oxm, 10, V12)]);
    NwTtl = row("nw_ttl", "", 8, 8, Decimal, false, Prereq::Ip, true, No, No, (NwTtl, 0), &[c("NXM_NX_IP_TTL", NxmNx, 29, V10)]);
    IpFrag = row("ip_frag", "nw_frag", 8, 2, Frag, true, Prereq::Ip, false, No, No, (IpFrag, 0), &[c("NXM_NX_IP_FRAG", NxmNx, 26, V10)]);
    NwTos = row("nw_tos", "", 8, 8, Decimal, false, Prereq::Ip, true, Exact, Exact, (NwTos, 0), &[c("NXM_OF_IP_TOS", NxmOf, 5, V10)]);
    IpDscp = row("ip_dscp", "", 8, 6, Decimal, false, Prereq::Ip, true, Exact, Exact, (NwTos, 2), &[c("OXM_OF_IP_DSCP", Oxm, 8, V12)]);
    NwEcn = row("nw_ecn", "ip_ecn", 8, 2, Decimal, false, Prereq::Ip, true, No, Exact, (NwTos, 0), &[c("NXM_NX_IP_ECN", NxmNx, 28, V10), c("OXM_OF_IP_ECN", Oxm, 9, V12)]);
    ArpOp = row("arp_op", "", 16, 16, Decimal, false, Prereq::Arp, true, Exact, Exact, (NwProto, 0), &[c("NXM_OF_ARP_OP", NxmOf, 15, V10), c("OXM_OF_ARP_OP", Oxm, 21, V12)]);
    ArpSpa = row("arp_spa", "", 32, 32, Ipv4, true, Prereq::Arp, true, Cidr, Masked, (IpSrc, 0), &[c("NXM_OF_ARP_SPA", NxmOf, 16, V10), c("OXM_OF_ARP_SPA", Oxm, 22, V12)]);
    ArpTpa = row("arp_tpa", "", 32, 32, Ipv4, true, Prereq::Arp, true, Cidr, Masked, (IpDst, 0), &[c("NXM_OF_ARP_TPA", NxmOf, 17, V10), c("OXM_OF_ARP_TPA", Oxm, 23, V12)]);
    ArpSha = row("arp_sha", "", 48, 48, Ethernet, true, Prereq::Arp, true, No, No, (ArpSha, 0), &[c("NXM_NX_ARP_SHA", NxmNx, 17, V10), c("OXM_OF_ARP_SHA", Oxm, 24, V12)]);
    ArpTha = row("arp_tha", "", 48, 48, Ethernet, true, Prereq::Arp, true, No, No, (ArpTha, 0), &[c("NXM_NX_ARP_THA", NxmNx, 18, V10), c("OXM_OF_ARP_THA", Oxm, 25, V12)]);
    NshFlags = row("nsh_flags", "", 8, 8, Decimal, true, Prereq::Nsh, true, No, No, (NshFlags, 0), &[c("NXOXM_NSH_FLAGS", Nsh, 1, V10)]);
    NshTtl = row("nsh_ttl", "", 8, 8, Decimal, false, Prereq::Nsh, true, No, No, (NshTtl, 0), &[c("NXOXM_NSH_TTL", Nsh, 10, V10)]);
    NshMdtype = row("nsh_mdtype", "", 8, 8, Decimal, false, Prereq::Nsh, false, No, No, (NshMdtype, 0), &[c("NXOXM_NSH_MDTYPE", Nsh, 2, V10)]);
    NshNp = row("nsh_np", "", 8, 8, Decimal, false, Prereq::Nsh, false, No, No, (NshNp, 0), &[c("NXOXM_NSH_NP", Nsh, 3, V10)]);
    NshSpi = row("nsh_spi", "nsp", 32, 24, Hex, false, Prereq::Nsh, true, No, No, (NshSpi, 0), &[c("NXOXM_NSH_SPI", Nsh, 4, V10)]);
    NshSi = row("nsh_si", "nsi", 8, 8, Decimal, false, Prereq::Nsh, true, No, No, (NshSi, 0), &[c("NXOXM_NSH_SI", Nsh, 5, V10)]);
    NshC1 = row("nsh_c1", "nshc1", 32, 32, Hex, true, Prereq::Nsh, true, No, No, (NshC1, 0), &[c("NXOXM_NSH_C1", Nsh, 6, V10)]);
    NshC2 = row("nsh_c2", "nshc2", 32, 32, Hex, true, Prereq::Nsh, true, No, No, (NshC2, 0), &[c("NXOXM_NSH_C2", Nsh, 7, V10)]);
    NshC3 = row("nsh_c3", "nshc3", 32, 32, Hex, true, Prereq::Nsh, true, No, No, (NshC3, 0), &[c("NXOXM_NSH_C3", Nsh, 8, V10)]);
    NshC4 = row("nsh_c4", "nshc4", 32, 32, Hex, true, Prereq::Nsh, true, No, No, (NshC4, 0), &[c("NXOXM_NSH_C4", Nsh, 9, V10)]);
    TcpSrc = row("tcp_src", "tp_src", 16, 16, Decimal, true, Prereq::Tcp, true, Exact, Exact, (TcpSrc, 0), &[c("NXM_OF_TCP_SRC", NxmOf, 9, V10), c("OXM_OF_TCP_SRC", Oxm, 13, V12)]);
    TcpDst = row("tcp_dst", "tp_dst", 16, 16, Decimal, true, Prereq::Tcp, true, Exact, Exact, (TcpDst, 0), &[c("NXM_OF_TCP_DST", NxmOf, 10, V10), c("OXM_OF_TCP_DST", Oxm, 14, V12)]);
    TcpFlags = row("tcp_flags", "", 16, 12, TcpFlagsText, true, Prereq::Tcp, false, No, No, (TcpFlags, 0), &[c("NXM_NX_TCP_FLAGS", NxmNx, 34, V10), c("ONFOXM_ET_TCP_FLAGS", OnfEt, 42, V13), c("OXM_OF_TCP_FLAGS", Oxm, 42, V15)]);
    UdpSrc = row("udp_src", "", 16, 16, Decimal, true, Prereq::Udp, true, Exact, Exact, (TcpSrc, 0), &[c("NXM_OF_UDP_SRC", NxmOf, 11, V10), c("OXM_OF_UDP_SRC", Oxm, 15, V12)]);
    UdpDst = row("udp_dst", "", 16, 16, Decimal, true, Prereq::Udp, true, Exact, Exact, (TcpDst, 0), &[c("NXM_OF_UDP_DST", NxmOf, 12, V10), c("OXM_OF_UDP_DST", Oxm, 16, V12)]);
    SctpSrc = row("sctp_src", "", 16, 16, Decimal, true, Prereq::Sctp, true, No, Exact, (TcpSrc, 0), &[c("OXM_OF_SCTP_SRC", Oxm, 17, V12)]);
    SctpDst = row("sctp_dst", "", 16, 16, Decimal, true, Prereq::Sctp, true, No, Exact, (TcpDst, 0), &[c("OXM_OF_SCTP_DST", Oxm, 18, V12)]);
    IcmpType = row("icmp_type", "", 8, 8, Decimal, false, Prereq::Icmp, true, Exact, Exact, (TcpSrc, 0), &[c("NXM_OF_ICMP_TYPE", NxmOf, 13, V10), c("OXM_OF_ICMPV4_TYPE", Oxm, 19, V12)]);
    IcmpCode = row("icmp_code", "", 8, 8, Decimal, false, Prereq::Icmp, true, Exact, Exact, (TcpDst, 0), &[c("NXM_OF_ICMP_CODE", NxmOf, 14, V10), c("OXM_OF_ICMPV4_CODE", Oxm, 20, V12)]);
    Icmpv6Type = row("icmpv6_type", "", 8, 8, Decimal, false, Prereq::Icmpv6, true, No, No, (TcpSrc, 0), &[c("NXM_NX_ICMPV6_TYPE", NxmNx, 21, V10), c("OXM_OF_ICMPV6_TYPE", Oxm, 29, V12)]);
    Icmpv6Code = row("icmpv6_code", "", 8, 8, Decimal, false, Prereq::Icmpv6, true, No, No, (TcpDst, 0), &[c("NXM_NX_ICMPV6_CODE", NxmNx, 22, V10), c("OXM_OF_ICMPV6_CODE", Oxm, 30, V12)]);
    NdTarget = row("nd_target", "", 128, 128, Ipv6, true, Prereq::Nd, true, No, No, (NdTarget, 0), &[c("NXM_NX_ND_TARGET", NxmNx, 23, V10), c("OXM_OF_IPV6_ND_TARGET", Oxm, 31, V12)]);
    NdSll = row("nd_sll", "", 48, 48, Ethernet, true, Prereq::NdSolicit, true, No, No, (ArpSha, 0), &[c("NXM_NX_ND_SLL", NxmNx, 24, V10), c("OXM_OF_IPV6_ND_SLL", Oxm, 32, V12)]);
    NdTll = row("nd_tll", "", 48, 48, Ethernet, true, Prereq::NdAdvert, true, No, No, (ArpTha, 0), &[c("NXM_NX_ND_TLL", NxmNx, 25, V10), c("OXM_OF_IPV6_ND_TLL", Oxm, 33, V12)]);
    NdReserved = row("nd_reserved", "", 32, 32, Decimal, false, Prereq::Nd, true, No, No, (NdReserved, 0), &[c("ERICOXM_OF_ICMPV6_ND_RESERVED", Eric, 1, V10)]);
    NdOptionsType = row("nd_options_type", "", 8, 8, Decimal, false, Prereq::Nd, true, No, No, (NdOptionsType, 0), &[c("ERICOXM_OF_ICMPV6_ND_OPTIONS_TYPE", Eric, 2, V10)]);
}
