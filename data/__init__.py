"""Data sets, read where they lie: `load_data` gives rows, `read_sample` turns a row into tensors.

Names are imported when they are first touched: a table of names must not cost the loading of torch and datasets.
"""

from importlib import import_module

_HOME = {
    "DATASETS": ".registry",
    "DataLayoutError": ".layout",
    "SampleError": ".readers",
    "class_names": ".registry",
    "load_data": ".registry",
    "make_rows": ".samples",
    "raw_rows": ".samples",
    "read_sample": ".samples",
}

__all__ = sorted(_HOME)


def __getattr__(name: str):
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(_HOME[name], __name__), name)
    return value


def __dir__() -> list[str]:
    return __all__
