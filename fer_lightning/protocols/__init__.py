"""What a protocol does: plan the folds, run each of them, one after the other or side by side."""
