"""Pictures and masks: what is read is what was written, and every damaged file is one sentence."""

import io
import os
import struct
import warnings
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from qaclims_path.errors import BadFile
from qaclims_path.files.images import image_size, read_image, read_mask, write_image, write_mask

CODES = np.random.default_rng(0).integers(0, 5, (24, 20), dtype=np.uint8)
PICTURE = np.random.default_rng(1).integers(0, 256, (24, 20, 3), dtype=np.uint8)
PALETTE = [int(value) for value in np.random.default_rng(2).integers(0, 256, 768)]
GREY, INDEXED, RGB = 0, 3, 2


def png(width: int, height: int, depth: int, color: int, rows: bytes = b"") -> bytes:
    """A PNG with any header."""
    chunks = [(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, color, 0, 0, 0))]
    if color == INDEXED:
        chunks.append((b"PLTE", bytes(PALETTE[: 3 << depth])))
    chunks += [(b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    body = b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks
    )
    return b"\x89PNG\r\n\x1a\n" + body


def packed(codes: np.ndarray, depth: int) -> bytes:
    """PNG rows of a few bits per pixel, each after its filter byte."""
    bits = np.unpackbits(codes[..., None], axis=2)[..., -depth:].reshape(len(codes), -1)
    return b"".join(b"\0" + np.packbits(row).tobytes() for row in bits)


def encoded(image: Image.Image, kind: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def put(folder: Path, name: str, content: bytes) -> Path:
    path = folder / name
    path.write_bytes(content)
    return path


# Good files


@pytest.mark.parametrize("palette", [None, PALETTE], ids=["grey", "palette"])
def test_a_mask_comes_back_as_written(tmp_path: Path, palette: list[int] | None) -> None:
    write_mask(tmp_path / "Präparat [1, 0].png", CODES, palette)
    assert (read_mask(tmp_path / "Präparat [1, 0].png") == CODES).all()
    assert image_size(tmp_path / "Präparat [1, 0].png") == (20, 24)


def test_a_written_palette_shows_the_colours(tmp_path: Path) -> None:
    write_mask(tmp_path / "m.png", CODES, PALETTE)
    assert (read_image(tmp_path / "m.png") == np.array(PALETTE, np.uint8).reshape(256, 3)[CODES]).all()


@pytest.mark.parametrize("color", [GREY, INDEXED], ids=["grey", "palette"])
@pytest.mark.parametrize("depth", [1, 2, 4, 8])
def test_codes_of_few_bits_are_not_stretched(tmp_path: Path, depth: int, color: int) -> None:
    codes = CODES & ((1 << depth) - 1)
    path = put(tmp_path, "m.png", png(20, 24, depth, color, packed(codes, depth)))
    assert (read_mask(path) == codes).all()
    assert read_mask(path).dtype == np.uint8


@pytest.mark.parametrize("name", ["m.png", "m.bmp", "m.gif", "m.tif", "m.TIFF"])
def test_masks_of_other_formats(tmp_path: Path, name: str) -> None:
    image = Image.fromarray(CODES)
    if "tif" not in name.lower():
        image.putpalette(PALETTE)
    image.save(tmp_path / name)
    assert (read_mask(tmp_path / name) == CODES).all()


def test_a_pyramidal_tiff_mask_is_read_at_full_size(tmp_path: Path) -> None:
    with tifffile.TiffWriter(tmp_path / "m.ome.tif", ome=True) as tiff:
        tiff.write(CODES, subifds=1, compression="deflate", metadata={"axes": "YX"})
        tiff.write(CODES[::2, ::2], subfiletype=1, compression="deflate")
    assert (read_mask(tmp_path / "m.ome.tif") == CODES).all()


def test_pictures_of_every_mode_have_three_channels(tmp_path: Path) -> None:
    for mode in ("RGB", "L", "P", "1", "CMYK", "YCbCr"):
        name = f"{mode}.{'jpg' if mode in ('CMYK', 'YCbCr') else 'png'}"
        Image.fromarray(PICTURE).convert(mode).save(tmp_path / name)
        picture = read_image(tmp_path / name)
        assert (picture.shape, picture.dtype) == ((24, 20, 3), np.uint8), mode
    write_image(tmp_path / "exact.png", PICTURE)
    assert (read_image(tmp_path / "exact.png") == PICTURE).all()


def test_transparency_becomes_white(tmp_path: Path) -> None:
    clear = np.dstack([PICTURE, np.zeros((24, 20), np.uint8)])
    Image.fromarray(clear).save(tmp_path / "rgba.png")
    Image.fromarray(clear).convert("LA").save(tmp_path / "la.png")
    indexed = Image.fromarray(CODES)
    indexed.putpalette(PALETTE)
    indexed.save(tmp_path / "p.png", transparency=bytes(5))
    for name in ("rgba.png", "la.png", "p.png"):
        assert (read_image(tmp_path / name) == 255).all(), name


def test_the_same_pixels_give_the_same_bytes(tmp_path: Path) -> None:
    for name in ("a.png", "b.png"):
        write_image(tmp_path / name, PICTURE)
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


# Bad files: one sentence with the name


def refused(path: Path, sentence: str, *, mask: bool = False) -> None:
    with pytest.raises(BadFile, match=sentence) as caught:
        (read_mask if mask else read_image)(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert caught.value.exit_code == 1


@pytest.mark.parametrize("mask", [False, True])
@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("empty.png", b""),
        ("text.png", b"this is no picture"),
        ("empty.tif", b""),
        ("text.tif", b"no picture either"),
        ("magic.tif", b"II*\0\xff\xff\xff\x7f"),
    ],
)
def test_files_that_are_not_pictures_are_refused(tmp_path: Path, name: str, content: bytes, mask: bool) -> None:
    refused(put(tmp_path, name, content), r"is not a (picture that can be read|readable TIFF mask)", mask=mask)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "BMP", "WEBP"])
