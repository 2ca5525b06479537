"""A module of an analysis that fails while it is imported."""

raise RuntimeError("line one\nline two")
