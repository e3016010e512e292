//! Which crate needs which.

use std::collections::{BTreeMap, BTreeSet};

/// A crate of the graph.
#[derive(Clone, Debug, Default)]
pub struct Crate {
    /// Its name.
    pub name: String,
    /// Its folder in the workspace; none if it comes from elsewhere.
    pub folder: Option<String>,
    /// Identifiers of the crates that it depends on, not counting those of its tests and its build.
    pub needs: Vec<String>,
}

/// The crates by their identifiers, which for a crate of the workspace is its name.
#[derive(Clone, Debug, Default)]
pub struct Graph(pub BTreeMap<String, Crate>);

impl Graph {
    /// Crates of the workspace in folders that begin with `prefix`.
    pub(super) fn under<'a>(&'a self, prefix: &'a str) -> impl Iterator<Item = &'a str> {
        let there = move |krate: &&Crate| {
            let folder = krate.folder.as_deref();
            folder.is_some_and(|folder| folder.starts_with(prefix))
        };
        self.0
            .values()
            .filter(there)
            .map(|krate| krate.name.as_str())
    }

    /// Names of the crates that a crate depends on directly.
    pub(super) fn needs(&self, id: &str) -> Vec<&str> {
        let needs = self.0.get(id).map(|krate| krate.needs.as_slice());
        let of = |need: &String| Some(self.0.get(need)?.name.as_str());
        needs.unwrap_or_default().iter().filter_map(of).collect()
    }

    /// Names of all crates that a crate reaches, itself included.
    pub(super) fn reached(&self, start: &str) -> BTreeSet<String> {
        let mut names = BTreeSet::new();
        self.way(start, |krate| {
            names.insert(krate.name.clone());
            false
        });
        names
    }

    /// The shortest way from a crate to one that is `sought`, as `a → b → c`.
    pub(super) fn way(
        &self,
        start: &str,
        mut sought: impl FnMut(&Crate) -> bool,
    ) -> Option<String> {
        let mut seen = BTreeSet::from([start]);
        let mut ways = vec![vec![start]];
        while !ways.is_empty() {
            let mut longer = Vec::new();
            for way in ways {
                let Some(krate) = way.last().and_then(|id| self.0.get(*id)) else {
                    continue;
                };
                if sought(krate) {
                    let name = |id: &&str| self.0.get(*id).map(|krate| krate.name.as_str());
                    let names: Vec<_> = way.iter().filter_map(name).collect();
                    return Some(names.join(" → "));
                }
                for need in &krate.needs {
                    if seen.insert(need) {
                        longer.push([way.as_slice(), &[need]].concat());
                    }
                }
            }
            ways = longer;
        }
        None
    }
}
