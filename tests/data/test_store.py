import hashlib
import os

import pytest
import torch

from fedcmr.data.store import Store, checksum


def test_a_volume_comes_back_with_its_facts(tmp_path):
    store = Store(tmp_path)
    volume = torch.arange(24, dtype=torch.uint8).reshape(2, 3, 4)
    store.save("key", volume, {"geometry": "x"})
    found, facts = store.load("key")
    assert torch.equal(found, volume)
    assert facts == {"geometry": "x", "sha256": checksum(volume)}


def test_what_was_never_saved_is_absent(tmp_path):
    assert Store(tmp_path).load("key") is None


@pytest.mark.parametrize("damage", ["cut", "flip", "empty", "words"])
def test_a_damaged_entry_counts_as_absent(tmp_path, damage):
    store = Store(tmp_path)
    store.save("key", torch.arange(200, dtype=torch.uint8), {})
    (file,) = (tmp_path / "volumes").iterdir()
    content = bytearray(file.read_bytes())
    content[-1] ^= 255
    file.write_bytes({"cut": content[:100], "flip": bytes(content), "empty": b"", "words": b"not an entry"}[damage])
    assert store.load("key") is None


def test_equal_bytes_of_another_shape_have_another_checksum():
    volume = torch.arange(6, dtype=torch.uint8)
    assert checksum(volume) != checksum(volume.reshape(2, 3))


def test_a_file_is_read_again_only_when_it_changed(tmp_path, monkeypatch):
    file = tmp_path / "image"
    file.write_bytes(b"one")
    store = Store(tmp_path / "store")
    digest = hashlib.sha256(b"one").hexdigest()
    assert store.content(file) == digest
    file.chmod(0)
    with monkeypatch.context() as patch:
        patch.setattr(hashlib, "file_digest", lambda *_: pytest.fail("the file was read again"))
        assert store.content(file) == digest
    file.chmod(0o600)
    file.write_bytes(b"two")
    os.utime(file, ns=(1, 1))
    assert store.content(file) == hashlib.sha256(b"two").hexdigest()


def test_a_damaged_note_is_made_anew(tmp_path):
    file = tmp_path / "image"
    file.write_bytes(b"one")
    store = Store(tmp_path / "store")
    digest = store.content(file)
    (note,) = (tmp_path / "store" / "files").iterdir()
    for words in ("", "[1]", '{"path": 3}'):
        note.write_text(words)
        assert store.content(file) == digest


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(ValueError, match="absent: cannot be read"):
        Store(tmp_path).content(tmp_path / "absent")


def test_a_failed_write_leaves_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "fdopen", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        Store(tmp_path).save("key", torch.zeros(1), {})
    assert list((tmp_path / "volumes").iterdir()) == []
