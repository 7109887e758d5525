"""BLIP question answering: each image is encoded once for all its questions, which are answered in batches.

The questions of an image are concatenated to one row, with a mask by which each attends only to itself and the image.
So keys and values of the image are computed once per layer instead of once per question, and no question is padded.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from qaclims_path.assets import EMBEDDED, embedded_model
from qaclims_path.errors import BadFile, UsageError
from qaclims_path.files.hub import load_pretrained, load_processor, loading, model_name, resolve
from qaclims_path.language.answerers.asking import (
    ImageAsks,
    answer_by_image,
    batches,
    mean_log_probability,
    until_end,
    warn_about_cut_texts,
)
from qaclims_path.language.answerers.loading import device_and_dtype, provenance_of
from qaclims_path.types import Answer, Ask

MODEL = "BLIP question answering model"
CARD = "answerer_card.json"  # optional file of a model folder with a warning for users
ROW = 64  # questions in a row; every token of a row is compared with every other
MAX_TOKENS = 10  # longest greedy answer, with its end


@dataclass(frozen=True)
class Decoding:
    """How questions and answers are written in tokens.

    Attributes:
        beams: Answers that are followed at a time.
        longest: Most new tokens of an answer, with its end.
        question: Most tokens of a question; as many as the model reads if None.
        marked: Begin a question with [ENC], the token that the encoder was trained with, and not with [CLS].
    """

    beams: int = 1
    longest: int = MAX_TOKENS
    question: int | None = None
    marked: bool = False


# `released` follows BLIP's own code, whose limit of ten tokens counts the one that an answer begins with. Its version
# of transformers (4.15) divides the score of an answer without an end by 10, not 9: this matters for cut answers only.
DECODINGS = {"greedy": Decoding(), "released": Decoding(beams=3, longest=9, question=35, marked=True)}


class BlipAnswerer:
    """Answers with `BlipForQuestionAnswering`; the score is the mean log probability per token, including the end.

    Examples:
        >>> blip = BlipAnswerer.load("Salesforce/blip-vqa-base", size=480)  # doctest: +SKIP
        >>> blip.answer(asks)[0]  # doctest: +SKIP
        Answer(text='purple', score=-0.41)
    """

    def __init__(
        self,
        model: Any,  # noqa: ANN401 - transformers' models are not typed
        processor: Any,  # noqa: ANN401
        *,
        batch: int = 8,
        size: int | None = None,
        decoding: Decoding = DECODINGS["greedy"],
        provenance: Mapping[str, str] | None = None,
    ) -> None:
        vision = model.config.vision_config
        self.size = size or int(vision.image_size)
        if self.size % vision.patch_size:
            raise UsageError(
                f"{self.size} pixels are not a multiple of the model's patch size, {vision.patch_size} pixels."
            )
        self.model, self.processor, self.batch, self.decoding = model, processor, batch, decoding
        self._mark = _encoder_mark(model, processor) if decoding.marked else None
        mask_padding(model.text_decoder)
        self._provenance = dict(provenance or {})

    @classmethod
    def load(
        cls,
        model: str,
        *,
        revision: str | None = None,
        device: str = "auto",
        dtype: str = "auto",
        batch: int = 8,
        size: int | None = None,
        decoding: Literal["greedy", "released"] = "greedy",
    ) -> "BlipAnswerer":
        """Load from a hub id, a folder, or `embedded`; `size` is 480 as published, or that of the model if None."""
        from transformers import BlipForQuestionAnswering

        torch_device, torch_dtype = device_and_dtype(device, dtype)
        embedded = model == EMBEDDED
        folder = resolve(str(embedded_model("answerer")) if embedded else model, revision=revision)
        _check_kind(model, folder)
        processor = load_processor(model, folder, MODEL)
        network = load_pretrained(BlipForQuestionAnswering, model, folder, MODEL, dtype=torch_dtype)
        name = model if embedded else model_name(model)
        pixels = str(size or network.config.vision_config.image_size)
        provenance = provenance_of("blip", name, folder, torch_dtype, pixels=pixels) | _warning(model, folder)
        if decoding != "greedy":
            provenance["decoding"] = decoding
        how = DECODINGS[decoding]
        return cls(network.to(torch_device), processor, batch=batch, size=size, decoding=how, provenance=provenance)

    @property
    def provenance(self) -> Mapping[str, str]:
        """Model, revision, image size, number format, and the model's warning if it has one."""
        return self._provenance

    @torch.inference_mode()
    def answer(self, asks: Sequence[Ask]) -> list[Answer]:
        """Return answers in order; an image is read once for all its asks."""

        def answer_images(images: Sequence[ImageAsks]) -> dict[int, Answer]:
            tokens = self._encode_images([asks[image.positions[0]].pixels() for image in images])
            positions = [position for image in images for position in image.positions]
            owners = [index for index, image in enumerate(images) for _ in image.positions]
            states = self._encode_questions(tokens, owners, [asks[position].question for position in positions])
            return dict(zip(positions, self._generate_all(states), strict=True))

        return answer_by_image(asks, self.batch, answer_images)

    def _encode_images(self, pictures: Sequence[NDArray[np.uint8]]) -> Tensor:
        """B S D, the image tokens of H W 3 pictures."""
        size, arrays = {"height": self.size, "width": self.size}, [np.array(picture) for picture in pictures]
        pixels = self.processor.image_processor(arrays, size=size, return_tensors="pt")["pixel_values"]
        resized = self.size != self.model.config.vision_config.image_size
        pixels = pixels.to(self.model.device, self.model.dtype)
        tokens: Tensor = self.model.vision_model(pixels, interpolate_pos_encoding=resized).last_hidden_state
        return tokens

    def _encode_questions(self, image_tokens: Tensor, owners: Sequence[int], questions: Sequence[str]) -> list[Tensor]:
        """Encode questions together with the tokens of their images.

        Args:
            image_tokens: B S D.
            owners: Index of each question's image; questions of an image are consecutive.
            questions: Texts.

        Returns:
            L D for each question of L tokens.
        """
        ids = self._tokens(questions)
        slices = [part for image in range(len(image_tokens)) for part in _rows(owners, image)]
        rows = [ids[part] for part in slices]
        encoder, device, dtype = self.model.text_encoder, image_tokens.device, image_tokens.dtype
        question = _concatenated([[torch.full_like(each, k) for k, each in enumerate(row)] for row in rows], -1)
        position = _concatenated([[torch.arange(len(each)) for each in row] for row in rows], 0)
        question = question.to(device)
        other = question[:, None, :, None] != question[:, None, None, :]
        mask = torch.zeros(other.shape, dtype=dtype, device=device).masked_fill(other, torch.finfo(dtype).min)
        hidden = encoder.embeddings(input_ids=_concatenated(rows, 0).to(device), position_ids=position.to(device))
        images = image_tokens[[owners[part.start] for part in slices]]
        out = encoder.encoder(hidden, attention_mask=mask, encoder_hidden_states=images).last_hidden_state
        lengths = [[len(each) for each in row] for row in rows]
        return [state for row, sizes in zip(out, lengths, strict=True) for state in row[: sum(sizes)].split(sizes)]

    def _tokens(self, questions: Sequence[str]) -> list[Tensor]:
        context = int(self.model.config.text_config.max_position_embeddings)
        context = min(context, self.decoding.question or context)
        tokenizer = self.processor.tokenizer
        full = tokenizer(list(questions), add_special_tokens=True, verbose=False)["input_ids"]
        warn_about_cut_texts(questions, [len(ids) for ids in full], context)
        cut = [ids if len(ids) <= context else [*ids[: context - 1], ids[-1]] for ids in full]
        first = [] if self._mark is None else [self._mark]
        return [torch.tensor([*first, *ids[len(first) :]]) for ids in cut]

    def _generate_all(self, states: Sequence[Tensor]) -> list[Answer]:
        """Generate answers to questions L D in batches of questions of similar length."""
        order = sorted(range(len(states)), key=lambda question: len(states[question]))
        answers: dict[int, Answer] = {}
        for part in batches(len(order), ROW):
            answers |= zip(order[part], self._generate([states[question] for question in order[part]]), strict=True)
        return [answers[question] for question in range(len(states))]

    def _generate(self, states: Sequence[Tensor]) -> list[Answer]:
        """Generate answers to questions L D."""
        text = self.model.config.text_config
        out = self.model.text_decoder.generate(
            input_ids=torch.full((len(states), 1), text.bos_token_id, device=states[0].device),
            encoder_hidden_states=pad_sequence(list(states), batch_first=True),
            encoder_attention_mask=pad_sequence(
                [torch.ones(len(state), dtype=torch.long, device=state.device) for state in states], batch_first=True
            ),
            max_new_tokens=self.decoding.longest,
            do_sample=False,
            num_beams=self.decoding.beams,
            length_penalty=1.0,
            early_stopping=False,
            eos_token_id=text.sep_token_id,
            pad_token_id=text.pad_token_id,
            output_logits=self.decoding.beams == 1,
            output_scores=self.decoding.beams > 1,
            return_dict_in_generate=True,
        )
        tokens = out.sequences[:, 1:]
        if self.decoding.beams == 1:
            scores = mean_log_probability(out.logits, tokens, [text.sep_token_id]).tolist()
        else:
            scores = out.sequences_scores.tolist()  # the mean per token, too, as the length penalty is 1
        kept = [row[keep].tolist() for row, keep in zip(tokens, until_end(tokens, [text.sep_token_id]), strict=True)]
        texts = self.processor.tokenizer.batch_decode(kept, skip_special_tokens=True)
        return [Answer(answer.strip(), score) for answer, score in zip(texts, scores, strict=True)]


