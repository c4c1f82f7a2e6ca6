"""Predictions come in order, at image size, from a stream read only a little ahead."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from open_dpt import DPTImageProcessor
from open_dpt.processing import FailedImage, ImageError, MultiScale, predict_depth, predict_segmentation
from open_dpt.processing.predictor import WINDOW_BATCHES


class Stub(torch.nn.Module):
    """Depth = the red channel; classes = which colour channel is strongest. Records the batches it sees."""

    def __init__(self, dtype=torch.float32, **config):
        super().__init__()
        self.gain = torch.nn.Parameter(torch.ones((), dtype=dtype))
        self.config = SimpleNamespace(**config)
        self.batches = []

    def forward(self, pixel_values):
        assert pixel_values.dtype == self.gain.dtype and not self.training and not torch.is_grad_enabled()
        self.batches.append(tuple(pixel_values.shape))
        return {"predicted_depth": pixel_values[:, 0] * self.gain, "logits": pixel_values * self.gain}


PROCESSOR = DPTImageProcessor(size=32, keep_aspect_ratio=True, ensure_multiple_of=16, do_normalize=False)
SIZES = [(20, 40), (30, 30), (40, 20), (40, 80), (16, 16), (30, 31), (60, 60)]


def pictures():
    return [Image.new("RGB", (w, h), (20 * i + 10, 0, 0)) for i, (h, w) in enumerate(SIZES)]


@pytest.mark.parametrize("batch_size", [1, 2, 3, 100])
def test_order_and_sizes_are_kept(batch_size):
    model = Stub()
    results = list(predict_depth(model, PROCESSOR, pictures(), batch_size=batch_size))
    assert [result.values.shape for result in results] == SIZES
    for index, result in enumerate(results):
        np.testing.assert_allclose(result.values, (20 * index + 10) / 255, atol=1e-4)
    assert sum(shape[0] for shape in model.batches) == len(SIZES)
    assert max(shape[0] for shape in model.batches) == {1: 1, 2: 2, 3: 3, 100: 4}[batch_size]  # four are square
    assert model.training  # as before


def test_kind_and_unit_follow_the_model():
    (relative,) = predict_depth(Stub(), PROCESSOR, pictures()[0])
    (metric,) = predict_depth(Stub(depth_estimation_type="metric"), PROCESSOR, pictures()[0])
    assert (relative.kind, relative.unit) == ("disparity", "relative")
    assert (metric.kind, metric.unit) == ("depth", "metre")


def test_half_precision_models_give_float32():
    (prediction,) = predict_depth(Stub(torch.bfloat16), PROCESSOR, pictures()[1])
    assert prediction.values.dtype == np.float32


def test_segmentation():
    image = np.zeros((24, 48, 3), np.uint8)
    image[:, :24, 0], image[:, 24:, 2] = 255, 255
    (prediction,) = predict_segmentation(Stub(id2label={0: "r", 1: "g", 2: "b"}), PROCESSOR, image)
    assert prediction.labels.shape == (24, 48) and prediction.id2label[2] == "b"
    assert (prediction.labels[:, :22] == 0).all() and (prediction.labels[:, 26:] == 2).all()


def test_a_single_source_of_any_kind(tmp_path):
    path = tmp_path / "a.png"
    pictures()[0].save(path)
    array = np.array(pictures()[0])
    for source in (path, str(path), path.read_bytes(), array, torch.from_numpy(array).permute(2, 0, 1)):
        (prediction,) = predict_depth(Stub(), PROCESSOR, source)
        assert prediction.values.shape == (20, 40)


@pytest.mark.parametrize("batch_size", [1, 2])
def test_the_stream_is_not_read_far_ahead(batch_size):
    read = 0

    def endless():
        nonlocal read
        while True:
            read += 1
            yield pictures()[0]

    stream = predict_depth(Stub(), PROCESSOR, endless(), batch_size=batch_size)
    assert read == 0
    next(stream)
    assert read <= batch_size * WINDOW_BATCHES and (batch_size > 1 or read == 1)
    stream.close()


@pytest.mark.parametrize("batch_size", [1, 4])
def test_unreadable_images_keep_their_place(tmp_path, batch_size):
    (tmp_path / "broken.jpg").write_bytes(b"nothing")
    sources = [pictures()[0], tmp_path / "broken.jpg", pictures()[1], tmp_path / "missing.jpg", 7]
    results = list(predict_depth(Stub(), PROCESSOR, iter(sources), batch_size=batch_size, errors="yield"))
    assert [isinstance(result, FailedImage) for result in results] == [False, True, False, True, True]
    assert results[1].source == tmp_path / "broken.jpg" and isinstance(results[1].error, ImageError)
    assert isinstance(results[3].error, FileNotFoundError)
    with pytest.raises(ImageError, match=r"broken\.jpg"):
        list(predict_depth(Stub(), PROCESSOR, sources))


def test_exif_orientation_sets_the_size():
    picture = Image.new("RGB", (48, 24))
    picture.getexif()[0x0112] = 6
    (prediction,) = predict_depth(Stub(), PROCESSOR, picture)
    assert prediction.values.shape == (48, 24)


def test_wrong_options_fail_at_the_call():
    with pytest.raises(ValueError, match=r"errors: .* got 'ignore'"):
        predict_depth(Stub(), PROCESSOR, [], errors="ignore")
    with pytest.raises(ValueError, match=r"batch_size: .* got 0"):
        predict_depth(Stub(), PROCESSOR, [], batch_size=0)


class Recorder(DPTImageProcessor):
    """Remembers what it is given."""

    def preprocess(self, images, **kwargs):
        self.given = (images.dtype, images.device.type, kwargs["device"])
        return super().preprocess(images, **kwargs)


@pytest.mark.parametrize("antialias", [False, True])
def test_bytes_go_to_the_models_device_and_are_prepared_there(antialias):
    class Elsewhere(Stub):
        def forward(self, pixel_values):
            assert pixel_values.device.type == "meta"
            return {"predicted_depth": torch.zeros(pixel_values[:, 0].shape)}

    processor = Recorder(size=32, antialias=antialias)
    (prediction,) = predict_depth(Elsewhere().to("meta"), processor, pictures()[3])
    assert processor.given == (torch.uint8, "cpu", torch.device("meta")) and prediction.values.shape == (40, 80)


def test_what_lies_on_another_device_than_the_model_is_brought_to_it():
    processor = Recorder(size=32)
    with pytest.raises(NotImplementedError, match="meta"):  # that one has nothing to bring
        next(predict_depth(Stub(), processor, torch.empty(3, 40, 40, dtype=torch.uint8, device="meta")))
    assert processor.given == (torch.uint8, "meta", torch.device("cpu"))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize(("antialias", "tolerance"), [(False, 1e-5), (True, 12 / 255)])
@pytest.mark.parametrize("batch_size", [1, 4])
def test_a_gpu_gives_the_same_answers(antialias, tolerance, batch_size):
    processor = DPTImageProcessor(size=32, keep_aspect_ratio=True, ensure_multiple_of=16, antialias=antialias)
    images = [np.random.randint(0, 256, (*size, 3), dtype=np.uint8) for size in SIZES]
    images.append(torch.from_numpy(images[0]).permute(2, 0, 1).contiguous().pin_memory())
    cpu = list(predict_depth(Stub(), processor, images, batch_size=batch_size))
    gpu = list(predict_depth(Stub().cuda(), processor, images, batch_size=batch_size))
    for one, other in zip(cpu, gpu, strict=True):
        np.testing.assert_allclose(other.values, one.values, atol=2 * tolerance)  # pixels span -1 to 1
    one, other = (
        [result.labels for result in predict_segmentation(model, processor, images, batch_size=batch_size)]
        for model in (Stub(), Stub().cuda())
    )
    for labels, others in zip(one, other, strict=True):
        assert (labels != others).mean() < (0.2 if antialias else 1e-3)


class LeftBright(Stub):
    """Adds 1 to the first column, wherever the image comes from."""

    def forward(self, pixel_values):
        pixel_values = pixel_values.clone()
        pixel_values[..., 0] += 1
        return super().forward(pixel_values)


def test_flip_averages_with_the_mirrored_prediction():
    plain, flipped = (next(predict_depth(LeftBright(), PROCESSOR, pictures()[1], flip=flip)) for flip in (False, True))
    difference = flipped.values - plain.values
    assert difference[15, 0] < -0.4 and difference[15, -1] > 0.4
    image = np.zeros((32, 32, 3), np.uint8)
    image[:, 16:, 1] = 100
    (labels,) = predict_segmentation(Stub(), PROCESSOR, image, flip=True)
    assert (labels.labels[:, :15] == 0).all() and (labels.labels[:, 17:] == 1).all()


STRATEGY = MultiScale((0.5, 1.0), base_size=60, window=32)


def test_a_strategy_takes_the_place_of_the_processors_size():
    picture = np.zeros((50, 90, 3), np.uint8)
    picture[:, :30, 0], picture[:, 30:60, 1], picture[:, 60:, 2] = 255, 255, 255
    model = Stub(torch.bfloat16, id2label={0: "r", 1: "g", 2: "b"})
    results = list(
        predict_segmentation(model, PROCESSOR, [picture, picture[:, ::-1]], strategy=STRATEGY, batch_size=2)
    )
    assert results[0].id2label[2] == "b" and model.training
    straight, mirrored = (result.labels for result in results)
    assert straight.shape == (50, 90) and np.array_equal(straight[:, ::-1], mirrored)
    assert [set(straight[:, columns].flat) for columns in (slice(25), slice(34, 56), slice(65, 90))] == [{0}, {1}, {2}]
    # Sizes 17 x 30 and 33 x 60: one window, then 2 x 3 in three batches; for both pictures.
    assert model.batches == ([(1, 3, 32, 32)] + [(2, 3, 32, 32)] * 3) * 2


def test_a_strategy_normalises_as_the_processor_does_and_pads_with_black():
    seen = []

    class Recorder(Stub):
        def forward(self, pixel_values):
            seen.append(pixel_values)
            return super().forward(pixel_values)

    processor = DPTImageProcessor(size=32, image_mean=[0.1, 0.2, 0.3], image_std=[0.5, 0.25, 0.2])
    picture = np.full((20, 32, 3), 255, np.uint8)
    list(predict_segmentation(Recorder(), processor, picture, strategy=MultiScale((1.0,), base_size=32, window=32)))
    expected = processor(picture, do_resize=False)["pixel_values"][0]
    torch.testing.assert_close(seen[0][0, :, :20], expected)
    black = processor(np.zeros((12, 32, 3), np.uint8), do_resize=False)["pixel_values"][0]
    torch.testing.assert_close(seen[0][0, :, 20:], black)


def test_flip_joins_a_strategy():
    model = Stub()
    list(predict_segmentation(model, PROCESSOR, pictures()[0], strategy=STRATEGY, flip=True))
    assert len(model.batches) == 2 * (1 + 3)


def test_a_strategy_leaves_unreadable_images_in_their_place(tmp_path):
    sources = [pictures()[0], tmp_path / "missing.jpg", 7, pictures()[1]]
    results = list(predict_segmentation(Stub(), PROCESSOR, sources, strategy=STRATEGY, errors="yield"))
    assert [isinstance(result, FailedImage) for result in results] == [False, True, True, False]
    with pytest.raises(FileNotFoundError, match=r"missing\.jpg"):
        list(predict_segmentation(Stub(), PROCESSOR, sources, strategy=STRATEGY))
    with pytest.raises(ValueError, match=r"batch_size: .* got 0"):
        predict_segmentation(Stub(), PROCESSOR, [], strategy=STRATEGY, batch_size=0)
