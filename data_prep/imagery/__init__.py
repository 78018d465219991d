"""Rasters: opened safely, read by windows, stretched to 8 bits."""
