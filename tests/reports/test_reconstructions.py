import matplotlib.image
import torch

from fedcmr.reports.reconstructions import draw_reconstructions


def test_a_picture_is_written_with_a_row_for_each_image(tmp_path):
    slices = (torch.ones(8, 8), torch.full((8, 8), float("nan")), torch.zeros(8, 8))
    one, two = tmp_path / "new" / "one.png", tmp_path / "two.png"
    draw_reconstructions(one, {"a": slices}, "epoch 1")
    draw_reconstructions(two, {"a": slices, "b": slices}, "epoch 1")
    first, second = (matplotlib.image.imread(file) for file in (one, two))
    assert first.shape[1] == second.shape[1]
    assert first.shape[0] < second.shape[0]


def test_hidden_parts_are_neither_black_nor_white(tmp_path):
    hidden = torch.full((8, 8), float("nan"))
    draw_reconstructions(tmp_path / "one.png", {"a": (hidden, hidden, hidden)}, "epoch 1")
    image = matplotlib.image.imread(tmp_path / "one.png")[..., :3]
    middle = image[image.shape[0] // 2, image.shape[1] // 2]
    assert middle.max() > middle.min()
