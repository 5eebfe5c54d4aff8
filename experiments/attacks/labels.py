"""An attack on what a client learns from."""

from fedcmr.data.loaders import ClientData


def flip_labels(data: ClientData, classes: int) -> None:
    """Turns the class c of every training case of this client into L − 1 − c, of two classes each into the other.

    Its validation and test cases keep their labels.

    Args:
        classes: L ≥ 2.
    """
    cases = data.sets["train"]
    cases.labels = [classes - 1 - label for label in cases.labels]
