"""Let transformers' Auto classes and pipelines find open_dpt, without importing transformers.

`import open_dpt` must stay quick, so it registers nothing itself. It watches for transformers' own Auto modules: once
one of them has been imported, and no import of transformers is under way any more, our modules are imported too and
register their classes.
"""

import sys
from importlib import import_module
from importlib.abc import MetaPathFinder

# transformers' module, and ours that registers with it
_REGISTERED_BY = {
    "transformers.models.auto.configuration_auto": ".configuration.configuration_dpt",
    "transformers.models.auto.modeling_auto": ".modeling_dpt",
    "transformers.models.auto.image_processing_auto": ".processing.image_processing_dpt",
}


class _Watcher(MetaPathFinder):
    """Finds nothing itself; counts the imports of transformers modules that are under way."""

    def __init__(self):
        self.under_way = 0
        self.waiting = dict(_REGISTERED_BY)

    def find_spec(self, name, path=None, target=None):
        if not name.startswith("transformers."):
            return None
        others = (finder for finder in sys.meta_path if finder is not self and hasattr(finder, "find_spec"))
        spec = next(filter(None, (finder.find_spec(name, path, target) for finder in others)), None)
        if spec is not None and spec.loader is not None and hasattr(spec.loader, "exec_module"):
            spec.loader.exec_module = self._counted(spec.loader.exec_module)
        return spec

    def _counted(self, exec_module):
        def run(module):
            self.under_way += 1
            try:
                exec_module(module)
            finally:
                self.under_way -= 1
            self.register()

        return run

    def register(self) -> None:
        """Import those of our modules whose counterpart is there; ours are complete before the next is looked at."""
        for theirs in [] if self.under_way else [name for name in self.waiting if name in sys.modules]:
            ours = self.waiting.pop(theirs, None)
            if ours:
                import_module(ours, __package__)
        if not self.waiting and self in sys.meta_path:
            sys.meta_path.remove(self)


def register_when_imported() -> None:
    """Start watching; what is imported already is registered with at once. Calling it again changes nothing."""
    if not any(type(finder).__name__ == "_Watcher" for finder in sys.meta_path):
        watcher = _Watcher()
        sys.meta_path.insert(0, watcher)
        watcher.register()
