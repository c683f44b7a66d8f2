"""Measurements of the program, each as a ratio to something else in the same run."""
