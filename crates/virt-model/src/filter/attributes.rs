//! The protocols that a filter's rules match, and the attributes of each in libvirt's print order.

/// What an attribute can hold. A variable may stand for any of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Mac,
    /// Bits from the left without a gap.
    MacMask,
    Ip4,
    Ip6,
    /// A prefix, as a number of bits or as an address.
    Mask4,
    Mask6,
    /// A number in either base, or a word for one.
    Number {
        least: u32,
        most: u32,
        words: Words,
    },
    /// The same, always printed in decimal where it has no name.
    Operation,
    Decimal {
        most: u32,
    },
    Truth,
    States,
    TcpFlags,
    IpSet,
    IpSetFlags,
    Comment,
}

/// Words that stand for numbers.
pub(crate) type Words = &'static [(&'static str, u32)];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Attribute {
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
    /// Compat: this attribute's sign, not its own, says whether it must match.
    pub(crate) sign_of: Option<&'static str>,
}

const fn own(name: &'static str, kind: Kind) -> Attribute {
    Attribute { name, kind, sign_of: None }
}

const fn with(name: &'static str, kind: Kind, sign_of: &'static str) -> Attribute {
    Attribute { name, kind, sign_of: Some(sign_of) }
}

const fn number(most: u32) -> Kind {
    Kind::Number { least: 0, most, words: &[] }
}

const U8: Kind = number(0xff);
const U16: Kind = number(0xffff);
const U32: Kind = number(u32::MAX);

/// Ether types; smaller numbers were lengths of old.
const ETHER_TYPE: Kind = Kind::Number {
    least: 0x600,
    most: 0xffff,
    words: &[("arp", 0x806), ("rarp", 0x8035), ("ipv4", 0x800), ("ipv6", 0x86dd), ("vlan", 0x8100)],
};

const IP_PROTOCOL: Kind = Kind::Number {
    least: 0,
    most: 0xff,
    words: &[
        ("tcp", 6),
        ("udp", 17),
        ("udplite", 136),
        ("esp", 50),
        ("ah", 51),
        ("icmp", 1),
        ("igmp", 2),
        ("icmpv6", 58),
        ("sctp", 132),
    ],
};

/// The operations of ARP.
pub(crate) const OPERATIONS: Words = &[
    ("Request", 1),
    ("Reply", 2),
    ("Request_Reverse", 3),
    ("Reply_Reverse", 4),
    ("DRARP_Request", 5),
    ("DRARP_Reply", 6),
    ("DRARP_Error", 7),
    ("InARP_Request", 8),
    ("ARP_NAK", 9),
];

type Group = &'static [Attribute];

const MACS: Group = &[
    own("srcmacaddr", Kind::Mac),
    own("srcmacmask", Kind::MacMask),
    own("dstmacaddr", Kind::Mac),
    own("dstmacmask", Kind::MacMask),
];
const MACS_JOINED: Group = &[
    own("srcmacaddr", Kind::Mac),
    with("srcmacmask", Kind::MacMask, "srcmacaddr"),
    own("dstmacaddr", Kind::Mac),
    with("dstmacmask", Kind::MacMask, "dstmacaddr"),
];
const STP: Group = &[
    own("srcmacaddr", Kind::Mac),
    with("srcmacmask", Kind::MacMask, "srcmacaddr"),
    own("type", U8),
    own("flags", U8),
    own("root-priority", U16),
    with("root-priority-hi", U16, "root-priority"),
    own("root-address", Kind::Mac),
    with("root-address-mask", Kind::MacMask, "root-address"),
    own("root-cost", U32),
    with("root-cost-hi", U32, "root-cost"),
    own("sender-priority", U16),
    with("sender-priority-hi", U16, "sender-priority"),
    own("sender-address", Kind::Mac),
    with("sender-address-mask", Kind::MacMask, "sender-address"),
    own("port", U16),
    with("port-hi", U16, "port"),
    own("age", U16),
    with("age-hi", U16, "age"),
    own("max-age", U16),
    with("max-age-hi", U16, "max-age"),
    own("hello-time", U16),
    with("hello-time-hi", U16, "hello-time"),
    own("forward-delay", U16),
    with("forward-delay-hi", U16, "forward-delay"),
];
const ARP: Group = &[
    own("hwtype", U16),
    own("protocoltype", U16),
    own("opcode", Kind::Operation),
    own("arpsrcmacaddr", Kind::Mac),
    own("arpdstmacaddr", Kind::Mac),
    own("arpsrcipaddr", Kind::Ip4),
    own("arpsrcipmask", Kind::Mask4),
    own("arpdstipaddr", Kind::Ip4),
    own("arpdstipmask", Kind::Mask4),
    own("gratuitous", Kind::Truth),
];
const SRC_MAC: Group = &[own("srcmacaddr", Kind::Mac)];
const IPS4: Group = &[
    own("srcipaddr", Kind::Ip4),
    with("srcipmask", Kind::Mask4, "srcipaddr"),
    own("dstipaddr", Kind::Ip4),
    with("dstipmask", Kind::Mask4, "dstipaddr"),
];
const IPS6: Group = &[
    own("srcipaddr", Kind::Ip6),
    with("srcipmask", Kind::Mask6, "srcipaddr"),
    own("dstipaddr", Kind::Ip6),
    with("dstipmask", Kind::Mask6, "dstipaddr"),
];
const RANGES4: Group = &[
    own("srcipfrom", Kind::Ip4),
    with("srcipto", Kind::Ip4, "srcipfrom"),
    own("dstipfrom", Kind::Ip4),
    with("dstipto", Kind::Ip4, "dstipfrom"),
];
/// Compat: of the last one libvirt reads an address of the old protocol here too.
const RANGES6: Group = &[
    own("srcipfrom", Kind::Ip6),
    with("srcipto", Kind::Ip6, "srcipfrom"),
    own("dstipfrom", Kind::Ip6),
    with("dstipto", Kind::Ip4, "dstipfrom"),
];
const DSCP: Group = &[own("dscp", number(0x3f))];
const CONNECTIONS: Group =
    &[own("connlimit-above", Kind::Decimal { most: 0xffff }), own("state", Kind::States)];
