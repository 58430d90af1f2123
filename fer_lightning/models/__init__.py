"""One architecture per file; torch and timm only, no Lightning, no Hydra."""
