"""`python -P -m webapp.server ...` is `gunicorn ...` for any current folder.

Gunicorn puts the current folder first on Python's path unless it is there already; another project's `tasks` or `model`
in it would then be imported instead of Sentiq's.
"""

import os
import sys

from gunicorn.app.wsgiapp import run

sys.path.append(os.getcwd())
run(prog="gunicorn")
