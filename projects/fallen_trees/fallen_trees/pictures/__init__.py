"""Pictures of truth beside prediction: what is drawn, and of which images a hook has it drawn."""
