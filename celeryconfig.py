"""Celery's configuration: queues, acknowledgement and redelivery.

Nothing here depends on the machine; the Redis addresses come from `tasks.settings`.
"""

from kombu import Queue

# Live callers and jobs share neither a queue nor a worker process.
task_queues = (Queue("interactive"), Queue("batch"))
task_default_queue = "batch"
task_create_missing_queues = False

# A chunk is acknowledged after its outcome is stored: if a worker dies, the chunk runs again and no answer is lost.
task_acks_late = True
task_reject_on_worker_lost = True
task_acks_on_failure = False
task_acks_on_timeout = False

# A dead worker's chunks are redelivered after `visibility_timeout` seconds; the others look for them every second. Both
# restore settings are needed (with kombu's defaults redelivery took 90 s). While a chunk takes longer than the timeout,
# its worker renews the lease (tasks.work.leases).
VISIBILITY_TIMEOUT_S = 6
# Redis has one list for each step; workers empty the lists in this order.
PRIORITY_STEPS = (0, 3, 6, 9)
broker_transport_options = {
    "priority_steps": PRIORITY_STEPS,
    "visibility_timeout": VISIBILITY_TIMEOUT_S,
    "unacked_restore_interval": 1,
    "unacked_restore_throttle": 1,
    # Whole seconds for which a worker may hold the lock on redelivery. With kombu's 300, a worker that dies or loses
    # its network while it holds the lock would block all redelivery for five minutes.
    "unacked_mutex_expire": 2,
    "socket_connect_timeout": 1,
    "socket_timeout": 5,
    "socket_keepalive": True,
    # One retry inside redis-py covers idle connections that a restarted server has closed.
    "retry_on_timeout": True,
    "health_check_interval": 25,
}
broker_connection_retry_on_startup = True
broker_connection_max_retries = None
worker_cancel_long_running_tasks_on_connection_loss = False

# A worker fetches no more chunks than it has threads, so that other workers can take the rest.
worker_prefetch_multiplier = 1

# Never pickle.
accept_content = ("json",)
task_serializer = "json"
result_serializer = "json"
result_accept_content = ("json",)

# The task stores the chunk's results itself before the chunk counts as done; Celery would write them only afterwards.
task_ignore_result = True
result_extended = False
# Without the retries, a result written while Redis restarts is lost.
result_backend_always_retry = True
result_backend_max_retries = 20
redis_socket_timeout = 5.0
redis_socket_connect_timeout = 1.0
redis_retry_on_timeout = True

# Flower queries workers by remote control, and switches task events on in the workers that it monitors
# (`tasks.work.serving`). Without a reader, each event would be a wasted Redis round trip.
worker_enable_remote_control = True
worker_send_task_events = False
worker_hijack_root_logger = False
task_track_started = False
timezone = "UTC"
