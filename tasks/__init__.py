"""The shared middle: what the web submits and what the worker runs meet here."""
