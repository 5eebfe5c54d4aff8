"""The parts of the judge of a backbone, `experiments/backbone_probe.py`."""
