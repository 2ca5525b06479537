"""Takes the README's pictures of the pages: `make screenshots`. It needs Debian's package chromium.

It starts a Sentiq with the embedded model in an empty folder, has `sentiq demo` fill it and play its show, and takes a
picture of the show's stream, once its mood has turned, and one of the report of the demo's file. They are written to
docs/, as small PNG.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Page, expect, sync_playwright

from benchmarks.services import ROOT, Sentiq

_WIDTH, _HEIGHT, _OF_STREAM = 1120, 960, 1090
_LIVE_S = 45
_WAIT_MS = 120_000
_DOCS = ROOT / "docs"


@contextmanager
def demo(url: str) -> Iterator[tuple[subprocess.Popen[str], dict[str, str]]]:
    """`sentiq demo`, as far as its live part has begun, with the addresses that it has printed, by their names."""
    command = [sys.executable, "-m", "webapp.demo", "--seconds", str(_LIVE_S), "--url", url]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
        assert process.stdout is not None
        addresses: dict[str, str] = {}
        for line in process.stdout:
            name, _, address = line.strip().rpartition("  ")
            addresses[name.strip()] = address.strip()
            if address.startswith(url) and address.endswith("/status"):
                break
        try:
            yield process, addresses
        finally:
            process.terminate()


def _save(page: Page, name: str) -> None:
    path = _DOCS / f"screenshot-{name}.png"
    page.screenshot(path=path, animations="disabled")
    print(f"{path.relative_to(ROOT)}: {path.stat().st_size / 1000:.0f} kB")


def main() -> None:
    """Takes the pictures."""
    if (chromium := shutil.which("chromium")) is None:
        sys.exit("Chromium is needed (Debian's package chromium).")
    with tempfile.TemporaryDirectory(prefix="sentiq-") as folder, sync_playwright() as playwright:
        sentiq = Sentiq(Path(folder), WEB_CONCURRENCY="1")
        sentiq.start(sentiq.is_ready)
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
        try:
            context = browser.new_context(
                viewport={"width": _WIDTH, "height": _HEIGHT}, reduced_motion="reduce", locale="en-GB"
            )
            context.set_default_timeout(_WAIT_MS)
            expect.set_options(timeout=_WAIT_MS)
            began = time.monotonic()
            with demo(f"http://127.0.0.1:{sentiq.port}") as (process, addresses):
                print(f"the demo's streams and its file are there after {time.monotonic() - began:.0f} s")
                page = context.new_page()
                page.goto(addresses["A file's report"])
                expect(page.locator("#made .headlines")).to_be_visible()
                page.evaluate("document.querySelector('.downloads-row').scrollIntoView()")
                _save(page, "report")
                process.communicate()  # the show is over
                page.set_viewport_size({"width": _WIDTH, "height": _OF_STREAM})
                page.goto(f"{addresses['A show, live']}?last=1h")
                expect(page.locator(".shifted").filter(has_text="up")).to_be_visible()
                expect(page.locator(".live-state.on")).to_be_visible()
                _save(page, "stream")
        finally:
            browser.close()
            sentiq.close()


if __name__ == "__main__":
    main()
