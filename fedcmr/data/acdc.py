"""ACDC: one hospital (Dijon), 100 training and 50 testing patients in five groups.

    <root>/training/patientNNN/Info.cfg                        ED, ES (from 1), Group, Height (cm), Weight (kg)
                              patientNNN_frameMM.nii.gz        one 3-D image per phase, MM as in Info.cfg
                              patientNNN_frameMM_gt.nii.gz     mask: 1 right ventricle, 2 myocardium, 3 left ventricle
    <root>/testing/…                                           may be absent

The files name no scanner: every case has the client "hospital" until `splits.divide_into_sites` simulates sites.
Traps: spacing stands in pixdim alone (the affine has unit scale), and ED is not always frame 1 (patient090: frame 4).
patient074 and patient076 hold the same voxels, with masks drawn twice: `twins.py` makes one patient of them.

Source: Bernard et al., Deep Learning Techniques for Automatic MRI Cardiac Multi-structures Segmentation and
    Diagnosis: Is the Problem Solved?, IEEE TMI 37(11), 2018, https://doi.org/10.1109/TMI.2018.2837502 (a citation
    that every use must carry).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from fedcmr.data.cases import Case, Frame, listed, refuse_duplicates, shown
from fedcmr.data.files import folders_of, is_file
from fedcmr.data.tables import number, read_text, release_folder, whole_number

GROUPS = ("NOR", "DCM", "HCM", "MINF", "RV")
MASK_LABELS = (1, 2, 3)
HOSPITAL = "hospital"


@dataclass(frozen=True)
class Knobs:
    """root: folder that holds `training/` and, if there, `testing/`. sites >= 1: how many sites are simulated."""

    root: str
    sites: int = 1


def build(knobs: Knobs) -> list[Case]:
    """All patients below `knobs.root`. Raises: ValueError as `read_acdc`, or where sites < 1."""
    if knobs.sites < 1:
        raise ValueError(f"data.sites={knobs.sites}; expected a whole number >= 1.")
    return read_acdc(Path(knobs.root))


def read_acdc(root: Path) -> list[Case]:
    """Cases in the order of their codes, the official part beside each.

    Raises: ValueError where the root or `training/` is missing, a patient lacks its `Info.cfg` or a frame, `Info.cfg`
        lacks a key or holds a value outside its range, a group is unknown or a code occurs twice. All incomplete
        patients are named at once.
    """
    root = release_folder(root, "database", "training")
    folders = [folder for part in ("training", "testing") for folder in folders_of(root / part)]
    if not folders:
        raise ValueError(
            f"{root}/training: found no patient folder; expected patient001, patient002, … Unpack ACDC there."
        )
    lacking = [str(folder) for folder in folders if not is_file(folder / "Info.cfg")]
    if lacking:
        raise ValueError(f"Patient folders without Info.cfg: {listed(lacking)}. Restore the file or remove the folder.")
    return refuse_duplicates([read_patient(folder) for folder in folders])


def read_patient(folder: Path) -> Case:
    """The case of one patient folder; its part is the name of the folder above. Raises: see `read_acdc`."""
    file = folder / "Info.cfg"
    info = read_info(file)
    group = info["Group"]
    if group not in GROUPS:
        raise ValueError(
            f"{file}: unknown group '{shown(group)}'; expected one of {', '.join(GROUPS)}. Correct the file."
        )
    return Case(
        id=folder.name,
        client=HOSPITAL,
        group=group,
        ed=_frame(folder, info, "ED"),
        es=_frame(folder, info, "ES"),
        part=folder.parent.name,
        mask_labels=MASK_LABELS,
        source="acdc",
        vendor="siemens",
        centre="Dijon",
        height_cm=number(info.get("Height", ""), f"{file}, Height", 50, 250),
        weight_kg=number(info.get("Weight", ""), f"{file}, Weight", 2, 400),
    )


def read_info(file: Path) -> dict[str, str]:
    """The `Key: value` lines of an `Info.cfg`.

    Raises: ValueError on a line of another form, a key given twice, or where ED, ES or Group is missing.
    """
    info: dict[str, str] = {}
    for line in filter(None, map(str.strip, read_text(file).splitlines())):
        key, colon, value = (word.strip() for word in line.partition(":"))
        if not colon or not key or key in info:
            raise ValueError(
                f"{file}: line '{shown(line)}'; expected 'Key: value' with each key once. Correct the file."
            )
        info[key] = value
    missing = [key for key in ("ED", "ES", "Group") if not info.get(key)]
    if missing:
        raise ValueError(
            f"{file}: found no value for {', '.join(missing)}; expected ED, ES and Group. Correct the file."
        )
    return info


def _frame(folder: Path, info: Mapping[str, str], phase: str) -> Frame:
    where = f"{folder / 'Info.cfg'}, {phase}"
    index = whole_number(info[phase], where)
    frames = whole_number(info["NbFrame"], f"{folder / 'Info.cfg'}, NbFrame") if info.get("NbFrame") else index
    if not 1 <= index <= frames:
        raise ValueError(f"{where}: frame {index} is out of range; expected 1 to {frames} (NbFrame). Correct the file.")
    stem = f"{folder.name}_frame{index:02d}"
    image = folder / f"{stem}.nii.gz"
    if not is_file(image):
        raise ValueError(f"{where} says frame {index}, but there is no file {image}. Restore it or correct Info.cfg.")
    return Frame(image, folder / f"{stem}_gt.nii.gz", None)
