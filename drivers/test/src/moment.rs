//! The tree of a domain's snapshots or checkpoints.

use virt_error::{Code, Error, Origin, Result};
use virt_model::snapshot::DomainThen;
use virt_types::{Uuid, api};

/// What a snapshot and a checkpoint have in common.
pub(crate) trait Moment {
    /// How messages call it.
    const WORD: &'static str;
    const ORIGIN: Origin;
    const NOT_FOUND: Code;

    fn name(&self) -> &str;
    fn parent(&self) -> Option<&str>;
    fn set_parent(&mut self, parent: Option<String>);
    fn creation_time_s(&self) -> Option<u64>;
    fn domain(&self) -> Option<&DomainThen>;
}

pub(crate) fn not_found<T: Moment>(detail: String) -> Error {
    Error::new(T::NOT_FOUND, Origin::Test, detail)
}

/// Refuses a document of an old moment that does not say when it was.
pub(crate) fn check_time<T: Moment>(moment: &T) -> Result<()> {
    match moment.creation_time_s() {
        Some(_) => Ok(()),
        None => {
            let detail = format!("missing creationTime from existing {}", T::WORD);
            Err(Error::internal(T::ORIGIN, detail))
        }
    }
}

/// Refuses a document of an old moment that is not of the domain `own`.
pub(crate) fn check_domain<T: Moment>(moment: &T, own: Option<Uuid>) -> Result<()> {
    let word = T::WORD;
    let Some(then) = moment.domain().and_then(DomainThen::whole) else {
        return Err(Error::internal(T::ORIGIN, format!("missing domain in {word}")));
    };
    if then.uuid == own {
        return Ok(());
    }
    let (name, uuid) = (moment.name(), own.unwrap_or_default());
    let detail = format!("definition for {word} {name} must use uuid {uuid}");
    Err(Error::new(Code::InvalidArg, T::ORIGIN, detail))
}

/// All moments of one kind, oldest first.
#[derive(Clone, Debug)]
pub(crate) struct Moments<T> {
    all: Vec<T>,
    current: Option<String>,
}

impl<T> Default for Moments<T> {
    fn default() -> Self {
        Self { all: Vec::new(), current: None }
    }
}

/// What goes when a moment is deleted.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Extent {
    /// The moment alone; its children go to its parent.
    Alone,
    WithChildren,
    ChildrenOnly,
}

impl Extent {
    /// As flags say, which have the same bits for both kinds.
    pub(crate) fn of(flags: u32) -> Self {
        if flags & api::DOMAIN_SNAPSHOT_DELETE_CHILDREN_ONLY != 0 {
            Self::ChildrenOnly
        } else if flags & api::DOMAIN_SNAPSHOT_DELETE_CHILDREN != 0 {
            Self::WithChildren
        } else {
            Self::Alone
        }
    }
}

/// Which moments a list is of.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Shape {
    /// Only the first generation: roots, or children. All generations otherwise.
    pub(crate) first_only: bool,
    pub(crate) leaves: bool,
    pub(crate) no_leaves: bool,
}

impl Shape {
    /// As flags say, which have the same bits for both kinds.
    pub(crate) fn of(root: Option<&str>, flags: u32) -> Self {
        let narrowed = flags & api::DOMAIN_SNAPSHOT_LIST_ROOTS != 0;
        Self {
            // The same bit asks for roots among all, and for all among descendants.
            first_only: narrowed == root.is_none(),
            leaves: flags & api::DOMAIN_SNAPSHOT_LIST_LEAVES != 0,
            no_leaves: flags & api::DOMAIN_SNAPSHOT_LIST_NO_LEAVES != 0,
        }
    }
}

impl<T: Moment> Moments<T> {
    pub(crate) fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    pub(crate) fn len(&self) -> usize {
        self.all.len()
    }

    pub(crate) fn get(&self, name: &str) -> Option<&T> {
        self.all.iter().find(|moment| moment.name() == name)
    }

