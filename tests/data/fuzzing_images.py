"""Bad images: each function takes the bytes of a sound .nii.gz and a generator, and returns those of a bad one.

Some of what they return is sound all the same, for example where a flipped bit hits the file's time in the gzip header.
"""

import gzip
import struct
import zlib
from collections.abc import Callable
from functools import cache

import nibabel
import numpy as np
from numpy.random import Generator

Content = Callable[[bytes, Generator], bytes]

HEADER = nibabel.nifti1.header_dtype
VOXELS_AT = 352
ABSURD = (np.nan, np.inf, -np.inf, 0.0, -1.0, 1e-30, 1e30, 3.4e38, -3.4e38, 1e-45)
LENGTHS = (-32768, -1, 0, 1, 2, 3, 7, 8, 255, 4096, 32767)
ZEROS = 2**20
FAST = 1
"""Level of compression: the fuzzer packs thousands of files."""


def truncated(content: bytes, random: Generator) -> bytes:
    return content[: int(random.integers(len(content)))]


def truncated_before_packing(content: bytes, random: Generator) -> bytes:
    return pack(truncated(gzip.decompress(content), random))


def empty(content: bytes, random: Generator) -> bytes:
    return b""


def noise(content: bytes, random: Generator) -> bytes:
    return random.bytes(int(random.integers(1, 5000)))


def noise_behind_a_gzip_header(content: bytes, random: Generator) -> bytes:
    return content[:10] + noise(content, random)


def flipped_bits(content: bytes, random: Generator) -> bytes:
    """Up to 20 bits, anywhere."""
    return _flipped(content, random, 0, len(content))


def flipped_bits_of_the_header(content: bytes, random: Generator) -> bytes:
    return pack(_flipped(gzip.decompress(content), random, 0, VOXELS_AT))


def flipped_bits_of_voxels(content: bytes, random: Generator) -> bytes:
    plain = gzip.decompress(content)
    return pack(_flipped(plain, random, VOXELS_AT, len(plain)))


def noise_in_the_header(content: bytes, random: Generator) -> bytes:
    """Everything is noise but what makes it a NIfTI header: its size, or its last word."""
    plain = gzip.decompress(content)
    return pack(plain[:4] + random.bytes(340) + plain[344:])


def noise_in_a_field(content: bytes, random: Generator) -> bytes:
    name = str(random.choice(HEADER.names))
    return with_header(content, **{name: np.frombuffer(random.bytes(HEADER[name].itemsize), HEADER[name])[0]})


def absurd_dimensions(content: bytes, random: Generator) -> bytes:
    sizes = random.choice(LENGTHS, size=8)
    sizes[0] = random.choice((-1, 0, 1, 2, 3, 4, 5, 7, 8, 32767))
    return with_header(content, dim=sizes)


def huge_dimensions(content: bytes, random: Generator) -> bytes:
    """What a header can say at most, or no more than a computer would try to hold."""
    sizes = np.ones(8, dtype=np.int16)
    sizes[0] = random.choice((3, 4))
    sizes[1:5] = random.choice((1024, 4096, 32767), size=4)
    return with_header(content, dim=sizes, datatype=64, bitpix=64)


def one_more_slice(content: bytes, random: Generator) -> bytes:
    """A little more than the file holds."""
    sizes = _header(gzip.decompress(content))["dim"].copy()
    sizes[int(random.integers(1, sizes[0] + 1))] += 1
    return with_header(content, dim=sizes)


def absurd_spacing(content: bytes, random: Generator) -> bytes:
    return with_header(content, pixdim=random.choice(ABSURD, size=8).astype(np.float32))


def absurd_length_along_an_axis(content: bytes, random: Generator) -> bytes:
    spacing = _header(gzip.decompress(content))["pixdim"].copy()
    spacing[int(random.integers(1, 4))] = np.float32(random.choice(ABSURD))
    return with_header(content, pixdim=spacing)


def wide_field(content: bytes, random: Generator) -> bytes:
    """Pixels and slices that are each possible, of a picture wider than any scanner."""
    plain = pack_voxels(np.arange(600 * 600 * 40, dtype=np.uint8).reshape(600, 600, 40))
    return with_header(plain, pixdim=np.array((1, 5, 5, 30, 0, 0, 0, 0), dtype=np.float32))


def other_type(content: bytes, random: Generator) -> bytes:
    """Colours, complex and very long numbers, single bits, and codes that mean nothing."""
    codes = (0, 1, 2, 4, 8, 16, 32, 64, 128, 255, 256, 511, 512, 768, 1024, 1280, 1536, 1792, 2048, 2304, -1, 32767)
    return with_header(content, datatype=random.choice(codes), bitpix=random.choice((0, 1, 8, 16, 32, 64, -8, 128)))


