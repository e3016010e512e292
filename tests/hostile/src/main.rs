//! `coldshoe-hostile`: the escape list, printed as a table.
#![forbid(unsafe_code)]

use std::process::ExitCode;

fn main() -> ExitCode {
    coldshoe_hostile::main(coldshoe_hostile::As::Program)
}
