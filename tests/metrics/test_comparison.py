"""McNemar, Holm, jackknife errors and detectable differences, against hand-computed values, scipy and simulation."""

from __future__ import annotations

import itertools
import math
from fractions import Fraction
from statistics import NormalDist

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from facial_r1.metrics.bootstrap import bootstrap, mean, paired_difference, ratio
from facial_r1.metrics.comparison import (
    detectable_mean,
    detectable_proportion,
    difference_errors,
    holm,
    mcnemar,
    mcnemar_mid_p,
)

NORMAL = NormalDist()
PROBABILITIES = st.lists(st.floats(0, 1), min_size=1, max_size=12)


# --- McNemar -----------------------------------------------------------------------------------------------------------


@given(st.integers(0, 40), st.integers(0, 40))
def test_mcnemar_is_the_exact_binomial_test(gained: int, lost: int) -> None:
    n = gained + lost
    tail = sum(Fraction(math.comb(n, k), 2**n) for k in range(min(gained, lost) + 1))
    assert mcnemar(gained, lost) == pytest.approx(float(min(Fraction(1), 2 * tail)), rel=1e-12)


@pytest.mark.parametrize(("gained", "lost"), [(1, 9), (60, 90), (480, 519), (500, 501), (3000, 3300)])
def test_mcnemar_agrees_with_scipy(gained: int, lost: int) -> None:
    stats = pytest.importorskip("scipy.stats")
    assert mcnemar(gained, lost) == pytest.approx(stats.binomtest(gained, gained + lost).pvalue, rel=1e-9)


def test_mcnemar_stays_finite_for_the_whole_benchmark() -> None:
    assert mcnemar(5536, 5536) == pytest.approx(1.0) and 0.0 <= mcnemar(0, 11072) < 1e-300


def test_mid_p_counts_half_of_what_was_observed() -> None:
    """1 of 10: exact 2 (1 + 10) / 1024, mid-p less the 10 / 1024 of the observed outcome."""
    assert mcnemar(1, 9) == 22 / 1024
    assert mcnemar_mid_p(1, 9) == 12 / 1024


@given(st.integers(0, 60), st.integers(0, 60))
def test_mid_p_is_symmetric_and_never_above_the_exact_p(gained: int, lost: int) -> None:
    assert mcnemar_mid_p(gained, lost) == mcnemar_mid_p(lost, gained) <= mcnemar(gained, lost)
    assert mcnemar_mid_p(gained, lost) >= 0


# --- Holm --------------------------------------------------------------------------------------------------------------


def test_holm_by_hand() -> None:
    """Holm 1979: 0.01 x 4, 0.02 x 3, 0.03 x 2, 0.04 x 1, each at least the one before."""
    assert holm([0.04, 0.01, 0.03, 0.02]) == pytest.approx([0.06, 0.04, 0.06, 0.06])


@given(PROBABILITIES)
def test_holm_never_lowers_a_p_value_nor_changes_the_order(values: list[float]) -> None:
    adjusted = holm(values)
    assert all(value <= found <= 1 for value, found in zip(values, adjusted, strict=True))
    ranked = sorted(range(len(values)), key=values.__getitem__)
    assert all(adjusted[a] <= adjusted[b] for a, b in itertools.pairwise(ranked))
    assert min(adjusted) == pytest.approx(min(1.0, len(values) * min(values)))


@given(PROBABILITIES)
def test_holm_rejects_all_that_bonferroni_rejects(values: list[float]) -> None:
    assert all(found <= min(1.0, len(values) * value) for value, found in zip(values, holm(values), strict=True))


@given(PROBABILITIES, st.randoms(use_true_random=False))
def test_holm_does_not_depend_on_the_order(values: list[float], chance: np.random.Generator) -> None:
    order = list(range(len(values)))
    chance.shuffle(order)
    assert holm([values[place] for place in order]) == [holm(values)[place] for place in order]


def test_holm_keeps_the_chance_of_any_false_finding_below_the_level() -> None:
    rng = np.random.default_rng(0)
    false = sum(min(holm(rng.random(12).tolist())) < 0.05 for _ in range(4_000))
    assert 0.035 < false / 4_000 < 0.062


# --- standard errors ---------------------------------------------------------------------------------------------------


def _pairs(values: np.ndarray) -> np.ndarray:
    return np.stack([np.asarray(values, dtype=float), np.ones(len(values))], axis=1)


def test_the_error_of_a_mean_over_equal_clusters_is_the_textbook_one() -> None:
    rng = np.random.default_rng(1)
    one, two, clusters = rng.normal(size=120), rng.normal(size=120), np.repeat(np.arange(20), 6)
    gaps = (one - two).reshape(20, 6).mean(axis=1)
    found = difference_errors(_pairs(one), _pairs(two), clusters.tolist(), mean)
    assert found[0] == pytest.approx(gaps.std(ddof=1) / math.sqrt(20), rel=1e-12)


