"""Pre-training: from a recipe to a run folder."""
