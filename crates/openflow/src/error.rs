//! What is wrong with a message: OpenFlow's error codes, and where in the bytes the fault is.

use std::fmt;

use crate::version::Version;

/// How a code is written in one version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Number {
    /// 0 for the standard's own.
    pub vendor: u32,
    /// The kind of error.
    pub kind: u16,
    /// The error among its kind; 0 with experimenters since 1.2, who have one number only.
    pub code: u16,
}

/// Nicira's experimenter id.
pub const NICIRA: u32 = 0x2320;
/// The Open Networking Foundation's.
pub const ONF: u32 = 0x4f4e_4600;

const NONE: Option<Number> = None;

const fn of(kind: u16, code: u16) -> Option<Number> {
    Some(Number { vendor: 0, kind, code })
}

const fn nx(kind: u16, code: u16) -> Option<Number> {
    Some(Number { vendor: NICIRA, kind, code })
}

const fn onf(kind: u16) -> Option<Number> {
    Some(Number { vendor: ONF, kind, code: 0 })
}

macro_rules! codes {
    ($($name:ident = $numbers:expr;)*) => {
        /// An error that OpenFlow has a name for, spelled as the standards do.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[allow(missing_docs, non_camel_case_types, clippy::upper_case_acronyms)]
        pub enum Code { $($name),* }

        impl Code {
            /// All codes.
            pub const ALL: &[Code] = &[$(Code::$name),*];

            /// The name.
            pub fn name(self) -> &'static str {
                match self { $(Code::$name => stringify!($name)),* }
            }

            /// The numbers in each version.
            fn numbers(self) -> &'static [Option<Number>; 6] {
                match self { $(Code::$name => const { &$numbers }),* }
            }
        }
    };
}