def test_the_error_of_f1_agrees_with_the_spread_of_resamples() -> None:
    rng = np.random.default_rng(2)
    one, two = rng.integers(1, 9, (80, 3)), rng.integers(1, 9, (80, 3))

    def f1(totals: np.ndarray) -> np.ndarray:
        return ratio(2 * totals[..., :1], 2 * totals[..., :1] + totals[..., 1:2] + totals[..., 2:3])

    error = difference_errors(one, two, range(80), f1)[0]
    found = paired_difference(one, two, range(80), f1, 4_000)
    assert error == pytest.approx((found.high[0] - found.low[0]) / (2 * 1.99), rel=0.06)


def test_clusters_widen_the_error() -> None:
    people = np.random.default_rng(3).normal(size=30)
    values, clusters = np.repeat(people, 50), np.repeat(np.arange(30), 50).tolist()
    clustered = difference_errors(_pairs(values), _pairs(0 * values), clusters, mean)[0]
    alone = difference_errors(_pairs(values), _pairs(0 * values), range(1_500), mean)[0]
    assert clustered > 6.9 * alone


def test_one_cluster_or_an_undefined_metric_has_no_error() -> None:
    ones = _pairs(np.ones(3))
    assert math.isnan(difference_errors(ones, ones, ["a"] * 3, mean)[0])
    assert math.isnan(difference_errors(np.zeros((3, 2)), np.zeros((3, 2)), "abc", mean)[0])


def test_counts_of_two_kinds_are_refused() -> None:
    with pytest.raises(ValueError, match="counted alike"):
        difference_errors(np.ones((3, 2)), np.ones((3, 3)), "abc", mean)


# --- detectable differences --------------------------------------------------------------------------------------------


def test_the_multiplier_is_that_of_bloom() -> None:
    """Many clusters: 1.959964 + 0.841621; ten of them, by the t table: 2.262157 + 0.883404."""
    assert detectable_mean(1.0, 100_000) == pytest.approx(2.801585, rel=1e-4)
    assert detectable_mean(0.5, 10) == pytest.approx(0.5 * (2.262157 + 0.883404), rel=1e-5)


@pytest.mark.parametrize(("error", "clusters"), [(math.nan, 10), (0.0, 10), (1.0, 1)])
def test_without_spread_nothing_is_detectable(error: float, clusters: int) -> None:
    assert detectable_mean(error, clusters) is None


def test_a_true_difference_of_that_size_is_found_in_four_of_five_studies() -> None:
    rng = np.random.default_rng(4)
    size, spread = 24, 0.3
    true = detectable_mean(spread / math.sqrt(size), size)
    assert true is not None
    gaps = rng.normal(true, spread, (4_000, size))
    t = gaps.mean(axis=1) / (gaps.std(axis=1, ddof=1) / math.sqrt(size))
    assert 0.77 < np.mean(np.abs(t) > 2.0687) < 0.83


@given(st.integers(1, 400), st.integers(400, 4_000))
def test_a_detectable_proportion_has_the_power_that_it_claims(discordant: int, n: int) -> None:
    """Put into the formula of the power (Connett 1987), it gives 80 %."""
    found, psi = detectable_proportion(discordant, n), discordant / n
    if found is not None:
        power = NORMAL.cdf((found * math.sqrt(n) - NORMAL.inv_cdf(0.975) * math.sqrt(psi)) / math.sqrt(psi - found**2))
        assert power == pytest.approx(0.8, abs=1e-6) and 0 < found <= psi


def test_mcnemar_finds_a_difference_of_that_size_in_four_of_five_studies() -> None:
    rng = np.random.default_rng(5)
    n, psi = 600, 0.2
    true = detectable_proportion(120, n)
    assert true is not None
    drawn = rng.multinomial(n, [(psi + true) / 2, (psi - true) / 2, 1 - psi], 1_500)
    assert 0.76 < np.mean([mcnemar_mid_p(int(gained), int(lost)) < 0.05 for gained, lost, _ in drawn]) < 0.84


@pytest.mark.parametrize(("discordant", "n"), [(0, 100), (3, 100), (1, 1), (0, 0)])
def test_too_few_discordant_samples_show_nothing(discordant: int, n: int) -> None:
    assert detectable_proportion(discordant, n) is None


# --- speed -------------------------------------------------------------------------------------------------------------


def test_errors_of_forty_thousand_frames_take_no_time() -> None:
    import time

    rng = np.random.default_rng(6)
    one, two = rng.integers(0, 2, (40_000, 36)).astype(float), rng.integers(0, 2, (40_000, 36)).astype(float)

    def each(totals: np.ndarray) -> np.ndarray:
        tp, fp, fn = totals[..., :12], totals[..., 12:24], totals[..., 24:]
        return ratio(2 * tp, 2 * tp + fp + fn)

    began = time.process_time()
    difference_errors(one, two, range(40_000), each)
    bootstrap(one[:10], range(10), each, 10)
    assert time.process_time() - began < 2.0
