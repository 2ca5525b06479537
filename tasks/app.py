"""What Celery's own commands load: `celery -A tasks.app inspect active`. No other module imports this one.

It finds the service by the same settings as the service itself. It sends no chunks, and is no worker: those are started
by `tasks.worker`.
"""

from tasks.queue.app import create_celery
from tasks.settings import load_settings

app = create_celery(load_settings(classes=False))
