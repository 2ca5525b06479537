"""Reads files of texts: one reader for uploads, the command line and the client. It knows no HTTP."""
