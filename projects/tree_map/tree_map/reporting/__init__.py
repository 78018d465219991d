"""A run told on one HTML page that opens anywhere, offline: the map, what was missed, the figures and where from."""
