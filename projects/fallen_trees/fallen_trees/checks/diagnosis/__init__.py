"""The doctor: all checks of a run to be, and what they say as a table and as a page."""
