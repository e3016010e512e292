//! NumPy `.npy` version 1 files of one kind: little-endian float32, C order, two dimensions.
//!
//! Source: `numpy/lib/format.py`. The header is taken as `numpy.save` writes it, to the letter.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use thiserror::Error;

use super::{SceneError, open_regular};
use crate::bayer::{Dimensions, DimensionsError};

const MAGIC: &[u8; 8] = b"\x93NUMPY\x01\x00";
const PREFIX: usize = MAGIC.len() + 2;
/// `numpy.save` pads the header of such an array to 118 bytes.
const MAX_HEADER: usize = 1024;

/// Why a file is not such an array.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum NpyError {
    /// No `.npy` file of version 1.
    #[error("it does not start as a .npy file of version 1 does")]
    Magic,
    /// A header longer than any of this kind.
    #[error("its header is {0} bytes long, {MAX_HEADER} at most are expected")]
    HeaderLength(usize),
    /// A header that is not as `numpy.save` writes it.
    #[error("its header does not parse")]
    Header,
    /// Another type of number.
    #[error("its numbers are '{0}', not '<f4' (float32, little-endian)")]
    Dtype(String),
    /// Column by column.
    #[error("it is in Fortran order, not in C order")]
    FortranOrder,
    /// Not two dimensions.
    #[error("its shape is ({0}), not two numbers")]
    Shape(String),
    /// A size no frame has.
    #[error("its shape says {0}")]
    Dimensions(#[from] DimensionsError),
    /// Too few or too many bytes.
    #[error("it has {got} bytes, its header says {want}")]
    Length {
        /// Bytes of the file.
        got: u64,
        /// Bytes it should have.
        want: u64,
    },
    /// A number that is no radiance.
    #[error("value {index} is {value}, not a finite number of 0 or more")]
    Value {
        /// Its place.
        index: usize,
        /// What it is.
        value: f32,
    },
}

/// Reads an array: its size, and its values row by row.
pub fn read(path: &Path) -> Result<(Dimensions, Vec<f32>), SceneError> {
    let io_error = |source| SceneError::io(path, source);
    let npy_error = |source| SceneError::Npy {
        path: path.to_owned(),
        source,
    };
    let (mut file, got) = open_regular(path)?;
    let header = read_header(&mut file)
        .map_err(io_error)?
        .map_err(npy_error)?;
    let size = parse_header(&header).map_err(npy_error)?;
    // Bounded by `Dimensions`, and known to be there before memory is asked for.
    let want = (PREFIX + header.len() + 4 * size.pixels()) as u64;
    if got != want {
        return Err(npy_error(NpyError::Length { got, want }));
    }
    let mut bytes = vec![0; 4 * size.pixels()];
    file.read_exact(&mut bytes).map_err(io_error)?;
    let values: Vec<f32> = bytes
        .as_chunks()
        .0
        .iter()
        .map(|bytes| f32::from_le_bytes(*bytes))
        .collect();
    match values.iter().position(|v| !(v.is_finite() && *v >= 0.0)) {
        Some(index) => Err(npy_error(NpyError::Value {
            index,
            value: values[index],
        })),
        None => Ok((size, values)),
    }
}

/// The header behind magic and length.
fn read_header(file: &mut File) -> io::Result<Result<Vec<u8>, NpyError>> {
    let mut start = Vec::new();
    file.take(PREFIX as u64).read_to_end(&mut start)?;
    let Some([l0, l1]) = start.strip_prefix(MAGIC) else {
        return Ok(Err(NpyError::Magic));
    };
    let len = usize::from(u16::from_le_bytes([*l0, *l1]));
    if len > MAX_HEADER {
        return Ok(Err(NpyError::HeaderLength(len)));
    }
    let mut header = Vec::new();
    file.take(len as u64).read_to_end(&mut header)?;
    Ok(if header.len() == len {
        Ok(header)
    } else {
        Err(NpyError::Header)
    })
}

/// `{'descr': '<f4', 'fortran_order': False, 'shape': (rows, columns), }`, spaces, newline.
fn parse_header(header: &[u8]) -> Result<Dimensions, NpyError> {
    let text = std::str::from_utf8(header).map_err(|_| NpyError::Header)?;
    let (dtype, rest) = text
        .strip_prefix("{'descr': '")
        .and_then(|rest| rest.split_once("', 'fortran_order': "))
        .ok_or(NpyError::Header)?;
    let (order, rest) = rest.split_once(", 'shape': (").ok_or(NpyError::Header)?;
    let (shape, tail) = rest.split_once("), }").ok_or(NpyError::Header)?;
    if !tail.ends_with('\n') || !tail.trim_end_matches('\n').bytes().all(|b| b == b' ') {
        return Err(NpyError::Header);
    }
    if dtype != "<f4" {
        return Err(NpyError::Dtype(dtype.into()));
    }
    match order {
        "False" => {}
        "True" => return Err(NpyError::FortranOrder),
        _ => return Err(NpyError::Header),
    }
    let side = |digits: &str| digits.parse::<u64>().ok();
    let sides = shape
        .split_once(", ")
        .map(|(rows, columns)| (side(rows), side(columns)));
    let Some((Some(rows), Some(columns))) = sides else {
        return Err(NpyError::Shape(shape.into()));
    };
    Ok(Dimensions::new(columns, rows)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(text: &str) -> Result<Dimensions, NpyError> {
        parse_header(format!("{text}   \n").as_bytes())
    }

    fn of_shape(shape: &str) -> Result<Dimensions, NpyError> {
        header(&format!(
            "{{'descr': '<f4', 'fortran_order': False, 'shape': ({shape}), }}"
        ))
    }

    #[test]
    fn the_header_numpy_writes_is_understood() {
        let size = of_shape("342, 408").unwrap();
        assert_eq!((size.width(), size.height()), (408, 342));
    }

    #[test]
    fn another_type_or_order_is_refused() {
        assert!(matches!(
            header("{'descr': '<f8', 'fortran_order': False, 'shape': (2, 2), }"),
            Err(NpyError::Dtype(dtype)) if dtype == "<f8"
        ));
        assert!(matches!(
            header("{'descr': '<f4', 'fortran_order': True, 'shape': (2, 2), }"),
            Err(NpyError::FortranOrder)
        ));
    }

    #[test]
    fn a_shape_that_is_not_two_numbers_is_refused() {
        for shape in ["342,", "3, 342, 408", "", "-2, 4", "x, 4", "4.0, 4"] {
            assert!(
                matches!(of_shape(shape), Err(NpyError::Shape(_))),
                "{shape}"
            );
        }
    }

    #[test]
    fn zero_odd_and_absurd_sizes_are_refused() {
        for shape in ["0, 408", "341, 408", "342, 99999999999", "8194, 8194"] {
            assert!(
                matches!(of_shape(shape), Err(NpyError::Dimensions(_))),
                "{shape}"
            );
        }
    }

    #[test]
    fn anything_else_in_the_header_is_refused() {
        for text in [
            "",
            "{}",
            "{'descr': '<f4'}",
            "{'shape': (2, 2), 'descr': '<f4', 'fortran_order': False, }",
            "{'descr': '<f4', 'fortran_order': 0, 'shape': (2, 2), }",
            "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 2), } x",
        ] {
            assert!(matches!(header(text), Err(NpyError::Header)), "{text}");
        }
    }

    proptest::proptest! {
        #[test]
        fn arbitrary_headers_never_panic(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..128)) {
            let _ = parse_header(&bytes);
        }
    }
}
