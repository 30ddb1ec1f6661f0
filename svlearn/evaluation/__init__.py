"""Metrics, comparisons of samplers, and their report."""
