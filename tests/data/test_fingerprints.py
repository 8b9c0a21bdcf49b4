"""Perceptual fingerprints are kept by content, so that an image is decoded once."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from facial_r1.data import decode_count
from facial_r1.data.fingerprints import FILE, alike, fingerprints
from facial_r1.data.images import digest
from tests.data.owners import face


@pytest.fixture
def images(tmp_path: Path) -> list[str]:
    return [str(face(tmp_path / f"{number}.png")) for number in range(6)]


def digests(images: list[str]) -> dict[str, str]:
    return {path: digest(path) for path in images}


def decodes(images: list[str], cache: Path | None) -> int:
    before = decode_count()
    fingerprints(images, digests(images), cache)
    return decode_count() - before


def test_an_image_is_decoded_once(images: list[str], tmp_path: Path):
    assert decodes(images, tmp_path / "cache") == 6
    assert decodes(images, tmp_path / "cache") == 0


def test_what_is_kept_is_what_was_computed(images: list[str], tmp_path: Path):
    fresh = fingerprints(images, {})
    fingerprints(images, digests(images), tmp_path / "cache")
    assert (fingerprints(images, digests(images), tmp_path / "cache") == fresh).all()


def test_a_changed_image_is_decoded_again(images: list[str], tmp_path: Path):
    decodes(images, tmp_path / "cache")
    face(Path(images[2]), seed=99)
    assert decodes(images, tmp_path / "cache") == 1


def test_an_entry_that_was_cut_off_costs_one_image(images: list[str], tmp_path: Path):
    decodes(images, tmp_path / "cache")
    file = tmp_path / "cache" / FILE
    file.write_bytes(file.read_bytes()[:-7])
    assert decodes(images, tmp_path / "cache") == 1
    assert decodes(images, tmp_path / "cache") == 0, "what was added after the cut is found again"


def test_without_a_cache_nothing_is_kept(images: list[str]):
    assert (decodes(images, None), decodes(images, None)) == (6, 6)


def test_a_cache_that_cannot_be_written_is_done_without(images: list[str], tmp_path: Path):
    (tmp_path / "file").write_text("")
    assert decodes(images, tmp_path / "file") == 6


def test_unrelated_pictures_differ_in_about_half_of_the_bits(images: list[str]):
    bits = fingerprints(images, {})
    apart = [int(np.bitwise_count(bits[a] ^ bits[b]).sum()) for a in range(6) for b in range(a)]
    assert min(apart) > 80


def test_an_unreadable_image_matches_nothing(images: list[str], tmp_path: Path):
    (tmp_path / "broken.png").write_bytes(b"no image")
    assert alike([str(tmp_path / "broken.png")], [str(tmp_path / "broken.png"), *images], {}) == {}


def test_near_fingerprints_are_those_that_counting_every_bit_finds():
    from facial_r1.data.fingerprints import NEAR, _within

    draws = np.random.default_rng(0)
    own = draws.integers(0, 2**63, 4, dtype=np.uint64)
    flips = np.array(
        [draws.integers(0, 2, (256,)) * (draws.random(256) < share) for share in np.linspace(0, 0.6, 300)], dtype=np.uint8
    )
    bits = own ^ np.packbits(flips, axis=1).view(np.uint64).reshape(-1, 4)
    counted = np.flatnonzero(np.bitwise_count(bits ^ own).sum(axis=1) <= NEAR)
    assert 20 < len(counted) < 280
    assert _within(np.ascontiguousarray(bits.T), own).tolist() == counted.tolist()
