"""One training loop from a laptop to many GPUs. It knows tensors, checkpoints and processes, and nothing of pathology.

May import compute, files, config, registry and errors. A stage of the pipeline passes it a `Task` (see `engine.task`),
a map-style data set and options; `engine.loop.fit` does the rest.

Example: a whole training, the same on one CPU, several GPUs, torchrun and SLURM.

    >>> from qaclims_path.engine.loop import fit
    >>> from qaclims_path.engine.settings import RunSettings, TrainOptions
    >>> from qaclims_path.engine.task import StepInfo
    >>> from qaclims_path.engine.distributed import launch
    >>> class Classify:                                    # a task
    ...     def __init__(self, network):
    ...         self.network = network                     # trained; the engine moves it, frozen judges move themselves
    ...     def parameter_groups(self, lr):                # as torch.optim takes them; `lr` is optional
    ...         return [{"params": list(self.network.parameters()), "lr": lr}]
    ...     def counts(self, batch):                       # optional: numbers of items that losses are means over
    ...         return {"pairs": float(batch["present"].sum())}
    ...     def step(self, batch, info: StepInfo):         # "loss" is minimised, the rest is logged
    ...         logits = self.network(batch["image"])
    ...         bce = torch.nn.functional.binary_cross_entropy_with_logits(logits, batch["present"].float())
    ...         return {"loss": bce * min(1.0, 2 * info.progress), "bce": bce.detach()}
    >>> processes = launch(RunSettings(devices="auto", precision="auto"))  # first: it may start the other processes
    >>> result = fit(Classify(network), dataset, TrainOptions(epochs=5, batch=16, lr=0.01), out,
    ...              processes=processes, collate=collate, callbacks=[show_maps])  # doctest: +SKIP
    >>> result.weights                                     # safetensors; the mean of the weights if `ema` is set
    PosixPath('run/cam/weights.safetensors')

A batch is a mapping of tensors and lists with the names of its images under `id`, as `data.dataset.collate` makes it.
`TrainOptions.batch` counts the images of one optimiser step over all processes, so more GPUs change only the time.
Calling `fit` again with the same `out` continues after the last checkpoint, or returns at once if training is done.
"""