def test_truncated_files_are_refused(tmp_path: Path, kind: str) -> None:
    content = encoded(Image.fromarray(PICTURE), kind)
    for share in (0.2, 0.5, 0.9):
        path = put(tmp_path, f"half.{kind.lower()}", content[: int(len(content) * share)])
        refused(path, r"is damaged: |cannot be opened: |is not a picture that can be read")


def test_a_png_with_a_wrong_checksum_or_broken_pixels(tmp_path: Path) -> None:
    whole = bytearray(encoded(Image.fromarray(PICTURE), "PNG"))
    whole[len(whole) // 2] ^= 0xFF
    refused(put(tmp_path, "flipped.png", bytes(whole)), r"is damaged: .*Fetch it again")
    refused(put(tmp_path, "short.png", png(20, 24, 8, GREY, b"\0" * 30)), r"is damaged: ", mask=True)


def test_colour_masks_are_refused(tmp_path: Path) -> None:
    for mode, name in (("RGB", "m.png"), ("RGBA", "m4.png"), ("LA", "m2.png"), ("RGB", "m.jpg")):
        Image.fromarray(PICTURE).convert(mode).save(tmp_path / name)
        refused(tmp_path / name, rf"is a {mode} picture, but a mask holds one 8-bit class code per pixel", mask=True)
    tifffile.imwrite(tmp_path / "m.tif", PICTURE, photometric="rgb")
    refused(tmp_path / "m.tif", r"holds uint8 of shape \(24, 20, 3\); a mask is one 8-bit channel", mask=True)


def test_wrong_bit_depths_are_refused(tmp_path: Path) -> None:
    Image.fromarray(CODES.astype(np.uint16)).save(tmp_path / "deep.png")
    refused(tmp_path / "deep.png", r"is a I;16 picture, but a mask", mask=True)
    refused(tmp_path / "deep.png", r"has I;16 pixels; pictures need 8 bits per channel")
    for kind in (np.uint16, np.float32):
        tifffile.imwrite(tmp_path / "deep.tif", CODES.astype(kind))
        refused(tmp_path / "deep.tif", rf"holds {np.dtype(kind)} of shape \(24, 20\)", mask=True)
        refused(tmp_path / "deep.tif", r"pictures need 8 bits per channel")


@pytest.mark.parametrize("mask", [False, True])
def test_a_huge_header_is_refused_before_anything_is_decoded(tmp_path: Path, mask: bool) -> None:
    path = put(tmp_path, "huge.png", png(60_000, 60_000, 8, GREY, b"\0"))
    refused(path, r"promises more pixels than can be read; the file is damaged or a slide", mask=mask)
    content = bytearray(encoded(Image.fromarray(CODES), "TIFF"))
    for tag in (256, 257):  # width and height
        at = (
            content.index(struct.pack("<HHI", tag, 3, 1))
            if struct.pack("<HHI", tag, 3, 1) in content
            else content.index(struct.pack("<HHI", tag, 4, 1))
        )
        content[at : at + 12] = struct.pack("<HHII", tag, 4, 1, 60_000)
    refused(
        put(tmp_path, "huge.tif", bytes(content)),
        r"60000 x 60000 pixels, more than the 400 megapixels|promises more pixels",
        mask=mask,
    )


def test_a_text_chunk_that_unpacks_to_gigabytes(tmp_path: Path) -> None:
    bomb = b"comment\0\0" + zlib.compress(b"\0" * 100_000_000)
    chunk = struct.pack(">I", len(bomb)) + b"zTXt" + bomb + struct.pack(">I", zlib.crc32(b"zTXt" + bomb))
    whole = png(20, 24, 8, GREY, b"\0" * 24 * 21)
    path = put(tmp_path, "bomb.png", whole[:33] + chunk + whole[33:])
    try:
        assert read_mask(path).shape == (24, 20)
    except BadFile as error:
        assert str(path) in str(error)  # noqa: PT017 - either way is fine, a traceback or 100 MB of text is not


def test_paths_that_are_not_files_are_refused(tmp_path: Path) -> None:
    (tmp_path / "folder.png").mkdir()
    for suffix in ("png", "tif"):
        loop = tmp_path / f"loop.{suffix}"
        loop.symlink_to(loop)
        for mask in (False, True):
            refused(tmp_path / f"none.{suffix}", r"does not exist\.", mask=mask)
            refused(loop, r"Too many levels of symbolic links", mask=mask)
    refused(tmp_path / "folder.png", r"cannot be opened: Is a directory")


def test_a_file_without_permission_is_named(tmp_path: Path) -> None:
    if os.geteuid() == 0:
        pytest.skip("permissions do not bind the superuser")
    path = put(tmp_path, "closed.png", encoded(Image.fromarray(CODES), "PNG"))
    path.chmod(0)
    refused(path, r"cannot be opened: Permission denied")


SEEDS = {
    "png": [encoded(Image.fromarray(PICTURE), "PNG"), png(20, 24, 4, INDEXED, packed(CODES, 4))],
    "jpg": [encoded(Image.fromarray(PICTURE), "JPEG", progressive=progressive) for progressive in (False, True)],
    "bmp": [encoded(Image.fromarray(CODES), "BMP")],
    "tif": [encoded(Image.fromarray(CODES), "TIFF"), encoded(Image.fromarray(PICTURE), "TIFF", compression="packbits")],
    "webp": [encoded(Image.fromarray(PICTURE), "WEBP")],
    "gif": [encoded(Image.fromarray(CODES), "GIF")],
}


@settings(max_examples=200)
@given(data=st.data())
def test_no_damage_gives_anything_but_pixels_or_a_sentence(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    suffix = data.draw(st.sampled_from(sorted(SEEDS)))
    content = bytearray(data.draw(st.sampled_from(SEEDS[suffix])))
    for _ in range(data.draw(st.integers(1, 6))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path = tmp_path_factory.getbasetemp() / f"damaged.{suffix}"
    path.write_bytes(content[: data.draw(st.integers(0, len(content)))] if data.draw(st.booleans()) else content)
    for read in (read_image, read_mask, image_size):
        try:
            read(path)
        except BadFile as error:
            assert "\n" not in str(error)  # noqa: PT017


def test_reading_leaves_the_warnings_of_others_alone(tmp_path: Path) -> None:
    write_mask(tmp_path / "m.png", CODES)
    before = list(warnings.filters)
    read_mask(tmp_path / "m.png")
    assert list(warnings.filters) == before


# Quick decoding


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
@pytest.mark.parametrize(
    "options", [{}, {"quality": 40, "subsampling": 2}, {"progressive": True}, {"icc_profile": b"x"}]
)
def test_quick_decoding_gives_the_pixels_of_pillow(kind: str, options: dict[str, Any], tmp_path: Path) -> None:
    smooth = np.add.outer(np.arange(37), np.arange(53))[..., None] * np.array([2, 1, 3]) % 256
    content = encoded(Image.fromarray(smooth.astype(np.uint8)), kind, **options)
    path = put(tmp_path, f"a.{kind.lower()}", content)
    np.testing.assert_array_equal(read_image(path), np.asarray(Image.open(path).convert("RGB")))


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
@pytest.mark.parametrize("share", [0.3, 0.9, 0.98])
def test_a_cut_picture_is_refused_by_quick_decoding_too(kind: str, share: float, tmp_path: Path) -> None:
    content = encoded(Image.fromarray(PICTURE.repeat(8, 0).repeat(8, 1)), kind)
    with pytest.raises(BadFile, match="damaged"):
        read_image(put(tmp_path, f"a.{kind.lower()}", content[: int(len(content) * share)]))
