//! The rules of the workspace's layout, kept by a test instead of a reviewer.

use std::fs;
use std::path::Path;

/// Versions are pinned in one place: a member's manifest only refers to them.
#[test]
fn members_name_no_versions_of_their_own() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for member in ["pump-core", "sources", "sinks", "testing"] {
        let manifest =
            fs::read_to_string(root.join(member).join("Cargo.toml")).expect("a member has a manifest");
        let own = manifest.lines().find(|line| line.contains("version = "));
        assert_eq!(own, None, "{member}/Cargo.toml pins a version itself");
    }
}
