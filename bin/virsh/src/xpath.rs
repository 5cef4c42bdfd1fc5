//! The part of XPath that `--xpath` is used with: paths, `//`, attributes, `text()`, predicates.

use virt_xml::{Element, Node};

/// What a path selected, in document order.
#[derive(Clone, Copy)]
pub(crate) enum Selected<'e> {
    Element(&'e Element<'e>),
    Attr(&'e str, &'e str),
    Text(&'e str),
}

impl Selected<'_> {
    /// Whether both are the same node, not only alike.
    fn is(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Element(one), Self::Element(other)) => std::ptr::eq(*one, *other),
            (Self::Attr(one, _), Self::Attr(other, _)) | (Self::Text(one), Self::Text(other)) => {
                std::ptr::eq(*one, *other)
            }
            _ => false,
        }
    }
}

/// One step of a path.
struct Step {
    /// `//` stood before it: any depth.
    deep: bool,
    test: Test,
    predicates: Vec<Predicate>,
}

enum Test {
    /// An element of this name; `*` is any.
    Element(String),
    Attr(String),
    Text,
    This,
    Parent,
}

enum Predicate {
    /// The n-th of those selected, from 1.
    At(usize),
    Last,
    /// What a relative path gives exists, or has this value.
    Has(Vec<Step>, Option<String>),
}

/// Limit: a path is typed by a person; nothing sensible is longer.
const PATH_BYTES_MAX: usize = 4096;

/// Why nothing can be selected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    /// It is understood, but gives no nodes.
    NoNodes,
    /// It cannot be read from this place on.
    Unreadable { at: usize },
}

/// Functions and literals give texts and numbers.
fn gives_a_value(path: &str) -> bool {
    let word = path.trim_end_matches(|c| c != ')');
    let name = path.split('(').next().unwrap_or_default();
    let is_call = !word.is_empty() && !name.is_empty() && name.len() < path.len();
    let is_word = name.bytes().all(|b| b.is_ascii_lowercase() || b == b'-');
    let is_text =
        path.len() > 1 && ['\'', '"'].iter().any(|q| path.starts_with(*q) && path.ends_with(*q));
    let compares = split_outside(path, '=').len() > 1;
    compares
        || path.parse::<f64>().is_ok()
        || is_text
        || (is_call && is_word && name != "text" && name != "node")
}

/// Selects from a document.
pub(crate) fn select<'e>(root: &'e Element<'e>, path: &str) -> Result<Vec<Selected<'e>>, Refused> {
    if path.len() > PATH_BYTES_MAX || gives_a_value(path) {
        return Err(Refused::NoNodes);
    }
    let mut found: Vec<Selected<'e>> = Vec::new();
    let mut before = 0;
    for part in split_outside(path, '|') {
        let steps = Parser { rest: part.trim() }.whole();
        let end = before + part.trim_end().len();
        let steps = steps.map_err(|left| Refused::Unreadable { at: end.saturating_sub(left) })?;
        before += part.len() + 1;
        for node in walk_from_top(root, &steps) {
            if !found.iter().any(|seen| seen.is(&node)) {
                found.push(node);
            }
        }
    }
    Ok(found)
}

/// Splits at a character that is neither quoted nor in brackets.
fn split_outside(text: &str, at: char) -> Vec<&str> {
    let (mut quote, mut depth) = (None, 0_u32);
    text.split(|c: char| {
        match (quote, c) {
            (None, '\'' | '"') => quote = Some(c),
            (Some(open), _) if open == c => quote = None,
            (None, '[') => depth += 1,
            (None, ']') => depth = depth.saturating_sub(1),
            _ => {}
        }
        c == at && quote.is_none() && depth == 0
    })
    .collect()
}

struct Parser<'t> {
    rest: &'t str,
}

impl<'t> Parser<'t> {
    /// Or how much is left that cannot be read.
    fn whole(mut self) -> Result<Vec<Step>, usize> {
        let steps = self.path().filter(|_| self.rest.is_empty());
        steps.ok_or(self.rest.len())
    }

    fn eat(&mut self, text: &str) -> bool {
        match self.rest.strip_prefix(text) {
            Some(rest) => {
                self.rest = rest.trim_start();
                true
            }
            None => false,
        }
    }

    fn path(&mut self) -> Option<Vec<Step>> {
        let mut steps = Vec::new();
        let mut deep = self.eat("//");
        if !deep && self.eat("/") && self.rest.is_empty() {
            return None;
        }
        loop {
            steps.push(self.step(deep)?);
            deep = self.eat("//");
            if !deep && !self.eat("/") {
                return Some(steps);
            }
        }
    }