const IP_SET: Group = &[own("ipset", Kind::IpSet), own("ipsetflags", Kind::IpSetFlags)];
const IP_SET_JOINED: Group =
    &[own("ipset", Kind::IpSet), with("ipsetflags", Kind::IpSetFlags, "ipset")];
const PORTS: Group = &[
    own("srcportstart", U16),
    own("srcportend", U16),
    own("dstportstart", U16),
    own("dstportend", U16),
];
const PORTS_JOINED: Group = &[
    own("srcportstart", U16),
    with("srcportend", U16, "srcportstart"),
    with("dstportstart", U16, "srcportstart"),
    with("dstportend", U16, "srcportstart"),
];
const PROTOCOL: Group = &[own("protocol", IP_PROTOCOL)];
const ICMP: Group = &[own("type", U8), with("code", U8, "type")];
const ICMP_RANGES: Group = &[
    own("type", U8),
    with("typeend", U8, "type"),
    with("code", U8, "type"),
    with("codeend", U8, "type"),
];
const COMMENT: Group = &[own("comment", Kind::Comment)];

/// What each protocol's element can say.
const PROTOCOLS: &[(&str, &[Group])] = &[
    ("mac", &[MACS_JOINED, &[own("protocolid", ETHER_TYPE)], COMMENT]),
    (
        "vlan",
        &[MACS_JOINED, &[own("vlanid", number(4095)), own("encap-protocol", ETHER_TYPE)], COMMENT],
    ),
    ("stp", &[STP, COMMENT]),
    ("arp", &[MACS, ARP, COMMENT]),
    ("rarp", &[MACS, ARP, COMMENT]),
    ("ip", &[MACS, IPS4, PROTOCOL, PORTS, DSCP, COMMENT]),
    ("ipv6", &[MACS, IPS6, PROTOCOL, PORTS, ICMP_RANGES, COMMENT]),
    ("tcp", &[SRC_MAC, IPS4, RANGES4, DSCP, CONNECTIONS, PORTS_JOINED, TCP, COMMENT]),
    ("udp", &[SRC_MAC, IPS4, RANGES4, DSCP, CONNECTIONS, PORTS_JOINED, COMMENT]),
    ("udplite", LAYER4),
    ("esp", LAYER4),
    ("ah", LAYER4),
    ("sctp", &[SRC_MAC, IPS4, RANGES4, DSCP, CONNECTIONS, PORTS_JOINED, COMMENT]),
    ("icmp", &[SRC_MAC, IPS4, RANGES4, DSCP, CONNECTIONS, ICMP, COMMENT]),
    ("all", &[SRC_MAC, IPS4, RANGES4, DSCP, CONNECTIONS, IP_SET, COMMENT]),
    ("igmp", LAYER4),
    (
        "tcp-ipv6",
        &[
            SRC_MAC,
            IPS6,
            RANGES6,
            DSCP,
            CONNECTIONS,
            IP_SET_JOINED,
            PORTS_JOINED,
            TCP_OPTION,
            COMMENT,
        ],
    ),
    (
        "udp-ipv6",
        &[SRC_MAC, IPS6, RANGES6, DSCP, CONNECTIONS, IP_SET_JOINED, PORTS_JOINED, COMMENT],
    ),
    ("udplite-ipv6", LAYER4_V6),
    ("esp-ipv6", LAYER4_V6),
    ("ah-ipv6", LAYER4_V6),
    (
        "sctp-ipv6",
        &[SRC_MAC, IPS6, RANGES6, DSCP, CONNECTIONS, IP_SET_JOINED, PORTS_JOINED, COMMENT],
    ),
    ("icmpv6", &[SRC_MAC, IPS6, RANGES6, DSCP, CONNECTIONS, IP_SET_JOINED, ICMP, COMMENT]),
    ("all-ipv6", &[SRC_MAC, IPS6, RANGES6, DSCP, CONNECTIONS, IP_SET, COMMENT]),
];
const LAYER4: &[Group] = &[SRC_MAC, IPS4, RANGES4, DSCP, CONNECTIONS, COMMENT];
const LAYER4_V6: &[Group] = &[SRC_MAC, IPS6, RANGES6, DSCP, CONNECTIONS, IP_SET_JOINED, COMMENT];
const TCP_OPTION: Group = &[own("option", U8)];
const TCP: Group = &[own("option", U8), own("flags", Kind::TcpFlags)];

/// A protocol by the name of its element.
pub(crate) fn protocol(name: &str) -> Option<&'static str> {
    PROTOCOLS.iter().map(|(known, _)| *known).find(|known| *known == name)
}

/// The attributes of a protocol, in print order.
pub(crate) fn attributes(protocol: &str) -> impl Iterator<Item = &'static Attribute> {
    let found = PROTOCOLS.iter().find(|(known, _)| *known == protocol);
    found.map_or(&[][..], |(_, groups)| groups).iter().copied().flatten()
}
