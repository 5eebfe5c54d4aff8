"""A cohort on disk, in the layout and with the table of M&Ms, so that simulated patients walk the road that patients
walk.

    <folder>/211230_M&Ms_Dataset_information_diagnosis_opendataset.csv
             Training/Labeled/<code>/<code>_sa.nii.gz, <code>_sa_gt.nii.gz      or Testing/<code>/…
             truth.csv     volumes, severity and acquisition as drawn; for controls, no reader opens it

A folder appears whole or not at all: it is written under another name and renamed. Files are equal byte for byte for
equal patients.
"""

import csv
import gzip
import io
import os
import shutil
import tempfile
import time
import warnings
from collections.abc import Callable, Generator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import closing
from multiprocessing import get_context
from pathlib import Path

import nibabel as nib
import numpy as np
from einops import rearrange
from numpy.typing import NDArray

from fedcmr.data.mnms import TABLE
from fedcmr.data.phantoms.cohort import RANDOMISED, Patient
from fedcmr.data.phantoms.look import Look, realistic_look
from fedcmr.data.phantoms.planes import Axes, affine, as_stored, draw_axes
from fedcmr.data.phantoms.randomised_scan import POSE, draw_any_look
from fedcmr.data.phantoms.render import cine_phases, masks, render
from fedcmr.data.phantoms.scanner import VENDOR_NAMES, Acquisition
from fedcmr.data.phantoms.subject import Row, acquisition, anatomy, draw_subject, identity

COLUMNS = (
    "",
    "External code",
    "VendorName",
    "Vendor",
    "Centre",
    "ED",
    "ES",
    "Age",
    "Pathology",
    "Sex",
    "Height",
    "Weight",
)
TABLE_FIELDS = ("vendor", "centre", "ed", "es", "age", "group", "sex", "height", "weight")
FOLDERS: Mapping[str, str] = {"training": "Training/Labeled", "testing": "Testing"}
WORTH_A_PROCESS = 24


def write_cohort(patients: Sequence[Patient], folder: Path, workers: int, progress: Callable[[int, int], None]) -> None:
    """Makes `folder` with these patients, unless it is there; two processes may do so at once.

    Args:
        patients: of one part. workers: processes, >= 1; small cohorts are made in this one.
        progress: called with patients done and all.
    """
    if folder.is_dir():
        return
    folder.parent.mkdir(parents=True, exist_ok=True)
    _remove_old_drafts(folder)
    draft = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        rows = _write_patients(patients, draft, workers, progress)
        _write_tables(draft, patients, rows)
        draft.chmod(0o755)
        try:
            draft.rename(folder)
        except OSError:
            if not folder.is_dir():
                raise
            # another process was faster and has written the same bytes
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _remove_old_drafts(folder: Path) -> None:
    for draft in folder.parent.glob(f".{folder.name}-*"):
        # a day old: no living writer is that slow, so it was killed before it could tidy up
        if time.time() - draft.stat().st_mtime > 24 * 3600:
            shutil.rmtree(draft, ignore_errors=True)


def _write_patients(
    patients: Sequence[Patient], folder: Path, workers: int, progress: Callable[[int, int], None]
) -> dict[str, Row]:
    rows: dict[str, Row] = {}
    if workers > 1 and len(patients) >= WORTH_A_PROCESS:
        try:
            with closing(_in_processes(patients, folder, workers)) as made:
                for code, row in made:
                    rows[code] = row
                    progress(len(rows), len(patients))
        except BrokenProcessPool:
            warnings.warn(
                "Worker processes could not be started (a script without `if __name__ == '__main__':`, or too "
                "little memory); the phantom cohort is made in this process: slower, the same bytes.",
                stacklevel=2,
            )
    for patient in patients:
        if patient.code not in rows:
            rows[patient.code] = write_patient(patient, folder)
            progress(len(rows), len(patients))
    return rows


def _in_processes(patients: Sequence[Patient], folder: Path, workers: int) -> Generator[tuple[str, Row], None, None]:
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn"), initializer=_one_thread) as pool:
        waiting = {pool.submit(write_patient, patient, folder): patient.code for patient in patients}
        try:
            for done in as_completed(waiting):
                yield waiting[done], done.result()
        finally:
            # interrupted: finish the patients in hand, begin no other
            pool.shutdown(cancel_futures=True)


