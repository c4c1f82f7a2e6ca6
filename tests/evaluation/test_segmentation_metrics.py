import pytest
import torch

from open_dpt.evaluation.segmentation_metrics import SegmentationMetrics


def test_by_hand():
    metrics = SegmentationMetrics(3)
    # Class 0: 1 hit, union 2. Class 1: 1 hit, union 2. Class 2: nowhere. The ignored pixel's prediction is nothing.
    metrics.update(torch.tensor([[0, 1, 1, 2]]), torch.tensor([[0, 0, 1, 255]]))
    got = metrics.compute()
    assert got["mean_iou"] == pytest.approx((1 / 2 + 1 / 2 + 0) / 3)
    assert got["mean_iou_present"] == pytest.approx(1 / 2)
    assert got["pixel_accuracy"] == pytest.approx(2 / 3)
    assert (got["images"], got["pixels"], got["empty_images"]) == (1, 3, 0)
    assert metrics.confusion().tolist() == [[1, 1, 0], [0, 1, 0], [0, 0, 0]]  # one 0 is taken for a 1
    assert metrics.iou_per_class()[:2].tolist() == [0.5, 0.5] and metrics.iou_per_class()[2].isnan()


def test_agrees_with_numpy_over_the_whole_set(reference):
    generator = torch.Generator().manual_seed(0)
    predictions = torch.randint(0, 6, (4, 9, 11), generator=generator)
    labels = torch.randint(0, 5, (4, 9, 11), generator=generator)  # class 5 is predicted, never labelled
    labels[torch.rand(labels.shape, generator=generator) < 0.3] = 99
    metrics = SegmentationMetrics(7, ignore_index=99)
    for prediction, label in zip(predictions, labels, strict=True):
        metrics.update(prediction, label)
    expected = reference.segmentation_scores(predictions.numpy(), labels.numpy(), 7, 99)
    got = metrics.compute()
    assert {name: got[name] for name in expected} == pytest.approx(expected)


def test_maps_lists_and_batches_give_the_same():
    generator = torch.Generator().manual_seed(0)
    predictions, labels = torch.randint(0, 5, (2, 4, 9, 11), generator=generator)
    labels[0, :] = labels[1, :3] = 255
    one_by_one, as_batch, as_list = (SegmentationMetrics(5) for _ in range(3))
    for pair in zip(predictions, labels, strict=True):
        one_by_one.update(*pair)
    as_batch.update(predictions, labels.to(torch.int16))
    pieces = [[*maps[:3], maps[3, :4], maps[3, 4:]] for maps in (predictions, labels)]
    as_list.update(*pieces)
    as_list.update([], [])
    assert torch.equal(one_by_one.state(), as_batch.state())
    assert torch.equal(one_by_one.confusion(), as_list.confusion())
    assert as_batch.compute()["empty_images"] == 1 and as_list.compute()["images"] == 4
    assert as_batch.confusion().sum() == (labels != 255).sum()


def test_a_batch_with_a_stray_id_adds_nothing():
    metrics = SegmentationMetrics(2)
    with pytest.raises(ValueError, match="got 7"):
        metrics.update(torch.tensor([[[0, 1]], [[0, 7]]]), torch.tensor([[[0, 1]], [[0, 1]]]))
    assert not metrics.state().any()


def test_states_of_two_processes_add_up_exactly():
    generator = torch.Generator().manual_seed(0)
    together, parts = SegmentationMetrics(4), [SegmentationMetrics(4), SegmentationMetrics(4)]
    for number in range(5):
        prediction, labels = torch.randint(0, 4, (2, 5, 6), generator=generator)
        together.update(prediction, labels)
        parts[number % 2].update(prediction, labels)
    parts[0].merge(parts[1].state())
    assert torch.equal(parts[0].state(), together.state()) and parts[0].compute() == together.compute()


def test_images_without_labels_are_counted_and_left_out():
    metrics = SegmentationMetrics(2)
    metrics.update(torch.tensor([[0, 1]]), torch.tensor([[255, 255]]))
    with pytest.raises(ValueError, match=r"not 255 \(ignored\), got none in 1"):
        metrics.compute()
    metrics.update(torch.tensor([[0, 1]]), torch.tensor([[0, 1]]))
    assert metrics.compute()["mean_iou"] == 1 and metrics.compute()["empty_images"] == 1


@pytest.mark.parametrize(
    ("prediction", "labels", "message"),
    [
        ([[0, 1]], [[0, 2]], r"labels: ids must be below 2 .* got 2"),
        ([[0, 1]], [[0, -1]], r"labels: .* got -1"),
        ([[0, 5]], [[0, 1]], r"prediction: .* got 5"),
        ([[0, 1]], [[0]], r"\(1, 2\) and \(1, 1\)"),
    ],
)
def test_ids_that_are_no_class_are_named(prediction, labels, message):
    with pytest.raises(ValueError, match=message):
        SegmentationMetrics(2).update(torch.tensor(prediction), torch.tensor(labels))
