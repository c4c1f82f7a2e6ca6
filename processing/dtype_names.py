"""Names of dtypes as people write them. Imports no torch."""

DTYPES = ("float32", "bfloat16", "float16")

_SHORT = {"fp32": "float32", "bf16": "bfloat16", "fp16": "float16"}


def full_dtype_name(name: str) -> str:
    """torch's name of a dtype; what is no short name stays as it is."""
    return _SHORT.get(name, name)
