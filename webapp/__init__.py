"""HTTP. Imports the tasks floor; never torch, transformers or the body of a task."""
