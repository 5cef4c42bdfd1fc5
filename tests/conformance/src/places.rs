//! Where libvirt's `tests` folder keeps what the corpora hold, suite by suite.

/// Where the files of a suite are.
pub(crate) struct Place {
    pub(crate) suite: &'static str,
    pub(crate) folders: &'static [Folder],
    pub(crate) guess: Option<Guess>,
}

/// A folder of the suite: its name in a corpus, those it may have in the tree, and what its files' names have
/// there besides; the first of each is today's.
pub(crate) struct Folder {
    pub(crate) corpus: &'static str,
    pub(crate) tree: &'static [&'static str],
    pub(crate) prefixes: &'static [&'static str],
    pub(crate) stem_end: &'static str,
}

/// How cases are found that no table names.
pub(crate) struct Guess {
    /// The corpus's folder of the inputs.
    pub(crate) input: &'static str,
    pub(crate) input_end: &'static str,
    /// That of the outputs; none where a document must come out as it went in.
    pub(crate) output: Option<&'static str>,
    pub(crate) output_ends: &'static [&'static str],
    /// The ways in which it may be read: `column=value`, several with blanks between.
    pub(crate) ways: &'static [&'static str],
    /// What the second input may be.
    pub(crate) seconds: &'static [&'static str],
}

const fn folder(corpus: &'static str, tree: &'static [&'static str]) -> Folder {
    Folder { corpus, tree, prefixes: &[""], stem_end: "" }
}

const fn named(
    corpus: &'static str,
    tree: &'static [&'static str],
    prefixes: &'static [&'static str],
    stem_end: &'static str,
) -> Folder {
    Folder { corpus, tree, prefixes, stem_end }
}

/// Documents in one folder that come out in another.
const fn documents(ways: &'static [&'static str]) -> Option<Guess> {
    Some(Guess {
        input: "in/",
        input_end: ".xml",
        output: Some("out/"),
        output_ends: &[".xml"],
        ways,
        seconds: &[],
    })
}

/// Documents that come out as they went in.
const SAME: Option<Guess> = Some(Guess {
    input: "in/",
    input_end: ".xml",
    output: None,
    output_ends: &[],
    ways: PLAIN,
    seconds: &[],
});

/// Files in one folder, of which one kind is made from the other.
const fn beside(
    input_end: &'static str,
    output_ends: &'static [&'static str],
    ways: &'static [&'static str],
) -> Option<Guess> {
    Some(Guess { input: "", input_end, output: Some(""), output_ends, ways, seconds: &[] })
}

/// The only way to read a document.
const PLAIN: &[&str] = &["flags=0"];

const NETWORK_WAYS: &[&str] = &["flags=0", "flags=VIR_NETWORK_XML_INACTIVE"];
const DEVICE_WAYS: &[&str] = &["flags=0", "flags=VIR_NODE_DEVICE_XML_INACTIVE"];
const XEN_WAYS: &[&str] = &["modes=xml-to-cfg+cfg-to-xml", "modes=cfg-to-xml", "modes=xml-to-cfg"];
const SNAPSHOT_WAYS: &[&str] =
    &["flags=0", "flags=TEST_RUNNING", "flags=TEST_REDEFINE", "flags=TEST_INTERNAL|TEST_REDEFINE"];
const CHECKPOINT_WAYS: &[&str] = &[
    "flags=TEST_VDA_BITMAP",
    "flags=TEST_PARENT|TEST_VDA_BITMAP",
    "flags=TEST_PARENT|TEST_VDA_BITMAP|TEST_SIZE",
    "flags=TEST_REDEFINE",
];
const VOLUME_WAYS: &[&str] = &["flags=0", "flags=NO_CAPACITY", "flags=OPT_CAPACITY"];
const POOLS: &[&str] = &[
    "pool/pool-dir.xml",
    "pool/pool-logical.xml",
    "pool/pool-disk.xml",
    "pool/pool-gluster.xml",
    "pool/pool-rbd.xml",
    "pool/pool-sheepdog.xml",
];

/// What several suites need.
pub(crate) const FIXTURES: &[Folder] = &[
    folder("qemucaps/", &["qemucapabilitiesdata"]),
    folder("qemufirmware/", &["qemufirmwaredata"]),
    folder("qemufirmware", &["qemufirmwaredata"]),
];

