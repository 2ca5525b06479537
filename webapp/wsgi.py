"""What Gunicorn loads: names `app`. Nothing imports it."""

from webapp.compose import web_application

app = web_application()
