"""Vision Transformers: what the package assumes of one, where they come from, which are trained."""
