"""Samples from bytes and outlines: what takes the place of MMDetection's slow steps, one word of a config each."""
