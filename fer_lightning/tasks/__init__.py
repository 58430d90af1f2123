"""LightningModules: one per kind of output and training rule, never one per network."""
