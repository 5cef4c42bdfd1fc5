//! Values of Rust as values of JSON.

use crate::Value;

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::String(text.to_owned())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::String(text)
    }
}

impl From<bool> for Value {
    fn from(yes: bool) -> Self {
        Self::Bool(yes)
    }
}

impl From<f64> for Value {
    /// What is no finite number has no spelling in JSON and is nothing.
    fn from(number: f64) -> Self {
        if number.is_finite() { Self::Number(number.to_string()) } else { Self::Null }
    }
}

macro_rules! whole_numbers {
    ($($number:ty),*) => {$(
        impl From<$number> for Value {
            fn from(number: $number) -> Self {
                Self::Number(number.to_string())
            }
        }
    )*};
}

whole_numbers!(u8, u16, u32, u64, i32, i64, usize);

impl<T: Into<Value>> From<Option<T>> for Value {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}

impl<T: Into<Value>> From<Vec<T>> for Value {
    fn from(values: Vec<T>) -> Self {
        Self::Array(values.into_iter().map(Into::into).collect())
    }
}

#[cfg(test)]
mod tests {
    use crate::Value;

    #[test]
    fn numbers_stay_numbers() {
        let value = Value::from(vec![Value::from(-1), 2.5.into(), f64::NAN.into(), true.into()]);
        assert_eq!(value.to_string(), "[-1,2.5,null,true]");
        assert_eq!(Value::from(Some("a")).to_string(), "\"a\"");
    }
}