    fn step(&mut self, deep: bool) -> Option<Step> {
        let test = if self.eat("..") {
            Test::Parent
        } else if self.eat("text()") {
            Test::Text
        } else if self.eat("@") {
            Test::Attr(self.name()?)
        } else if self.eat("*") {
            Test::Element("*".to_owned())
        } else if self.eat(".") {
            Test::This
        } else {
            Test::Element(self.name()?)
        };
        let mut predicates = Vec::new();
        while self.eat("[") {
            predicates.push(self.predicate()?);
        }
        Some(Step { deep, test, predicates })
    }

    fn name(&mut self) -> Option<String> {
        let is_name = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '.' | ':' | '*');
        let end = self.rest.find(|c| !is_name(c)).unwrap_or(self.rest.len());
        let (name, rest) = self.rest.split_at(end);
        self.rest = rest.trim_start();
        // A parenthesis makes it a function, of which none is known.
        (!name.is_empty() && !self.rest.starts_with('(')).then(|| name.to_owned())
    }

    fn predicate(&mut self) -> Option<Predicate> {
        let predicate = if self.eat("last()") {
            Predicate::Last
        } else if self.rest.starts_with(|c: char| c.is_ascii_digit()) {
            let end = self.rest.find(|c: char| !c.is_ascii_digit())?;
            let (digits, rest) = self.rest.split_at(end);
            self.rest = rest.trim_start();
            Predicate::At(digits.parse().ok()?)
        } else {
            let path = self.path()?;
            let value = if self.eat("=") { Some(self.literal()?) } else { None };
            Predicate::Has(path, value)
        };
        self.eat("]").then_some(predicate)
    }

    fn literal(&mut self) -> Option<String> {
        let quote = self.rest.chars().next().filter(|c| matches!(c, '\'' | '"'))?;
        let (text, rest) = self.rest[1..].split_once(quote)?;
        self.rest = rest.trim_start();
        Some(text.to_owned())
    }
}

/// An element with the way from the top down to it.
type Trail<'e> = Vec<&'e Element<'e>>;

/// Where a walk stands: the trail, and what was selected at its end if not the element itself.
#[derive(Clone)]
struct Place<'e> {
    trail: Trail<'e>,
    leaf: Option<Selected<'e>>,
}

fn walk_from_top<'e>(root: &'e Element<'e>, steps: &[Step]) -> Vec<Selected<'e>> {
    let Some((first, rest)) = steps.split_first() else { return Vec::new() };
    // The document stands above its root: the first step tests the root itself.
    let mut tops = vec![Place { trail: vec![root], leaf: None }];
    if first.deep {
        tops.extend(below(&tops[0]));
    }
    let mut places = Vec::new();
    match &first.test {
        Test::Element(name) => {
            places.extend(tops.into_iter().filter(|place| is_named(place, name)));
        }
        _ if first.deep => places.extend(tops.iter().flat_map(|place| test(place, first))),
        _ => {}
    }
    finish(walk(narrow(places, &first.predicates), rest))
}

fn finish(places: Vec<Place<'_>>) -> Vec<Selected<'_>> {
    places.iter().filter_map(place_node).collect()
}

fn place_node<'e>(place: &Place<'e>) -> Option<Selected<'e>> {
    place.leaf.or_else(|| place.trail.last().map(|element| Selected::Element(element)))
}

fn walk<'e>(mut places: Vec<Place<'e>>, steps: &[Step]) -> Vec<Place<'e>> {
    for step in steps {
        let mut next = Vec::new();
        for place in &places {
            let mut starts = vec![place.clone()];
            if step.deep {
                starts.extend(below(place));
            }
            for start in &starts {
                next.extend(narrow(test(start, step), &step.predicates));
            }
        }
        places = next;
    }
    places
}

/// Every element below, in document order.
fn below<'e>(place: &Place<'e>) -> Vec<Place<'e>> {
    let mut found = Vec::new();
    let Some(element) = place.trail.last().filter(|_| place.leaf.is_none()) else { return found };
    for child in element.elements() {
        let mut trail = place.trail.clone();
        trail.push(child);
        let child = Place { trail, leaf: None };
        let deeper = below(&child);
        found.push(child);
        found.extend(deeper);
    }
    found
}

fn is_named(place: &Place<'_>, name: &str) -> bool {
    name == "*" || place.trail.last().is_some_and(|element| element.name == name)
}

