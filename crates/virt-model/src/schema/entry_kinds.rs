//! Shapes of the tables that firmware shows: texts by name.

use std::marker::PhantomData;

use virt_error::{Error, Result};
use virt_xml::Element;

use super::kinds::{kind, list};
use crate::domain::Sysinfo;
use crate::schema::shape::{Item, Of, Often};
use crate::schema::{Out, ParseFlags, Text};

kind! {
    /// A text in a child of that name among others, as `<entry name='vendor'>`; the first of them counts.
    entry [] (Option<String>; name: &'static str)
    shape Vec::new();
    read |element, flags| {
        let first = element.children_named("entry").find(|entry| entry.attr("name") == Some(name));
        Ok(first.map(|entry| entry.text().into_owned()).filter(|text| !text.is_empty()))
    };
    children |field, out| if let Some(text) = field {
        out.w.open("entry");
        out.w.attr("name", name);
        out.w.text(text);
        out.w.close("entry");
    };
}

kind! {
    /// The same of a value.
    entry_said [T: Text] (Option<T>; name: &'static str, wrong: fn(&str) -> Error)
    shape Vec::new();
    read |element, flags| match entry::read(element, flags, name)? {
        None => Ok(None),
        Some(text) => T::parse(&text).map(Some).ok_or_else(|| wrong(&text)),
    };
    children |field, out| entry::children(&field.as_ref().map(|value| value.print().into_owned()), out, name);
}

kind! {
    /// What the firmware tells the guest.
    guest_sysinfo [] (Vec<Sysinfo>; name: &'static str)
    shape vec![Item::child(name, Often::Many, Of::Named("sysinfo"))];
    read |element, flags| {
        let infos = list::read(element, flags, name)?;
        Ok(infos.into_iter().map(Sysinfo::of_guest).collect())
    };
    children |field, out| list::children(field, out, name);
}
