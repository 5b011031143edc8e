"""The measures, on cases worked by hand."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.evaluation import metrics
from models.evaluation.metrics import Predictions


def ranked(scores: list[float], hits: list[int], truths: int) -> Predictions:
    owners = np.arange(len(scores))
    made = Predictions(np.array(scores, dtype=float), np.array(hits, dtype=bool), owners, truths, np.arange(truths))
    return made.ordered()


def test_micro_average_precision_of_a_ranking_worked_by_hand() -> None:
    # Right, wrong, right; one of three true pairs is never answered: (1/1 + 2/3) / 3.
    assert metrics.micro_average_precision(ranked([0.9, 0.8, 0.7], [1, 0, 1], 3)) == pytest.approx((1 + 2 / 3) / 3)


def test_ties_are_counted_against_us() -> None:
    assert metrics.micro_average_precision(ranked([0.5, 0.5], [1, 0], 1)) == pytest.approx(0.5)
    assert metrics.micro_average_precision(ranked([0.5, 0.5], [0, 1], 1)) == pytest.approx(0.5)


def test_a_perfect_ranking_reaches_one_and_an_empty_one_nothing() -> None:
    assert metrics.micro_average_precision(ranked([3, 2, 1], [1, 1, 0], 2)) == 1
    assert metrics.micro_average_precision(ranked([1.0], [0], 2)) == 0


def test_weights_of_one_change_nothing_and_weights_of_two_double() -> None:
    made = ranked([0.9, 0.8, 0.7, 0.6], [1, 0, 1, 0], 2)
    once = metrics.micro_average_precision(made, np.ones(4))
    assert once == pytest.approx(metrics.micro_average_precision(made))
    # With everything twice the precision at the second hit is that of the middle of its copies.
    assert metrics.micro_average_precision(made, np.full(4, 2.0)) == pytest.approx(once)


def test_recall_at_precision_takes_the_highest_recall_that_still_has_it() -> None:
    scores = [float(number) for number in range(20, 0, -1)]
    hits = [1] * 9 + [0] + [1] * 9 + [0]
    recall, score = metrics.recall_at_precision(ranked(scores, hits, 20))
    # 18 of 19 right at the nineteenth, 18 of 20 = 0.9 at the last.
    assert recall == pytest.approx(18 / 20)
    assert score == 1.0


def test_recall_at_precision_answers_equal_scores_together() -> None:
    # Precision is 1 after the first of two equal scores, but the second is wrong and cannot be left out.
    assert metrics.recall_at_precision(ranked([0.5, 0.5], [1, 0], 1)) == (0.0, None)


def test_a_threshold_lets_no_more_than_the_rate_through() -> None:
    best = np.array([0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0])
    threshold = metrics.threshold_at(best, 0.2)
    assert 0.8 < threshold < 0.8001
    assert metrics.rate_over(best, threshold) == 0.2
    assert metrics.threshold_at(best, 0.01) > 1.0


def test_a_threshold_is_above_a_tie_that_would_let_too_many_through() -> None:
    best = np.array([0.5, 0.5, 0.5, 0.1])
    assert metrics.rate_over(best, metrics.threshold_at(best, 0.5)) == 0


@given(st.lists(st.floats(-1, 1, width=32), min_size=1, max_size=60), st.sampled_from([0.5, 0.1, 0.01]))
def test_no_threshold_exceeds_its_rate(scores: list[float], rate: float) -> None:
    best = np.array(scores, dtype=np.float64)
    assert metrics.rate_over(best, metrics.threshold_at(best, rate)) <= rate


def test_the_upper_bound_is_three_over_n_where_nothing_was_seen() -> None:
    assert metrics.upper_bound(0, 1000) == pytest.approx(3 / 1000, rel=0.01)
    assert metrics.upper_bound(5, 5) == 1


def test_equal_scores_push_the_true_answer_back() -> None:
    scores = np.array([[0.5, 0.5, 0.1], [0.9, 0.5, 0.1]])
    assert metrics.ranks(scores, np.array([0, 0])).tolist() == [2, 1]


def test_an_interval_of_equal_values_is_a_point() -> None:
    low, high = metrics.interval(np.full(5, 0.3), metrics.resampling(5, 50, 0))
    assert low == pytest.approx(0.3)
    assert high == pytest.approx(0.3)
