"""Operators of our own, compiled on the machine that runs them, with a plain one behind each."""