    pub(crate) fn by_name(&self, name: &str) -> Result<&T> {
        self.get(name).ok_or_else(|| {
            not_found::<T>(format!("no domain {} with matching name '{name}'", T::WORD))
        })
    }

    pub(crate) fn parent_of(&self, name: &str) -> Result<&str> {
        self.by_name(name)?
            .parent()
            .ok_or_else(|| not_found::<T>(format!("{} '{name}' does not have a parent", T::WORD)))
    }

    /// The name of the moment that the domain stands on.
    pub(crate) fn current(&self) -> Option<&str> {
        self.current.as_deref()
    }

    /// Puts one in place as it is, in the world's own content.
    pub(crate) fn preset(&mut self, moment: T, current: bool) {
        if current {
            self.set_current(moment.name());
        }
        self.all.push(moment);
    }

    /// Whether every parent is there and nothing is its own ancestor.
    pub(crate) fn is_whole(&self) -> bool {
        self.all.iter().all(|moment| {
            let mut above = moment.parent();
            let mut steps = 0;
            while let Some(name) = above {
                steps += 1;
                match self.get(name) {
                    Some(found) if steps <= self.all.len() => above = found.parent(),
                    _ => return false,
                }
            }
            true
        })
    }

    pub(crate) fn set_current(&mut self, name: &str) {
        self.current = Some(name.to_owned());
    }

    /// Adds a moment on top of the current one.
    pub(crate) fn add(&mut self, mut moment: T) -> Result<()> {
        if self.get(moment.name()).is_some() {
            let detail = format!("domain moment {} already exists", moment.name());
            return Err(Error::new(Code::OperationFailed, Origin::Domain, detail));
        }
        moment.set_parent(self.current.take());
        self.current = Some(moment.name().to_owned());
        self.all.push(moment);
        Ok(())
    }

    /// Puts a moment back where its document says, in the place of one of that name if there is any.
    pub(crate) fn redefine(&mut self, moment: T, make_current: bool) -> Result<()> {
        let name = moment.name().to_owned();
        let refused = |detail| Err(Error::new(Code::InvalidArg, Origin::Domain, detail));
        if let Some(parent) = moment.parent() {
            if parent == name {
                return refused(format!("cannot set moment {name} as its own parent"));
            }
            let mut above = self.get(parent);
            if above.is_none() {
                return refused(format!("parent {parent} for moment {name} not found"));
            }
            while let Some(moment) = above {
                if moment.name() == name {
                    return refused(format!("parent {parent} would create cycle to {name}"));
                }
                above = moment.parent().and_then(|parent| self.get(parent));
            }
        }
        match self.all.iter_mut().find(|known| known.name() == name) {
            Some(known) => *known = moment,
            None => self.all.push(moment),
        }
        if make_current {
            self.current = Some(name);
        }
        Ok(())
    }

    fn children(&self, parent: Option<&str>) -> Vec<&T> {
        self.all.iter().filter(|moment| moment.parent() == parent).collect()
    }

    /// The moments below `root`, which must be there, or all.
    pub(crate) fn listed(&self, root: Option<&str>, flags: u32) -> Result<Vec<&T>> {
        root.map(|root| self.by_name(root)).transpose()?;
        Ok(self.list(root, Shape::of(root, flags)))
    }

    /// The moments below `root`, or all, parents before their children.
    fn list(&self, root: Option<&str>, shape: Shape) -> Vec<&T> {
        let mut found = Vec::new();
        let mut waiting = self.children(root);
        waiting.reverse();
        while let Some(moment) = waiting.pop() {
            let mut below = self.children(Some(moment.name()));
            let is_leaf = below.is_empty();
            if shape.leaves == shape.no_leaves || shape.leaves == is_leaf {
                found.push(moment);
            }
            if !shape.first_only {
                below.reverse();
                waiting.append(&mut below);
            }
        }
        found
    }

