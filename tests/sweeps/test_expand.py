"""Overrides become jobs."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from facial_r1.errors import InputError
from facial_r1.sweeps.expand import combine, expand, flat, names, override, parse, slug


def test_the_last_swept_key_runs_fastest():
    fixed, jobs = expand(["stage=grpo", "seed=1,2", "stage.beta=0,0.1"])
    assert fixed == ["stage=grpo"]
    assert jobs == [
        ["seed=1", "stage.beta=0"],
        ["seed=1", "stage.beta=0.1"],
        ["seed=2", "stage.beta=0"],
        ["seed=2", "stage.beta=0.1"],
    ]


def test_the_later_of_two_overrides_of_a_key_holds():
    swept = parse(["seed=1,2", "seed=7", "stage.beta=0", "stage.beta=1,2"])
    assert (swept.fixed, dict(swept.axes)) == (("seed=7",), {"stage.beta": ("1", "2")})


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("range(0,3)", ["0", "1", "2"]),
        ("choice(a,b)", ["a", "b"]),
        ("[1,2],[3]", ["[1,2]", "[3]"]),
        ("glob(qwen3*)", ["qwen3_vl_8b"]),
    ],
)
def test_hydras_grammar_is_understood(value, expected):
    assert [one.split("=", 1)[1] for (one,) in expand([f"model={value}"])[1]] == expected


def test_points_are_outermost_and_multiply_with_swept_keys():
    points = [{"stage.num_generations": 4, "seed": 1}, {"stage": {"num_generations": 8}, "seed": 2}]
    jobs = combine(parse(["stage.beta=0,1"]).axes, points)
    assert jobs == [
        ["stage.num_generations=4", "seed=1", "stage.beta=0"],
        ["stage.num_generations=4", "seed=1", "stage.beta=1"],
        ["stage.num_generations=8", "seed=2", "stage.beta=0"],
        ["stage.num_generations=8", "seed=2", "stage.beta=1"],
    ]


@pytest.mark.parametrize(
    ("points", "message"),
    [
        ([{"seed": 1}], "swept as well"),
        ([{"sweep.jobs": 2}], "holds for all jobs"),
        ([{"a": 1}, {"a": 1}], "the same as point 0"),
    ],
)
def test_points_that_cannot_be_are_refused(points, message):
    with pytest.raises(InputError, match=message):
        combine({"seed": ("1", "2")}, points)


def test_an_interval_needs_a_search():
    with pytest.raises(InputError, match=r"sweep\.optuna\.trials"):
        parse(["stage.beta=interval(0,1)"])


def test_a_setting_of_the_sweep_takes_one_value():
    with pytest.raises(InputError, match="take one value"):
        parse(["sweep.jobs=1,2"])


values = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**9), 10**9) | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(min_codepoint=32, max_codepoint=0x2FF, blacklist_characters="$"), max_size=12),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.from_regex(r"[a-z]{1,5}", fullmatch=True), inner, max_size=3),
    max_leaves=5,
)  # fmt: skip


@given(values)
@settings(max_examples=30, deadline=None)
def test_every_value_of_a_point_survives_hydras_grammar(value):
    from hydra.core.override_parser.overrides_parser import OverridesParser

    (parsed,) = OverridesParser.create().parse_overrides([override("key", value)])
    assert parsed.value() == value


def test_a_point_may_be_nested_or_dotted():
    assert flat({"stage": {"beta": 1, "vllm": {"enabled": True}}, "data.files": []}) == {
        "stage.beta": 1, "stage.vllm.enabled": True, "data.files": [],
    }  # fmt: skip


def test_a_name_does_not_depend_on_quotes_and_fits_a_file_system():
    assert (
        slug(["init_from='outputs/a b'", "seed=1"])
        == slug(['init_from="outputs/a b"', "seed=1"])
        == "init_from=outputs_a_b,seed=1"
    )
    long = [f"data.files=[{'x' * 300}{end}]" for end in "ab"]
    assert len(slug(long[:1]).encode()) <= 150 and slug(long[:1]) != slug(long[1:])


def test_jobs_that_would_share_a_name_do_not():
    first, second = names([["a=x/y"], ["a=x y"]])
    assert first != second and first.startswith("a=x_y-")
