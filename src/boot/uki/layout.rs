//! Where each section goes: pure.

use object::LittleEndian as LE;
use object::pe::ImageSectionHeader;

use crate::units::Bytes;

use super::pe::{Headers, nt_mut, section_header};
use super::{FILE_ALIGNMENT, Section, UkiError};

/// Smallest step between sections in memory: a page, so that firmware can
/// protect each (systemd's own stub of version 252 declares less).
const PAGE: u64 = 4096;

/// The lengths of the parts to be added.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lengths {
    /// The description in the form of os-release.
    pub osrel: Bytes,
    /// The kernel's command line.
    pub cmdline: Bytes,
    /// What `uname -r` will print.
    pub uname: Bytes,
    /// The initrd.
    pub initrd: Bytes,
    /// The kernel.
    pub linux: Bytes,
}

/// The sections in the order of the file. The kernel comes last, as ukify has
/// it: whoever starts it in place finds free memory behind it.
const NAMES: [&str; 5] = [".osrel", ".cmdline", ".uname", ".initrd", ".linux"];

impl Lengths {
    fn sections(&self) -> [(&'static str, Bytes); 5] {
        let lengths = [
            self.osrel,
            self.cmdline,
            self.uname,
            self.initrd,
            self.linux,
        ];
        std::array::from_fn(|n| (NAMES[n], lengths[n]))
    }
}

/// A unified kernel image before its parts are written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout {
    /// The stub with the changed headers, up to the first added section.
    pub(super) head: Vec<u8>,
    /// Where the checksum goes once it is known.
    pub(super) checksum_at: usize,
    /// The added sections in the order of the file.
    pub sections: Vec<Section>,
    /// The length of the whole file.
    pub len: Bytes,
}

impl Layout {
    /// The added section called `name`.
    #[must_use]
    pub fn section(&self, name: &str) -> Option<&Section> {
        self.sections.iter().find(|section| section.name == name)
    }
}

/// Lays the sections out behind the stub's own. What the stub's file holds
/// after its sections (symbols, a signature) is dropped, and its time stamp
/// with it: the same parts give the same bytes.
///
/// # Errors
/// The stub is no EFI application or has no room for the headers, or the
/// sections come to more than 4 GiB.
pub fn layout(stub: &[u8], lengths: &Lengths) -> Result<Layout, UkiError> {
    let headers = Headers::parse(stub).map_err(UkiError::Stub)?;
    let mut head = stub_only(stub, &headers)?;
    let added = lengths.sections();
    let mut table = Vec::new();
    let mut sections = Vec::new();
    let mut offset = head.len() as u64;
    let mut rva = memory_end(&headers);
    let mut raw_total = 0;
    for (name, Bytes(len)) in added {
        let raw = Bytes(len).round_up(FILE_ALIGNMENT).0;
        let narrow = |n: u64| u32::try_from(n).map_err(|_| UkiError::TooLarge(Bytes(n)));
        // the end must be addressable as well
        narrow(rva + raw + PAGE)?;
        narrow(offset + raw)?;
        table.extend(section_header(
            name,
            narrow(len)?,
            narrow(rva)?,
            narrow(offset)?,
            narrow(raw)?,
        ));
        sections.push(Section {
            name: name.to_owned(),
            offset: Bytes(offset),
            size: Bytes(len),
        });
        raw_total += raw;
        offset += raw;
        rva = (rva + len).next_multiple_of(step(&headers));
    }
    let table_at = headers.table_end();
    head[table_at..table_at + table.len()].copy_from_slice(&table);
    patch(&mut head, &headers, added.len(), rva, raw_total).map_err(UkiError::Stub)?;
    Ok(Layout {
        head,
        checksum_at: headers.checksum_at(),
        sections,
        len: Bytes(offset),
    })
}

