"""Runs the whole pipeline on one machine: the services, the event source, the demo and the end-to-end check."""
