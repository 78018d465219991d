"""Detections against truth: COCO's figures and those of one score threshold."""
