"""Raw folder to manifest, one file per data set, each with `build_manifest(root)` and `write_tiny(root)`."""
