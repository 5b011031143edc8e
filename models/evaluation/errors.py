"""
What can go wrong while evaluating or calibrating.

ModelsError
└── EvaluationError
    ├── TooFewPictures     the folder has too few that can be read and are not copies of each other
    ├── UnknownPicture     a picture was named that is not in the folder
    └── UnknownEdit        an edit was asked for that does not exist
"""

from models.errors import ModelsError


class EvaluationError(ModelsError):
    """Nothing can be measured."""


class TooFewPictures(EvaluationError):
    pass


class UnknownPicture(EvaluationError):
    pass


class UnknownEdit(EvaluationError):
    pass
