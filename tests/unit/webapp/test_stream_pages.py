"""Views of streams as the pages show them, on a real server: what is drawn, how often, and what a link opens."""

from __future__ import annotations

import csv
import io
import time
from collections.abc import Iterator
from xml.etree import ElementTree

import pytest
from flask import Flask
from werkzeug.test import TestResponse

from tasks.keys import digest
from tasks.settings import Settings
from tasks.streams.counted import write_counted
from tasks.streams.gathering import Gathering
from tasks.streams.kept import KeptStreams
from tasks.streams.links import MOST_LINKS, StreamLinks
from tasks.streams.shifts import KeptShifts
from tasks.streams.stream import Stream, StreamSettings
from tests.support.outcomes import scored
from tests.support.stack import Stack
from tests.support.web import web_application
from webapp.pages.stream_query import read_view
from webapp.pages.stream_views import StreamViews
from webapp.reading.refusals import UploadRefused

KEY = "a key for streams"
OTHER = "a key of somebody else"
HOSTILE = "<img src=x onerror=alert(1)>{{7*7}}\u202e"
HTML = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}
