"""The web process's side: texts and jobs are submitted and waited for. Never imports `tasks.work`."""
