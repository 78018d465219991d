"""A map corrected by people, and back into the data of training: map -> files to correct -> labels and what changed."""
