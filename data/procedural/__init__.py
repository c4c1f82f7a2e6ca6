"""Procedural scenes: pictures with exact disparity, rendered by this package.

`render_batch` renders seeds, `write_cache` pre-renders in parallel, `CachedScenes` reads a cache as a data set.
Names are imported on first use, so that `python -m open_dpt.data.procedural.cache` starts clean.
"""

from importlib import import_module

_WHERE = {
    "HELD_OUT": "catalogue",
    "HELD_OUT_SEED": "catalogue",
    "SCENE_TYPES": "catalogue",
    "CachedScenes": "cache",
    "RenderedBatch": "render",
    "build_scene": "catalogue",
    "render_batch": "render",
    "render_scenes": "render",
    "write_cache": "cache",
    "write_contact_sheet": "contact_sheet",
}
__all__ = sorted(_WHERE)


def __getattr__(name: str):
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_WHERE[name]}", __name__), name)


def __dir__() -> list[str]:
    return __all__
