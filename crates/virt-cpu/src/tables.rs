//! The features and models of x86, from the tables in `data/`.

use std::collections::{BTreeSet, HashMap};
use std::sync::LazyLock;

const FEATURES: &str = include_str!("../data/x86-features.tsv");
const MODELS: &str = include_str!("../data/x86-models.tsv");

/// What a guest cannot take along to another host.
const UNMIGRATABLE: &[&str] = &["invtsc"];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Register {
    Eax,
    Ebx,
    Ecx,
    Edx,
}

/// Where a processor says whether it has a feature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    Cpuid { leaf: u32, subleaf: u32, register: Register },
    Msr(u32),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Feature {
    pub name: &'static str,
    /// QEMU's name; none where QEMU has no flag for it.
    pub qemu: Option<&'static str>,
    pub place: Place,
    pub bit: u8,
}

/// A set of features, by their rows; it goes through them in the order of the table.
pub type Features = BTreeSet<u16>;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Model {
    pub name: &'static str,
    /// None for models that no vendor made.
    pub vendor: Option<&'static str>,
    pub family: u32,
    pub model: u32,
    pub stepping: u32,
    pub features: Features,
}

#[derive(Debug)]
pub struct Tables {
    features: Vec<Feature>,
    rows: HashMap<&'static str, u16>,
    models: Vec<Model>,
}

impl Tables {
    pub fn x86() -> &'static Self {
        static TABLES: LazyLock<Tables> = LazyLock::new(Tables::read);
        &TABLES
    }

    fn read() -> Self {
        let features: Vec<Feature> = rows(FEATURES).filter_map(feature).collect();
        let mut by_name = HashMap::new();
        for (row, feature) in (0_u16..).zip(&features) {
            by_name.insert(feature.name, row);
            if let Some(name) = feature.qemu {
                by_name.insert(name, row);
            }
        }
        let models = rows(MODELS).filter_map(|line| model(line, &by_name)).collect();
        Self { features, rows: by_name, models }
    }

    pub fn models(&self) -> &[Model] {
        &self.models
    }

    pub fn model(&self, name: &str) -> Option<&Model> {
        self.models.iter().find(|model| model.name == name)
    }

    /// The row of a feature, by libvirt's name or QEMU's.
    pub fn row(&self, name: &str) -> Option<u16> {
        self.rows.get(name).copied().or_else(|| self.rows.get(&*name.replace('_', "-")).copied())
    }

    pub fn feature(&self, row: u16) -> Option<&Feature> {
        self.features.get(usize::from(row))
    }

    /// The name of a row.
    pub fn name(&self, row: u16) -> &'static str {
        self.feature(row).map_or("", |feature| feature.name)
    }

    /// Those of a set's features that go along to another host.
    pub fn migratable(&self, features: &Features) -> Features {
        let stays = |row: &u16| !UNMIGRATABLE.contains(&self.name(*row));
        features.iter().copied().filter(stays).collect()
    }

    /// The features whose bit `word` gives as set.
    pub fn decode(&self, word: impl Fn(Place) -> u64) -> Features {
        let set = |feature: &Feature| word(feature.place) >> feature.bit & 1 == 1;
        (0_u16..)
            .zip(&self.features)
            .filter(|(_, feature)| set(feature))
            .map(|(row, _)| row)
            .collect()
    }
}

fn rows(table: &'static str) -> impl Iterator<Item = &'static str> {
    table.lines().filter(|line| !line.starts_with('#'))
}

fn feature(line: &'static str) -> Option<Feature> {
    let mut columns = line.split('\t');
    let (name, qemu) = (columns.next()?, columns.next()?);
    let (kind, place) = columns.next()?.split_once(':')?;
    let place = match kind {
        "msr" => Place::Msr(u32::from_str_radix(place, 16).ok()?),
        _ => {
            let mut parts = place.split('.');
            let mut number = || u32::from_str_radix(parts.next()?, 16).ok();
            let (leaf, subleaf) = (number()?, number()?);
            let register = match parts.next()? {
                "eax" => Register::Eax,
                "ebx" => Register::Ebx,
                "ecx" => Register::Ecx,
                _ => Register::Edx,
            };
            Place::Cpuid { leaf, subleaf, register }
        }
    };
    let bit = columns.next()?.parse().ok()?;
    Some(Feature { name, qemu: Some(qemu).filter(|name| *name != "-"), place, bit })
}

fn model(line: &'static str, rows: &HashMap<&'static str, u16>) -> Option<Model> {
    let mut columns = line.split('\t');
    let name = columns.next()?;
    let vendor = columns.next().filter(|vendor| *vendor != "-");
    let mut number = || columns.next()?.parse().ok();
    let (family, model, stepping) = (number()?, number()?, number()?);
    let features = columns.next()?.split(' ').map(|name| rows.get(name).copied());
    Some(Model {
        name,
        vendor,
        family,
        model,
        stepping,
        features: features.collect::<Option<_>>()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_of_the_tables_is_read() {
        let tables = Tables::x86();
        assert_eq!(tables.features.len(), rows(FEATURES).count());
        assert_eq!(tables.models.len(), rows(MODELS).count());
        let names: BTreeSet<_> = tables.features.iter().map(|feature| feature.name).collect();
        assert_eq!(names.len(), tables.features.len(), "a name has one row");
        let places: Vec<_> = tables.features.iter().map(|found| (found.place, found.bit)).collect();
        let doubled = places.iter().enumerate().find(|(at, place)| places[..*at].contains(place));
        assert_eq!(doubled, None, "a bit has one name");
    }

    #[test]
    fn features_are_where_the_manuals_have_them() {
        let tables = Tables::x86();
        let place =
            |name: &str| tables.feature(tables.row(name).unwrap()).map(|f| (f.place, f.bit));
        let cpuid = |leaf, register| Place::Cpuid { leaf, subleaf: 0, register };
        assert_eq!(place("aes"), Some((cpuid(1, Register::Ecx), 25)));
        assert_eq!(place("avx2"), Some((cpuid(7, Register::Ebx), 5)));
        assert_eq!(place("lm"), Some((cpuid(0x8000_0001, Register::Edx), 29)));
        assert_eq!(place("rdctl-no"), Some((Place::Msr(0x10a), 0)));
        assert_eq!(tables.row("pclmulqdq"), tables.row("pclmuldq"));
    }
}
