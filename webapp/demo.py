"""`python -m webapp.demo` is `sentiq demo`."""

from __future__ import annotations

import sys

from webapp.client.cli import main

if __name__ == "__main__":
    sys.argv.insert(1, "demo")
    main()
