//! A well-meaning module in Rust: hashing with random seeds, output, a panic that is caught.

#[no_mangle]
pub extern "C" fn run() -> i32 {
    let squares: std::collections::HashMap<u32, u32> = (0..10_000).map(|n| (n, n * n)).collect();
    println!("panic: {} squares", squares.len());
    let caught = std::panic::catch_unwind(|| panic!("and carry on"));
    match caught {
        Err(_) if squares[&9] == 81 => 42,
        _ => 1,
    }
}
