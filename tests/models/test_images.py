"""Image sizes: on the grid, within bounds, once, and counted right."""

from __future__ import annotations

import functools
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import AutoProcessor
from transformers.models.qwen2_vl.image_processing_qwen2_vl import smart_resize

from facial_r1.config.schema import ImageSize
from facial_r1.errors import InputError
from facial_r1.models.images import ImageSizer
from facial_r1.models.tiny import architecture
from tests.models.families import batch, internvl, picture

GRID = functools.cache(architecture.processor)
"""One processor for the properties below, which set its bounds anew for every example."""

EXTREMES = [(1, 1), (1, 5000), (4000, 3), (112, 112), (113, 111), (8000, 6000), (37, 450)]


def _grid_side(family: str) -> int:
    return {"qwen2_5_vl": 28, "qwen3_vl": 32}[family]


@pytest.mark.parametrize("grid_family", ["qwen2_5_vl", "qwen3_vl"])
@pytest.mark.parametrize("size", EXTREMES, ids=str)
@pytest.mark.parametrize(
    "image_size",
    [
        ImageSize(mode="native"),
        ImageSize(mode="square", side=112),
        ImageSize(mode="budget", min_pixels=4096, max_pixels=50_000),
    ],
    ids=lambda value: value.mode,
)
def test_processor_sees_exactly_the_size_that_the_sizer_chose(
    checkpoints: dict[str, Path], grid_family: str, size: tuple[int, int], image_size: ImageSize
) -> None:
    processor = AutoProcessor.from_pretrained(checkpoints[grid_family])
    sizer = ImageSizer.from_processor(processor, image_size)
    patch = _grid_side(grid_family) // 2
    image = sizer.apply(picture(*size))
    inputs = batch(processor, [image], ["x"])
    rows, columns = inputs["image_grid_thw"][0, 1:].tolist()
    assert (columns * patch, rows * patch) == image.size == sizer.size(*size)


@pytest.mark.parametrize("grid_family", ["qwen2_5_vl", "qwen3_vl"])
@pytest.mark.parametrize("size", EXTREMES, ids=str)
def test_placeholders_equal_those_in_the_prompt(checkpoints: dict[str, Path], grid_family: str, size: tuple[int, int]) -> None:
    processor = AutoProcessor.from_pretrained(checkpoints[grid_family])
    sizer = ImageSizer.from_processor(processor, ImageSize(mode="budget", max_pixels=40_000))
    inputs = batch(processor, [sizer.apply(picture(*size))], ["x"])
    found = int((inputs["input_ids"] == processor.image_token_id).sum())
    assert sizer.placeholders(*size) == found


def test_image_of_the_right_size_is_returned_as_it_is() -> None:
    sizer = ImageSizer.from_processor(architecture.processor(), ImageSize(mode="square", side=112))
    image = picture(112, 112)
    assert sizer.apply(image) is image


@settings(max_examples=300, deadline=None)
@given(
    width=st.integers(1, 9000),
    height=st.integers(1, 9000),
    low=st.integers(1, 40),
    spread=st.integers(0, 3000),
)
def test_sizes_are_whole_cells_within_bounds_and_stable(width: int, height: int, low: int, spread: int) -> None:
    processor = GRID()
    bounds = ImageSize(mode="budget", min_pixels=low * 784, max_pixels=(low + spread) * 784)
    try:
        sizer = ImageSizer.from_processor(processor, bounds)
    except InputError:
        assert spread < 3  # only bounds this narrow can be without a grid
        return
    size = sizer.size(width, height)
    assert all(side % 28 == 0 for side in size)
    assert low * 784 <= size[0] * size[1] <= (low + spread) * 784
    assert max(size) <= 200 * min(size)
    assert sizer.size(*size) == size


@settings(max_examples=200, deadline=None)
@given(width=st.integers(60, 3000), height=st.integers(60, 3000))
def test_ordinary_images_get_the_size_that_the_processor_would_give(width: int, height: int) -> None:
    processor = GRID()
    sizer = ImageSizer.from_processor(processor, ImageSize(mode="budget", min_pixels=3136, max_pixels=1_003_520))
    expected = smart_resize(height, width, factor=28, min_pixels=3136, max_pixels=1_003_520)
    if 3136 <= expected[0] * expected[1] <= 1_003_520:
        assert sizer.size(width, height) == expected[::-1]


def test_bounds_without_a_grid_are_refused_with_the_fix() -> None:
    with pytest.raises(InputError, match=r"between 800 and 900 pixels; set max_pixels to 1568"):
        ImageSizer.from_processor(architecture.processor(), ImageSize(mode="budget", min_pixels=800, max_pixels=900))


def test_bounds_of_one_processor_do_not_reach_another() -> None:
    first, second = architecture.processor(), architecture.processor()
    ImageSizer.from_processor(first, ImageSize(mode="square", side=56))
    assert second.image_processor.size["longest_edge"] == 112 * 112


def test_processor_without_a_grid_keeps_resizing_and_the_sizer_says_so() -> None:
    _, processor = internvl()
    sizer = ImageSizer.from_processor(processor, ImageSize(mode="native"))
    assert "resizes and tiles images by itself" in sizer.note
    assert sizer.size(300, 200) == (300, 200)


@pytest.mark.parametrize("size", [(56, 56), (300, 120), (1, 1)], ids=str)
def test_placeholders_of_a_tiling_processor_equal_those_in_the_prompt(size: tuple[int, int]) -> None:
    _, processor = internvl()
    sizer = ImageSizer.from_processor(processor, ImageSize(mode="native"))
    inputs = batch(processor, [sizer.apply(picture(*size))], ["x"])
    assert sizer.placeholders(*size) == int((inputs["input_ids"] == processor.image_token_id).sum())


def test_square_of_a_tiling_processor_is_one_tile() -> None:
    _, processor = internvl()
    sizer = ImageSizer.from_processor(processor, ImageSize(mode="square", side=56))
    assert sizer.placeholders(2000, 900) == 4


def test_budget_of_a_tiling_processor_bounds_the_area_before_it() -> None:
    _, processor = internvl()
    sizer = ImageSizer.from_processor(processor, ImageSize(mode="budget", max_pixels=10_000))
    width, height = sizer.size(8000, 6000)
    assert width * height <= 10_000 and abs(width / height - 4 / 3) < 0.03
