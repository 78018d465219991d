"""Mask2Former's head: matching, losses, attention, and instances from its logits."""
