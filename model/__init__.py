"""Inference alone: plain arguments in, arrays out. Reads no settings and knows nothing of queues."""
