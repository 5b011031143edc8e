"""Arrays of what frames look like, and positions in them."""

import numpy as np
from numpy.typing import NDArray

Embeddings = NDArray[np.float32]
"""Shape (n, dim), every row of norm 1."""
PDQ_BYTES = 32
PdqRows = NDArray[np.uint8]
"""Shape (n, PDQ_BYTES), one PDQ hash a row."""
Rows = NDArray[np.int64]
"""Positions of rows in one vector index."""
RowMask = NDArray[np.bool_]
"""Shape (rows of the index,), True where a row may be found."""