def _one_thread() -> None:
    os.environ.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1", MKL_NUM_THREADS="1")


def write_patient(patient: Patient, folder: Path) -> Row:
    """Makes one patient's image and mask below `folder`; returns everything that the two tables say of him or her."""
    subject = draw_subject(patient)
    heart, scan = subject.heart, subject.scan
    _, _, rng = patient.streams()
    axes, look = _draw_appearance(rng, patient, scan)
    phases = [0.0, 1.0] if patient.frames == 2 else cine_phases(patient.frames, subject.es_frame)
    frames = render(rng, heart, subject.body, scan, axes, phases, look)
    image = stored(frames, scan.profile.gamma, scan.profile.maximum)
    label = np.zeros(image.shape, np.uint8)
    label[0], label[subject.es_frame] = masks(heart, scan, axes, 0.0), masks(heart, scan, axes, 1.0)
    place = folder / FOLDERS[patient.part] / patient.code
    place.mkdir(parents=True, exist_ok=True)
    matrix = affine(scan, axes, heart)
    step_s = 60 / scan.heart_rate / patient.frames
    write_nifti(place / f"{patient.code}_sa.nii.gz", as_stored(image, scan), matrix, step_s)
    write_nifti(place / f"{patient.code}_sa_gt.nii.gz", as_stored(label, scan), matrix, step_s)
    return {**identity(subject), **anatomy(subject), **acquisition(scan)}


def _draw_appearance(rng: np.random.Generator, patient: Patient, scan: Acquisition) -> tuple[Axes, Look]:
    if patient.style == RANDOMISED:
        return draw_axes(rng, scan.profile.turn_deg, POSE), draw_any_look(rng, scan)
    return draw_axes(rng, scan.profile.turn_deg), realistic_look(scan.field_t, scan.profile)


def stored(image: NDArray[np.float32], gamma: float, maximum: float) -> NDArray[np.int16]:
    """Intensities as a scanner stores them: gamma curve, and the brightest 2 per mille of the first frame at
    `maximum`.
    """
    bright = float(np.quantile(image[0, :, ::2, ::2], 0.998))
    scaled = np.clip(image / np.float32(bright), 0, 1.6)
    if gamma != 1.0:
        np.power(scaled, np.float32(gamma), out=scaled)
    return np.clip(np.rint(scaled * np.float32(maximum)), 0, 32767).astype(np.int16)


def write_nifti(
    file: Path, voxels_TZXY: NDArray[np.int16] | NDArray[np.uint8], matrix: NDArray[np.float64], step_s: float
) -> None:
    """A gzipped 4-D NIfTI (x, y, z, t), pixdim and sform agreeing; equal voxels make equal bytes."""
    voxels = rearrange(voxels_TZXY, "t z x y -> x y z t")
    image = nib.Nifti1Image(voxels, matrix)
    image.header.set_xyzt_units("mm", "sec")
    image.header.set_zooms((*image.header.get_zooms()[:3], step_s))
    buffer = io.BytesIO()
    with gzip.GzipFile(filename="", mode="wb", fileobj=buffer, compresslevel=1, mtime=0) as packed:
        packed.write(image.to_bytes())
    file.write_bytes(buffer.getvalue())


def _write_tables(folder: Path, patients: Sequence[Patient], rows: Mapping[str, Row]) -> None:
    ordered = [rows[patient.code] for patient in patients]
    table = [
        (i, row["code"], VENDOR_NAMES[str(row["vendor"])], *(row[name] for name in TABLE_FIELDS))
        for i, row in enumerate(ordered)
    ]
    _write_csv(folder / TABLE, COLUMNS, table)
    _write_csv(folder / "truth.csv", tuple(ordered[0]), [tuple(row.values()) for row in ordered])


def _write_csv(file: Path, columns: Sequence[str], rows: Sequence[Sequence[str | float | int]]) -> None:
    with file.open("w", newline="", encoding="utf-8") as handle:
        writer = csv.writer(handle)
        writer.writerow(columns)
        writer.writerows([f"{value:.6g}" if isinstance(value, float) else value for value in row] for row in rows)
