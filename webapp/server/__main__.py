"""`python -P -m webapp.server ...` is `gunicorn ...` that can be started in any folder.

Gunicorn puts the current folder first on the path, unless the path has it already: a `tasks` or a `model` of somebody
else would be taken for ours.
"""

import os
import sys

from gunicorn.app.wsgiapp import run

sys.path.append(os.getcwd())
run(prog="gunicorn")
