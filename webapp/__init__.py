"""The HTTP service and its client. Imports `tasks`, but never torch, transformers or the body of a task."""
