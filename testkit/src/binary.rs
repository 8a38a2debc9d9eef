use std::path::{Path, PathBuf};
use std::{env, fs};

use crate::Error;

/// Finds `program` on the `PATH`, then where Debian keeps PostgreSQL (newest version first) and system daemons.
pub(crate) fn find(program: &'static str, package: &'static str) -> Result<PathBuf, Error> {
    let on_path =
        env::var_os("PATH").into_iter().flat_map(|path| env::split_paths(&path).collect::<Vec<_>>());
    on_path
        .chain(debian_folders())
        .map(|folder| folder.join(program))
        .find(|candidate| candidate.is_file())
        .ok_or(Error::Missing { program, package })
}

fn debian_folders() -> Vec<PathBuf> {
    let mut versions: Vec<(u32, PathBuf)> = fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| Some((entry.file_name().to_str()?.parse().ok()?, entry.path().join("bin"))))
        .collect();
    versions.sort_by_key(|(version, _)| std::cmp::Reverse(*version));
    let system = ["/usr/bin", "/usr/sbin", "/usr/local/bin", "/usr/local/sbin"].map(PathBuf::from);
    versions.into_iter().map(|(_, folder)| folder).chain(system).collect()
}

/// User and group that PostgreSQL runs under when we are root, which it refuses to be: `postgres`, else `nobody`.
pub(crate) fn unprivileged_user() -> Option<(u32, u32)> {
    let passwd = fs::read_to_string(Path::new("/etc/passwd")).ok()?;
    let ids_of = |name: &str| {
        let line = passwd.lines().find(|line| line.split(':').next() == Some(name))?;
        let mut fields = line.split(':').skip(2).map(str::parse);
        Some((fields.next()?.ok()?, fields.next()?.ok()?))
    };
    ids_of("postgres").or_else(|| ids_of("nobody"))
}
