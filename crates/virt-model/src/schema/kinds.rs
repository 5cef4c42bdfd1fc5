//! The shapes a field can have. Each module reads one, and prints its part of attributes and children.

use std::marker::PhantomData;

use virt_error::Result;
use virt_xml::Element;

use crate::schema::form::Form;
use crate::schema::shape::{Item, Of, Often, items_of};
use crate::schema::{Body, Out, ParseFlags, Text, error};

/// Reads an attribute's value.
pub(crate) fn read_value<T: Text>(element: &Element<'_>, name: &str) -> Result<Option<T>> {
    match element.attr(name) {
        None => Ok(None),
        Some(text) => match T::parse(text) {
            Some(value) => Ok(Some(value)),
            None => Err(error::invalid_value(element, name, text, T::EXPECTED)),
        },
    }
}

/// Defines a kind: how it reads, and what of it is an attribute or a child.
macro_rules! kind {
    ($(#[$meta:meta])* $kind:ident [$($bound:tt)*] ($field:ty; $($arg:ident : $arg_ty:ty),*)
        shape $shape:expr;
        read |$element:ident, $flags:ident| $read:expr;
        $(attrs |$aself:ident, $aout:ident| $attrs:expr;)?
        $(children |$cself:ident, $cout:ident| $children:expr;)?
    ) => {
        $(#[$meta])*
        pub mod $kind {
            #[allow(unused_imports)]
            use super::*;

            /// What this kind lets stand in the element.
            #[allow(unused_variables)]
            pub fn shape<$($bound)*>(_: PhantomData<$field> $(, $arg: $arg_ty)*) -> Vec<Item> {
                $shape
            }

            #[allow(unused_variables)]
            pub fn read<$($bound)*>($element: &Element<'_>, $flags: ParseFlags $(, $arg: $arg_ty)*) -> Result<$field> {
                $read
            }

            #[allow(unused_variables)]
            #[allow(clippy::ptr_arg)]
            pub fn attrs<$($bound)*>(field: &$field, out: &mut Out $(, $arg: $arg_ty)*) {
                $( let ($aself, $aout) = (field, out); $attrs )?
            }

            #[allow(unused_variables)]
            #[allow(clippy::ptr_arg)]
            pub fn children<$($bound)*>(field: &$field, out: &mut Out $(, $arg: $arg_ty)*) {
                $( let ($cself, $cout) = (field, out); $children )?
            }
        }
    };
}

pub use super::domain_kinds::*;
pub use super::entry_kinds::*;
pub use super::other_kinds::*;
pub use super::worded_kinds::*;
pub(crate) use kind;

kind! {
    /// An attribute that may be absent.
    attr [T: Text] (Option<T>; name: &'static str)
    shape vec![Item::attr::<T>(name, false)];
    read |element, flags| read_value(element, name);
    attrs |field, out| if let Some(value) = field { out.w.attr(name, &value.print()) };
}

kind! {
    /// An attribute that must be there.
    attr_req [T: Text] (T; name: &'static str)
    shape vec![Item::attr::<T>(name, true)];
    read |element, flags| match read_value(element, name)? {
        Some(value) => Ok(value),
        None => Err(error::missing_attribute(element, name)),
    };
    attrs |field, out| out.w.attr(name, &field.print());
}

kind! {
    /// An attribute whose absence means the default; always printed.
    attr_def [T: Text + Default] (T; name: &'static str)
    shape vec![Item::attr::<T>(name, false)];
    read |element, flags| Ok(read_value(element, name)?.unwrap_or_default());
    attrs |field, out| out.w.attr(name, &field.print());
}

kind! {
    /// An attribute whose absence means the default; printed only where it is something else.
    attr_odd [T: Text + Default + PartialEq] (T; name: &'static str)
    shape vec![Item::attr::<T>(name, false)];
    read |element, flags| Ok(read_value(element, name)?.unwrap_or_default());
    attrs |field, out| if *field != T::default() { out.w.attr(name, &field.print()) };
}

kind! {
    /// A switch attribute: absent or `no` is false, printed only when it is `yes`.
    attr_yes [] (bool; name: &'static str)
    shape vec![Item::attr::<crate::schema::text::YesNo>(name, false)];
    read |element, flags| Ok(read_value::<crate::schema::text::YesNo>(element, name)?.is_some_and(|v| v.is_yes()));
    attrs |field, out| if *field { out.w.attr(name, "yes") };
}

kind! {
    /// The text of the element itself.
    content [T: Text] (Option<T>;)
    shape vec![Item::Text(T::VALUE)];
    read |element, flags| {
        let text = element.text();
        Ok(if text.is_empty() { None } else { T::parse(&text) })
    };
    children |field, out| if let Some(value) = field { out.w.text(&value.print()) };
}

kind! {
    /// A child that is only text.
    text [T: Text] (Option<T>; name: &'static str)
    shape vec![Item::text::<T>(name, Often::Maybe)];
    read |element, flags| match element.child(name) {
        None => Ok(None),
        Some(child) => {
            let text = child.text();
            match T::parse(&text) {
                _ if text.is_empty() => Ok(None),
                Some(value) => Ok(Some(value)),
                None => Err(error::xml(format!("Invalid value for element '{name}': '{text}'"))),
            }
        }
    };
    children |field, out| if let Some(value) = field { out.w.text_element(name, &value.print()) };
}

kind! {
    /// Children that are only text.
    texts [] (Vec<String>; name: &'static str)
    shape vec![Item::text::<String>(name, Often::Many)];
    read |element, flags| Ok(element.children_named(name).map(|child| child.text().into_owned()).collect());
    children |field, out| for text in field { out.w.text_element(name, text) };
}

kind! {
    /// A child whose presence says yes.
    flag [] (bool; name: &'static str)
    shape vec![Item::child(name, Often::Maybe, Of::Items(Vec::new()))];
    read |element, flags| Ok(element.child(name).is_some());
    children |field, out| if *field { out.w.open(name); out.w.close(name); };
}

kind! {
    /// A child that may be absent.
    child [T: Body] (Option<T>; name: &'static str)
    shape vec![Item::child(name, Often::Maybe, Of::Model(items_of::<T>))];
    read |element, flags| element.child(name).map(|child| T::read(child, flags)).transpose();
    children |field, out| if let Some(body) = field { out.element(name, body) };
}

kind! {
    /// A child that may be absent; one that says nothing prints as nothing, and counts as none.
    child_some [T: Body + Default + PartialEq] (Option<T>; name: &'static str)
    shape vec![Item::child(name, Often::Maybe, Of::Model(items_of::<T>))];
    read |element, flags| {
        let body = element.child(name).map(|child| T::read(child, flags)).transpose()?;
        Ok(body.filter(|body| *body != T::default()))
    };
    children |field, out| if let Some(body) = field { out.element_if_any(name, body) };
}

kind! {
    /// A child whose absence means its defaults; printed unless there is nothing in it.
    child_def [T: Body + Default] (T; name: &'static str)
    shape vec![Item::child(name, Often::Maybe, Of::Model(items_of::<T>))];
    read |element, flags| Ok(element.child(name).map(|child| T::read(child, flags)).transpose()?.unwrap_or_default());
    children |field, out| out.element_if_any(name, field);
}

kind! {
    /// Any number of children.
    list [T: Body] (Vec<T>; name: &'static str)
    shape vec![Item::child(name, Often::Many, Of::Model(items_of::<T>))];
    read |element, flags| element.children_named(name).map(|child| T::read(child, flags)).collect();
    children |field, out| for body in field { out.element(name, body) };
}

kind! {
    /// Any number of children inside one element that is there when they are.
    wrapped [T: Body] (Vec<T>; outer: &'static str, name: &'static str)
    shape vec![Item::child(outer, Often::Maybe, Of::Items(vec![Item::child(name, Often::Many, Of::Model(items_of::<T>))]))];
    read |element, flags| match element.child(outer) {
        None => Ok(Vec::new()),
        Some(outer) => outer.children_named(name).map(|child| T::read(child, flags)).collect(),
    };
    children |field, out| if !field.is_empty() {
        out.w.open(outer);
        for body in field {
            out.element(name, body);
        }
        out.w.close(outer);
    };
}

kind! {
    /// A child that is kept as it came.
    tree [] (Option<Element<'static>>; name: &'static str)
    shape vec![Item::child(name, Often::Maybe, Of::Items(vec![Item::Anything]))];
    read |element, flags| Ok(element.child(name).map(Element::content));
    children |field, out| if let Some(tree) = field { out.w.element(tree) };
}

kind! {
    /// A child that nobody acts on, in the form that libvirt gives it.
    tree_of [] (Option<Element<'static>>; name: &'static str, form: &Form)
    shape vec![Item::child(name, Often::Maybe, Of::Items(vec![Item::Anything]))];
    read |element, flags| match element.child(name) {
        Some(child) => form.of(child),
        None => Ok(None),
    };
    children |field, out| tree::children(field, out, name);
}

kind! {
    /// Any number of them.
    trees_of [] (Vec<Element<'static>>; name: &'static str, form: &Form)
    shape vec![Item::child(name, Often::Many, Of::Items(vec![Item::Anything]))];
    read |element, flags| {
        element.children_named(name).filter_map(|child| form.of(child).transpose()).collect()
    };
    children |field, out| trees::children(field, out, name);
}

kind! {
    /// The same in a daemon's own files; no document of a user's has one.
    own_tree [] (Option<Element<'static>>; name: &'static str)
    shape Vec::new();
    read |element, flags| tree::read(element, flags, name);
    children |field, out| tree::children(field, out, name);
}

kind! {
    /// Children that are kept as they came.
    trees [] (Vec<Element<'static>>; name: &'static str)
    shape vec![Item::child(name, Often::Many, Of::Items(vec![Item::Anything]))];
    read |element, flags| Ok(element.children_named(name).map(Element::content).collect());
    children |field, out| for tree in field { out.w.element(tree) };
}

kind! {
    /// Fields of the same element, described elsewhere.
    flat [T: Body] (T;)
    shape T::items();
    read |element, flags| T::read(element, flags);
    attrs |field, out| field.attrs(out);
    children |field, out| field.children(out);
}

/// Reads a memory size from an element's text and `unit`, in KiB.
pub(crate) fn read_kib(element: &Element<'_>) -> Result<u64> {
    let text = element.text();
    let Some(number) = u64::parse(&text) else {
        // Compat: the place is an XPath from the parent, as libvirt looks it up.
        let what =
            format!("Invalid value '{text}' for element or attribute './{}[1]'", element.name);
        return Err(virt_error::Error::new(
            virt_error::Code::XmlError,
            virt_error::Origin::Xml,
            what,
        ));
    };
    kib(number, element.attr("unit"))
}

/// A number with a unit as KiB, rounded up.
pub(crate) fn kib(number: u64, unit: Option<&str>) -> Result<u64> {
    const LARGEST: u64 = u64::MAX / 1024;
    let bytes = match crate::schema::text::scale_bytes(number, unit, 1024) {
        Some(bytes) => bytes,
        None if crate::schema::text::scale_bytes(0, unit, 1024).is_none() => {
            return Err(error::invalid_arg(format!(
                "unknown suffix '{}'",
                unit.unwrap_or_default()
            )));
        }
        None => {
            let what = format!("value too large: {number}{}", unit.unwrap_or_default());
            return Err(virt_error::Error::new(
                virt_error::Code::Overflow,
                virt_error::Origin::None,
                what,
            ));
        }
    };
    Ok(bytes.div_ceil(1024).min(LARGEST))
}

kind! {
    /// A child that is a memory size; printed in KiB.
    kib_text [] (Option<u64>; name: &'static str)
    shape vec![Item::size(name)];
    read |element, flags| element.child(name).map(read_kib).transpose();
    children |field, out| if let Some(kib) = field {
        out.w.open(name);
        out.w.attr("unit", "KiB");
        out.w.text(&kib.to_string());
        out.w.close(name);
    };
}
