//! The tables themselves: what `element!` and `words!` make of a description.

/// Describes an element: `field: Type = kind("name")`, in the order of print, each optionally
/// `when live` (only of running objects) or `when secure` (only where secrets are asked for).
///
/// A kind is a module of [`kinds`] that reads and prints one shape of field.
macro_rules! element {
    ($(#[$meta:meta])* pub struct $Name:ident {
        $( $(#[$fmeta:meta])* $field:ident : $ty:ty = $kind:ident ( $($name:literal)? $(, $arg:expr)* ) $(when $when:ident)? ,)*
    }) => {
        $(#[$meta])*
        #[derive(Clone, Debug, Default, PartialEq)]
        pub struct $Name { $( $(#[$fmeta])* pub $field: $ty, )* }

        impl $crate::schema::Body for $Name {
            const ROWS: &'static [$crate::schema::Row] = &[
                $( $crate::schema::Row { kind: stringify!($kind), name: concat!($($name)?) }, )*
            ];

            fn items() -> Vec<$crate::schema::shape::Item> {
                let mut items = Vec::new();
                $( items.extend($crate::schema::kinds::$kind::shape(
                    std::marker::PhantomData::<$ty> $(, $name)? $(, $arg)*)); )*
                $crate::schema::shape::amended::<Self>(items)
            }

            #[allow(unused_variables)]
            fn read(
                element: &virt_xml::Element<'_>,
                flags: $crate::schema::ParseFlags,
            ) -> virt_error::Result<Self> {
                Ok(Self {
                    $( $field: if true $(&& $crate::schema::when::$when::reads(flags))? {
                        $crate::schema::kinds::$kind::read(element, flags $(, $name)? $(, $arg)*)?
                    } else {
                        <$ty>::default()
                    }, )*
                })
            }

            #[allow(unused_variables)]
            fn attrs(&self, out: &mut $crate::schema::Out) {
                $( if true $(&& $crate::schema::when::$when::prints(out.flags))? {
                    $crate::schema::kinds::$kind::attrs(&self.$field, out $(, $name)? $(, $arg)*);
                } )*
            }

            #[allow(unused_variables)]
            fn children(&self, out: &mut $crate::schema::Out) {
                $( if true $(&& $crate::schema::when::$when::prints(out.flags))? {
                    $crate::schema::kinds::$kind::children(&self.$field, out $(, $name)? $(, $arg)*);
                } )*
            }
        }
    };
}

/// A closed vocabulary: `Variant = "word"`. The first is the default.
macro_rules! words {
    ($(#[$meta:meta])* pub enum $Name:ident { $first:ident = $fword:literal, $( $variant:ident = $word:literal, )* }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum $Name { #[default] $first, $( $variant, )* }

        impl $Name {
            /// All of them, in libvirt's order.
            pub const ALL: &'static [Self] = &[Self::$first, $( Self::$variant, )*];

            /// The word in XML.
            pub const fn as_str(self) -> &'static str {
                match self { Self::$first => $fword, $( Self::$variant => $word, )* }
            }

            /// The one with this word.
            pub fn from_word(word: &str) -> Option<Self> {
                match word { $fword => Some(Self::$first), $( $word => Some(Self::$variant), )* _ => None }
            }
        }

        impl $crate::schema::Text for $Name {
            const VALUE: $crate::schema::shape::Value =
                $crate::schema::shape::Value::Words(&[$fword, $( $word, )*]);

            fn parse(text: &str) -> Option<Self> {
                Self::from_word(text)
            }

            fn print(&self) -> std::borrow::Cow<'_, str> {
                std::borrow::Cow::Borrowed(self.as_str())
            }
        }

        impl std::fmt::Display for $Name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }
    };
}
