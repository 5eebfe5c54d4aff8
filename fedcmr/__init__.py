"""fedcmr: federated, parameter-efficient fine-tuning of a frozen 3-D cardiac-MR foundation model."""
