"""
What can go wrong while training.

ModelsError
└── TrainingError
    ├── BadOptions              an option has a value that no run can have
    ├── NoTrainingPictures      the folder of photographs holds none that can be read
    ├── PoolFailed              there is no room for the pool of pictures, or it cannot be written
    ├── CheckpointMismatch      the checkpoint belongs to another architecture or another recipe
    ├── TrainingDiverged        the loss is not a number any more; the last good checkpoint is kept
    ├── BatchesLost             the process that prepares batches has died
    └── ExportFailed            the result could not be written
"""

from models.errors import ModelsError


class TrainingError(ModelsError):
    """A run cannot start, go on or finish."""


class BadOptions(TrainingError):
    pass


class NoTrainingPictures(TrainingError):
    pass


class PoolFailed(TrainingError):
    pass


class CheckpointMismatch(TrainingError):
    pass


class TrainingDiverged(TrainingError):
    pass


class BatchesLost(TrainingError):
    pass


class ExportFailed(TrainingError):
    pass
