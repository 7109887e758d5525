"""BLIP question answering: every image is encoded once, and all its questions are answered from that in batches.

The questions of an image are packed into one row behind each other, each seeing only itself and the image. So the image
is projected to keys and values once per layer and not once per question, and no question is padded.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from qaclims_path.assets import EMBEDDED, embedded_model
from qaclims_path.errors import BadFile, UsageError
from qaclims_path.files.hub import load_pretrained, load_processor, loading, model_name, resolve, revision_of
from qaclims_path.language.answerers.asking import batches, by_image, mean_log_probability, spoken, warn_of_cut
from qaclims_path.language.answerers.devices import choose
from qaclims_path.types import Answer, Ask

WHAT = "BLIP question answering model"
CARD = "answerer_card.json"  # what a model folder may say about itself: a warning for everybody who uses it
PACK = 64  # questions in one row; every token is compared with every other of its row
LONGEST = 10  # tokens of an answer, as published


class BlipAnswerer:
    """Answers with `BlipForQuestionAnswering`; the score is the mean log probability per token, its end included.

    Example:
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
        provenance: Mapping[str, str] | None = None,
    ) -> None:
        vision = model.config.vision_config
        self.size = size or int(vision.image_size)
        if self.size % vision.patch_size:
            raise UsageError(f"{self.size} pixels are no whole number of the model's {vision.patch_size} px patches.")
        self.model, self.processor, self.batch = model, processor, batch
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
    ) -> "BlipAnswerer":
        """Load from a hub id, a folder, or `embedded`; `size` 480 is as published, the default the model's own."""
        from transformers import BlipForQuestionAnswering

        place, numbers = choose(device, dtype)
        embedded = model == EMBEDDED
        folder = resolve(str(embedded_model("answerer")) if embedded else model, revision=revision)
        _check_kind(model, folder)
        processor = load_processor(model, folder, WHAT)
        network = load_pretrained(BlipForQuestionAnswering, model, folder, WHAT, dtype=numbers).to(place)
        provenance = {
            "answerer": "blip",
            "model": model if embedded else model_name(model),
            "revision": revision_of(folder),
            "pixels": str(size or network.config.vision_config.image_size),
            "dtype": str(numbers).removeprefix("torch."),
            "score": "mean log probability per token",
            **_warning(model, folder),
        }
        return cls(network, processor, batch=batch, size=size, provenance=provenance)

    @property
    def provenance(self) -> Mapping[str, str]:
        """Model, revision, size of the images, number format, and the warning of a model that has one."""
        return self._provenance

    @torch.inference_mode()
    def answer(self, asks: Sequence[Ask]) -> list[Answer]:
        """Answers in order; an image is read once for all its asks."""
        answers: dict[int, Answer] = {}
        groups = by_image(asks)
        for part in batches(len(groups), self.batch):
            together = groups[part]
            seen = self._see([asks[group.asks[0]].pixels() for group in together])
            positions = [position for group in together for position in group.asks]
            owners = [row for row, group in enumerate(together) for _ in group.asks]
            states = self._understand(seen, owners, [asks[position].question for position in positions])
            said = self._say_all(states)
            answers |= dict(zip(positions, said, strict=True))
        return [answers[position] for position in range(len(asks))]

    def _see(self, pictures: Sequence[NDArray[np.uint8]]) -> Tensor:
        """B S D, the image tokens of H W 3 pictures."""
        sides = {"height": self.size, "width": self.size}
        pixels = self.processor.image_processor([np.array(one) for one in pictures], size=sides, return_tensors="pt")[
            "pixel_values"
        ]
        resized = self.size != self.model.config.vision_config.image_size
        pixels = pixels.to(self.model.device, self.model.dtype)
        seen: Tensor = self.model.vision_model(pixels, interpolate_pos_encoding=resized).last_hidden_state
        return seen

    def _understand(self, seen: Tensor, owners: Sequence[int], questions: Sequence[str]) -> list[Tensor]:
        """L D, the tokens of every question after it looked at image `owners[q]` of the image tokens B S D."""
        tokens = self._tokens(questions)
        rows = [part for image in range(len(seen)) for part in _rows(owners, image)]
        packs = [tokens[row] for row in rows]
        encoder, place = self.model.text_encoder, seen.device
        segments = _packed([[torch.full_like(ids, k) for k, ids in enumerate(pack)] for pack in packs], -1).to(place)
        apart = segments[:, None, :, None] != segments[:, None, None, :]
        mask = torch.zeros(apart.shape, dtype=seen.dtype, device=place).masked_fill(apart, torch.finfo(seen.dtype).min)
        hidden = encoder.embeddings(
            input_ids=_packed(packs, 0).to(place),
            position_ids=_packed([[torch.arange(len(ids)) for ids in pack] for pack in packs], 0).to(place),
        )
        images = seen[[owners[row.start] for row in rows]]
        out = encoder.encoder(hidden, attention_mask=mask, encoder_hidden_states=images).last_hidden_state
        lengths = [[len(ids) for ids in pack] for pack in packs]
        return [state for row, cut in zip(out, lengths, strict=True) for state in row[: sum(cut)].split(cut)]

    def _tokens(self, questions: Sequence[str]) -> list[Tensor]:
        context = int(self.model.config.text_config.max_position_embeddings)
        tokenizer = self.processor.tokenizer
        found = tokenizer(list(questions), add_special_tokens=True, verbose=False)["input_ids"]
        warn_of_cut(questions, [len(ids) for ids in found], context)
        cut = [ids if len(ids) <= context else [*ids[: context - 1], ids[-1]] for ids in found]
        return [torch.tensor(ids) for ids in cut]

    def _say_all(self, states: Sequence[Tensor]) -> list[Answer]:
        """Answers to questions L D, said in batches of questions of about one length."""
        order = sorted(range(len(states)), key=lambda question: len(states[question]))
        answers: dict[int, Answer] = {}
        for part in batches(len(order), PACK):
            answers |= zip(order[part], self._say([states[question] for question in order[part]]), strict=True)
        return [answers[question] for question in range(len(states))]

    def _say(self, states: Sequence[Tensor]) -> list[Answer]:
        """The most probable word after word, given questions L D."""
        text = self.model.config.text_config
        out = self.model.text_decoder.generate(
            input_ids=torch.full((len(states), 1), text.bos_token_id, device=states[0].device),
            encoder_hidden_states=pad_sequence(list(states), batch_first=True),
            encoder_attention_mask=pad_sequence(
                [torch.ones(len(state), dtype=torch.long, device=state.device) for state in states], batch_first=True
            ),
            max_new_tokens=LONGEST,
            do_sample=False,
            num_beams=1,
            eos_token_id=text.sep_token_id,
            pad_token_id=text.pad_token_id,
            output_logits=True,
            return_dict_in_generate=True,
        )
        tokens = out.sequences[:, 1:]
        scores = mean_log_probability(out.logits, tokens, [text.sep_token_id]).tolist()
        kept = [row[keep].tolist() for row, keep in zip(tokens, spoken(tokens, [text.sep_token_id]), strict=True)]
        texts = self.processor.tokenizer.batch_decode(kept, skip_special_tokens=True)
        return [Answer(answer.strip(), score) for answer, score in zip(texts, scores, strict=True)]


