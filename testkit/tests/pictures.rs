//! The pictures of `docs/architecture.md`, one a crate, against the code: each name is a module or type of the crate, and each solid arrow
//! a use in the code of what it leaves from.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// How a type or a module comes into the world.
const DEFINED_BY: [&str; 5] = ["struct", "enum", "trait", "type", "mod"];
/// How a node with a text begins and ends.
const SHAPES: [(&str, &str); 3] = [("([", "])"), ("[(", ")]"), ("[\"", "\"]")];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The crates that people depend on.
fn crates() -> Vec<String> {
    let folders =
        fs::read_dir(root()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut crates: Vec<_> = folders.filter(|name| name.starts_with("offgridflow-")).collect();
    crates.sort();
    crates
}

/// Source files by their path within the crate, without comments.
type Sources = BTreeMap<String, String>;

fn sources(folder: &Path) -> Sources {
    let (mut sources, mut folders) = (Sources::new(), vec![folder.to_owned()]);
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let name = path.strip_prefix(folder).unwrap().display().to_string();
                sources.insert(name, uncommented(&fs::read_to_string(&path).unwrap()));
            }
        }
    }
    sources
}

fn uncommented(text: &str) -> String {
    text.lines().map(|line| line.split("//").next().unwrap_or_default()).collect::<Vec<_>>().join("\n")
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|letter: char| !letter.is_alphanumeric() && letter != '_').filter(|word| !word.is_empty())
}

/// A drawn arrow: its ends, and whether it is solid.
struct Arrow<'a> {
    from: &'a str,
    to: &'a str,
    solid: bool,
}

/// Nodes with whether they stand in the crate, and the arrows between them.
#[derive(Default)]
struct Picture<'a> {
    nodes: BTreeMap<&'a str, bool>,
    arrows: Vec<Arrow<'a>>,
}

impl<'a> Picture<'a> {
    fn parse(text: &'a str) -> Result<Self, String> {
        let mut picture = Self::default();
        for line in text.lines().skip(1) {
            let (from, rest) = picture.node(line.trim())?;
            let (arrow, end) = rest.split_at(rest.find("> ").ok_or(format!("no arrow: {line}"))? + 1);
            let arrow = arrow.trim();
            let (to, rest) = picture.node(end.trim())?;
            if !arrow.starts_with('-') || !rest.is_empty() {
                return Err(format!("not read: {line}"));
            }
            picture.arrows.push(Arrow { from, to, solid: !arrow.starts_with("-.") });
        }
        Ok(picture)
    }

    /// The node at the beginning of `text`, and what follows it.
    fn node(&mut self, text: &'a str) -> Result<(&'a str, &'a str), String> {
        let end = text.find(|letter: char| !letter.is_alphanumeric() && letter != '_').unwrap_or(text.len());
        let (name, rest) = text.split_at(end);
        let outside = rest.starts_with("([") || rest.starts_with("[(");
        let shape = SHAPES.iter().find(|(opening, _)| rest.starts_with(opening));
        let rest = match shape {
            Some((_, closing)) => rest.split_once(closing).ok_or(format!("no end: {text}"))?.1,
            None => rest,
        };
        if name.is_empty() {
            return Err(format!("no name: {text}"));
        }
        self.nodes.entry(name).and_modify(|inside| *inside &= !outside).or_insert(!outside);
        Ok((name, rest))
    }
}

fn is_defined(name: &str, sources: &Sources) -> bool {
    sources.values().any(|code| {
        let words: Vec<_> = words(code).collect();
        words.windows(2).any(|pair| DEFINED_BY.contains(&pair[0]) && pair[1] == name)
    })
}

