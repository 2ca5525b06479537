"""What is mended in the libraries of the API: one file for each patch, with a test of the library without it. Once that
test fails, its message says what to delete.
"""
