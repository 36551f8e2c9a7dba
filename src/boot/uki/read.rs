//! Reads a unified kernel image, trusting nothing in it.

use std::collections::HashSet;
use std::io::{self, Read, Seek, SeekFrom};

use crate::units::{Arch, Bytes};

use super::pe::{CheckSum, Headers};
use super::{FILE_ALIGNMENT, Section, UkiError};

/// The beginning of the file within which all headers must lie.
const HEAD: u64 = 64 << 10;
/// Size of the buffer through which the file passes.
const CHUNK: usize = 256 << 10;

/// What a unified kernel image holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Uki {
    /// The processor that it is for.
    pub arch: Arch,
    /// Every section that has bytes, the stub's own included.
    pub sections: Vec<Section>,
}

impl Uki {
    /// The section called `name`.
    #[must_use]
    pub fn section(&self, name: &str) -> Option<&Section> {
        self.sections.iter().find(|section| section.name == name)
    }

    /// The section called `name`, which every image of ampoule has.
    ///
    /// # Errors
    /// There is none.
    pub fn require(&self, name: &str) -> Result<&Section, UkiError> {
        self.section(name)
            .ok_or_else(|| UkiError::Corrupt(format!("it has no section {name}")))
    }
}

/// Reads the headers.
///
/// # Errors
/// The file cannot be read, is no EFI application, has no `.linux`, has a
/// section twice, or one that is out of bounds or not at a multiple of 512.
pub fn parse(mut file: impl Read + Seek) -> Result<Uki, UkiError> {
    let len = file.seek(SeekFrom::End(0)).map_err(UkiError::Read)?;
    let head = read_head(&mut file)?;
    let headers = Headers::parse(&head).map_err(UkiError::Corrupt)?;
    let (true, Some(arch)) = (headers.is_efi(), headers.arch()) else {
        let what = "it is not an EFI application for x86_64 or aarch64";
        return Err(UkiError::Corrupt(what.to_owned()));
    };
    let sections = headers.placed(len).map_err(UkiError::Corrupt)?;
    let mut seen = HashSet::new();
    for Section { name, offset, .. } in &sections {
        if !seen.insert(name) {
            return Err(UkiError::Corrupt(format!("it has section {name} twice")));
        }
        if offset.0 % FILE_ALIGNMENT != 0 {
            let what = format!("section {name} does not begin at a multiple of 512 bytes");
            return Err(UkiError::Corrupt(what));
        }
    }
    let uki = Uki { arch, sections };
    uki.require(".linux")?;
    Ok(uki)
}

/// Reads the whole file and holds its checksum against the header's.
///
/// # Errors
/// The file cannot be read, or the checksum differs.
pub fn verify(mut file: impl Read + Seek) -> Result<(), UkiError> {
    let head = read_head(&mut file)?;
    let headers = Headers::parse(&head).map_err(UkiError::Corrupt)?;
    let (at, stated) = (headers.checksum_at(), headers.checksum());
    let mut cleared = head.clone();
    cleared[at..at + size_of::<u32>()].fill(0);
    let mut sum = CheckSum::default();
    sum.update(&cleared);
    let mut buffer = vec![0; CHUNK];
    file.seek(SeekFrom::Start(head.len() as u64))
        .map_err(UkiError::Read)?;
    loop {
        match file.read(&mut buffer) {
            Ok(0) => break,
            Ok(got) => sum.update(&buffer[..got]),
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(UkiError::Read(e)),
        }
    }
    if sum.finish() != stated {
        return Err(UkiError::Corrupt("its checksum does not match".to_owned()));
    }
    Ok(())
}

fn read_head(file: &mut (impl Read + Seek)) -> Result<Vec<u8>, UkiError> {
    let mut head = Vec::new();
    file.seek(SeekFrom::Start(0))
        .and_then(|_| file.by_ref().take(HEAD).read_to_end(&mut head))
        .map_err(UkiError::Read)?;
    Ok(head)
}

/// The bytes of a section, as a reader.
///
/// # Errors
/// The file cannot be read.
pub fn section_reader<R: Read + Seek>(
    mut file: R,
    section: &Section,
) -> Result<io::Take<R>, UkiError> {
    let Bytes(offset) = section.offset;
    file.seek(SeekFrom::Start(offset)).map_err(UkiError::Read)?;
    Ok(file.take(section.size.0))
}
