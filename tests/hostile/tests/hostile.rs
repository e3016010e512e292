//! The escape list as a test.

use std::process::ExitCode;

fn main() -> ExitCode {
    coldshoe_hostile::main(coldshoe_hostile::As::Test)
}
