//! Why a contract is refused.

/// A contract that cannot be used. Each error names the file, and block and field where it is about
/// one.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ContractError {
    /// No contract of that name is built in.
    #[error("contract `{name}` does not exist; built in are: {known}")]
    NoSuchFormat {
        /// The name asked for.
        name: String,
        /// Those that exist, separated by commas.
        known: String,
    },
    /// A contract of another format than the one that is spoken.
    #[error("the contract is that of format `{got}`, needed is that of `{wanted}`")]
    OtherFormat {
        /// The format that is spoken.
        wanted: String,
        /// The one that the contract is about.
        got: String,
    },
    /// Not TOML, a key is unknown or of the wrong type. The source shows the line.
    #[error("contract {file}: {source}")]
    Syntax {
        /// The file.
        file: String,
        /// What the parser says.
        source: Box<toml::de::Error>,
    },
    /// The head is wrong.
    #[error("contract {file}: {problem}")]
    Head {
        /// The file.
        file: String,
        /// What is wrong.
        problem: Problem,
    },
    /// A block is wrong.
    #[error("contract {file}, block {block}: {problem}")]
    Block {
        /// The file.
        file: String,
        /// Name of the block.
        block: String,
        /// What is wrong.
        problem: Problem,
    },
    /// A field is wrong.
    #[error("contract {file}, block {block}, field {field}: {problem}")]
    Field {
        /// The file.
        file: String,
        /// Name of the block.
        block: String,
        /// Name of the field.
        field: String,
        /// What is wrong.
        problem: Problem,
    },
}

/// What is wrong with a contract, a block or a field.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Problem {
    /// More text than any contract needs.
    #[error("has more than {0} bytes; document one format a file")]
    TooLong(usize),
    /// A name or a text is empty, long or has control characters.
    #[error("`{0}` is empty, longer than 200 bytes or has control characters; say it in one line")]
    Text(&'static str),
    /// A number of the head is out of its range.
    #[error("`{key}` is not {range}; choose one that is")]
    Setting {
        /// The key.
        key: &'static str,
        /// What it may be.
        range: &'static str,
    },
    /// A driver's flag is one of those that all formats have.
    #[error("flag `{0}` is not one of the bits 8 to 15; those below are the same for all formats")]
    Flag(String),
    /// No block at all.
    #[error("has no block; document those that the hardware has")]
    NoBlock,
    /// A block type that cannot be carried.
    #[error("type {0} is not below 64; formats with more cannot be checked")]
    Type(u16),
    /// A type, or a name, for the second time.
    #[error("{0} is used before; each block, and each field in its block, has its own")]
    Again(String),
    /// A size that no block has.
    #[error("size {0} is not a multiple of 8 from 16 to 65536; state the structure's, padded")]
    Size(usize),
    /// No field, or too many.
    #[error("has {0} fields; document 1 to 1024")]
    Fields(usize),
    /// A field reaches past its block.
    #[error("ends at byte {end} of a body of {body}; give its true offset and length")]
    Past {
        /// Where it ends.
        end: usize,
        /// Bytes of the body.
        body: usize,
    },
    /// The field is not where the compiler would put it.
    #[error("is not aligned to its type; give its true offset")]
    Unaligned,
    /// Two fields share a bit.
    #[error("shares bits with {0}; each bit belongs to one field")]
    Overlap(String),
    /// Bits that the number does not have, or in a number with a sign.
    #[error(
        "`bits` or `mask` does not fit the type; bits are of unsigned numbers, one key of both"
    )]
    Bits,
    /// A range that cannot be.
    #[error("the range is empty or reaches beyond the type; leave out what the type says anyway")]
    Range,
    /// Values that cannot be.
    #[error("`values` stands beside a range, is empty, repeats one, or has one outside 0..=63")]
    Values,
    /// A curve of one element.
    #[error("`rises` needs an array of whole u16 numbers")]
    Rises,
}
