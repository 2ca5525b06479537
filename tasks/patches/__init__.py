"""Corrections to libraries that web processes and workers share, besides those of the queues: one file for each.

Each patch has a test of the library without it. When that test fails, the patch is no longer needed, and the message
says what to delete.
"""
