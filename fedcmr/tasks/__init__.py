"""What is asked of the features: features -> logits -> loss -> probabilities -> scores. A task owns its head."""
