"""Made hearts in the official layouts of ACDC, M&Ms and M&Ms-2: a few kB a patient, seeded, nothing real in them.

A heart is a bright left cavity in a dark ring beside a bright right cavity, in a grainy body; the cavities shrink from
ED to ES. Masks use the label order of each data set.
"""

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import nibabel
import numpy as np

from fedcmr.data.mnms import COLUMNS, TABLE

SHAPE = (40, 36, 5)
SPACING_MM = (3.0, 3.0, 10.0)
ACDC_LABELS = (1, 2, 3)
MNMS_LABELS = (3, 2, 1)


@dataclass(frozen=True)
class Heart:
    """One made study. centre in voxels along X and Y; labels: of right ventricle, myocardium, left ventricle."""

    seed: int = 0
    shape: tuple[int, int, int] = SHAPE
    spacing_mm: tuple[float, float, float] = SPACING_MM
    centre: tuple[float, float] = (22.0, 17.0)
    labels: tuple[int, int, int] = ACDC_LABELS

    def frame(self, phase: str) -> tuple[np.ndarray, np.ndarray]:
        """Image (X, Y, Z) int16 and mask uint8 of "ED" or "ES"."""
        random = np.random.default_rng(self.seed)
        grain = random.uniform(0, 60, size=self.shape)
        x, y = (np.arange(size) * mm for size, mm in zip(self.shape[:2], self.spacing_mm[:2], strict=True))
        at = [place * mm for place, mm in zip(self.centre, self.spacing_mm[:2], strict=True)]
        left = np.hypot(x[:, None] - at[0], y[None, :] - at[1])
        right = np.hypot(x[:, None] - at[0] + 33, y[None, :] - at[1])
        cavity = (20.0 if phase == "ED" else 13.0) + random.uniform(-2, 2)
        rv, myo, lv = self.labels
        mask = np.where(right < cavity, rv, 0)
        mask = np.where(left < 30, myo, mask)
        mask = np.where(left < cavity, lv, mask)
        bright = np.where((mask == rv) | (mask == lv), 400, np.where(mask == myo, 100, 150))
        inside = np.ones(self.shape[2], dtype=bool)
        inside[-1] = False  # the last slice lies beyond the heart
        image = np.where(inside, bright[..., None], 150) + grain
        return image.astype(np.int16), np.where(inside, mask[..., None], 0).astype(np.uint8)


@dataclass(frozen=True)
class Row:
    """A line of a made M&Ms table and where its files go."""

    code: str
    vendor: str = "A"
    group: str = "NOR"
    folder: str = "Training/Labeled"
    ed: int = 0
    es: int = 2
    extra: Mapping[str, str] = field(default_factory=dict)


MAKERS = {"A": "Siemens", "B": "Philips", "C": "GE", "D": "Canon"}


def write_nifti(
    file: Path, voxels: np.ndarray, spacing_mm: Sequence[float] = SPACING_MM, unit_affine: bool = False
) -> None:
    """A NIfTI file; with `unit_affine` the spacing stands in pixdim alone, as in ACDC."""
    affine = np.diag((-1.0, -1.0, 1.0, 1.0)) if unit_affine else np.diag((*spacing_mm[:3], 1.0))
    image = nibabel.Nifti1Image(voxels, affine)
    if unit_affine:
        image.header["pixdim"][1:4] = spacing_mm[:3]
        image.header.set_sform(affine, code=2)
    file.parent.mkdir(parents=True, exist_ok=True)
    image.to_filename(file)


def make_acdc_patient(folder: Path, group: str = "NOR", ed: int = 1, es: int = 3, heart: Heart = Heart()) -> None:
    """One patient folder: Info.cfg, two frames, two masks."""
    folder.mkdir(parents=True, exist_ok=True)
    info = f"ED: {ed}\nES: {es}\nGroup: {group}\nHeight: 170.0\nNbFrame: 12\nWeight: 70.0\n"
    (folder / "Info.cfg").write_text(info)
    for phase, index in (("ED", ed), ("ES", es)):
        image, mask = heart.frame(phase)
        stem = folder / f"{folder.name}_frame{index:02d}"
        write_nifti(Path(f"{stem}.nii.gz"), image, heart.spacing_mm, unit_affine=True)
        write_nifti(Path(f"{stem}_gt.nii.gz"), mask, heart.spacing_mm, unit_affine=True)


def make_acdc(root: Path, training: Sequence[str], testing: Sequence[str] = ()) -> Path:
    """ACDC's layout with one patient for each group given, numbered from 001."""
    parts = [("training", group) for group in training] + [("testing", group) for group in testing]
    for number, (part, group) in enumerate(parts, start=1):
        make_acdc_patient(root / part / f"patient{number:03d}", group, heart=Heart(seed=number))
    return root


def make_mnms(root: Path, rows: Sequence[Row], frames: int = 3) -> Path:
    """M&Ms' layout: the table and a 4-D image and mask for each row."""
    root.mkdir(parents=True, exist_ok=True)
    with (root / TABLE).open("w", newline="") as stream:
        table = csv.writer(stream)
        table.writerow(["", *COLUMNS])
        for number, row in enumerate(rows):
            known = {
                "External code": row.code,
                "VendorName": MAKERS.get(row.vendor, row.vendor),
                "Vendor": row.vendor,
                "Centre": "1",
                "ED": str(row.ed),
                "ES": str(row.es),
                "Age": "50",
                "Pathology": row.group,
                "Sex": "F",
                "Height": "",
                "Weight": "",
            } | row.extra
            table.writerow([number, *(known[column] for column in COLUMNS)])
    for number, row in enumerate(rows):
        heart = Heart(seed=number, labels=MNMS_LABELS)
        ed, es = heart.frame("ED"), heart.frame("ES")
        blank = np.zeros(heart.shape, dtype=np.uint8)
        images = [es[0] if index == row.es else ed[0] for index in range(frames)]
        masks = [ed[1] if index == row.ed else es[1] if index == row.es else blank for index in range(frames)]
        folder = root / row.folder / row.code
        write_nifti(folder / f"{row.code}_sa.nii.gz", np.stack(images, axis=-1))
        write_nifti(folder / f"{row.code}_sa_gt.nii.gz", np.stack(masks, axis=-1))
    return root


def make_mnms2(root: Path, rows: Sequence[tuple[int, str, str]]) -> Path:
    """M&Ms-2's layout; rows of (subject, disease, vendor)."""
    root.mkdir(parents=True, exist_ok=True)
    lines = ["SUBJECT_CODE,DISEASE,VENDOR,SCANNER,FIELD"]
    lines += [f"{subject},{disease},{vendor},Symphony,1.5" for subject, disease, vendor in rows]
    (root / "dataset_information.csv").write_text("\n".join(lines) + "\n")
    for subject, _, _ in rows:
        heart = Heart(seed=subject, labels=MNMS_LABELS)
        for phase in ("ED", "ES"):
            image, mask = heart.frame(phase)
            folder = root / "dataset" / f"{subject:03d}"
            write_nifti(folder / f"{subject:03d}_SA_{phase}.nii.gz", image)
            write_nifti(folder / f"{subject:03d}_SA_{phase}_gt.nii.gz", mask)
    return root
