"""The worker's side: chunks are scored. Never imports `tasks.submit`."""
