//! Rates of network interfaces as people type them: `average,peak,burst,floor`.

use virt_cli::Args;
use virt_types::TypedParam;

use crate::failure::{Failure, fail};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    Inbound,
    Outbound,
}

impl Direction {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Inbound => "inbound",
            Self::Outbound => "outbound",
        }
    }
}

const FIELDS: [&str; 4] = ["average", "peak", "burst", "floor"];

/// A rate in one direction; a part that is 0 was left out.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rate {
    direction: Direction,
    parts: [u32; 4],
}

impl Rate {
    /// What the option named after the direction says.
    pub(crate) fn of(args: &Args, direction: Direction) -> Result<Option<Self>, Failure> {
        args.text(direction.name())?.map(|text| Self::read(text, direction)).transpose()
    }

    fn read(text: &str, direction: Direction) -> Result<Self, Failure> {
        let mut parts = [0; 4];
        let typed: Vec<&str> = text.split(',').collect();
        if typed.len() > parts.len() {
            return fail(format!("Rate string '{text}' has too many fields"));
        }
        for ((part, field), typed) in parts.iter_mut().zip(FIELDS).zip(typed) {
            if typed.is_empty() {
                continue;
            }
            let number: u64 =
                typed.parse().or_else(|_| fail(format!("field '{field}' is malformed")))?;
            *part = u32::try_from(number).or_else(|_| {
                let (name, most) = (direction.name(), u32::MAX);
                fail(format!("{name} rate larger than maximum {most}"))
            })?;
        }
        let [average, peak, burst, floor] = parts;
        match direction {
            Direction::Inbound if average == 0 && floor == 0 && (peak != 0 || burst != 0) => {
                fail("either inbound average or floor is mandatory")
            }
            Direction::Outbound if floor != 0 => fail("outbound floor is unsupported yet"),
            Direction::Outbound if average == 0 && (peak != 0 || burst != 0) => {
                fail("outbound average is mandatory")
            }
            _ => Ok(Self { direction, parts }),
        }
    }

    /// The parts that say something, by name.
    pub(crate) fn given(&self) -> impl Iterator<Item = (&'static str, u32)> {
        FIELDS.into_iter().zip(self.parts).filter(|(_, part)| *part != 0)
    }

    /// As parameters. The average is always there: without one, the limit is taken away.
    pub(crate) fn params(&self) -> Vec<TypedParam> {
        let parts = FIELDS.into_iter().zip(self.parts);
        let parts = parts.filter(|(field, part)| *part != 0 || *field == "average");
        let name = self.direction.name();
        parts.map(|(field, part)| TypedParam::new(format!("{name}.{field}"), part)).collect()
    }
}
