"""The job machine: what a job is, and every change of its state."""
