"""The pages for people: drawn by the server, with small scripts and nothing from another host. docs/pages.md describes
them.
"""