pub(crate) const PLACES: &[Place] = &[
    Place {
        suite: "backup-xml2xml",
        folders: &[
            folder("in/", &["domainbackupxml2xmlin"]),
            folder("out/", &["domainbackupxml2xmlout"]),
        ],
        guess: documents(&["internal=no", "internal=yes"]),
    },
    Place {
        suite: "checkpoint-xml2xml",
        folders: &[
            folder("in/", &["qemudomaincheckpointxml2xmlin", "domaincheckpointxml2xmlin"]),
            folder("out/", &["qemudomaincheckpointxml2xmlout", "domaincheckpointxml2xmlout"]),
        ],
        guess: documents(CHECKPOINT_WAYS),
    },
    Place { suite: "cpu", folders: &[folder("", &["cputestdata"])], guess: None },
    Place {
        suite: "domain-capabilities",
        folders: &[folder("", &["domaincapsdata"])],
        guess: None,
    },
    Place {
        suite: "domain-schema",
        folders: &[
            folder("capabilityschemadata/", &["capabilityschemadata"]),
            folder("domainschemadata/", &["domainschemadata"]),
            folder("interfaceschemadata/", &["interfaceschemadata"]),
            folder("nodedevschemadata/", &["nodedevschemadata"]),
            folder("storagepoolcapsschemadata/", &["storagepoolcapsschemadata"]),
            folder("storagepoolschemadata/", &["storagepoolschemadata"]),
        ],
        guess: None,
    },
    Place {
        suite: "generic-xml2xml",
        folders: &[
            named("in/", &["genericxml2xmlindata"], &["", "generic-"], ""),
            named("out/", &["genericxml2xmloutdata"], &["", "generic-"], ""),
        ],
        guess: documents(&["live=yes", "live=no"]),
    },
    Place {
        suite: "interface-xml2xml",
        folders: &[folder("in/", &["interfaceschemadata"])],
        guess: SAME,
    },
    Place { suite: "json", folders: &[folder("", &["virjsondata"])], guess: None },
    Place {
        suite: "network-update",
        folders: &[
            folder("net/", &["networkxml2xmlin"]),
            folder("update/", &["networkxml2xmlupdatein"]),
            folder("out/", &["networkxml2xmlupdateout"]),
        ],
        guess: None,
    },
    Place {
        suite: "network-xml2xml",
        folders: &[folder("in/", &["networkxml2xmlin"]), folder("out/", &["networkxml2xmlout"])],
        guess: documents(NETWORK_WAYS),
    },
    Place {
        suite: "networkport-xml2xml",
        folders: &[folder("in/", &["virnetworkportxml2xmldata"])],
        guess: SAME,
    },
    Place {
        suite: "nodedev-xml2xml",
        folders: &[folder("in/", &["nodedevschemadata"]), folder("out/", &["nodedevxml2xmlout"])],
        guess: documents(DEVICE_WAYS),
    },
    Place {
        suite: "nwfilter-xml2xml",
        folders: &[folder("in/", &["nwfilterxml2xmlin"]), folder("out/", &["nwfilterxml2xmlout"])],
        guess: documents(PLAIN),
    },
    Place {
        suite: "nwfilterbinding-xml2xml",
        folders: &[folder("in/", &["virnwfilterbindingxml2xmldata"])],
        guess: SAME,
    },
    Place {
        suite: "qemu-active-xml",
        folders: &[
            folder("in/", &["qemuxmlconfdata"]),
            folder("out/", &["qemuxmlactive2xmldata", "qemuxmlactivedata", "qemuxml2xmloutdata"]),
        ],
        guess: None,
    },
    Place {
        suite: "qemu-status",
        folders: &[
            named("in/", &["qemustatusxml2xmldata"], &[""], "-in"),
            named("out/", &["qemustatusxml2xmldata"], &[""], "-out"),
        ],
        guess: documents(PLAIN),
    },
    Place {
        suite: "qemu-xmlconf",
        folders: &[folder("in/", &["qemuxmlconfdata"]), folder("out/", &["qemuxmlconfdata"])],
        guess: Some(Guess {
            input: "in/",
            input_end: ".xml",
            output: Some("out/"),
            output_ends: &[".x86_64-latest.xml", ".x86_64-latest.args", ".x86_64-latest.err"],
            ways: PLAIN,
            seconds: &[],
        }),
    },
    Place { suite: "secret-xml2xml", folders: &[folder("in/", &["secretxml2xmlin"])], guess: SAME },
    Place {
        suite: "snapshot-xml2xml",
        folders: &[
            folder("in/", &["qemudomainsnapshotxml2xmlin", "domainsnapshotxml2xmlin"]),
            folder("out/", &["qemudomainsnapshotxml2xmlout", "domainsnapshotxml2xmlout"]),
        ],
        guess: documents(SNAPSHOT_WAYS),
    },
    Place {
        suite: "storagepool-xml2xml",
        folders: &[
            folder("in/", &["storagepoolxml2xmlin"]),
            folder("out/", &["storagepoolxml2xmlout"]),
        ],
        guess: documents(PLAIN),
    },
    Place {
        suite: "storagevol-xml2xml",
        folders: &[
            folder("in/", &["storagevolxml2xmlin"]),
            folder("out/", &["storagevolxml2xmlout"]),
            folder("pool/", &["storagepoolxml2xmlin"]),
        ],
        guess: Some(Guess {
            input: "in/",
            input_end: ".xml",
            output: Some("out/"),
            output_ends: &[".xml"],
            ways: VOLUME_WAYS,
            seconds: POOLS,
        }),
    },
    Place {
        suite: "virconf",
        folders: &[folder("", &["virconfdata"])],
        guess: beside(".conf", &[".out"], PLAIN),
    },
    Place { suite: "xen-caps", folders: &[folder("", &["xencapsdata"])], guess: None },
    Place {
        suite: "xen-domconfig",
        folders: &[folder("", &["libxlxml2domconfigdata"])],
        guess: beside(".xml", &[".json"], PLAIN),
    },
    Place {
        suite: "xen-sexpr2xml",
        folders: &[named("", &["sexpr2xmldata"], &["sexpr2xml-"], "")],
        guess: beside(".sexpr", &[".xml"], PLAIN),
    },
    Place {
        suite: "xen-xl",
        folders: &[named("", &["xlconfigdata"], &["test-"], "")],
        guess: beside(".cfg", &[".xml"], XEN_WAYS),
    },
    Place {
        suite: "xen-xm",
        folders: &[named("", &["xmconfigdata"], &["test-"], "")],
        guess: beside(".cfg", &[".xml"], XEN_WAYS),
    },
    Place {
        suite: "xen-xml2sexpr",
        folders: &[named("", &["xml2sexprdata"], &["xml2sexpr-"], "")],
        guess: beside(".xml", &[".sexpr"], PLAIN),
    },
];
