"""The queries that went worst, to be looked at."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from models.evaluation import metrics
from models.evaluation.measure import RATES, Answers, Asked
from models.evaluation.pictures import Picture
from models.evaluation.roles import Roles


@dataclass(frozen=True, slots=True)
class Case:
    """
    A query that went worst, for a contact sheet.

    Args:
        edit: how it was made.
        query: the picture it was made of.
        answer: the banked picture: the original that was missed, or the one that was wrongly found.
        score: of that answer.
    """

    edit: str
    query: Path
    answer: Path
    score: float


def worst_cases(
    asked: Asked, answers: Answers, roles: Roles, judged: Sequence[Picture], most: int = 48
) -> tuple[tuple[Case, ...], tuple[Case, ...]]:
    """Of counted queries that no stated rate finds the worst of each picture, and the innocent that scored highest."""
    own = answers.positives[np.arange(len(asked.truth)), asked.truth]
    loosest = metrics.threshold_at(answers.thresholds, max(RATES))
    misses: dict[int, Case] = {}
    for place in np.argsort(own):
        if own[place] >= loosest:
            break
        picture = int(asked.truth[place])
        if asked.counted[asked.edit[place]] and picture not in misses:
            path = roles.bank[picture].path
            misses[picture] = Case(asked.edits[asked.edit[place]], path, path, float(own[place]))
        if len(misses) == most:
            break
    best = answers.negatives.max(axis=1)
    wrong: dict[tuple[int, int], Case] = {}
    for place in np.argsort(-best):
        owner, column = int(asked.negative_owner[place]), int(answers.negatives[place].argmax())
        if (owner, column) not in wrong:
            name = asked.edits[asked.negative_edit[place]]
            wrong[owner, column] = Case(name, judged[owner].path, roles.bank[column].path, float(best[place]))
        if len(wrong) == most:
            break
    return tuple(misses.values()), tuple(wrong.values())
