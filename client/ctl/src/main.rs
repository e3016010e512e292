//! client/ctl
fn main() {}
