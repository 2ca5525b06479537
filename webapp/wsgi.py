"""Composition root of the web process, names `app`. Nothing imports it."""

from tasks.logs import configure_logs
from tasks.settings import load_settings
from tasks.submit.service import SentimentService
from tasks.tracing import start_tracing
from webapp.app import create_app

_settings = load_settings()
configure_logs(_settings.log_level, _settings.log_format, "web")
_tracing = start_tracing(_settings, "web")
app = create_app(_settings, SentimentService(_settings, _tracing), _tracing)
