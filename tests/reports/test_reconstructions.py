import matplotlib.image
import torch

from fedcmr.reports.reconstructions import Outlined, draw_outlines, draw_reconstructions


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


def test_outlines_are_where_a_share_is_a_half(tmp_path):
    # a structure that fills the left half along X: its outline is one upright line in the middle
    share = torch.zeros(1, 4, 4)
    share[0, :2] = 1
    none = torch.zeros(1, 4, 4)
    image = torch.zeros(16, 16)
    for name, told in (("with", share), ("without", none)):
        draw_outlines(tmp_path / f"{name}.png", {"a": {"ED": Outlined(image, none, told)}}, "epoch 1")
    drawn, plain = (matplotlib.image.imread(tmp_path / f"{name}.png")[..., :3] for name in ("with", "without"))
    changed = (drawn != plain).any(axis=2)
    columns = changed.any(axis=0).nonzero()[0]
    assert 0 < columns.max() - columns.min() < 6
    assert changed.any(axis=1).sum() > 10 * (columns.max() - columns.min())


def test_frames_stand_beside_one_another_and_images_below(tmp_path):
    slice = Outlined(torch.rand(8, 8), torch.rand(3, 2, 2), torch.rand(3, 2, 2))
    draw_outlines(tmp_path / "one.png", {"a": {"ED": slice, "ES": slice}}, "epoch 1")
    draw_outlines(tmp_path / "two.png", {"a": {"ED": slice}, "b": {"ED": slice}}, "epoch 1")
    one, two = (matplotlib.image.imread(tmp_path / name) for name in ("one.png", "two.png"))
    assert one.shape[1] > two.shape[1]
    assert one.shape[0] < two.shape[0]
