//! Typed parameters: a name and a value of one of seven types.

/// A named value, as in statistics and tunables.
#[derive(Clone, Debug, PartialEq)]
pub struct TypedParam {
    pub field: String,
    pub value: TypedValue,
}

/// The value of a typed parameter; the discriminants on the wire are 1 to 7 in this order.
#[derive(Clone, Debug, PartialEq)]
pub enum TypedValue {
    Int(i32),
    Uint(u32),
    Llong(i64),
    Ullong(u64),
    Double(f64),
    Boolean(bool),
    String(String),
}

impl TypedParam {
    /// ```
    /// use virt_types::{TypedParam, TypedValue};
    /// let param = TypedParam::new("cpu.time", 12_u64);
    /// assert_eq!(param.value, TypedValue::Ullong(12));
    /// ```
    pub fn new(field: impl Into<String>, value: impl Into<TypedValue>) -> Self {
        Self { field: field.into(), value: value.into() }
    }
}

macro_rules! from {
    ($($from:ty => $variant:ident),*) => {$(
        impl From<$from> for TypedValue {
            fn from(value: $from) -> Self {
                Self::$variant(value.into())
            }
        }
    )*};
}

from!(i32 => Int, u32 => Uint, i64 => Llong, u64 => Ullong, f64 => Double, bool => Boolean,
      String => String, &str => String);

impl std::fmt::Display for TypedValue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Int(value) => write!(f, "{value}"),
            Self::Uint(value) => write!(f, "{value}"),
            Self::Llong(value) => write!(f, "{value}"),
            Self::Ullong(value) => write!(f, "{value}"),
            Self::Double(value) => write!(f, "{value:.6}"),
            Self::Boolean(value) => f.write_str(if *value { "yes" } else { "no" }),
            Self::String(value) => f.write_str(value),
        }
    }
}