def _encoder_mark(model: Any, processor: Any) -> int:  # noqa: ANN401
    """Return the token [ENC], which follows that of the answers, [DEC], where the tokenizer does not name it."""
    known = processor.tokenizer.get_vocab().get("[ENC]")
    text = model.config.text_config
    mark = int(text.bos_token_id) + 1 if known is None else int(known)
    if mark >= text.vocab_size:
        raise UsageError(
            f"The model has {text.vocab_size} tokens and no [ENC], so it cannot be asked as released. Set "
            "answerer.decoding=greedy."
        )
    return mark


def mask_padding(decoder: Any) -> None:  # noqa: ANN401
    """Mask the padding of questions in the decoder: transformers (5.23) makes the mask but does not pass it on."""

    def pass_on(_: Any, args: Any, kwargs: dict[str, Any]) -> tuple[Any, dict[str, Any]]:  # noqa: ANN401
        return args, kwargs | {"encoder_attention_mask": kwargs["attention_mask"]}

    for layer in decoder.bert.encoder.layer:
        layer.crossattention.self.register_forward_pre_hook(pass_on, with_kwargs=True)


def _rows(owners: Sequence[int], image: int) -> Iterator[slice]:
    """Yield slices of the consecutive questions of an image, of at most `ROW` questions."""
    first = owners.index(image)
    for part in batches(owners.count(image), ROW):
        yield slice(first + part.start, first + part.stop)


def _concatenated(rows: Sequence[Sequence[Tensor]], padding: int) -> Tensor:
    """R T, the concatenated tensors of each row, padded to the longest."""
    return pad_sequence([torch.cat(list(row)) for row in rows], batch_first=True, padding_value=padding)


def _check_kind(model: str, folder: Path) -> None:
    """Refuse a model of another architecture before its weights are read."""
    with loading(model, MODEL):
        kind = json.loads((folder / "config.json").read_text(encoding="utf-8")).get("model_type")
    if kind != "blip":
        raise BadFile(
            f"{model} is a model of the type '{kind}', not a {MODEL}. Use the answerer 'chat' for chat models."
        )


def _warning(model: str, folder: Path) -> dict[str, str]:
    """Return the warning on a model's card, if it has one."""
    path = folder / CARD
    if not path.is_file():
        return {}
    with loading(model, MODEL):
        return {"warning": str(json.loads(path.read_text(encoding="utf-8"))["warning"])}
