"""Rounds and predictions -> something to read: journal, summary, controls, tables, pictures, W&B."""
