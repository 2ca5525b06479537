"""Celery policy: queues, acknowledgement, redelivery. Addresses come from `tasks.settings`; nothing here varies by
machine.
"""

from kombu import Queue

# Live callers and jobs never share a queue, nor a worker process.
task_queues = (Queue("interactive"), Queue("batch"))
task_default_queue = "batch"
task_create_missing_queues = False

# A chunk is acknowledged when its outcome is stored, so a worker's death costs a second run, never an answer.
task_acks_late = True
task_reject_on_worker_lost = True
task_acks_on_failure = False
task_acks_on_timeout = False

# A dead worker's chunks are due again after `visibility_timeout` seconds, and the living look for them every second:
# both restore settings are needed (kombu's defaults made redelivery take 90 s). A chunk that takes longer is kept its
# owner's by tasks.work.leases.
VISIBILITY_TIMEOUT_S = 6
# One list in Redis for each; workers look into the first one first.
PRIORITY_STEPS = (0, 3, 6, 9)
broker_transport_options = {
    "priority_steps": PRIORITY_STEPS,
    "visibility_timeout": VISIBILITY_TIMEOUT_S,
    "unacked_restore_interval": 1,
    "unacked_restore_throttle": 1,
    # Seconds (whole ones) that a worker may keep the others from looking. kombu's are 300: one that dies meanwhile, or
    # loses its network, would hold all redelivery back for five minutes.
    "unacked_mutex_expire": 2,
    "socket_connect_timeout": 1,
    "socket_timeout": 5,
    "socket_keepalive": True,
    # One retry inside redis-py hides an idle connection that a restarted server has closed.
    "retry_on_timeout": True,
    "health_check_interval": 25,
}
broker_connection_retry_on_startup = True
broker_connection_max_retries = None
worker_cancel_long_running_tasks_on_connection_loss = False

# A worker holds no more chunks than it has threads: what it has not begun, another may take.
worker_prefetch_multiplier = 1

# Never pickle.
accept_content = ("json",)
task_serializer = "json"
result_serializer = "json"
result_accept_content = ("json",)

# Results are stored by the chunk itself, before it counts as done; Celery's own write would come after.
task_ignore_result = True
result_extended = False
# A result written while Redis restarts is otherwise lost.
result_backend_always_retry = True
result_backend_max_retries = 20
redis_socket_timeout = 5.0
redis_socket_connect_timeout = 1.0
redis_retry_on_timeout = True

# Flower asks workers by remote control, and turns events on itself where a worker is watched (`tasks.work.serving`);
# else they would be a Redis round trip each for no reader.
worker_enable_remote_control = True
worker_send_task_events = False
worker_hijack_root_logger = False
task_track_started = False
timezone = "UTC"
