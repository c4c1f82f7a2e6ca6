"""Data sets, read where they lie: `load_data` gives rows, `read_sample` turns a row into tensors.

Names are imported when they are first touched: a table of names must not cost the loading of torch and datasets.
"""

from .._lazy import lazy_names

__getattr__, __dir__, __all__ = lazy_names(
    __name__,
    {
        "DATASETS": ".registry",
        "DataLayoutError": ".layout",
        "SampleError": ".readers",
        "class_names": ".registry",
        "load_data": ".registry",
        "make_rows": ".samples",
        "raw_rows": ".samples",
        "read_sample": ".samples",
    },
)
