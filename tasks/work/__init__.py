"""The worker's side: takes chunks and scores them. Never imports `tasks.submit`."""
