"""Runs that survive anything: atomic checkpoints, exact resume, honest signals."""
