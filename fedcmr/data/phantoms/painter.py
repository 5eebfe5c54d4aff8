"""Laying tissues over one another on a grid of voxels, with soft edges and soft textures."""

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, zoom

Field = NDArray[np.float32]
Signal = Field | float | np.float32


class Painter:
    """Lays tissues over one another: each covers what lies beneath by how much of the voxel it fills.

    Args:
        shape: of the image. edge_mm: width of an edge, about the acquired pixel.
    """

    def __init__(self, shape: tuple[int, ...], edge_mm: float) -> None:
        self.image = np.zeros(shape, np.float32)
        self.edge_mm = np.float32(edge_mm)

    def fill(self, outside_mm: Field, signal: Signal, where: Field | None = None) -> None:
        """Lays a tissue where `outside_mm` < 0: signed distance to its surface; `where` is a further opacity, 0 to
        1.
        """
        cover = np.clip(np.float32(0.5) - outside_mm / self.edge_mm, 0, 1)
        if where is not None:
            cover = cover * where
        self.image += cover * (signal - self.image)


def ellipse(x: Field, y: Field, centre: tuple[float, float], half: tuple[float, float]) -> Field:
    """About the signed distance to an ellipse with half-axes `half`, in mm; negative inside."""
    far = np.sqrt(
        ((x - np.float32(centre[0])) / np.float32(half[0])) ** 2
        + ((y - np.float32(centre[1])) / np.float32(half[1])) ** 2
    )
    return (far - 1) * np.float32(np.sqrt(half[0] * half[1]))


def smooth_noise(rng: np.random.Generator, shape: tuple[int, int, int], step: int, blur: float) -> Field:
    """Smooth random field of unit variance, (Z, X, Y), independent from slice to slice, with grains of about `step`
    · `blur` voxels.
    """
    slices, rows, columns = shape
    coarse = rng.standard_normal((slices, rows // step + 2, columns // step + 2), dtype=np.float32)
    coarse = gaussian_filter(coarse, (0.3, blur, blur))
    fine = zoom(coarse / coarse.std(), (1, step, step), order=1, grid_mode=False, prefilter=False)
    return np.ascontiguousarray(fine[:, :rows, :columns])