/// The stub's file up to the end of its last section, checked to be one that
/// can be added to.
fn stub_only(stub: &[u8], headers: &Headers<'_>) -> Result<Vec<u8>, UkiError> {
    let bad = |what: &str| Err(UkiError::Stub(what.to_owned()));
    if headers.arch().is_none() || !headers.is_efi() {
        return bad("it is not an EFI application for x86_64 or aarch64");
    }
    let sections = match headers.placed(stub.len() as u64) {
        Ok(sections) => sections,
        Err(what) => return Err(UkiError::Stub(what)),
    };
    if !sections.iter().any(|section| section.name == ".sbat") {
        return bad("it has no section .sbat");
    }
    if headers.nt.optional_header.file_alignment.get(LE) != 512 {
        return bad("its sections are not aligned to 512 bytes");
    }
    if let Some(section) = sections.iter().find(|s| NAMES.contains(&s.name.as_str())) {
        let name = &section.name;
        return bad(&format!("it has a section {name} already"));
    }
    room(headers, &sections, NAMES.len())?;
    let raw_ends = headers.sections.iter().map(|section| {
        let offset = u64::from(section.pointer_to_raw_data.get(LE));
        offset + u64::from(section.size_of_raw_data.get(LE))
    });
    let end = Bytes(raw_ends.max().unwrap_or(0))
        .round_up(FILE_ALIGNMENT)
        .0;
    let mut head = stub.to_vec();
    // in memory already, so that its length is a usize
    head.resize(usize::try_from(end).unwrap_or(stub.len()), 0);
    Ok(head)
}

/// Whether `needed` more section headers fit before the first section, both
/// in the file and in memory.
fn room(headers: &Headers<'_>, sections: &[Section], needed: usize) -> Result<(), UkiError> {
    let declared = u64::from(headers.nt.optional_header.size_of_headers.get(LE));
    let in_file = sections.iter().map(|section| section.offset.0);
    let in_memory = headers
        .sections
        .iter()
        .map(|section| u64::from(section.virtual_address.get(LE)));
    let end = in_file.chain(in_memory).fold(declared, u64::min);
    let free = end.saturating_sub(headers.table_end() as u64);
    let room = usize::try_from(free).unwrap_or(0) / size_of::<ImageSectionHeader>();
    if room < needed {
        return Err(UkiError::Room { room, needed });
    }
    Ok(())
}

/// Step between sections in memory.
fn step(headers: &Headers<'_>) -> u64 {
    PAGE.max(u64::from(
        headers.nt.optional_header.section_alignment.get(LE),
    ))
}

/// First free address behind the stub's sections in memory.
fn memory_end(headers: &Headers<'_>) -> u64 {
    let ends = headers.sections.iter().map(|section| {
        let size = section
            .virtual_size
            .get(LE)
            .max(section.size_of_raw_data.get(LE));
        u64::from(section.virtual_address.get(LE)) + u64::from(size)
    });
    ends.max().unwrap_or(0).next_multiple_of(step(headers))
}

/// Changes the headers to match: the sections' number, the sizes, no time
/// stamp, no symbols, no signature, no checksum yet.
fn patch(
    head: &mut [u8],
    headers: &Headers<'_>,
    added: usize,
    image: u64,
    data: u64,
) -> Result<(), String> {
    let narrow = |n: u64| u32::try_from(n).map_err(|e| e.to_string());
    let nt = nt_mut(head, headers.nt_at)?;
    let count = u16::try_from(headers.sections.len() + added).map_err(|e| e.to_string())?;
    nt.file_header.number_of_sections.set(LE, count);
    nt.file_header.time_date_stamp.set(LE, 0);
    nt.file_header.pointer_to_symbol_table.set(LE, 0);
    nt.file_header.number_of_symbols.set(LE, 0);
    let optional = &mut nt.optional_header;
    let data = u64::from(optional.size_of_initialized_data.get(LE)) + data;
    optional.size_of_initialized_data.set(LE, narrow(data)?);
    optional.size_of_image.set(LE, narrow(image)?);
    optional.check_sum.set(LE, 0);
    clear_signature(head, headers)
}

/// Zeroes data directory 4, the Certificate Table, where there is one.
fn clear_signature(head: &mut [u8], headers: &Headers<'_>) -> Result<(), String> {
    const SECURITY: usize = object::pe::IMAGE_DIRECTORY_ENTRY_SECURITY;
    const ENTRY: usize = size_of::<object::pe::ImageDataDirectory>();
    let count = headers.nt.optional_header.number_of_rva_and_sizes.get(LE);
    if usize::try_from(count).is_ok_and(|count| count > SECURITY) {
        let at = headers.nt_at + size_of::<object::pe::ImageNtHeaders64>() + SECURITY * ENTRY;
        head.get_mut(at..at + ENTRY)
            .ok_or("the header is cut off")?
            .fill(0);
    }
    Ok(())
}
