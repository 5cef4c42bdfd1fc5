//! A JSON object whose members stay in the order in which they are given.
//!
//! QEMU does not care for the order; people who compare command lines do.

use std::fmt::Write;

/// The object under construction.
#[derive(Clone, Debug)]
pub(crate) struct Object(String);

impl Object {
    /// An object that starts with this member.
    pub(crate) fn new(name: &str, value: &str) -> Self {
        Self(String::new()).text(name, value)
    }

    pub(crate) fn empty() -> Self {
        Self(String::new())
    }

    fn raw(mut self, name: &str, value: impl std::fmt::Display) -> Self {
        let separator = if self.0.is_empty() { "" } else { "," };
        // Writing to a string does not fail.
        let _ = write!(self.0, "{separator}{}:{value}", quoted(name));
        self
    }

    pub(crate) fn text(self, name: &str, value: &str) -> Self {
        let value = quoted(value);
        self.raw(name, value)
    }

    pub(crate) fn maybe(self, name: &str, value: Option<&str>) -> Self {
        match value {
            Some(value) => self.text(name, value),
            None => self,
        }
    }

    pub(crate) fn number(self, name: &str, value: impl Into<i128>) -> Self {
        let value: i128 = value.into();
        self.raw(name, value)
    }

    pub(crate) fn maybe_number(self, name: &str, value: Option<impl Into<i128>>) -> Self {
        match value {
            Some(value) => self.number(name, value),
            None => self,
        }
    }

    pub(crate) fn flag(self, name: &str, value: bool) -> Self {
        self.raw(name, value)
    }

    pub(crate) fn maybe_flag(self, name: &str, value: Option<bool>) -> Self {
        match value {
            Some(value) => self.flag(name, value),
            None => self,
        }
    }

    pub(crate) fn object(self, name: &str, value: Self) -> Self {
        let value = value.finish();
        self.raw(name, value)
    }

    pub(crate) fn finish(self) -> String {
        format!("{{{}}}", self.0)
    }
}

fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

#[cfg(test)]
mod tests {
    use super::Object;

    #[test]
    fn order_is_kept_and_text_is_escaped() {
        let object = Object::new("driver", "a\"b").number("z", 1_u32).flag("a", true);
        let object = object.object("in", Object::empty()).maybe("none", None);
        assert_eq!(object.finish(), r#"{"driver":"a\"b","z":1,"a":true,"in":{}}"#);
    }
}
