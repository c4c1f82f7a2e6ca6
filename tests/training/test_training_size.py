from types import SimpleNamespace

import pytest

from open_dpt.training.starting import training_size

MODEL = SimpleNamespace(config=SimpleNamespace(size_divisor=16))
PROCESSOR = SimpleNamespace(size={"height": 64, "width": 96})


def test_the_processors_size_stands_in():
    assert training_size(SimpleNamespace(image_size=None), MODEL, PROCESSOR) == (64, 96)
    assert training_size(SimpleNamespace(image_size=[32]), MODEL, PROCESSOR) == (32, 32)


def test_a_size_that_the_model_cannot_take_is_told_before_training():
    with pytest.raises(ValueError, match=r"multiples of 16 for this model, got 100 x 7\. Pass --image_size 96 16"):
        training_size(SimpleNamespace(image_size=[100, 7]), MODEL, PROCESSOR)
