//! Blocks laid out as the kernel's C structures: fields at their offsets, little-endian.

/// A number, or an array of them, as it lies in a buffer.
pub trait Wire: Copy {
    /// All zero.
    const ZERO: Self;
    /// Bytes that it takes.
    const BYTES: usize;

    /// Writes it to the front of `out`, which has [`BYTES`](Self::BYTES).
    fn put(&self, out: &mut [u8]);

    /// Reads it from the front of `bytes`; what is not there is 0.
    fn get(bytes: &[u8]) -> Self;
}

macro_rules! numbers {
    ($($number:ty),*) => {$(
        impl Wire for $number {
            const ZERO: Self = 0;
            const BYTES: usize = size_of::<Self>();

            fn put(&self, out: &mut [u8]) {
                for (to, byte) in out.iter_mut().zip(self.to_le_bytes()) {
                    *to = byte;
                }
            }

            fn get(bytes: &[u8]) -> Self {
                bytes.first_chunk().map_or(0, |bytes| Self::from_le_bytes(*bytes))
            }
        }
    )*};
}

numbers!(u8, u16, i16, u32);

impl<T: Wire, const N: usize> Wire for [T; N] {
    const ZERO: Self = [T::ZERO; N];
    const BYTES: usize = N * T::BYTES;

    fn put(&self, out: &mut [u8]) {
        for (out, element) in out.chunks_exact_mut(T::BYTES).zip(self) {
            element.put(out);
        }
    }

    fn get(bytes: &[u8]) -> Self {
        let mut all = Self::ZERO;
        for (element, bytes) in all.iter_mut().zip(bytes.chunks_exact(T::BYTES)) {
            *element = T::get(bytes);
        }
        all
    }
}

/// Declares a block by its fields: `offset in the body => name: type`.
///
/// What no field names is reserved and must be zero. Ranges are the contract's: it has them from
/// the headers, and it is what a buffer is held against.
macro_rules! wire_block {
    (
        $(#[$doc:meta])*
        $name:ident = $kind:literal $text:literal, $size:literal bytes {
            $($(#[$about:meta])* $offset:literal => $field:ident: $type:ty,)*
        }
    ) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub struct $name {
            $($(#[$about])* pub $field: $type,)*
        }

        impl Default for $name {
            /// All zero.
            fn default() -> Self {
                Self { $($field: <$type as $crate::wire::Wire>::ZERO,)* }
            }
        }

        impl $crate::blocks::Block for $name {
            const KIND: u16 = $kind;
            const NAME: &'static str = $text;
            const SIZE: usize = $size;

            fn encode(&self, body: &mut [u8]) {
                $(
                    const {
                        let end = $offset + <$type as $crate::wire::Wire>::BYTES;
                        assert!(end <= $size - 8);
                    }
                    if let Some(body) = body.get_mut($offset..) {
                        $crate::wire::Wire::put(&self.$field, body);
                    }
                )*
            }

            fn decode(body: &[u8]) -> Result<Self, $crate::blocks::BlockError> {
                $crate::blocks::BlockError::expect_size::<Self>(body)?;
                let block = Self {
                    $($field: $crate::wire::Wire::get(&body[$offset..]),)*
                };
                let mut again = [0; $size - 8];
                block.encode(&mut again);
                if again == body {
                    Ok(block)
                } else {
                    Err($crate::blocks::BlockError::Reserved { block: Self::NAME })
                }
            }
        }
    };
}

pub(crate) use wire_block;

#[cfg(test)]
mod tests {
    use crate::blocks::{Block, BlockError};

    wire_block! {
        /// A block of this test.
        Odd = 7 "ODD", 24 bytes {
            /// One byte.
            0 => small: u8,
            /// Three numbers.
            2 => several: [i16; 3],
            /// The end.
            12 => large: u32,
        }
    }

    #[test]
    fn fields_lie_where_they_are_declared() {
        let odd = Odd {
            small: 0xfe,
            several: [1, -2, 3],
            large: 0x0403_0201,
        };
        let mut body = [0; 16];
        odd.encode(&mut body);
        assert_eq!(
            body,
            [0xfe, 0, 1, 0, 0xfe, 0xff, 3, 0, 0, 0, 0, 0, 1, 2, 3, 4]
        );
        assert_eq!(Odd::decode(&body), Ok(odd));
    }

    #[test]
    fn what_no_field_names_must_be_zero_and_the_size_is_the_blocks() {
        for reserved in [1, 8, 9, 10, 11] {
            let mut body = [0; 16];
            body[reserved] = 1;
            assert_eq!(
                Odd::decode(&body),
                Err(BlockError::Reserved { block: "ODD" })
            );
        }
        assert!(matches!(
            Odd::decode(&[0; 15]),
            Err(BlockError::Size {
                got: 15,
                want: 16,
                ..
            })
        ));
    }
}
