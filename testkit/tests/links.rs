//! Links of the documents lead to files that are there.

use std::fs;
use std::path::{Path, PathBuf};

fn documents() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let (mut documents, mut folders) =
        (vec![root.join("README.md"), root.join("CONTRIBUTING.md")], vec![root.join("docs")]);
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "md") {
                documents.push(path);
            }
        }
    }
    documents
}

/// Targets of links in the text, outside of code.
fn targets(text: &str) -> Vec<&str> {
    let mut code = false;
    let prose = text.lines().filter(|line| {
        code ^= line.starts_with("```");
        !code
    });
    let links = prose.flat_map(|line| line.split("](").skip(1)).filter_map(|rest| rest.split(')').next());
    links.filter(|target| !target.contains("://") && !target.starts_with('#')).collect()
}

fn broken(folder: &Path, text: &str) -> Vec<String> {
    let file = |target: &&str| folder.join(target.split('#').next().unwrap_or_default());
    targets(text).into_iter().filter(|target| !file(target).exists()).map(str::to_owned).collect()
}

#[test]
fn links_of_documents_lead_somewhere() {
    let documents = documents();
    assert!(documents.len() > 60, "the documents are where they were");
    for document in documents {
        let text = fs::read_to_string(&document).unwrap();
        assert_eq!(broken(document.parent().unwrap(), &text), [""; 0], "{}", document.display());
    }
}

/// The control.
#[test]
fn a_link_to_nothing_is_found() {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let text = "[a](Cargo.toml#x) [b](nothing.md) [c](https://example.org) [d](#e)\n```\n[f](g.md)\n```\n";
    assert_eq!(broken(here, text), ["nothing.md"]);
}
