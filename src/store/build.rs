//! A migration that is added must rebuild the crate: `sqlx::migrate!` cannot see a file that did not exist.

fn main() {
    println!("cargo:rerun-if-changed=journal/sqlite/migrations");
    println!("cargo:rerun-if-changed=journal/postgres/migrations");
}
