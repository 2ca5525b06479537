"""The web process's side: submits texts and jobs, and waits for their answers. Never imports `tasks.work`."""