def nonsense_of_directions(content: bytes, random: Generator) -> bytes:
    words = {name: np.float32(random.choice(ABSURD)) for name in ("quatern_b", "quatern_c", "quatern_d", "qoffset_x")}
    rows = {f"srow_{axis}": random.choice(ABSURD, size=4).astype(np.float32) for axis in "xyz"}
    codes = {name: random.choice((-1, 0, 1, 2, 99, 32767)) for name in ("qform_code", "sform_code")}
    return with_header(content, **words, **rows, **codes)


def absurd_place_of_voxels(content: bytes, random: Generator) -> bytes:
    places = (*ABSURD, 1.0, 348.0, 351.0, 352.5, 353.0, 368.0, 4096.0, 2.0**24, 2.0**31, 2.0**63)
    return with_header(content, vox_offset=np.float32(random.choice(places)))


def absurd_extension(content: bytes, random: Generator) -> bytes:
    plain = gzip.decompress(content)
    size = int(random.choice((-(2**31), -1, 0, 7, 8, 15, 16, 32, 1000, 2**31 - 1)))
    block = struct.pack("<ii", size, int(random.integers(-(2**31), 2**31))) + random.bytes(24)
    longer = plain[:348] + bytes((1, 0, 0, 0)) + block + plain[VOXELS_AT:]
    return with_header(pack(longer), vox_offset=np.float32(random.choice((VOXELS_AT, VOXELS_AT + len(block), 1e6))))


def absurd_scale(content: bytes, random: Generator) -> bytes:
    return with_header(
        content, scl_slope=np.float32(random.choice(ABSURD)), scl_inter=np.float32(random.choice(ABSURD))
    )


def other_magic(content: bytes, random: Generator) -> bytes:
    return with_header(content, magic=bytes(random.choice((b"ni1", b"n+2", b"", b"\xff\xff\xff\xff", b"NIFT"))))


def second_version(content: bytes, random: Generator) -> bytes:
    """A whole NIfTI-2 file."""
    voxels = random.integers(0, 999, size=(8, 8, 4)).astype(np.int16)
    return pack(nibabel.Nifti2Image(voxels, np.eye(4)).to_bytes())


