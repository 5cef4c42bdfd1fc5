//! The tree: elements with their attributes and children in document order, and positions.

use std::borrow::Cow;

/// An element. Text borrows from the document unless it held references.
///
/// Names are kept as written, prefix included. Two elements are equal when they say the same, wherever they stood.
#[derive(Clone, Debug, Default)]
pub struct Element<'a> {
    pub name: Cow<'a, str>,
    pub attrs: Vec<Attr<'a>>,
    pub children: Vec<Node<'a>>,
    /// Where the start tag stands; 0 for an element that was built, not read.
    pub line: u32,
    pub column: u32,
}

/// An attribute; its value has its references resolved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attr<'a> {
    pub name: Cow<'a, str>,
    pub value: Cow<'a, str>,
}

/// What may stand inside an element.
#[derive(Clone, Debug, PartialEq)]
pub enum Node<'a> {
    Element(Element<'a>),
    Text(Cow<'a, str>),
    Comment(Cow<'a, str>),
}

impl PartialEq for Element<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name && self.attrs == other.attrs && self.children == other.children
    }
}

impl<'a> Element<'a> {
    /// An element without attributes and children.
    pub fn new(name: impl Into<Cow<'a, str>>) -> Self {
        Self { name: name.into(), ..Self::default() }
    }

    /// The same with one more attribute.
    #[must_use]
    pub fn with_attr(
        mut self,
        name: impl Into<Cow<'a, str>>,
        value: impl Into<Cow<'a, str>>,
    ) -> Self {
        self.attrs.push(Attr { name: name.into(), value: value.into() });
        self
    }

    /// The same with one more child element.
    #[must_use]
    pub fn with_child(mut self, child: Element<'a>) -> Self {
        self.children.push(Node::Element(child));
        self
    }

    /// The same with text at its end.
    #[must_use]
    pub fn with_text(mut self, text: impl Into<Cow<'a, str>>) -> Self {
        self.children.push(Node::Text(text.into()));
        self
    }

    /// A copy that borrows nothing.
    pub fn to_static(&self) -> Element<'static> {
        let node = |node: &Node<'_>| match node {
            Node::Element(element) => Node::Element(element.to_static()),
            Node::Text(text) => Node::Text(owned(text)),
            Node::Comment(text) => Node::Comment(owned(text)),
        };
        Element { children: self.children.iter().map(node).collect(), ..self.start_tag() }
    }

    /// The same of what [`crate::Writer::element`] prints: the elements, or the text where there are none.
    pub fn content(&self) -> Element<'static> {
        let mut children: Vec<Node<'static>> =
            self.elements().map(|child| Node::Element(child.content())).collect();
        if children.is_empty() {
            let text = self.text();
            children.extend((!text.is_empty()).then(|| Node::Text(owned(&text))));
        }
        Element { children, ..self.start_tag() }
    }

    /// The same without anything inside.
    pub(crate) fn start_tag(&self) -> Element<'static> {
        let attr = |attr: &Attr<'_>| Attr { name: owned(&attr.name), value: owned(&attr.value) };
        Element {
            name: owned(&self.name),
            attrs: self.attrs.iter().map(attr).collect(),
            children: Vec::new(),
            line: self.line,
            column: self.column,
        }
    }
}

pub(crate) fn owned(text: &str) -> Cow<'static, str> {
    Cow::Owned(text.to_owned())
}
