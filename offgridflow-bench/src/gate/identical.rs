use std::fs;
use std::path::Path;

use object::elf::SHF_ALLOC;
use object::{Object, ObjectSection, RelocationTarget, SectionFlags};

use super::GateError;

/// Whether two programs are the same once what does not run is masked: build ids, the line and column of panic locations, and each side's
/// own commit id. Everything that is loaded has to be equal; files that are not ELF have to be equal byte for byte.
pub(crate) fn identical(base: (&Path, &str), head: (&Path, &str)) -> Result<bool, GateError> {
    let read = |path: &Path| fs::read(path).map_err(|error| GateError::read(path, &error));
    let (one, other) = (read(base.0)?, read(head.0)?);
    Ok(one == other
        || matches!((loaded(&one, base.1), loaded(&other, head.1)), (Some(one), Some(other)) if one == other))
}

/// A relocation: where, the value added, and what else tells it from others.
type Fixup = (u64, i64, String);

/// Name, address and masked content of a loaded section.
type Section = (String, u64, Vec<u8>);

/// The loaded sections, masked, and the relocations; `None` when this is no ELF file.
fn loaded(file: &[u8], commit: &str) -> Option<(Vec<Section>, Vec<Fixup>)> {
    let program =
        object::File::parse(file).ok().filter(|program| program.format() == object::BinaryFormat::Elf)?;
    let fixups: Vec<Fixup> = program
        .dynamic_relocations()?
        .map(|(at, relocation)| {
            (
                at,
                relocation.addend(),
                match relocation.target() {
                    RelocationTarget::Absolute => String::new(),
                    other => format!("{other:?}"),
                },
            )
        })
        .collect();
    let mut sections = Vec::new();
    for section in program.sections() {
        let is_loaded = matches!(section.flags(), SectionFlags::Elf { sh_flags, .. } if sh_flags & SHF_ALLOC == SHF_ALLOC);
        let name = section.name().ok()?.to_owned();
        if is_loaded && name != ".note.gnu.build-id" {
            let mut bytes = section.data().ok()?.to_vec();
            if name.starts_with(".rodata") {
                mask_commit(&mut bytes, commit);
            }
            mask_locations(&program, section.address(), &mut bytes, &fixups);
            sections.push((name, section.address(), bytes));
        }
    }
    Some((sections, fixups))
}

/// Overwrites the commit's id, whole or cut to at least seven digits.
fn mask_commit(bytes: &mut [u8], commit: &str) {
    const SHORTEST: usize = 7;
    let Some(head) = commit.as_bytes().get(..SHORTEST) else { return };
    let mut at = 0;
    while let Some(found) = bytes[at..].windows(SHORTEST).position(|window| window == head) {
        let start = at + found;
        let length = bytes[start..].iter().zip(commit.bytes()).take_while(|(a, b)| **a == *b).count();
        bytes[start..start + length].fill(b'#');
        at = start + length;
    }
}

/// Overwrites line and column of every `core::panic::Location`: a pointer to a text that ends in `.rs`, its length, then the two.
fn mask_locations(program: &object::File<'_>, address: u64, bytes: &mut [u8], fixups: &[Fixup]) {
    for (at, text, _) in fixups {
        let Some(at) = at.checked_sub(address).and_then(|at| usize::try_from(at).ok()) else { continue };
        let Some(record) = at.checked_add(24).and_then(|end| bytes.get_mut(at..end)) else { continue };
        let length = u64::from_le_bytes([
            record[8], record[9], record[10], record[11], record[12], record[13], record[14], record[15],
        ]);
        if (4..4_096).contains(&length)
            && text_at(program, *text, length).is_some_and(|text| text.ends_with(b".rs"))
        {
            record[16..].fill(0);
        }
    }
}

fn text_at<'a>(program: &object::File<'a>, address: i64, length: u64) -> Option<&'a [u8]> {
    let address = u64::try_from(address).ok()?;
    program.sections().find_map(|section| section.data_range(address, length).ok().flatten())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_commit_id_is_masked_in_any_length_of_at_least_seven() {
        let commit = "0123456789abcdef0123456789abcdef01234567";
        let mut bytes = b"v1-0123456 012345 0123456789ab+ 0123456789abcdef0123456789abcdef01234567.".to_vec();
        mask_commit(&mut bytes, commit);
        let expected = format!("v1-####### 012345 ############+ {}.", "#".repeat(40));
        assert_eq!(String::from_utf8(bytes).unwrap(), expected);
    }
}