    /// Deletes a moment, its children, or both.
    pub(crate) fn delete(&mut self, name: &str, extent: Extent) -> Result<()> {
        let parent = self.by_name(name)?.parent().map(str::to_owned);
        if extent == Extent::Alone {
            for child in self.all.iter_mut().filter(|moment| moment.parent() == Some(name)) {
                child.set_parent(parent.clone());
            }
        } else {
            let below = self.list(Some(name), Shape::default());
            let below: Vec<String> = below.into_iter().map(|m| m.name().to_owned()).collect();
            self.all.retain(|moment| !below.iter().any(|gone| gone == moment.name()));
            if self.current.as_ref().is_some_and(|current| below.contains(current)) {
                self.current = Some(name.to_owned());
            }
        }
        if extent != Extent::ChildrenOnly {
            self.all.retain(|moment| moment.name() != name);
            if self.current() == Some(name) {
                self.current = parent;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Clone, Debug)]
    struct Named(&'static str, Option<String>);

    impl Moment for Named {
        const WORD: &'static str = "moment";
        const ORIGIN: Origin = Origin::None;
        const NOT_FOUND: Code = Code::NoDomainSnapshot;

        fn name(&self) -> &str {
            self.0
        }

        fn parent(&self) -> Option<&str> {
            self.1.as_deref()
        }

        fn set_parent(&mut self, parent: Option<String>) {
            self.1 = parent;
        }

        fn creation_time_s(&self) -> Option<u64> {
            None
        }

        fn domain(&self) -> Option<&DomainThen> {
            None
        }
    }

    /// a ─ b ─ c, and d beside b.
    fn tree() -> Moments<Named> {
        let mut tree = Moments::default();
        for name in ["a", "b", "c"] {
            tree.add(Named(name, None)).unwrap();
        }
        tree.set_current("a");
        tree.add(Named("d", None)).unwrap();
        tree
    }

    fn names(list: Vec<&Named>) -> String {
        list.into_iter().map(|moment| moment.0).collect()
    }

    #[test]
    fn lists_are_cut_by_generation_and_by_leaves() {
        let tree = tree();
        let all = Shape::default();
        assert_eq!(names(tree.list(None, all)), "abcd");
        assert_eq!(names(tree.list(Some("a"), all)), "bcd");
        assert_eq!(names(tree.list(Some("a"), Shape { first_only: true, ..all })), "bd");
        assert_eq!(names(tree.list(None, Shape { leaves: true, ..all })), "cd");
        assert_eq!(names(tree.list(None, Shape { no_leaves: true, ..all })), "ab");
    }

    #[test]
    fn what_is_left_of_a_deleted_moment_hangs_on_its_parent() {
        let mut alone = tree();
        alone.delete("b", Extent::Alone).unwrap();
        assert_eq!(alone.get("c").unwrap().parent(), Some("a"));
        let mut whole = tree();
        whole.set_current("c");
        whole.delete("b", Extent::WithChildren).unwrap();
        assert_eq!(
            (names(whole.list(None, Shape::default())), whole.current()),
            ("ad".into(), Some("a"))
        );
        let mut below = tree();
        below.set_current("c");
        below.delete("a", Extent::ChildrenOnly).unwrap();
        assert_eq!(
            (names(below.list(None, Shape::default())), below.current()),
            ("a".into(), Some("a"))
        );
    }

    #[test]
    fn a_moment_cannot_be_put_below_itself() {
        let mut tree = tree();
        let text = |result: Result<()>| result.unwrap_err().message().to_owned();
        let cycle = tree.redefine(Named("a", Some("c".into())), false);
        assert_eq!(text(cycle), "invalid argument: parent c would create cycle to a");
        let own = tree.redefine(Named("a", Some("a".into())), false);
        assert_eq!(text(own), "invalid argument: cannot set moment a as its own parent");
        let missing = tree.redefine(Named("e", Some("x".into())), false);
        assert_eq!(text(missing), "invalid argument: parent x for moment e not found");
        assert!(tree.add(Named("a", None)).is_err());
    }
}
