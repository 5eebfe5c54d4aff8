"""Where visits happen. An engine moves tensors, never looks at an algorithm's arithmetic; all call the same visit."""