codes! {
    NXBAC_BAD_CONJUNCTION = [nx(2, 526), nx(2, 526), nx(15, 0), nx(15, 0), nx(15, 0), nx(15, 0)];
    NXBAC_BAD_ED_PROP = [NONE, NONE, NONE, nx(41, 0), nx(41, 0), nx(41, 0)];
    NXBAC_BAD_HEADER_TYPE = [NONE, NONE, NONE, nx(39, 0), nx(39, 0), nx(39, 0)];
    NXBAC_CT_DATAPATH_SUPPORT = [nx(1, 265), nx(1, 265), nx(42, 0), nx(42, 0), nx(42, 0), nx(42, 0)];
    NXBAC_MUST_BE_ZERO = [nx(2, 256), nx(2, 256), nx(11, 0), nx(11, 0), nx(11, 0), nx(11, 0)];
    NXBAC_UNKNOWN_ED_PROP = [NONE, NONE, NONE, nx(40, 0), nx(40, 0), nx(40, 0)];
    NXBMC_CT_DATAPATH_SUPPORT = [nx(1, 264), nx(1, 264), nx(43, 0), nx(43, 0), nx(43, 0), nx(43, 0)];
    NXBRC_BAD_REASON = [nx(1, 516), nx(1, 516), nx(5, 0), nx(5, 0), nx(5, 0), nx(5, 0)];
    NXBRC_FM_BAD_EVENT = [nx(1, 520), nx(1, 520), nx(9, 0), nx(9, 0), nx(9, 0), nx(9, 0)];
    NXBRC_MUST_BE_ZERO = [nx(1, 515), nx(1, 515), nx(4, 0), nx(4, 0), nx(4, 0), nx(4, 0)];
    NXBRC_NXM_BAD_TYPE = [nx(1, 257), nx(1, 257), nx(3, 0), nx(3, 0), nx(3, 0), nx(3, 0)];
    NXBRC_NXM_INVALID = [nx(1, 256), nx(1, 256), nx(2, 0), nx(2, 0), nx(2, 0), nx(2, 0)];
    NXBRC_UNENCODABLE_ERROR = [nx(1, 521), nx(1, 521), nx(10, 0), nx(10, 0), nx(10, 0), nx(10, 0)];
    NXFMFC_BAD_TABLE_ID = [nx(5, 257), nx(5, 257), nx(13, 0), nx(13, 0), nx(13, 0), nx(13, 0)];
    NXFMFC_HARDWARE = [nx(5, 256), nx(5, 256), nx(12, 0), nx(12, 0), nx(12, 0), nx(12, 0)];
    NXFMFC_INVALID_TLV_FIELD = [nx(1, 536), nx(1, 536), nx(37, 0), nx(37, 0), nx(37, 0), nx(37, 0)];
    NXQOFC_QUEUE_ERROR = [NONE, NONE, NONE, NONE, nx(23, 0), nx(23, 0)];
    NXR_NOT_SUPPORTED = [nx(1, 533), nx(1, 533), nx(34, 0), nx(34, 0), nx(34, 0), nx(34, 0)];
    NXR_STALE = [nx(1, 534), nx(1, 534), nx(35, 0), nx(35, 0), nx(35, 0), nx(35, 0)];
    NXST_NOT_CONFIGURED = [nx(1, 535), nx(1, 535), nx(36, 0), nx(36, 0), nx(36, 0), nx(36, 0)];
    NXTFFC_DUP_TABLE = [NONE, NONE, NONE, nx(44, 0), nx(44, 0), nx(44, 0)];
    NXTTMFC_ALREADY_MAPPED = [nx(1, 531), nx(1, 531), nx(20, 0), nx(20, 0), nx(20, 0), nx(20, 0)];
    NXTTMFC_BAD_COMMAND = [nx(1, 527), nx(1, 527), nx(16, 0), nx(16, 0), nx(16, 0), nx(16, 0)];
    NXTTMFC_BAD_FIELD_IDX = [nx(1, 529), nx(1, 529), nx(18, 0), nx(18, 0), nx(18, 0), nx(18, 0)];
    NXTTMFC_BAD_OPT_LEN = [nx(1, 528), nx(1, 528), nx(17, 0), nx(17, 0), nx(17, 0), nx(17, 0)];
    NXTTMFC_DUP_ENTRY = [nx(1, 532), nx(1, 532), nx(21, 0), nx(21, 0), nx(21, 0), nx(21, 0)];
    NXTTMFC_INVALID_TLV_DEL = [nx(1, 537), nx(1, 537), nx(38, 0), nx(38, 0), nx(38, 0), nx(38, 0)];
    NXTTMFC_TABLE_FULL = [nx(1, 530), nx(1, 530), nx(19, 0), nx(19, 0), nx(19, 0), nx(19, 0)];
    OFPACFC_EPERM = [NONE, NONE, NONE, onf(2372), of(15, 2), of(15, 2)];
    OFPACFC_INVALID = [NONE, NONE, NONE, onf(2370), of(15, 0), of(15, 0)];
    OFPACFC_UNSUPPORTED = [NONE, NONE, NONE, onf(2371), of(15, 1), of(15, 1)];
    OFPBAC_BAD_ARGUMENT = [of(2, 5), of(2, 5), of(2, 5), of(2, 5), of(2, 5), of(2, 5)];
    OFPBAC_BAD_LEN = [of(2, 1), of(2, 1), of(2, 1), of(2, 1), of(2, 1), of(2, 1)];
    OFPBAC_BAD_METER = [NONE, NONE, NONE, NONE, NONE, of(2, 17)];
    OFPBAC_BAD_OUT_GROUP = [nx(2, 9), of(2, 9), of(2, 9), of(2, 9), of(2, 9), of(2, 9)];
    OFPBAC_BAD_OUT_PORT = [of(2, 4), of(2, 4), of(2, 4), of(2, 4), of(2, 4), of(2, 4)];
    OFPBAC_BAD_QUEUE = [of(2, 8), of(2, 8), of(2, 8), of(2, 8), of(2, 8), of(2, 8)];
    OFPBAC_BAD_SET_ARGUMENT = [nx(1, 525), nx(1, 525), of(2, 15), of(2, 15), of(2, 15), of(2, 15)];
    OFPBAC_BAD_SET_LEN = [nx(1, 524), nx(1, 524), of(2, 14), of(2, 14), of(2, 14), of(2, 14)];
    OFPBAC_BAD_SET_MASK = [NONE, NONE, NONE, onf(4250), onf(4250), of(2, 16)];
    OFPBAC_BAD_SET_TYPE = [nx(1, 523), nx(1, 523), of(2, 13), of(2, 13), of(2, 13), of(2, 13)];
    OFPBAC_BAD_TAG = [NONE, of(2, 12), of(2, 12), of(2, 12), of(2, 12), of(2, 12)];
    OFPBAC_BAD_TYPE = [of(2, 0), of(2, 0), of(2, 0), of(2, 0), of(2, 0), of(2, 0)];
    OFPBAC_BAD_VENDOR = [of(2, 2), of(2, 2), of(2, 2), of(2, 2), of(2, 2), of(2, 2)];
    OFPBAC_BAD_VENDOR_TYPE = [of(2, 3), of(2, 3), of(2, 3), of(2, 3), of(2, 3), of(2, 3)];
    OFPBAC_EPERM = [of(2, 6), of(2, 6), of(2, 6), of(2, 6), of(2, 6), of(2, 6)];
    OFPBAC_MATCH_INCONSISTENT = [nx(1, 522), of(2, 10), of(2, 10), of(2, 10), of(2, 10), of(2, 10)];
    OFPBAC_TOO_MANY = [of(2, 7), of(2, 7), of(2, 7), of(2, 7), of(2, 7), of(2, 7)];
    OFPBAC_UNSUPPORTED_ORDER = [NONE, of(2, 11), of(2, 11), of(2, 11), of(2, 11), of(2, 11)];
    OFPBFC_BAD_FLAGS = [NONE, NONE, NONE, onf(2307), of(17, 7), of(17, 7)];
    OFPBFC_BAD_ID = [NONE, NONE, NONE, onf(2302), of(17, 2), of(17, 2)];
    OFPBFC_BAD_TYPE = [NONE, NONE, NONE, onf(2306), of(17, 6), of(17, 6)];
    OFPBFC_BAD_VERSION = [NONE, NONE, NONE, NONE, nx(22, 0), nx(22, 0)];
    OFPBFC_BUNDLE_CLOSED = [NONE, NONE, NONE, onf(2304), of(17, 4), of(17, 4)];
    OFPBFC_BUNDLE_EXIST = [NONE, NONE, NONE, onf(2303), of(17, 3), of(17, 3)];
    OFPBFC_BUNDLE_IN_PROGRESS = [NONE, NONE, NONE, onf(2315), of(17, 15), of(17, 15)];
    OFPBFC_EPERM = [NONE, NONE, NONE, onf(2301), of(17, 1), of(17, 1)];
    OFPBFC_MSG_BAD_LEN = [NONE, NONE, NONE, onf(2308), of(17, 8), of(17, 8)];
    OFPBFC_MSG_BAD_XID = [NONE, NONE, NONE, onf(2309), of(17, 9), of(17, 9)];
    OFPBFC_MSG_CONFLICT = [NONE, NONE, NONE, onf(2311), of(17, 11), of(17, 11)];
    OFPBFC_MSG_FAILED = [NONE, NONE, NONE, onf(2313), of(17, 13), of(17, 13)];
    OFPBFC_MSG_TOO_MANY = [NONE, NONE, NONE, onf(2312), of(17, 12), of(17, 12)];
    OFPBFC_MSG_UNSUP = [NONE, NONE, NONE, onf(2310), of(17, 10), of(17, 10)];
    OFPBFC_OUT_OF_BUNDLES = [NONE, NONE, NONE, onf(2305), of(17, 5), of(17, 5)];
    OFPBFC_SCHED_FUTURE = [NONE, NONE, NONE, NONE, NONE, of(17, 17)];
    OFPBFC_SCHED_NOT_SUPPORTED = [NONE, NONE, NONE, NONE, NONE, of(17, 16)];
    OFPBFC_SCHED_PAST = [NONE, NONE, NONE, NONE, NONE, of(17, 18)];
    OFPBFC_TIMEOUT = [NONE, NONE, NONE, onf(2314), of(17, 14), of(17, 14)];
    OFPBFC_UNKNOWN = [NONE, NONE, NONE, onf(2300), of(17, 0), of(17, 0)];
    OFPBIC_BAD_EXPERIMENTER = [NONE, of(3, 5), of(3, 5), of(3, 5), of(3, 5), of(3, 5)];
    OFPBIC_BAD_EXP_TYPE = [NONE, of(3, 5), of(3, 6), of(3, 6), of(3, 6), of(3, 6)];
    OFPBIC_BAD_LEN = [NONE, NONE, of(3, 7), of(3, 7), of(3, 7), of(3, 7)];
    OFPBIC_BAD_TABLE_ID = [NONE, of(3, 2), of(3, 2), of(3, 2), of(3, 2), of(3, 2)];
    OFPBIC_DUP_INST = [NONE, nx(3, 256), onf(2600), onf(2600), of(3, 9), of(3, 9)];
    OFPBIC_EPERM = [NONE, NONE, of(3, 8), of(3, 8), of(3, 8), of(3, 8)];
    OFPBIC_UNKNOWN_INST = [NONE, of(3, 0), of(3, 0), of(3, 0), of(3, 0), of(3, 0)];
    OFPBIC_UNSUP_INST = [nx(2, 257), of(3, 1), of(3, 1), of(3, 1), of(3, 1), of(3, 1)];
    OFPBIC_UNSUP_METADATA = [NONE, of(3, 3), of(3, 3), of(3, 3), of(3, 3), of(3, 3)];
    OFPBIC_UNSUP_METADATA_MASK = [NONE, of(3, 4), of(3, 4), of(3, 4), of(3, 4), of(3, 4)];
    OFPBMC_BAD_DL_ADDR_MASK = [NONE, of(4, 3), of(4, 3), of(4, 3), of(4, 3), of(4, 3)];
    OFPBMC_BAD_FIELD = [nx(0, 263), of(4, 6), of(4, 6), of(4, 6), of(4, 6), of(4, 6)];
    OFPBMC_BAD_LEN = [NONE, of(4, 1), of(4, 1), of(4, 1), of(4, 1), of(4, 1)];
    OFPBMC_BAD_MASK = [nx(1, 259), nx(1, 259), of(4, 8), of(4, 8), of(4, 8), of(4, 8)];
    OFPBMC_BAD_NW_ADDR_MASK = [NONE, of(4, 4), of(4, 4), of(4, 4), of(4, 4), of(4, 4)];
    OFPBMC_BAD_PREREQ = [nx(1, 260), nx(1, 260), of(4, 9), of(4, 9), of(4, 9), of(4, 9)];
    OFPBMC_BAD_TAG = [NONE, of(4, 2), of(4, 2), of(4, 2), of(4, 2), of(4, 2)];
    OFPBMC_BAD_TYPE = [NONE, of(4, 0), of(4, 0), of(4, 0), of(4, 0), of(4, 0)];
    OFPBMC_BAD_VALUE = [nx(1, 258), of(4, 7), of(4, 7), of(4, 7), of(4, 7), of(4, 7)];
    OFPBMC_BAD_WILDCARDS = [nx(1, 262), of(4, 5), of(4, 5), of(4, 5), of(4, 5), of(4, 5)];
    OFPBMC_DUP_FIELD = [nx(1, 261), nx(1, 261), of(4, 10), of(4, 10), of(4, 10), of(4, 10)];
    OFPBMC_EPERM = [NONE, NONE, of(4, 11), of(4, 11), of(4, 11), of(4, 11)];
    OFPBPC_BAD_EXPERIMENTER = [nx(14, 5), nx(14, 5), nx(30, 0), onf(4445), of(14, 5), of(14, 5)];
    OFPBPC_BAD_EXP_TYPE = [nx(14, 6), nx(14, 6), nx(31, 0), onf(4446), of(14, 6), of(14, 6)];
    OFPBPC_BAD_EXP_VALUE = [nx(14, 7), nx(14, 7), nx(32, 0), onf(4447), of(14, 7), of(14, 7)];
    OFPBPC_BAD_LEN = [nx(13, 3), nx(13, 3), nx(26, 0), of(13, 3), of(14, 1), of(14, 1)];
    OFPBPC_BAD_TYPE = [nx(13, 2), nx(13, 2), nx(25, 0), of(13, 2), of(14, 0), of(14, 0)];
    OFPBPC_BAD_VALUE = [nx(13, 4), nx(13, 4), nx(27, 0), of(13, 4), of(14, 2), of(14, 2)];
    OFPBPC_DUP_TYPE = [nx(14, 4), nx(14, 4), nx(29, 0), onf(4444), of(14, 4), of(14, 4)];
    OFPBPC_EPERM = [nx(14, 8), nx(14, 8), nx(33, 0), onf(4448), of(14, 8), of(14, 8)];
    OFPBPC_TOO_MANY = [nx(14, 3), nx(14, 3), nx(28, 0), onf(4443), of(14, 3), of(14, 3)];
    OFPBRC_BAD_LEN = [of(1, 6), of(1, 6), of(1, 6), of(1, 6), of(1, 6), of(1, 6)];
    OFPBRC_BAD_PACKET = [NONE, NONE, of(1, 12), of(1, 12), of(1, 12), of(1, 12)];
    OFPBRC_BAD_PORT = [nx(1, 514), nx(1, 514), of(1, 11), of(1, 11), of(1, 11), of(1, 11)];
    OFPBRC_BAD_STAT = [of(1, 2), of(1, 2), of(1, 2), of(1, 2), of(1, 2), of(1, 2)];
    OFPBRC_BAD_SUBTYPE = [of(1, 4), of(1, 4), of(1, 4), of(1, 4), of(1, 4), of(1, 4)];
    OFPBRC_BAD_TABLE_ID = [nx(1, 512), of(1, 9), of(1, 9), of(1, 9), of(1, 9), of(1, 9)];
    OFPBRC_BAD_TYPE = [of(1, 1), of(1, 1), of(1, 1), of(1, 1), of(1, 1), of(1, 1)];
    OFPBRC_BAD_VENDOR = [of(1, 3), of(1, 3), of(1, 3), of(1, 3), of(1, 3), of(1, 3)];
    OFPBRC_BAD_VERSION = [of(1, 0), of(1, 0), of(1, 0), of(1, 0), of(1, 0), of(1, 0)];
    OFPBRC_BUFFER_EMPTY = [of(1, 7), of(1, 7), of(1, 7), of(1, 7), of(1, 7), of(1, 7)];
    OFPBRC_BUFFER_UNKNOWN = [of(1, 8), of(1, 8), of(1, 8), of(1, 8), of(1, 8), of(1, 8)];
    OFPBRC_EPERM = [of(1, 5), of(1, 5), of(1, 5), of(1, 5), of(1, 5), of(1, 5)];
    OFPBRC_IS_SECONDARY = [of(1, 5), of(1, 5), of(1, 10), of(1, 10), of(1, 10), of(1, 10)];
    OFPBRC_MULTIPART_BAD_SCHED = [NONE, NONE, NONE, NONE, NONE, of(1, 16)];
    OFPBRC_MULTIPART_BUFFER_OVERFLOW = [NONE, NONE, NONE, of(1, 13), of(1, 13), of(1, 13)];
    OFPBRC_MULTIPART_REPLY_TIMEOUT = [NONE, NONE, NONE, onf(2641), of(1, 15), of(1, 15)];
    OFPBRC_MULTIPART_REQUEST_TIMEOUT = [NONE, NONE, NONE, onf(2640), of(1, 14), of(1, 14)];
    OFPBRC_PIPELINE_FIELDS_ONLY = [NONE, NONE, NONE, NONE, NONE, of(1, 17)];
    OFPBRC_UNKNOWN = [NONE, NONE, NONE, NONE, NONE, of(1, 18)];
    OFPFMFC_BAD_COMMAND = [of(3, 4), of(5, 6), of(5, 6), of(5, 6), of(5, 6), of(5, 6)];
    OFPFMFC_BAD_EMERG_TIMEOUT = [of(3, 3), NONE, NONE, NONE, NONE, NONE];
    OFPFMFC_BAD_FLAGS = [nx(3, 258), nx(5, 258), of(5, 7), of(5, 7), of(5, 7), of(5, 7)];
    OFPFMFC_BAD_PRIORITY = [NONE, NONE, NONE, onf(2360), of(5, 9), of(5, 9)];
    OFPFMFC_BAD_TABLE_ID = [NONE, of(5, 2), of(5, 2), of(5, 2), of(5, 2), of(5, 2)];
    OFPFMFC_BAD_TIMEOUT = [NONE, of(5, 5), of(5, 5), of(5, 5), of(5, 5), of(5, 5)];
    OFPFMFC_CANT_SYNC = [NONE, NONE, NONE, NONE, of(5, 8), of(5, 8)];
    OFPFMFC_EPERM = [of(3, 2), of(5, 4), of(5, 4), of(5, 4), of(5, 4), of(5, 4)];
    OFPFMFC_IS_SYNC = [NONE, NONE, NONE, NONE, of(5, 10), of(5, 10)];
    OFPFMFC_OVERLAP = [of(3, 1), of(5, 3), of(5, 3), of(5, 3), of(5, 3), of(5, 3)];
    OFPFMFC_TABLE_FULL = [of(3, 0), of(5, 1), of(5, 1), of(5, 1), of(5, 1), of(5, 1)];
    OFPFMFC_UNKNOWN = [NONE, of(5, 0), of(5, 0), of(5, 0), of(5, 0), of(5, 0)];
    OFPFMFC_UNSUPPORTED = [of(3, 5), NONE, NONE, NONE, NONE, NONE];
    OFPGMFC_BAD_BUCKET = [nx(6, 12), NONE, of(6, 12), of(6, 12), of(6, 12), of(6, 12)];
    OFPGMFC_BAD_COMMAND = [nx(6, 11), NONE, of(6, 11), of(6, 11), of(6, 11), of(6, 11)];
    OFPGMFC_BAD_TYPE = [nx(6, 10), NONE, of(6, 10), of(6, 10), of(6, 10), of(6, 10)];
    OFPGMFC_BAD_WATCH = [nx(6, 13), NONE, of(6, 13), of(6, 13), of(6, 13), of(6, 13)];
    OFPGMFC_BUCKET_EXISTS = [nx(6, 16), NONE, NONE, NONE, NONE, of(6, 16)];
    OFPGMFC_CHAINED_GROUP = [nx(6, 9), NONE, of(6, 9), of(6, 9), of(6, 9), of(6, 9)];
    OFPGMFC_CHAINING_UNSUPPORTED = [nx(6, 5), of(6, 5), of(6, 5), of(6, 5), of(6, 5), of(6, 5)];
    OFPGMFC_EPERM = [nx(6, 14), NONE, of(6, 14), of(6, 14), of(6, 14), of(6, 14)];
    OFPGMFC_GROUP_EXISTS = [nx(6, 0), of(6, 0), of(6, 0), of(6, 0), of(6, 0), of(6, 0)];
    OFPGMFC_INVALID_GROUP = [nx(6, 1), of(6, 1), of(6, 1), of(6, 1), of(6, 1), of(6, 1)];
    OFPGMFC_LOOP = [nx(6, 7), of(6, 7), of(6, 7), of(6, 7), of(6, 7), of(6, 7)];
    OFPGMFC_OUT_OF_BUCKETS = [nx(6, 4), of(6, 4), of(6, 4), of(6, 4), of(6, 4), of(6, 4)];
    OFPGMFC_OUT_OF_GROUPS = [nx(6, 3), of(6, 3), of(6, 3), of(6, 3), of(6, 3), of(6, 3)];
    OFPGMFC_UNKNOWN_BUCKET = [nx(6, 15), NONE, NONE, NONE, NONE, of(6, 15)];
    OFPGMFC_UNKNOWN_GROUP = [nx(6, 8), of(6, 8), of(6, 8), of(6, 8), of(6, 8), of(6, 8)];
    OFPGMFC_WATCH_UNSUPPORTED = [nx(6, 6), of(6, 6), of(6, 6), of(6, 6), of(6, 6), of(6, 6)];
    OFPGMFC_WEIGHT_UNSUPPORTED = [nx(6, 2), of(6, 2), of(6, 2), of(6, 2), of(6, 2), of(6, 2)];
    OFPHFC_EPERM = [of(0, 1), of(0, 1), of(0, 1), of(0, 1), of(0, 1), of(0, 1)];
    OFPHFC_INCOMPATIBLE = [of(0, 0), of(0, 0), of(0, 0), of(0, 0), of(0, 0), of(0, 0)];
    OFPMMFC_BAD_BAND = [NONE, NONE, NONE, of(12, 8), of(12, 8), of(12, 8)];
    OFPMMFC_BAD_BAND_VALUE = [NONE, NONE, NONE, of(12, 9), of(12, 9), of(12, 9)];
    OFPMMFC_BAD_BURST = [NONE, NONE, NONE, of(12, 7), of(12, 7), of(12, 7)];
    OFPMMFC_BAD_COMMAND = [NONE, NONE, NONE, of(12, 4), of(12, 4), of(12, 4)];
    OFPMMFC_BAD_FLAGS = [NONE, NONE, NONE, of(12, 5), of(12, 5), of(12, 5)];
    OFPMMFC_BAD_RATE = [NONE, NONE, NONE, of(12, 6), of(12, 6), of(12, 6)];
    OFPMMFC_INVALID_METER = [NONE, NONE, NONE, of(12, 2), of(12, 2), of(12, 2)];
    OFPMMFC_METER_EXISTS = [NONE, NONE, NONE, of(12, 1), of(12, 1), of(12, 1)];
    OFPMMFC_OUT_OF_BANDS = [NONE, NONE, NONE, of(12, 11), of(12, 11), of(12, 11)];
    OFPMMFC_OUT_OF_METERS = [NONE, NONE, NONE, of(12, 10), of(12, 10), of(12, 10)];
    OFPMMFC_UNKNOWN = [NONE, NONE, NONE, of(12, 0), of(12, 0), of(12, 0)];
    OFPMMFC_UNKNOWN_METER = [NONE, NONE, NONE, of(12, 3), of(12, 3), of(12, 3)];
    OFPMOFC_BAD_COMMAND = [NONE, NONE, NONE, NONE, of(16, 4), of(16, 4)];
    OFPMOFC_BAD_FLAGS = [nx(1, 518), nx(1, 518), nx(7, 0), nx(7, 0), of(16, 5), of(16, 5)];
    OFPMOFC_BAD_OUT = [NONE, NONE, NONE, NONE, of(16, 7), of(16, 7)];
    OFPMOFC_BAD_TABLE_ID = [NONE, NONE, NONE, NONE, of(16, 6), of(16, 6)];
    OFPMOFC_INVALID_MONITOR = [NONE, NONE, NONE, NONE, of(16, 2), of(16, 2)];
    OFPMOFC_MONITOR_EXISTS = [nx(1, 517), nx(1, 517), nx(6, 0), nx(6, 0), of(16, 1), of(16, 1)];
    OFPMOFC_UNKNOWN = [NONE, NONE, NONE, NONE, of(16, 0), of(16, 0)];
    OFPMOFC_UNKNOWN_MONITOR = [nx(1, 519), nx(1, 519), nx(8, 0), nx(8, 0), of(16, 3), of(16, 3)];
    OFPPMFC_BAD_ADVERTISE = [NONE, of(7, 3), of(7, 3), of(7, 3), of(7, 3), of(7, 3)];
    OFPPMFC_BAD_CONFIG = [NONE, of(7, 2), of(7, 2), of(7, 2), of(7, 2), of(7, 2)];
    OFPPMFC_BAD_HW_ADDR = [of(4, 1), of(7, 1), of(7, 1), of(7, 1), of(7, 1), of(7, 1)];
    OFPPMFC_BAD_PORT = [of(4, 0), of(7, 0), of(7, 0), of(7, 0), of(7, 0), of(7, 0)];
    OFPPMFC_EPERM = [NONE, NONE, of(7, 4), of(7, 4), of(7, 4), of(7, 4)];
    OFPQOFC_BAD_PORT = [of(5, 0), of(9, 0), of(9, 0), of(9, 0), of(9, 0), of(9, 0)];
    OFPQOFC_BAD_QUEUE = [of(5, 1), of(9, 1), of(9, 1), of(9, 1), of(9, 1), of(9, 1)];
    OFPQOFC_EPERM = [of(5, 2), of(9, 2), of(9, 2), of(9, 2), of(9, 2), of(9, 2)];
    OFPRRFC_BAD_ROLE = [nx(1, 513), nx(1, 513), of(11, 2), of(11, 2), of(11, 2), of(11, 2)];
    OFPRRFC_ID_IN_USE = [NONE, NONE, NONE, NONE, NONE, of(11, 4)];
    OFPRRFC_ID_UNSUP = [NONE, NONE, NONE, NONE, NONE, of(11, 3)];
    OFPRRFC_STALE = [NONE, NONE, of(11, 0), of(11, 0), of(11, 0), of(11, 0)];
    OFPRRFC_UNSUP = [NONE, NONE, of(11, 1), of(11, 1), of(11, 1), of(11, 1)];
    OFPSCFC_BAD_FLAGS = [NONE, of(10, 0), of(10, 0), of(10, 0), of(10, 0), of(10, 0)];
    OFPSCFC_BAD_LEN = [NONE, of(10, 1), of(10, 1), of(10, 1), of(10, 1), of(10, 1)];
    OFPSCFC_EPERM = [NONE, NONE, of(10, 2), of(10, 2), of(10, 2), of(10, 2)];
    OFPTFFC_BAD_CAPA = [NONE, NONE, NONE, NONE, NONE, of(13, 6)];
    OFPTFFC_BAD_COMMAND = [NONE, NONE, NONE, NONE, NONE, of(13, 9)];
    OFPTFFC_BAD_FEATURES = [NONE, NONE, NONE, NONE, NONE, of(13, 8)];
    OFPTFFC_BAD_MAX_ENT = [NONE, NONE, NONE, NONE, NONE, of(13, 7)];
    OFPTFFC_BAD_METADATA = [NONE, NONE, NONE, of(13, 1), of(13, 1), of(13, 1)];
    OFPTFFC_BAD_TABLE = [NONE, NONE, NONE, of(13, 0), of(13, 0), of(13, 0)];
    OFPTFFC_EPERM = [NONE, NONE, NONE, of(13, 5), of(13, 5), of(13, 5)];
    OFPTFFC_TOO_MANY = [NONE, NONE, NONE, NONE, NONE, of(13, 10)];
    OFPTMFC_BAD_CONFIG = [NONE, of(8, 1), of(8, 1), of(8, 1), of(8, 1), of(8, 1)];
    OFPTMFC_BAD_TABLE = [NONE, of(8, 0), of(8, 0), of(8, 0), of(8, 0), of(8, 0)];
    OFPTMFC_EPERM = [NONE, NONE, of(8, 2), of(8, 2), of(8, 2), of(8, 2)];
}

impl Code {
    /// The number in `version`, which may have none.
    pub fn number(self, version: Version) -> Option<Number> {
        self.numbers()[version.index()]
    }

    /// The code with a number in `version`.
    pub fn from_number(version: Version, number: Number) -> Option<Code> {
        Code::ALL.iter().copied().find(|code| code.number(version) == Some(number))
    }

    /// The code of that name.
    pub fn from_name(name: &str) -> Option<Code> {
        Code::ALL.iter().copied().find(|code| code.name() == name)
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Why bytes are no message: which structure, where in the message, and what stands there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    /// What the peer is told.
    pub code: Code,
    /// What was being read.
    pub what: &'static str,
    /// Offset in the message.
    pub at: usize,
    /// The bytes there, up to eight.
    pub bytes: Vec<u8>,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} at byte {}", self.code, self.what, self.at)?;
        let mut separator = ": ";
        for byte in &self.bytes {
            write!(f, "{separator}{byte:02x}")?;
            separator = " ";
        }
        Ok(())
    }
}

impl std::error::Error for Error {}

/// What decoding gives.
pub type Result<T> = std::result::Result<T, Error>;
