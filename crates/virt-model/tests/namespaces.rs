//! Elements of the hypervisors' own namespaces: kept for the driver that owns them, dropped by others.

use virt_error::Result;
use virt_model::domain::{Domain, DomainRules};
use virt_model::{ParseFlags, PrintFlags};

const QEMU: &str = "http://libvirt.org/schemas/domain/qemu/1.0";

/// A driver that owns one namespace, or none.
struct Owner(&'static str);

impl DomainRules for Owner {
    fn guest(&self, domain: &mut Domain) -> Result<()> {
        domain.os.kind.arch.get_or_insert_with(|| "x86_64".to_owned());
        Ok(())
    }

    fn owns_namespace(&self, uri: &str) -> bool {
        uri == self.0
    }
}

fn printed(root_attrs: &str, foreign: &str, owner: &Owner) -> String {
    let text = format!(
        "<domain type='qemu'{root_attrs}><name>x</name><memory>1024</memory>\
         <os><type>hvm</type></os>{foreign}</domain>"
    );
    let domain = Domain::load(&text, ParseFlags::default(), owner).expect("a domain");
    domain.to_xml(PrintFlags::default())
}

/// The ways a document can say the same: its own prefix, or a default namespace.
fn spellings() -> [(String, &'static str); 3] {
    [
        (
            format!(" xmlns:qemu='{QEMU}'"),
            "<qemu:commandline><qemu:arg value='-a'/></qemu:commandline>",
        ),
        (format!(" xmlns:q='{QEMU}'"), "<q:commandline><q:arg value='-a'/></q:commandline>"),
        (
            String::new(),
            "<commandline xmlns='http://libvirt.org/schemas/domain/qemu/1.0'><arg value='-a'/></commandline>",
        ),
    ]
}

#[test]
fn the_owner_keeps_them_under_libvirts_prefix() {
    for (root_attrs, foreign) in spellings() {
        let xml = printed(&root_attrs, foreign, &Owner(QEMU));
        assert!(xml.starts_with(&format!("<domain type='qemu' xmlns:qemu='{QEMU}'>\n")), "{xml}");
        let tail =
            "  <qemu:commandline>\n    <qemu:arg value='-a'/>\n  </qemu:commandline>\n</domain>\n";
        assert!(xml.ends_with(tail), "{xml}");
    }
}

#[test]
fn others_drop_them() {
    for (root_attrs, foreign) in spellings() {
        let xml = printed(&root_attrs, foreign, &Owner(""));
        assert!(!xml.contains("qemu:") && !xml.contains("commandline"), "{xml}");
    }
}
