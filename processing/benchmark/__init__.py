"""How fast this is beside other ways to run the same weights: what `open-dpt bench` does.

    from open_dpt.processing.benchmark import run_suite

    for case in run_suite("latency", presets=["dpt-base"], dtypes=["bfloat16"], peers=["transformers"]):
        print(case["rows"])

`suites.py` is the list of what can be measured, `candidates.py` of what is measured against, `measure.py` the rule:
outputs are compared first, then all candidates take turns.
"""

from ..._lazy import lazy_names

__getattr__, __dir__, __all__ = lazy_names(
    __name__,
    {
        "SUITES": ".suites",
        "STANDARD": ".suites",
        "run_suite": ".suites",
        "describe_machine": ".machine",
        "write_report": ".report",
    },
)
