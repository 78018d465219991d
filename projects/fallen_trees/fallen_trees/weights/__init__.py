"""Checkpoints of other models and other frameworks, made to fit."""