def other_end_first(content: bytes, random: Generator) -> bytes:
    """The header's bytes are swapped, and at times the voxels' too."""
    plain = gzip.decompress(content)
    swapped = np.frombuffer(plain[:348], HEADER).byteswap().tobytes()
    voxels = plain[VOXELS_AT:]
    if random.random() < 0.5:
        voxels = np.frombuffer(voxels[: len(voxels) // 2 * 2], np.int16).byteswap().tobytes()
    return pack(swapped + plain[348:VOXELS_AT] + voxels)


def wrong_checksum(content: bytes, random: Generator) -> bytes:
    return content[:-8] + random.bytes(4) + content[-4:]


def wrong_length(content: bytes, random: Generator) -> bytes:
    return content[:-4] + random.bytes(4)


def packed_twice(content: bytes, random: Generator) -> bytes:
    return pack(content)


def packed_in_parts(content: bytes, random: Generator) -> bytes:
    plain = gzip.decompress(content)
    cut = int(random.integers(len(plain)))
    return pack(plain[:cut]) + pack(plain[cut:])


def followed_by_noise(content: bytes, random: Generator) -> bytes:
    return content + random.bytes(int(random.integers(1, 3000)))


def followed_by_zeros(content: bytes, random: Generator) -> bytes:
    """After the gzip stream, as tapes leave them."""
    return content + bytes(int(random.integers(1, 3000)))


def not_packed(content: bytes, random: Generator) -> bytes:
    return gzip.decompress(content)


def not_packed_and_truncated(content: bytes, random: Generator) -> bytes:
    return truncated(gzip.decompress(content), random)


def bomb_behind_a_sound_image(content: bytes, random: Generator) -> bytes:
    """The image, then up to 4 GiB of zeros in as many kB as MB."""
    return content + _zeros() * int(random.choice((256, 1024, 4096)))


def bomb_inside_one_stream(content: bytes, random: Generator) -> bytes:
    """The same in a single stream, whose last words tell the image's length."""
    plain = gzip.decompress(content)
    return one_stream(plain, int(random.choice((256, 1024))), len(plain))


def bomb_as_the_header_says(content: bytes, random: Generator) -> bytes:
    """Zeros that are all voxels of one image, up to 2 GiB of them; the header is honest, and at times within bounds."""
    slices, frames = random.choice(((16, 1), (16, 64), (16, 128), (1024, 1), (17, 1)))
    sizes = np.array((4 if frames > 1 else 3, 1024, 1024, slices, frames, 1, 1, 1), dtype=np.int16)
    header = gzip.decompress(with_header(content, dim=sizes, datatype=2, bitpix=8))[:VOXELS_AT]
    mebibytes = int(slices * frames)
    return one_stream(header, mebibytes, (len(header) + mebibytes * ZEROS) % 2**32)


def voxels_that_are_no_numbers(content: bytes, random: Generator) -> bytes:
    return pack_voxels(np.full(_shape(content), random.choice((np.nan, np.inf, -np.inf)), dtype=np.float32))


def voxels_near_the_greatest_number(content: bytes, random: Generator) -> bytes:
    kind = random.choice((np.float32, np.float64))
    return pack_voxels((random.choice((-1, 1), size=_shape(content)) * 3.3e38).astype(kind))


def voxels_near_zero(content: bytes, random: Generator) -> bytes:
    return pack_voxels((random.random(_shape(content)) * 1e-44).astype(np.float32))


def voxels_all_alike(content: bytes, random: Generator) -> bytes:
    return pack_voxels(np.full(_shape(content), random.integers(0, 3), dtype=np.int16))


def voxels_of_two_values(content: bytes, random: Generator) -> bytes:
    """One voxel differs."""
    voxels = np.zeros(_shape(content), dtype=np.int16)
    voxels.flat[int(random.integers(voxels.size))] = 5
    return pack_voxels(voxels)


IMAGES: tuple[Content, ...] = (
    truncated,
    truncated_before_packing,
    empty,
    noise,
    noise_behind_a_gzip_header,
    flipped_bits,
    flipped_bits_of_the_header,
    flipped_bits_of_voxels,
    noise_in_the_header,
    noise_in_a_field,
    absurd_dimensions,
    huge_dimensions,
    one_more_slice,
    absurd_spacing,
    absurd_length_along_an_axis,
    wide_field,
    other_type,
    nonsense_of_directions,
    absurd_place_of_voxels,
    absurd_extension,
    absurd_scale,
    other_magic,
    second_version,
    other_end_first,
    wrong_checksum,
    wrong_length,
    packed_twice,
    packed_in_parts,
    followed_by_noise,
    followed_by_zeros,
    not_packed,
    not_packed_and_truncated,
    voxels_that_are_no_numbers,
    voxels_near_the_greatest_number,
    voxels_near_zero,
    voxels_all_alike,
    voxels_of_two_values,
)
BOMBS: tuple[Content, ...] = (bomb_behind_a_sound_image, bomb_inside_one_stream, bomb_as_the_header_says)


def pack(plain: bytes) -> bytes:
    return gzip.compress(plain, FAST, mtime=0)


def pack_voxels(voxels: np.ndarray) -> bytes:
    """A sound header around these voxels, of 3 x 3 x 10 mm."""
    return pack(nibabel.Nifti1Image(voxels, np.diag((3.0, 3.0, 10.0, 1.0))).to_bytes())


def with_header(content: bytes, **fields: object) -> bytes:
    """The same file with these fields of its header set."""
    plain = gzip.decompress(content)
    header = _header(plain).copy()
    for name, value in fields.items():
        header[name] = value
    return pack(header.tobytes() + plain[HEADER.itemsize :])


def one_stream(start: bytes, mebibytes: int, told: int) -> bytes:
    """A gzip stream of `start` and zeros, whose last words say a length of `told`."""
    packer = zlib.compressobj(FAST, zlib.DEFLATED, -15)
    packed = packer.compress(start) + packer.flush(zlib.Z_FULL_FLUSH)
    block = packer.compress(bytes(ZEROS)) + packer.flush(zlib.Z_FULL_FLUSH)
    # after a full flush nothing refers back, so that the same block may follow itself
    return pack(b"")[:10] + packed + block * mebibytes + packer.flush(zlib.Z_FINISH) + struct.pack("<II", 0, told)


@cache
def _zeros() -> bytes:
    return gzip.compress(bytes(ZEROS), 9, mtime=0)


def _flipped(content: bytes, random: Generator, start: int, end: int) -> bytes:
    flipped = bytearray(content)
    for place in random.integers(start, end, size=int(random.integers(1, 21))):
        flipped[place] ^= 1 << int(random.integers(8))
    return bytes(flipped)


def _header(plain: bytes) -> np.ndarray:
    return np.frombuffer(plain[: HEADER.itemsize], HEADER)[0]


def _shape(content: bytes) -> tuple[int, ...]:
    dim = _header(gzip.decompress(content))["dim"]
    return tuple(int(size) for size in dim[1 : dim[0] + 1])
