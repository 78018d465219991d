"""Values that follow from others, filled into a config when the run is known."""
