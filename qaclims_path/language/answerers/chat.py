"""Chat models with vision: from a system text, an image and a question to a short phrase."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from qaclims_path.errors import BadFile
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

MODEL = "chat model for images"
MAX_TOKENS = 32  # length of a reply; the answer is far shorter
INSTRUCTION = (
    'Answer with a noun phrase of one to five words and nothing else. If the image does not show it, answer "unknown". '
    "Write one line of this form:\nAnswer: <noun phrase>"
)
NO_ANSWERS = {"", "unknown", "none", "n/a", "not visible", "nothing"}
OUTER = " \t*_`\"'{}[].,:"
Message = dict[str, Any]


class ChatAnswerer:
    """Answers with any `AutoModelForImageTextToText`; the score is the mean log probability per token of the reply.

    Examples:
        >>> chat = ChatAnswerer.load("google/medgemma-4b-it", system=bank.system)  # doctest: +SKIP
        >>> chat.answer(asks)[0]  # doctest: +SKIP
        Answer(text='invasive ductal carcinoma', score=-0.18)
    """

    def __init__(
        self,
        model: Any,  # noqa: ANN401 - transformers' models are not typed
        processor: Any,  # noqa: ANN401
        *,
        system: str = "",
        batch: int = 8,
        provenance: Mapping[str, str] | None = None,
    ) -> None:
        self.model, self.processor, self.system, self.batch = model, processor, system, batch
        self._provenance = dict(provenance or {})
        tokenizer = processor.tokenizer
        tokenizer.padding_side = "left"  # replies start at the end of the prompts
        if tokenizer.pad_token is None:
            tokenizer.pad_token = tokenizer.eos_token
        self._rendered("", "")  # raises for a broken template
        self._has_system_role = bool(system) and self._shows_system_text()

    @classmethod
    def load(
        cls,
        model: str,
        *,
        revision: str | None = None,
        device: str = "auto",
        dtype: str = "auto",
        batch: int = 8,
        system: str = "",
    ) -> "ChatAnswerer":
        """Load from a hub id or a folder; `system` is the system text."""
        from transformers import AutoModelForImageTextToText

        torch_device, torch_dtype = device_and_dtype(device, dtype)
        folder = resolve(model, revision=revision)
        processor = load_processor(model, folder, MODEL)
        if not getattr(processor, "chat_template", None) or not hasattr(processor, "image_processor"):
            raise BadFile(
                f"{model} is not a {MODEL}: it has no chat template or no image processor. Give an instruction-tuned "
                "model with both, or add chat_template.jinja to its folder."
            )
        network = load_pretrained(AutoModelForImageTextToText, model, folder, MODEL, dtype=torch_dtype)
        provenance = provenance_of("chat", model_name(model), folder, torch_dtype)
        with loading(model, MODEL):
            return cls(network.to(torch_device), processor, system=system, batch=batch, provenance=provenance)

    @property
    def provenance(self) -> Mapping[str, str]:
        """Model, revision and number format; the system text is part of the question bank's hash."""
        return self._provenance

    @torch.inference_mode()
    def answer(self, asks: Sequence[Ask]) -> list[Answer]:
        """Return answers in order, `batch` at a time, with questions of similar length together."""

        def answer_images(images: Sequence[ImageAsks]) -> dict[int, Answer]:
            answers: dict[int, Answer] = {}
            pictures = {image.image: asks[image.positions[0]].pixels() for image in images}
            positions = (position for image in images for position in image.positions)
            order = sorted(positions, key=lambda position: len(asks[position].question))
            for part in batches(len(order), self.batch):
                chosen = [asks[position] for position in order[part]]
                replies = self._reply([pictures[ask.image] for ask in chosen], [ask.question for ask in chosen])
                answers |= zip(order[part], replies, strict=True)
            return answers

        return answer_by_image(asks, self.batch, answer_images)

    def _reply(self, pictures: Sequence[NDArray[np.uint8]], questions: Sequence[str]) -> list[Answer]:
        inputs = self._fitted_inputs(pictures, questions)
        out = self.model.generate(
            **inputs,
            max_new_tokens=MAX_TOKENS,
            do_sample=False,
            num_beams=1,
            pad_token_id=self.processor.tokenizer.pad_token_id,
            output_logits=True,
            return_dict_in_generate=True,
        )
        tokens, ends = out.sequences[:, inputs["input_ids"].shape[1] :], self._ends()
        scores = mean_log_probability(out.logits, tokens, ends).tolist()
        kept = [row[keep].tolist() for row, keep in zip(tokens, until_end(tokens, ends), strict=True)]
        texts = self.processor.tokenizer.batch_decode(kept, skip_special_tokens=True)
        return [Answer(parse_reply(text), score) for text, score in zip(texts, scores, strict=True)]

    def _fitted_inputs(self, pictures: Sequence[NDArray[np.uint8]], questions: Sequence[str]) -> Any:  # noqa: ANN401
        """Return inputs of the model; questions that do not fit into its context are cut with a warning."""
        inputs = self._inputs(pictures, questions)
        text = self.model.config.get_text_config()
        context = int(getattr(text, "max_position_embeddings", None) or 2**31) - MAX_TOKENS
        lengths = inputs["attention_mask"].sum(1).tolist()
        if max(lengths) <= context:
            return inputs
        warn_about_cut_texts(questions, lengths, context)
        return self._inputs(pictures, [self._cut(q, n - context) for q, n in zip(questions, lengths, strict=True)])

    def _cut(self, question: str, excess: int) -> str:
        ids = self.processor.tokenizer(question, add_special_tokens=False)["input_ids"]
        kept = ids[: max(1, len(ids) - excess)] if excess > 0 else ids
        return str(self.processor.tokenizer.decode(kept))

    def _inputs(self, pictures: Sequence[NDArray[np.uint8]], questions: Sequence[str]) -> Any:  # noqa: ANN401
        """Token ids N T and pixels on the model's device, with one start token even if the template has its own."""
        prompts = [self._prompt(question) for question in questions]
        start = self.processor.tokenizer.bos_token
        special = {"add_special_tokens": False} if start and prompts[0].startswith(start) else {}
        images = [[np.array(picture)] for picture in pictures]  # arrays from files are read-only
        inputs = self.processor(text=prompts, images=images, padding=True, return_tensors="pt", **special)
        return inputs.to(self.model.device, dtype=self.model.dtype)

    def _prompt(self, question: str) -> str:
        system = self.system if self._has_system_role else ""
        text = f"{question}\n{INSTRUCTION}"
        if self.system and not system:
            text = f"{self.system}\n\n{text}"
        return self._rendered(system, text)

    def _rendered(self, system: str, text: str) -> str:
        messages: list[Message] = [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": text}]}]
        if system:
            messages.insert(0, {"role": "system", "content": [{"type": "text", "text": system}]})
        return str(self.processor.apply_chat_template(messages, add_generation_prompt=True, tokenize=False))

    def _shows_system_text(self) -> bool:
        """Return whether the chat template includes a system text; some refuse or ignore it."""
        from jinja2 import TemplateError

        try:
            return self.system.strip() in self._rendered(self.system, "")
        except TemplateError:
            return False

    def _ends(self) -> list[int]:
        ends = self.model.generation_config.eos_token_id
        if ends is None:
            ends = self.processor.tokenizer.eos_token_id
        return [int(end) for end in (ends if isinstance(ends, list) else [ends]) if end is not None]


def parse_reply(reply: str) -> str:
    r"""Extract the phrase of a reply; empty if the model says that there is none.

    Examples:
        >>> parse_reply('Sure!\nAnswer: **Dense stroma.**'), parse_reply("Answer: unknown")
        ('Dense stroma', '')
    """
    answers = re.findall(r"answer\W*:\s*([^\n]*)", reply, flags=re.IGNORECASE)
    lines = answers[-1:] or [line for line in reply.splitlines() if line.strip()] or [""]
    phrase = re.sub(
        r"^<([^<>]*)>$", r"\1", lines[0].strip(OUTER)
    )  # brackets copied from the instruction, not those of a tag
    phrase = re.split(r"[.;](?:\s|$)", phrase)[0].strip(OUTER)
    return "" if phrase.lower() in NO_ANSWERS else phrase
