//! The workspace as it is.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

use cargo_metadata::{DependencyKind, Metadata, MetadataCommand, Package, TargetKind};

use super::{Crate, Graph};

/// What the rules look at.
#[derive(Clone, Debug, Default)]
pub struct Workspace {
    /// Folders at the top.
    pub folders: Vec<String>,
    /// Whether the workspace's lints ask for a reason at each unsafe block.
    pub undocumented_unsafe_is_denied: bool,
    /// The crates of the workspace.
    pub members: Vec<Member>,
    /// Those and all that they need.
    pub graph: Graph,
}

/// A crate of the workspace.
#[derive(Clone, Debug, Default)]
pub struct Member {
    /// Its folder, relative to the workspace.
    pub folder: String,
    /// Whether it takes the workspace's lints.
    pub inherits_lints: bool,
    /// Its files.
    pub sources: Vec<Source>,
}

/// A file of Rust.
#[derive(Clone, Debug, Default)]
pub struct Source {
    /// Relative to the workspace.
    pub path: String,
    /// Its content.
    pub text: String,
    /// It is the root of a library or a program.
    pub is_root: bool,
    /// It is part of a library or a program, not of tests, examples or the build.
    pub is_product: bool,
}

impl Workspace {
    /// Reads the workspace that this crate belongs to.
    pub fn read() -> Self {
        let metadata = metadata();
        let root = metadata.workspace_root.as_std_path();
        let members = metadata.workspace_packages();
        let places: Vec<String> = members
            .iter()
            .map(|package| folder(root, package))
            .collect();
        Self {
            folders: top_folders(root),
            undocumented_unsafe_is_denied: denies_undocumented_unsafe(root),
            members: members
                .iter()
                .map(|package| member(root, package, &places))
                .collect(),
            graph: graph(&metadata),
        }
    }
}

/// What cargo knows, without the network, for this machine.
fn metadata() -> Metadata {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("../Cargo.toml");
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo).arg("-vV").output().expect("cargo");
    let version = String::from_utf8(output.stdout).expect("text");
    let host = version.lines().find_map(|line| line.strip_prefix("host: "));
    let options = ["--offline", "--locked", "--filter-platform"].map(str::to_owned);
    let host = host.expect("cargo names its host").to_owned();
    MetadataCommand::new()
        .manifest_path(manifest)
        .other_options(options.into_iter().chain([host]).collect::<Vec<_>>())
        .exec()
        .unwrap_or_else(|error| panic!("cargo metadata: {error}"))
}

fn graph(metadata: &Metadata) -> Graph {
    let root = metadata.workspace_root.as_std_path();
    let id = |package: &Package| {
        if metadata.workspace_members.contains(&package.id) {
            package.name.to_string()
        } else {
            package.id.repr.clone()
        }
    };
    let ids: BTreeMap<_, _> = metadata
        .packages
        .iter()
        .map(|package| (&package.id, id(package)))
        .collect();
    let nodes = metadata.resolve.iter().flat_map(|resolve| &resolve.nodes);
    let crates = nodes.map(|node| {
        let package = &metadata[&node.id];
        let normal = node.deps.iter().filter(|dep| {
            let mut kinds = dep.dep_kinds.iter();
            kinds.any(|kind| kind.kind == DependencyKind::Normal)
        });
        let is_member = metadata.workspace_members.contains(&node.id);
        let krate = Crate {
            name: package.name.to_string(),
            folder: is_member.then(|| folder(root, package)),
            needs: normal.map(|dep| ids[&dep.pkg].clone()).collect(),
        };
        (ids[&node.id].clone(), krate)
    });
    Graph(crates.collect())
}

fn folder(root: &Path, package: &Package) -> String {
    let manifest = package.manifest_path.as_std_path();
    relative(root, manifest.parent().expect("a manifest is in a folder"))
}

fn relative(root: &Path, path: &Path) -> String {
    let path = path.strip_prefix(root).expect("within the workspace");
    path.to_str().expect("text").to_owned()
}

fn member(root: &Path, package: &Package, places: &[String]) -> Member {
    let folder = folder(root, package);
    let manifest: toml::Table = parse(package.manifest_path.as_std_path());
    let inherits = manifest
        .get("lints")
        .and_then(|lints| lints.get("workspace"));
    let ships = |kind: &TargetKind| {
        !matches!(
            kind,
            TargetKind::Test | TargetKind::Bench | TargetKind::Example | TargetKind::CustomBuild
        )
    };
    let roots: Vec<String> = package
        .targets
        .iter()
        .filter(|target| target.kind.iter().any(ships))
        .map(|target| relative(root, target.src_path.as_std_path()))
        .collect();
    let mut files = Vec::new();
    rust_files(&root.join(&folder), &mut |path| {
        let path = relative(root, path);
        // A crate may lie within another's folder.
        let inner =
            |place: &&String| place.len() > folder.len() && path.starts_with(&format!("{place}/"));
        if places.iter().find(inner).is_none() {
            files.push(path);
        }
    });
    let source = |path: String| Source {
        text: fs::read_to_string(root.join(&path)).expect("a source is text"),
        is_root: roots.contains(&path),
        is_product: path.starts_with(&format!("{folder}/src/")),
        path,
    };
    Member {
        inherits_lints: inherits.and_then(toml::Value::as_bool) == Some(true),
        sources: files.into_iter().map(source).collect(),
        folder,
    }
}

fn rust_files(dir: &Path, found: &mut impl FnMut(&Path)) {
    for entry in fs::read_dir(dir).expect("a folder of the workspace") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            rust_files(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found(&path);
        }
    }
}

fn top_folders(root: &Path) -> Vec<String> {
    let entries = fs::read_dir(root).expect("the workspace");
    let folders = entries.filter_map(Result::ok).filter(|e| e.path().is_dir());
    folders
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect()
}

fn denies_undocumented_unsafe(root: &Path) -> bool {
    let manifest = parse(&root.join("Cargo.toml"));
    let lint = ["workspace", "lints", "clippy", "undocumented_unsafe_blocks"]
        .into_iter()
        .try_fold(&toml::Value::Table(manifest), |table, key| table.get(key))
        .and_then(|level| level.as_str().map(str::to_owned));
    lint.as_deref() == Some("deny")
}

fn parse(manifest: &Path) -> toml::Table {
    let text = fs::read_to_string(manifest).expect("a manifest");
    text.parse().expect("a manifest is TOML")
}
