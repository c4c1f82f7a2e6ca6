"""Names that are imported when they are first touched, so that importing a package stays quick."""

import sys
from collections.abc import Callable
from importlib import import_module
from typing import Any


def lazy_names(package: str, homes: dict[str, str]) -> tuple[Callable[[str], Any], Callable[[], list[str]], list[str]]:
    """What a package's `__init__` needs for names that live in its modules.

        __getattr__, __dir__, __all__ = lazy_names(__name__, {"load_image": ".image_io"})

    Args:
        package: `__name__` of the package.
        homes: Name -> module, relative to the package.

    Returns:
        `__getattr__` (PEP 562), `__dir__` and `__all__` of the package.
    """
    names = sorted(homes)

    def __getattr__(name: str) -> Any:
        if name not in homes:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        value = getattr(import_module(homes[name], package), name)
        setattr(sys.modules[package], name, value)
        return value

    def __dir__() -> list[str]:
        return sorted(names)  # with what the package adds to __all__

    return __getattr__, __dir__, names