/// The files of a module, and those that define a type or implement something for it.
fn code_of<'s>(name: &str, sources: &'s Sources) -> Vec<&'s str> {
    let of_module = |path: &str| {
        path == format!("{name}.rs") || path.ends_with(&format!("/{name}.rs")) || {
            path.split('/').rev().skip(1).any(|folder| folder == name)
        }
    };
    let of_type = |code: &str| {
        code.lines().any(|line| {
            let line = line.split(" where ").next().unwrap_or_default();
            let mut said =
                words(line).skip_while(|word| matches!(*word, "pub" | "crate" | "super" | "unsafe"));
            match said.next() {
                Some("impl") => {
                    words(line.rsplit(" for ").next().unwrap_or_default()).any(|word| word == name)
                }
                Some(first) => DEFINED_BY.contains(&first) && said.next() == Some(name),
                None => false,
            }
        })
    };
    let here = sources.iter().filter(|(path, code)| of_module(path) || of_type(code));
    here.map(|(_, code)| code.as_str()).collect()
}

/// What a picture says of a crate that is not so.
fn faults(picture: &str, sources: &Sources) -> Vec<String> {
    let picture = match Picture::parse(picture) {
        Ok(picture) => picture,
        Err(fault) => return vec![fault],
    };
    let inside = |name: &str| picture.nodes[name];
    let unknown = picture.nodes.iter().filter(|(name, inside)| **inside && !is_defined(name, sources));
    let mut faults: Vec<_> = unknown.map(|(name, _)| format!("there is no {name}")).collect();
    for Arrow { from, to, solid } in &picture.arrows {
        let drawn = *solid && inside(from) && inside(to);
        if drawn && !code_of(from, sources).iter().any(|code| words(code).any(|word| word == *to)) {
            faults.push(format!("{from} does not use {to}"));
        }
    }
    faults
}

/// The picture under the heading of a crate.
fn picture_of<'d>(name: &str, document: &'d str) -> Option<&'d str> {
    let section = document.split_once(&format!("\n### {name}\n"))?.1;
    let section = section.split("\n## ").next()?.split("\n### ").next()?;
    Some(section.split_once("```mermaid\n")?.1.split_once("\n```")?.0)
}

#[test]
fn each_crate_has_a_picture_that_is_so() {
    let document = fs::read_to_string(root().join("docs/architecture.md")).unwrap();
    let crates = crates();
    assert_eq!(crates.len(), 5);
    for name in crates {
        let picture = picture_of(&name, &document).unwrap_or_else(|| panic!("{name} has no picture"));
        let drawn = Picture::parse(picture).map_or(0, |picture| picture.arrows.len());
        assert!((8..=24).contains(&drawn), "{name}: {drawn} arrows are no picture that one looks at");
        assert_eq!(faults(picture, &sources(&root().join(&name).join("src"))), [""; 0], "{name}");
    }
}

/// The control: what a picture makes up is found.
#[test]
fn a_picture_of_something_else_is_found() {
    let code = "pub struct Cache { near: Near }\nenum Near {}\nstruct Far;\nmod flight;\nimpl Cache {}\n// Far is near\n";
    let sources = Sources::from([("lib.rs".to_owned(), code.to_owned())]);
    let draw = |line: &str| faults(&format!("flowchart LR\n  {line}"), &sources);
    assert_eq!(draw("Cache -- \"of some size\" --> Near[\"Near: what is near\"]"), [""; 0]);
    assert_eq!(draw("you([your code]) -.-> Cache"), [""; 0]);
    assert_eq!(draw("Cache -.-> Far"), [""; 0]);
    assert_eq!(draw("Cache --> disk[(a disk)]"), [""; 0]);
    assert_eq!(draw("Cache --> Ghost"), ["there is no Ghost", "Cache does not use Ghost"]);
    assert_eq!(draw("Near --> Nothing([outside])"), [""; 0]);
    let two = Sources::from([
        ("near.rs".to_owned(), uncommented("struct Near; // of Far")),
        ("far.rs".to_owned(), "struct Far(Near);".to_owned()),
    ]);
    assert_eq!(faults("flowchart LR\n  Near --> Far", &two), ["Near does not use Far"]);
    assert_eq!(faults("flowchart LR\n  Far --> Near", &two), [""; 0]);
    assert!(faults("flowchart LR\n  Near and Far", &two)[0].starts_with("no arrow"));
}
