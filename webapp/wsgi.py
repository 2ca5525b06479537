"""What Gunicorn loads: the global `app`. No other module imports this one."""

from webapp.compose import web_application

app = web_application()
