"""The middle layer: what web processes submit, what workers run, and what both share."""
