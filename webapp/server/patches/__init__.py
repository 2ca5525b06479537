"""Patches of Gunicorn: one file for each. A test runs the library without the patch; once the library is fixed, the
test fails and says what to delete.
"""
