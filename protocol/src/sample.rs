//! Arguments of any call, encoded as the wire has them, with values that somebody else chooses.

use crate::{Call, Field, Program, Type};

/// Chooses values. Fields are told by name, so that a chooser can give what fits.
pub trait Source {
    fn number(&mut self, field: &str) -> u64;
    fn text(&mut self, field: &str) -> Vec<u8>;
    /// Whether an optional value is there.
    fn is_some(&mut self, field: &str) -> bool;
    /// How many there are of what may be there so often.
    fn count(&mut self, field: &str, max: usize) -> usize;
}

/// Writes arguments with what the programs declare: a record may be another program's.
pub struct Sampler<'a> {
    programs: &'a [Program],
}

impl<'a> Sampler<'a> {
    pub fn new(programs: &'a [Program]) -> Self {
        Self { programs }
    }

    /// The arguments of a call.
    pub fn arguments(&self, call: &Call, source: &mut dyn Source) -> Vec<u8> {
        let mut out = Vec::new();
        call.args.iter().for_each(|field| self.field(field, source, &mut out));
        out
    }

    fn field(&self, field: &Field, source: &mut dyn Source, out: &mut Vec<u8>) {
        self.value(&field.kind, &field.name, source, out);
    }

    fn value(&self, kind: &Type, name: &str, source: &mut dyn Source, out: &mut Vec<u8>) {
        match kind {
            Type::Int("i64" | "u64" | "f64") => out.extend(source.number(name).to_be_bytes()),
            Type::Int(_) | Type::Flag => word(out, source.number(name)),
            Type::Text | Type::Name | Type::Bytes(_) => bytes(out, &source.text(name)),
            Type::Uuid => {
                let mut uuid = source.text(name);
                uuid.resize(16, 0);
                out.extend(uuid);
            }
            Type::Chars(_) | Type::Octets(_) => {
                let text = source.text(name);
                word(out, text.len() as u64);
                text.iter().for_each(|byte| word(out, u64::from(*byte)));
            }
            Type::CharsFixed(count) => {
                let mut text = source.text(name);
                text.resize(*count, 0);
                text.iter().for_each(|byte| word(out, u64::from(*byte)));
            }
            Type::List(inner, max) => {
                let count = source.count(name, self.limit(max));
                word(out, count as u64);
                (0..count).for_each(|_| self.value(inner, name, source, out));
            }
            Type::Optional(inner) => {
                let there = source.is_some(name);
                word(out, there.into());
                if there {
                    self.value(inner, name, source, out);
                }
            }
            Type::TypedParam => typed(name, source, out),
            Type::Record(of) => {
                let record = self.programs.iter().find_map(|program| program.record(of));
                let fields = record.map(|record| record.fields.as_slice()).unwrap_or_default();
                fields.iter().for_each(|field| self.field(field, source, out));
            }
        }
    }

    fn limit(&self, max: &str) -> usize {
        let named = || {
            let mut consts = self.programs.iter().flat_map(|program| &program.consts);
            consts.find(|(name, _)| name == max).and_then(|(_, value)| (*value).try_into().ok())
        };
        max.parse().ok().or_else(named).unwrap_or(0)
    }
}

/// A typed parameter: its name, the number of its kind, its value.
fn typed(name: &str, source: &mut dyn Source, out: &mut Vec<u8>) {
    bytes(out, &source.text("field"));
    let kind = source.number("kind") % 8;
    word(out, kind);
    match kind {
        3..=5 => out.extend(source.number(name).to_be_bytes()),
        7 => bytes(out, &source.text(name)),
        _ => word(out, source.number(name)),
    }
}

/// A number as one word; what is above it is cut off.
fn word(out: &mut Vec<u8>, number: u64) {
    let [.., a, b, c, d] = number.to_be_bytes();
    out.extend([a, b, c, d]);
}

/// Bytes with their length before them and zeros behind, up to a whole word.
fn bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    word(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
    out.resize(out.len().next_multiple_of(4), 0);
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Ones;

    impl Source for Ones {
        fn number(&mut self, _: &str) -> u64 {
            1
        }
        fn text(&mut self, _: &str) -> Vec<u8> {
            b"a".to_vec()
        }
        fn is_some(&mut self, _: &str) -> bool {
            true
        }
        fn count(&mut self, _: &str, max: usize) -> usize {
            max.min(1)
        }
    }

    #[test]
    fn values_lie_as_on_the_wire() {
        let text = "program p 1 1\nconst M = 4\nstruct R { name: name, id: i32 }\n\
                    call 1 C(r: R, list: [string]<=M, some: u64?)\n";
        let programs = [crate::program(text).expect("a program")];
        let bytes = Sampler::new(&programs).arguments(&programs[0].calls[0], &mut Ones);
        let name = [0, 0, 0, 1, b'a', 0, 0, 0];
        let one = [0, 0, 0, 1];
        let long = [0, 0, 0, 0, 0, 0, 0, 1];
        assert_eq!(bytes, [&name[..], &one, &one, &name, &one, &long].concat());
    }
}
