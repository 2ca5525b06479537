"""What the pages cost a browser: `python -m benchmarks.pages http://127.0.0.1:8000 [PATH ...]`.

Prints for each page the requests, the kilobytes of scripts and styles as sent and as compressed by gzip (which a proxy
in front does), and the milliseconds until the first paint, the median of five visits with an empty cache.
"""

from __future__ import annotations

import gzip
import shutil
import statistics
import sys
from typing import Any

from playwright.sync_api import Browser, Response, sync_playwright

_PATHS = ("/", "/files", "/streams", "/status", "/docs")
_VISITS = 5
_PAINT = "performance.getEntriesByName('first-contentful-paint')[0]?.startTime ?? NaN"


def _visit(browser: Browser, address: str) -> tuple[float, dict[str, list[bytes]]]:
    """The time to the first paint, and the bodies of the page's files by their kind."""
    page = browser.new_page()
    answers: list[Response] = []
    page.on("response", lambda answer: answers.append(answer))  # Playwright takes no builtin
    page.goto(address, wait_until="load")
    page.wait_for_function(f"!Number.isNaN({_PAINT})")
    paint: float = page.evaluate(_PAINT)
    bodies: dict[str, list[bytes]] = {}
    for answer in answers:
        if answer.ok:
            bodies.setdefault(answer.request.resource_type, []).append(answer.body())
    page.close()
    return paint, bodies


def _kilobytes(bodies: list[bytes]) -> str:
    whole = sum(map(len, bodies))
    packed = sum(len(gzip.compress(body)) for body in bodies)
    return f"{whole / 1000:.1f} kB ({packed / 1000:.1f} packed)"


def main(arguments: list[str]) -> None:
    """Visits the pages and prints a line for each."""
    base, *paths = arguments
    options: dict[str, Any] = {"executable_path": shutil.which("chromium"), "args": ["--no-sandbox", "--disable-gpu"]}
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(**options)
        for path in paths or _PATHS:
            visits = [_visit(browser, f"{base.rstrip('/')}{path}") for _ in range(_VISITS)]
            bodies = visits[0][1]
            paint = statistics.median(paint for paint, _ in visits)
            print(
                f"{path}: first paint {paint:.0f} ms; {sum(map(len, bodies.values()))} requests;"
                f" scripts {_kilobytes(bodies.get('script', []))}; styles {_kilobytes(bodies.get('stylesheet', []))};"
                f" page {_kilobytes(bodies.get('document', []))}"
            )
        browser.close()


if __name__ == "__main__":
    main(sys.argv[1:])
