//! A shared object as its loader sees it: by program headers and the dynamic section, for section
//! headers may be gone or lie.
//!
//! The bytes are anybody's. Every access is checked, every table is bounded before it is walked.

use std::collections::{BTreeMap, BTreeSet};

use object::elf::{
    DF_1_PIE, DF_TEXTREL, DT_FLAGS, DT_FLAGS_1, DT_GNU_HASH, DT_HASH, DT_NEEDED, DT_RELA,
    DT_RELASZ, DT_RELR, DT_RELRSZ, DT_RPATH, DT_RUNPATH, DT_SONAME, DT_STRSZ, DT_STRTAB, DT_SYMTAB,
    DT_TEXTREL, DynamicTag, EM_AARCH64, EM_RISCV, EM_X86_64, ET_DYN, FileHeader64, Machine, PF_W,
    PF_X, PT_GNU_STACK, PT_LOAD, ProgramHeader64, Rela64, Relr64, SHN_UNDEF, Sym64,
};
use object::read::elf::{
    Dyn as _, FileHeader as _, GnuHashTable, HashTable, ProgramHeader as _, Rela as _,
    RelrIterator, Sym as _,
};
use object::{LittleEndian, ReadRef};

type Elf = FileHeader64<LittleEndian>;
const E: LittleEndian = LittleEndian;

const MAX_SEGMENTS: u16 = 64;
const MAX_DYNAMIC: usize = 4096;
const MAX_SYMBOLS: usize = 1 << 20;
const MAX_RELOCATIONS: usize = 1 << 22;
/// Longest name that is shown, in bytes; C++ has long ones.
const MAX_STRING: usize = 4096;

/// Why a file is no shared object.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[non_exhaustive]
pub(crate) enum ImageError {
    /// Something else.
    #[error("it is not an ELF file")]
    NotElf,
    /// 32 bits, or big-endian.
    #[error("it is not for a 64-bit little-endian machine")]
    Class,
    /// A program, an object file, a core dump.
    #[error("it is an ELF file, but no shared object")]
    NotShared,
    /// Its tables contradict each other.
    #[error("it is damaged: {0}")]
    Damaged(&'static str),
}

/// What a module asks of its stack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stack {
    Plain,
    Executable,
    /// It does not say; the loader then makes it executable.
    Unsaid,
}

/// A shared object.
#[derive(Debug)]
pub(crate) struct Image<'a> {
    bytes: &'a [u8],
    machine: Machine,
    segments: &'a [ProgramHeader64<LittleEndian>],
    dynamic: Vec<(DynamicTag, u64)>,
}

impl<'a> Image<'a> {
    pub(crate) fn parse(bytes: &'a [u8]) -> Result<Self, ImageError> {
        let [0x7f, b'E', b'L', b'F', class, order, ..] = bytes else {
            return Err(ImageError::NotElf);
        };
        if (*class, *order) != (2, 1) {
            return Err(ImageError::Class);
        }
        let damaged = ImageError::Damaged;
        let header: &Elf = bytes
            .read_at(0)
            .map_err(|()| damaged("it is shorter than an ELF header"))?;
        if header.e_type(E) != ET_DYN {
            return Err(ImageError::NotShared);
        }
        if header.e_phnum(E) > MAX_SEGMENTS {
            return Err(damaged("it has too many segments"));
        }
        let segments = header
            .program_headers(E, bytes)
            .map_err(|_| damaged("its segments are beyond its end"))?;
        let entries = segments
            .iter()
            .find_map(|segment| segment.dynamic(E, bytes).transpose())
            .ok_or(damaged("it has no dynamic section"))?
            .map_err(|_| damaged("its dynamic section is beyond its end"))?;
        let dynamic = entries
            .iter()
            .take(MAX_DYNAMIC)
            .map(|entry| (entry.tag(E), entry.val(E)))
            .take_while(|(tag, _)| tag.0 != 0)
            .collect();
        Ok(Self {
            bytes,
            machine: header.e_machine(E),
            segments,
            dynamic,
        })
    }