def mask_padding(decoder: Any) -> None:  # noqa: ANN401
    """Let the decoder overlook the padding of questions: transformers (5.23) makes the mask and then loses it."""

    def pass_on(_: Any, args: Any, given: dict[str, Any]) -> tuple[Any, dict[str, Any]]:  # noqa: ANN401
        return args, given | {"encoder_attention_mask": given["attention_mask"]}

    for layer in decoder.bert.encoder.layer:
        layer.crossattention.self.register_forward_pre_hook(pass_on, with_kwargs=True)


def _rows(owners: Sequence[int], image: int) -> Iterator[slice]:
    """The questions of an image, which stand together, in rows of at most `PACK`."""
    first = owners.index(image)
    for part in batches(owners.count(image), PACK):
        yield slice(first + part.start, first + part.stop)


def _packed(packs: Sequence[Sequence[Tensor]], filling: int) -> Tensor:
    """R T, the tensors of every row behind each other."""
    return pad_sequence([torch.cat(list(pack)) for pack in packs], batch_first=True, padding_value=filling)


def _check_kind(model: str, folder: Path) -> None:
    """Refuse a model of another architecture before its weights are read."""
    with loading(model, WHAT):
        kind = json.loads((folder / "config.json").read_text(encoding="utf-8")).get("model_type")
    if kind != "blip":
        raise BadFile(
            f"{model} is a model of the type '{kind}', not a {WHAT}. Use the answerer 'chat' for models that converse."
        )


def _warning(model: str, folder: Path) -> dict[str, str]:
    """What everybody who uses the model should be told, where its card says something."""
    path = folder / CARD
    if not path.is_file():
        return {}
    with loading(model, WHAT):
        return {"warning": str(json.loads(path.read_text(encoding="utf-8"))["warning"])}
