"""The images and compose's stack in a Docker engine of the tests' own: `make containers`."""
