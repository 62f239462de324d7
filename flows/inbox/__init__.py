"""Manifests that are dropped: claimed once, answered, run, marked as finished."""
