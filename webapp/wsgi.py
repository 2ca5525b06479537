"""Composition root of the web process, names `app`. Nothing imports it."""

from tasks.logs import configure_logs
from tasks.service import SentimentService
from tasks.settings import load_settings
from webapp.app import create_app

_settings = load_settings()
configure_logs(_settings.log_level)
app = create_app(_settings, SentimentService(_settings))
