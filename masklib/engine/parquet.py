"""Recorded tables, read with a limit: a Parquet file of a few kilobytes may hold a table that no memory does."""

import io

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

LARGEST_CELLS = 50_000_000  # of a table that is read
LARGEST_BYTES = 2 * 10**9  # of a table as its file declares it, unpacked


def read_table(content: bytes) -> pd.DataFrame:
    """Return the table that the bytes of a Parquet file hold.

    Raises:
        ValueError: they hold none, or one that is too large.
    """
    try:
        file = pq.ParquetFile(io.BytesIO(content))
        about = file.metadata
        size = sum(about.row_group(index).total_byte_size for index in range(about.num_row_groups))
        if about.num_rows * about.num_columns <= LARGEST_CELLS and size <= LARGEST_BYTES:
            frame: pd.DataFrame = file.read().to_pandas()
            return frame
    except (pa.ArrowException, OSError, ValueError, TypeError, LookupError, AttributeError, RecursionError) as error:
        msg = f"a table must be Parquet, this one cannot be read: {str(error).partition(chr(10))[0][:200]}"
        raise ValueError(msg) from None
    msg = f"a table may have {LARGEST_CELLS} cells and {LARGEST_BYTES} bytes, this one has {about.num_rows} rows and {size} bytes"
    raise ValueError(msg)