    /// The architecture as coldshoe names it, or the ELF number of another.
    pub(crate) fn machine(&self) -> String {
        match self.machine {
            EM_X86_64 => "x86_64".to_owned(),
            EM_AARCH64 => "aarch64".to_owned(),
            EM_RISCV => "riscv64".to_owned(),
            other => format!("ELF machine {}", other.0),
        }
    }

    /// A program that is position-independent looks like a shared object otherwise.
    pub(crate) fn is_program(&self) -> bool {
        self.values(DT_FLAGS_1).any(|flags| flags & DF_1_PIE.0 != 0)
    }

    pub(crate) fn stack(&self) -> Stack {
        let stacks = self.segments.iter().filter(|s| s.p_type(E) == PT_GNU_STACK);
        match stacks.map(|s| s.p_flags(E) & PF_X == PF_X).next_back() {
            Some(true) => Stack::Executable,
            Some(false) => Stack::Plain,
            None => Stack::Unsaid,
        }
    }

    pub(crate) fn text_relocations(&self) -> bool {
        let flagged = |flags: u64| flags & DF_TEXTREL.0 != 0;
        self.value(DT_TEXTREL).is_some() || self.values(DT_FLAGS).any(flagged)
    }

    pub(crate) fn writable_code(&self) -> bool {
        let both = PF_W | PF_X;
        self.loaded()
            .any(|segment| segment.p_flags(E) & both == both)
    }

    /// Libraries that it is linked with, in their order.
    pub(crate) fn needed(&self) -> Vec<String> {
        self.strings(DT_NEEDED)
    }

    /// Where it wants them looked for.
    pub(crate) fn search_paths(&self) -> Vec<String> {
        let mut paths = self.strings(DT_RPATH);
        paths.extend(self.strings(DT_RUNPATH));
        paths
    }

    pub(crate) fn soname(&self) -> Option<String> {
        self.strings(DT_SONAME).into_iter().next()
    }

