"""Pre-training of a backbone: frames of the cine in, weights in the foundation model's layout out."""
