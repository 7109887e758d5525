"""The torch Dataset of every card: samples, transforms, seeds, batches."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from qaclims_path.data import open_dataset
from qaclims_path.data.cards import card_paths, load_card
from qaclims_path.data.dataset import collate
from qaclims_path.data.fake import write_fake
from qaclims_path.data.record import load_record
from qaclims_path.data.transforms import augmentation
from qaclims_path.data.windows import Window, collate_windows
from qaclims_path.errors import NotRegistered, UsageError
from qaclims_path.types import Sample


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    out = tmp_path_factory.mktemp("sets") / "bcss"
    write_fake(load_card("bcss-wsss"), out, seed=1)
    return out


def test_a_data_set_opens_by_name_path_and_card(root):
    for name in ("bcss-wsss", card_paths()["bcss-wsss"], str(card_paths()["bcss-wsss"]), load_card("bcss-wsss")):
        dataset = open_dataset(name, str(root), "val")
        assert dataset.classes == dataset.card.names == ("tumor", "stroma", "lymphocyte", "necrosis")


def test_samples_hold_what_was_read(root):
    dataset = open_dataset("bcss-wsss", root, "val")
    sample, record = dataset[2], dataset.records[2]
    picture, classes, truth = load_record(dataset.card, record)
    assert isinstance(sample, Sample)
    assert sample.id == record.id
    assert sample.image.dtype == torch.float32
    np.testing.assert_array_equal((sample.image.permute(1, 2, 0) * 255).round().byte().numpy(), picture)
    np.testing.assert_array_equal(sample.mask.numpy(), truth)
    assert sample.present.nonzero().flatten().tolist() == list(classes)


def test_masks_can_be_left_out(root):
    given, without = (open_dataset("bcss-wsss", root, "val", masks=masks) for masks in (True, False))
    assert all(sample.mask is None for sample in without)
    assert all(torch.equal(a.present, b.present) for a, b in zip(given, without, strict=True))


def test_masks_of_a_split_of_labels_cannot_be_asked_for(root):
    with pytest.raises(UsageError, match="trains on image labels; its masks are never opened"):
        open_dataset("bcss-wsss", root, "train", masks=True)


def test_wrong_names_are_refused_with_the_nearest(root):
    with pytest.raises(NotRegistered, match="Did you mean 'bcss-wsss'"):
        open_dataset("bcss-wss", root, "val")
    with pytest.raises(UsageError, match="Did you mean 'val'"):
        open_dataset("bcss-wsss", root, "vall")


def test_a_plain_transform_gets_and_gives_a_dictionary(root):
    def darker(item):
        assert set(item) == {"id", "image", "present", "known", "mask"}
        assert item["mask"].shape == (1, *item["image"].shape[1:])
        return {**item, "image": item["image"] / 2}

    plain, dark = (open_dataset("bcss-wsss", root, "val", transform=t)[0] for t in (None, darker))
    torch.testing.assert_close(dark.image, plain.image / 2)
    assert torch.equal(dark.mask, plain.mask)


def test_random_numbers_belong_to_epoch_and_image(root):
    """The order of reading changes nothing; another epoch or seed does."""

    def opened(seed=5):
        return open_dataset("bcss-wsss", root, "val", transform=augmentation(48, seed, jitter=0.2))

    dataset = opened()
    first = [dataset[i] for i in range(len(dataset))]
    backwards = [dataset[i] for i in reversed(range(len(dataset)))][::-1]
    for a, b in zip(first, backwards, strict=True):
        assert torch.equal(a.image, b.image)
        assert torch.equal(a.mask, b.mask)
    assert torch.equal(opened()[3].image, first[3].image)
    assert torch.equal(opened()[-1].image, first[-1].image)
    assert not torch.equal(opened(6)[3].image, first[3].image)
    dataset.set_epoch(1)
    assert not torch.equal(dataset[3].image, first[3].image)
    dataset.set_epoch(0)
    assert torch.equal(dataset[3].image, first[3].image)


def test_workers_see_the_epoch(root):
    dataset = open_dataset("bcss-wsss", root, "val", transform=augmentation(32, 5))
    loader = DataLoader(dataset, batch_size=2, collate_fn=collate, num_workers=1, persistent_workers=True)
    for epoch in (0, 1):
        dataset.set_epoch(epoch)
        batches = list(loader)
        assert [tuple(batch["image"].shape) for batch in batches] == [(2, 3, 32, 32)] * 3
        wanted = torch.stack([dataset[i].image for i in range(6)])
        # Zooming rounds differently on one thread (a worker) than on several.
        torch.testing.assert_close(torch.cat([batch["image"] for batch in batches]), wanted, atol=1e-6, rtol=0)


def test_a_batch_holds_names_masks_and_labels(root):
    data = open_dataset("bcss-wsss", root, "val")
    batch = collate([data[0], data[1]])
    assert batch["id"] == [data[0].id, data[1].id]
    assert batch["mask"].shape == (2, 64, 64)
    assert batch["present"].shape == (2, 4)


def test_unknown_classes_reach_sample_window_and_batch(root):
    data = open_dataset("bcss-wsss", root, "train")
    data.records[0] = replace(data.records[0], present=(1,), unknown=(0, 3))
    sample, image = data[0], data.decoded(0)
    assert sample.present.tolist() == image.present.tolist() == [False, True, False, False]
    assert sample.known.tolist() == image.known.tolist() == [False, True, True, False]
    numbers = np.zeros(25, np.float32)
    batches = collate([sample, data[1]]), collate_windows([Window(data.decoded(row), numbers) for row in (0, 1)])
    for batch in batches:
        assert batch["known"].tolist() == [[False, True, True, False], [True] * 4]


def test_a_sample_without_a_word_is_known():
    assert Sample("one", torch.zeros(3, 4, 4), torch.tensor([True, False])).known.tolist() == [True, True]


def test_a_batch_has_no_masks_where_a_sample_has_none(root):
    train, val = (open_dataset("bcss-wsss", root, split) for split in ("train", "val"))
    assert "mask" not in collate([train[0], val[0]])


def test_images_of_two_sizes_form_no_batch(root):
    small = Sample("small", torch.zeros(3, 4, 4), torch.zeros(4, dtype=torch.bool))
    with pytest.raises(UsageError, match="Images of 2 sizes cannot form a batch"):
        collate([open_dataset("bcss-wsss", root, "val")[0], small])


def test_the_fake_pictures_show_their_classes(root):
    dataset = open_dataset("bcss-wsss", root, "val")
    for sample, record in zip(dataset, dataset.records, strict=True):
        picture = record.image.pixels().astype(float)
        for k in sample.present.nonzero().flatten().tolist():
            seen = picture[sample.mask.numpy() == k].mean(0)
            assert np.abs(seen - dataset.card.palette[k]).max() < 30
