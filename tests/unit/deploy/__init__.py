"""Containers, Kubernetes and the simulation of its scaling."""
