"""Inference alone: plain arguments in, arrays out. Reads no settings and knows nothing of queues."""

from model.patches import usage_data

usage_data.install()  # here, so that it happens before any module of `model` imports a library
