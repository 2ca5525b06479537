"""Shares, comparisons and shifts from scores and labels: numpy alone."""
