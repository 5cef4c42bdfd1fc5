//! A guest as bytes: what xend writes to files and sends to other hosts.

use std::io::{Error, Read, Result, Write};

use crate::sxp::{self, Sxp};
use crate::xend::{Domain, Xend};

const MAGIC: &[u8] = b"LinuxGuestRecord";
/// Limit: a configuration.
const CONFIG_MAX: u32 = 1 << 20;
/// What stands for the guest's memory: so many bytes of one kind, and one that ends it.
const MEMORY_BYTES: usize = 64 * 1024;
const END: u8 = b'.';

/// A guest that is not on any host.
#[derive(Clone, Debug)]
pub(crate) struct Image {
    pub(crate) name: String,
    pub(crate) config: String,
    /// How long the first releases say the memory is.
    pages: Option<u64>,
}

impl Image {
    pub(crate) fn of(xend: &Xend, domain: &Domain) -> Self {
        let mut config = domain.config.to_sxp("domain");
        let Some(run) = &domain.run else {
            return Self {
                name: domain.config.name.clone(),
                config: config.print(""),
                pages: None,
            };
        };
        config.set("cpu_weight", run.weight);
        config.set("cpu_cap", run.cap);
        config.set("memory", run.target_mib);
        if let Some(items) = config.items_mut() {
            items.retain(|item| item.head() != Some("device"));
            items.extend(
                run.devices.iter().map(|d| sxp::list([sxp::word("device"), d.body.clone()])),
            );
        }
        let old = (xend.profile().major, xend.profile().minor) == (3, 0);
        let pages = old.then_some(run.target_mib * 256);
        Self { name: domain.config.name.clone(), config: config.print("''"), pages }
    }

    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        // Writing to memory cannot fail.
        let _ = self.write(&mut bytes);
        bytes
    }

    pub(crate) fn write(&self, out: &mut impl Write) -> Result<()> {
        out.write_all(MAGIC)?;
        let length = u32::try_from(self.config.len()).map_err(Error::other)?;
        out.write_all(&length.to_be_bytes())?;
        out.write_all(self.config.as_bytes())?;
        if let Some(pages) = self.pages {
            out.write_all(&pages.to_ne_bytes())?;
        }
        out.write_all(&vec![b'm'; MEMORY_BYTES])?;
        out.write_all(&[END])
    }

    /// Reads what comes before the memory.
    pub(crate) fn read_head(from: &mut impl Read) -> Result<Self> {
        let mut magic = [0; MAGIC.len()];
        from.read_exact(&mut magic)?;
        if magic != MAGIC {
            return Err(Error::other("not a valid guest state file: found '...'"));
        }
        let mut length = [0; 4];
        from.read_exact(&mut length)?;
        let length = u32::from_be_bytes(length);
        if length > CONFIG_MAX {
            return Err(Error::other("not a valid guest state file: config size"));
        }
        let mut config = vec![0; usize::try_from(length).map_err(Error::other)?];
        from.read_exact(&mut config)?;
        let config = String::from_utf8(config).map_err(Error::other)?;
        let tree: Sxp = sxp::parse(&config).map_err(Error::other)?;
        let name = tree.value("name").unwrap_or_default().to_owned();
        Ok(Self { name, config, pages: None })
    }

    /// Reads the memory, all of it.
    pub(crate) fn read_memory(from: &mut impl Read) -> Result<()> {
        let mut bytes = vec![0; MEMORY_BYTES];
        from.read_exact(&mut bytes)?;
        // The first releases say first how many pages there are.
        let mut rest = [0; 9];
        for at in 0..rest.len() {
            from.read_exact(rest.get_mut(at..=at).unwrap_or_default())?;
            if rest.get(at) == Some(&END) {
                return Ok(());
            }
        }
        Err(Error::other("not a valid guest state file: memory"))
    }

    pub(crate) fn read(from: &mut impl Read) -> Result<Self> {
        let image = Self::read_head(from)?;
        Self::read_memory(from)?;
        Ok(image)
    }
}
