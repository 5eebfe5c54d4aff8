"""Simulated hearts, from the person to the file: anatomy -> heart, thorax -> scanner -> render -> cohort ->
writing.
"""
