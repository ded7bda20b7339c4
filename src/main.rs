//! The `pump` command.

fn main() {
    println!("pump {}", env!("CARGO_PKG_VERSION"));
}