    /// Functions and data that it takes from others, without versions; `None` if its tables do
    /// not tell how many symbols it has.
    pub(crate) fn imports(&self) -> Option<BTreeSet<&'a [u8]>> {
        let taken = |symbol: &&Sym64<LittleEndian>| symbol.st_shndx(E) == SHN_UNDEF;
        let symbols = self.symbols()?.iter().filter(taken);
        let names = symbols.filter_map(|symbol| self.string(symbol.st_name(E).into()));
        Some(names.filter(|name| !name.is_empty()).collect())
    }

    /// Whether it offers `name`; `None` if its tables do not tell.
    pub(crate) fn exports(&self, name: &str) -> Option<bool> {
        let named = |symbol: &Sym64<LittleEndian>| {
            symbol.st_shndx(E) != SHN_UNDEF
                && self.string(symbol.st_name(E).into()) == Some(name.as_bytes())
        };
        Some(self.symbols()?.iter().any(named))
    }

    /// Where the loader puts addresses of the image's own, and which. Others' are not among them.
    pub(crate) fn relocations(&self) -> BTreeMap<u64, u64> {
        let (relative, absolute) = match self.machine {
            EM_X86_64 => (8, 1),
            EM_AARCH64 => (1027, 257),
            EM_RISCV => (3, 2),
            _ => return BTreeMap::new(),
        };
        let symbols = self.symbols().unwrap_or_default();
        let mut found = BTreeMap::new();
        for rela in self.table::<Rela64<LittleEndian>>(DT_RELA, DT_RELASZ, MAX_RELOCATIONS) {
            let addend = rela.r_addend(E).cast_unsigned();
            let target = match rela.r_type(E, false).0 {
                kind if kind == relative => addend,
                kind if kind == absolute => {
                    let symbol = rela.symbol(E, false).and_then(|index| symbols.get(index.0));
                    match symbol.filter(|symbol| symbol.st_shndx(E) != SHN_UNDEF) {
                        Some(symbol) => symbol.st_value(E).wrapping_add(addend),
                        None => continue,
                    }
                }
                _ => continue,
            };
            found.insert(rela.r_offset(E), target);
        }
        let packed = self.table::<Relr64<LittleEndian>>(DT_RELR, DT_RELRSZ, MAX_RELOCATIONS / 64);
        for place in RelrIterator::<Elf>::new(E, packed) {
            if let Some(target) = self.u64_at(place) {
                found.insert(place, target);
            }
        }
        found
    }

    /// The file's bytes from an address on, to the end of their segment.
    pub(crate) fn at(&self, address: u64) -> Option<&'a [u8]> {
        self.loaded().find_map(|segment| {
            let within = address.checked_sub(segment.p_vaddr(E))?;
            let bytes = segment.data(E, self.bytes).ok()?;
            bytes
                .get(usize::try_from(within).ok()?..)
                .filter(|rest| !rest.is_empty())
        })
    }

    pub(crate) fn u64_at(&self, address: u64) -> Option<u64> {
        Some(u64::from_le_bytes(*self.at(address)?.first_chunk()?))
    }

    /// The C string at an address.
    pub(crate) fn text_at(&self, address: u64, longest: usize) -> Option<String> {
        let bytes = self.at(address)?;
        let length = bytes.iter().take(longest + 1).position(|byte| *byte == 0)?;
        String::from_utf8(bytes.get(..length)?.to_vec()).ok()
    }

    /// Whether an address is one of code.
    pub(crate) fn is_code(&self, address: u64) -> bool {
        self.loaded().any(|segment| {
            let within = address.checked_sub(segment.p_vaddr(E));
            segment.p_flags(E) & PF_X == PF_X
                && within.is_some_and(|within| within < segment.p_filesz(E))
        })
    }

    fn loaded(&self) -> impl Iterator<Item = &'a ProgramHeader64<LittleEndian>> {
        self.segments
            .iter()
            .filter(|segment| segment.p_type(E) == PT_LOAD)
    }

    fn values(&self, tag: DynamicTag) -> impl Iterator<Item = u64> {
        let entries = self.dynamic.iter().filter(move |(known, _)| *known == tag);
        entries.map(|(_, value)| *value)
    }

    fn value(&self, tag: DynamicTag) -> Option<u64> {
        self.values(tag).next()
    }

    /// Made fit for a terminal.
    fn strings(&self, tag: DynamicTag) -> Vec<String> {
        let found = self.values(tag).filter_map(|offset| self.string(offset));
        let plain = |c: char| if c.is_control() { ' ' } else { c };
        found
            .map(|bytes| String::from_utf8_lossy(bytes).chars().map(plain).collect())
            .collect()
    }

    /// Of the dynamic string table.
    fn string(&self, offset: u64) -> Option<&'a [u8]> {
        let table = self.at(self.value(DT_STRTAB)?)?;
        let size = usize::try_from(self.value(DT_STRSZ)?).ok()?;
        let table = table.get(..size.min(table.len()))?;
        let bytes = table.get(usize::try_from(offset).ok()?..)?;
        let length = bytes.iter().take(MAX_STRING).position(|byte| *byte == 0)?;
        bytes.get(..length)
    }

    fn symbols(&self) -> Option<&'a [Sym64<LittleEndian>]> {
        let count = self.symbol_count()?.min(MAX_SYMBOLS);
        let bytes = self.at(self.value(DT_SYMTAB)?)?;
        object::pod::slice_from_bytes(bytes, count)
            .ok()
            .map(|(symbols, _)| symbols)
    }

    /// Nothing says it outright; the hash tables do on the side.
    fn symbol_count(&self) -> Option<usize> {
        let count = if let Some(table) = self.value(DT_HASH).and_then(|at| self.at(at)) {
            HashTable::<Elf>::parse(E, table)
                .ok()?
                .symbol_table_length()
        } else {
            let table = self.at(self.value(DT_GNU_HASH)?)?;
            let table = GnuHashTable::<Elf>::parse(E, table).ok()?;
            // Without exports it is empty, and its base is the number of symbols.
            table.symbol_table_length(E).unwrap_or(table.symbol_base())
        };
        usize::try_from(count).ok()
    }

    fn table<T: object::pod::Pod>(&self, at: DynamicTag, size: DynamicTag, most: usize) -> &'a [T] {
        let found = || {
            let bytes = self.at(self.value(at)?)?;
            let size = usize::try_from(self.value(size)?).ok()?;
            let count = (size / size_of::<T>()).min(most);
            object::pod::slice_from_bytes(bytes, count)
                .ok()
                .map(|(table, _)| table)
        };
        found().unwrap_or_default()
    }
}
