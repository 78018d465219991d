"""The model card of a training run: what it was trained on and how, how good it is, and what it has not seen."""
