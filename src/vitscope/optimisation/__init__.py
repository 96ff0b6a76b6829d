"""Optimiser, schedule and the resumable step loop."""