fn test<'e>(place: &Place<'e>, step: &Step) -> Vec<Place<'e>> {
    let Some(element) = place.trail.last().copied().filter(|_| place.leaf.is_none()) else {
        return Vec::new();
    };
    let with_leaf = |leaf| Place { trail: place.trail.clone(), leaf: Some(leaf) };
    match &step.test {
        Test::This => vec![place.clone()],
        Test::Parent => {
            let above = place.trail.len().saturating_sub(1);
            let trail = place.trail[..above].to_vec();
            if trail.is_empty() { Vec::new() } else { vec![Place { trail, leaf: None }] }
        }
        Test::Element(name) => element
            .elements()
            .filter(|child| name == "*" || child.name == name.as_str())
            .map(|child| {
                let mut trail = place.trail.clone();
                trail.push(child);
                Place { trail, leaf: None }
            })
            .collect(),
        Test::Attr(name) => element
            .attrs
            .iter()
            .filter(|attr| name == "*" || attr.name == name.as_str())
            .map(|attr| with_leaf(Selected::Attr(&attr.name, &attr.value)))
            .collect(),
        Test::Text => element
            .children
            .iter()
            .filter_map(|node| match node {
                Node::Text(text) => Some(with_leaf(Selected::Text(text))),
                _ => None,
            })
            .collect(),
    }
}

fn narrow<'e>(mut places: Vec<Place<'e>>, predicates: &[Predicate]) -> Vec<Place<'e>> {
    for predicate in predicates {
        places = match predicate {
            Predicate::At(at) => {
                places.into_iter().skip(at.saturating_sub(1)).take(usize::from(*at > 0)).collect()
            }
            Predicate::Last => places.into_iter().next_back().into_iter().collect(),
            Predicate::Has(path, value) => {
                places.retain(|place| {
                    walk(vec![place.clone()], path)
                        .iter()
                        .filter_map(place_node)
                        .any(|node| value.as_ref().is_none_or(|value| string_of(node) == *value))
                });
                places
            }
        };
    }
    places
}

fn string_of(node: Selected<'_>) -> String {
    match node {
        Selected::Attr(_, value) => value.to_owned(),
        Selected::Text(text) => text.to_owned(),
        Selected::Element(element) => {
            let inner = element.elements().map(|child| string_of(Selected::Element(child)));
            format!("{}{}", element.text(), inner.collect::<String>())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Refused, Selected, select, string_of};

    const DOCUMENT: &str = "<domain type='test'><name>vm</name><devices><disk type='file'>\
        <target dev='vda'/></disk><disk type='block'><target dev='vdb'/></disk></devices></domain>";

    fn read(path: &str) -> String {
        let root = virt_xml::parse(DOCUMENT).unwrap();
        let Ok(found) = select(&root, path) else { return "!".to_owned() };
        let shown = found.iter().map(|node| match node {
            Selected::Element(element) => format!("<{}>{}", element.name, string_of(*node)),
            Selected::Attr(name, value) => format!("@{name}={value}"),
            Selected::Text(text) => format!("'{text}'"),
        });
        shown.collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn what_cannot_be_read_is_shown_from_where() {
        let root = virt_xml::parse(DOCUMENT).unwrap();
        let refused = |path: &str| select(&root, path).err();
        for (path, at) in
            [("//[", 2), ("//a]", 3), ("//a b", 4), ("//a[", 4), ("@", 1), ("a|//[", 4)]
        {
            assert_eq!(refused(path), Some(Refused::Unreadable { at }), "{path}");
        }
        for path in ["1", "'a'", "count(//a)", "string(//name)"] {
            assert_eq!(refused(path), Some(Refused::NoNodes), "{path}");
        }
    }

    #[test]
    fn paths() {
        for (path, want) in [
            ("/domain/name", "<name>vm"),
            ("//name/text()", "'vm'"),
            ("//target/@dev", "@dev=vda @dev=vdb"),
            ("//disk[@type='block']/target", "<target>"),
            ("//disk[2]/target/@dev", "@dev=vdb"),
            ("/domain/devices/disk[last()]/@type", "@type=block"),
            ("//disk[target/@dev='vda']/@type", "@type=file"),
            ("//target[@dev='vdb']/../@type", "@type=block"),
            ("/domain/*", "<name>vm <devices>"),
            ("//name | //disk[1]/@type", "<name>vm @type=file"),
            ("/domain[name='vm']/@type", "@type=test"),
            ("//nosuch", ""),
            ("count(//disk)", "!"),
            ("//[", "!"),
            ("", "!"),
        ] {
            assert_eq!(read(path), want, "{path}");
        }
    }
}
